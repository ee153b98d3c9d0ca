"""Two cores of different names on one account leave each other's orders alone."""

import kit
from tests.support.stack import AMOUNT, INSIDE, PAIR, Stack, connected, until


class Quoter(kit.Strategy):
    """Keeps one buy order resting."""

    price = INSIDE

    def on_tick(self, timestamp: float) -> None:
        """Place an order when there is none."""
        if not self.active_orders:
            self.buy(AMOUNT, self.price)


async def test_stop_of_one_leaves_the_orders_of_the_other_alone(testnet):
    async with connected(testnet) as one, connected(testnet) as two:
        assert one.tag != two.tag
        mine, others = await one.rest(INSIDE + 1), await two.rest(INSIDE)
        report = await one.core.stop()
        assert report.clean
        assert one.events_of(mine) == ["BuyOrderCreated", "OrderCancelled"]
        assert [order.client_order_id for order in await testnet.open_orders()] == [others]
        await two.hit(AMOUNT / 2)
        await two.settled()
        assert two.events_of(others) == ["BuyOrderCreated", "OrderFilled"]
        await two.hit(AMOUNT / 2)
        await two.settled()


async def test_each_hears_of_its_own_orders_and_fills_alone(testnet):
    async with connected(testnet) as one, connected(testnet) as two:
        mine, others = await one.rest(INSIDE + 1), await two.rest(INSIDE)
        await testnet.fault("cut_user")  # both reconcile, and find all orders of the account
        await until(lambda: one.user.losses and two.user.losses, "both lose their private stream")
        await one.hit(2 * AMOUNT)
        for stack, own, foreign in ((one, mine, others), (two, others, mine)):
            await stack.settled()
            assert stack.events_of(own) == ["BuyOrderCreated", "OrderFilled", "BuyOrderCompleted"]
            assert stack.events_of(foreign) == []
            assert list(stack.core.fills["client_order_id"]) == [own]


async def test_cancel_all_of_one_and_a_red_button_of_the_other(testnet):
    async with connected(testnet) as one, connected(testnet) as two:
        mine = [await one.rest(INSIDE - step) for step in range(3)]
        others = {await two.rest(INSIDE - 10 - step) for step in range(3)}
        results = await one.market.cancel_all()
        assert {result.order_id for result in results if result.success} == set(mine)
        assert {order.client_order_id for order in await testnet.open_orders()} == others
        assert await two.market.sweep() == []
        assert await testnet.open_orders() == []


async def test_strategies_of_both_go_on_side_by_side(testnet):
    async with connected(testnet) as one, connected(testnet) as two:
        for stack, price in ((one, INSIDE + 1), (two, INSIDE)):
            strategy = Quoter(stack.market, PAIR)
            strategy.price = price
            stack.core.strategy = strategy
        for stack in (one, two):
            await until(lambda stack=stack: "BuyOrderCreated" in [name for name, _ in stack.events], "its order rests")
        assert (await one.core.stop()).clean
        (order,) = await testnet.open_orders()
        assert order.client_order_id in two.open_orders
        ticks = two.core.clock.stats.ticks
        await until(lambda: two.core.clock.stats.ticks > ticks, "the other's clock ticks on")
        await two.settled()


async def test_a_core_started_again_under_its_name_ends_what_its_last_run_left(testnet):
    async with connected(testnet) as two:
        other = await two.rest(INSIDE)
        core = kit.TradingCore("died", guard=False)
        market = await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet)
        left = await Stack(testnet, core, market).rest(INSIDE + 1)
        await market.close()  # as if the process had died: nobody cancels
        assert (await core.stop()).orders_left == {market.name: [left]}
        assert {order.client_order_id for order in await testnet.open_orders()} == {left, other}
        async with connected(testnet, name="died"):
            pass
        assert [order.client_order_id for order in await testnet.open_orders()] == [other]

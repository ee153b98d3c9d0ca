"""Updates reach listeners whether or not anybody waits for them, and bursts lose none."""

import asyncio
from decimal import Decimal

import aiohttp
import orjson

from tests.support.stack import INSIDE, PAIR, SYMBOL

BURST = 3_000
SMALL = Decimal("0.0001")
SOON = 30.0
"""Seconds: a stream that is silent is helped by questions only after a minute."""
WATCHING = ("/user orders", "/user fills", "/user balances")


async def test_an_update_that_nobody_awaits_is_delivered(stack):
    """ccxt tells a watcher of an order only with the next update when nobody was waiting at that moment."""
    order_id = await stack.rest()
    pumps = [task for task in asyncio.all_tasks() if task.get_name().endswith(WATCHING)]
    assert len(pumps) == len(WATCHING)
    for pump in pumps:
        pump.cancel()  # from here on nobody awaits anything of ccxt's
    await asyncio.wait(pumps)
    (cancelled,) = await stack.testnet.cancel_orders(order_id)
    assert cancelled.client_order_id == order_id
    await stack.until(lambda: "OrderCancelled" in stack.events_of(order_id), "the cancel is heard of", SOON)


async def test_a_single_fill_is_delivered_at_once(stack):
    order_id = await stack.rest()
    await stack.hit(stack.order(order_id).amount)
    await stack.until(lambda: "BuyOrderCompleted" in stack.events_of(order_id), "the fill is heard of", SOON)
    await stack.settled()


async def rest_many(testnet):
    """Let 3,000 small sell orders rest inside the spread."""
    body = orjson.dumps({"symbol": PAIR, "side": "sell", "amount": str(SMALL), "price": str(INSIDE)})
    gate = asyncio.Semaphore(50)

    async with aiohttp.ClientSession() as session:

        async def rest():
            async with gate, session.post(f"{testnet.url}/testnet/trade", data=body) as response:
                assert response.status == 200, await response.text()

        await asyncio.gather(*(rest() for _ in range(BURST)))


async def test_a_burst_of_3000_trades_drops_none(stack):
    """ccxt keeps 1,000 trades and hands on what is left of a burst; here one order makes all of them in one moment."""
    heard = []
    stack.market.get_order_book(PAIR).add_trade_listener(lambda trade: heard.append(trade.trade_id))
    before = (await stack.testnet.stats())["trades"][SYMBOL]
    await rest_many(stack.testnet)
    taker = await stack.testnet.trade(PAIR, "buy", BURST * SMALL, INSIDE, time_in_force="IOC")
    assert taker.filled == BURST * SMALL
    assert (await stack.testnet.stats())["trades"][SYMBOL] - before == BURST
    await stack.until(lambda: len(heard) >= BURST, "every trade")
    assert heard == [str(before + 1 + number) for number in range(BURST)]
    assert stack.told(f"books.{PAIR}.trades") == BURST
    await stack.settled()


async def test_an_order_of_ours_that_trades_3000_times_is_filled_3000_times(stack):
    """The same on the private stream: order, fill and balance messages, and the answer to the request, all at once."""
    await rest_many(stack.testnet)
    order_id = stack.buy(INSIDE, BURST * SMALL)
    await stack.until(lambda: "BuyOrderCompleted" in stack.events_of(order_id), "the order is filled")
    await stack.settled()
    assert len(stack.order(order_id).order_fills) == BURST

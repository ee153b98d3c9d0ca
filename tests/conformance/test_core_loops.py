"""One demand on cores, whatever loop they live on and whatever account they trade: every public way works the same."""

import asyncio
import threading
from decimal import Decimal
from typing import ClassVar

import pytest
import pytest_asyncio

import kit
from kit.connectors.client_order_ids import tag_of
from kit.testnet import Testnet
from tests.support.patient import be_patient
from tests.support.stack import LENIENT, until

PAIR = "BTC/USDT"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def testnet():
    async with await Testnet.start(name="core loops") as testnet:
        yield testnet


@pytest.fixture(params=["kernel", "thread"])
def loop(request):
    return request.param


@pytest.fixture(params=["paper", "live"])
def mode(request):
    return request.param


class Quoter(kit.Strategy):
    threads: ClassVar[set[str]] = set()

    def on_tick(self, timestamp):
        if not self.active_orders:
            price = self.market.get_mid_price(self.trading_pair) * Decimal("0.9")
            self.buy("0.001", price)

    def did_create_buy_order(self, event):
        self.threads.add(threading.current_thread().name)


async def test_a_core_from_its_first_connection_to_its_end(testnet, loop, mode, monkeypatch):
    be_patient(monkeypatch.setattr)
    name = f"{loop} {mode}"
    core = kit.TradingCore(name, tick_size=0.1, loop=loop, guard=False)
    core.disarm_rules = LENIENT
    threads = {thread.name for thread in threading.enumerate()}
    market = await core.add_connector("binance", [PAIR], mode=mode, endpoint=testnet, balances=_money(mode))
    assert await core.add_connector("binance", [PAIR], mode=mode, endpoint=testnet, balances=_money(mode)) is market
    assert core.affinity.here is (loop == "kernel")

    # The book, read here while its feed writes there.
    book = market.get_order_book(PAIR)
    for _ in range(50):
        bids, asks = book.snapshot
        assert bids["price"].iloc[0] < asks["price"].iloc[0]
        assert bids["price"].is_monotonic_decreasing
        assert asks["price"].is_monotonic_increasing
        assert market.get_price(PAIR, True) > 0
        await asyncio.sleep(0.005)

    # A strategy, its hooks, its orders.
    Quoter.threads = set()
    core.strategy = strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: Quoter.threads, "the strategy quotes")
    assert Quoter.threads == ({f"kit core {name}"} if loop == "thread" else {threading.current_thread().name})
    (resting,) = strategy.active_orders
    if mode == "live":
        (order,) = await testnet.open_orders(tag_of(name))
        assert order.client_order_id == resting.client_order_id
    core.swap_strategy(None, orders="keep")

    # By hand.
    price = market.quantize_order_price(PAIR, market.get_mid_price(PAIR) * Decimal("0.8"))
    order_id = market.buy(PAIR, Decimal("0.001"), price=price)
    await until(lambda: order_id in market.in_flight_orders, "the order is known")
    await until(lambda: market.in_flight_orders[order_id].exchange_order_id, "the exchange has it")
    market.cancel(PAIR, order_id)
    await until(lambda: order_id not in market.in_flight_orders, "it is cancelled")
    bought = market.buy(PAIR, Decimal("0.001"), kit.OrderType.MARKET)
    await until(lambda: core.fills["amount"].sum() > 0.000995, "it is filled, in one trade or more")
    assert set(core.fills["client_order_id"]) == {bought}

    # Tables.
    orders = core.orders.set_index("client_order_id")
    assert set(orders.index) == {resting.client_order_id, order_id, bought}
    assert orders.loc[bought, "executed"] == 0.001
    assert set(orders["mode"]) == {mode}
    assert not core.balances.empty
    assert core.pnl["fills"].sum() == len(core.fills)
    await until(lambda: market.ready, f"ready: {market.readiness}")
    status = core.status.set_index(["part", "item"])["value"]
    assert status["binance", "ready"]
    assert status["core", "unattended"] == resting.client_order_id
    assert core.errors.items == ()

    results = await market.cancel_all(60)
    assert [result.success for result in results] == [True]
    report = await core.stop(60)
    assert report.clean
    assert await testnet.open_orders(tag_of(name)) == []
    left = {thread.name for thread in threading.enumerate()} - threads
    assert not [thread for thread in left if not thread.startswith(("asyncio_", "kit-"))]


def _money(mode):
    return {"USDT": 100_000} if mode == "paper" else None

"""A live session on the testnet, recorded whole and replayed: every decision comes out again.

It runs for half a minute; ``KIT_PARITY_SECONDS=600`` makes it ten, and then also judges how many of the fills that a
lively market made are simulated.
"""

import asyncio
import os
import random
from decimal import Decimal
from pathlib import Path

import pytest

import kit
from kit.backtest.parity import parity
from kit.testnet import Testnet
from tests.support.stack import AMOUNT, BID, INSIDE, LENIENT, PAIR, connected, fill_book, until

LONG = "KIT_PARITY_SECONDS" in os.environ
SECONDS = float(os.environ.get("KIT_PARITY_SECONDS", "24"))
ORDERS, CANCELLED, FILLS = 8, 4, 3
"""What a session waits for, however long a busy machine takes."""
CHANGES = (
    {"bid_spread": "0.0002", "ask_spread": "0.0004"},
    {"order_levels": 3, "order_level_spread": "0.0003"},
    {"order_refresh_time": 2.0, "filled_order_delay": 3.0},
    {"order_amount": "0.02", "inventory_skew_enabled": True},
    {"order_levels": 1, "order_refresh_tolerance": "0.0001"},
    {"minimum_spread": "0.00005", "inventory_skew_enabled": False},
    {"order_optimization_enabled": True, "hanging_orders_enabled": True},
    {"order_optimization_enabled": False, "order_refresh_tolerance": None, "hanging_orders_enabled": False},
)


async def session_of(core: kit.TradingCore, market, testnet: Testnet, folder: Path, seconds: float, fills: int) -> Path:
    """Trade for some seconds with changes of parameters and, halfway, a loss of every connection."""
    rng = random.Random(7)
    session = core.record_session(folder)
    core.strategy = kit.PureMarketMaking(
        market,
        PAIR,
        bid_spread="0.0001",
        ask_spread="0.0001",
        order_amount="0.01",
        order_refresh_time=3.0,
        filled_order_delay=1.0,
    )
    await core.start()
    count = max(len(CHANGES), round(seconds / 60) * len(CHANGES))
    for number in range(count):
        core.strategy.params.update(CHANGES[number % len(CHANGES)])
        await until(lambda: not core.strategy.params.pending, "a tick applies them")
        await asyncio.sleep(rng.uniform(0.6, 1.4) * seconds / count)
        if number == count // 2:
            await testnet.fault("cut_market", seconds=1.5)
            await testnet.fault("cut_user", seconds=1.5)
    await until(lambda: market.ready, "ready again")
    await until(lambda: len(core.orders) >= ORDERS, "orders", 300)
    await until(lambda: (core.orders["state"] == "canceled").sum() >= CANCELLED, "cancels", 300)
    await until(lambda: len(core.fills) >= fills, "fills", 300)
    await core.stop()
    return session.path


def check(report) -> None:
    assert report.equal, report
    assert report.param_changes >= len(CHANGES)
    kinds = report.frame()["action"].value_counts()
    assert kinds["place"] >= ORDERS
    assert kinds["cancel"] >= CANCELLED
    assert not report.notes


@pytest.fixture
async def market_of(tmp_path):
    testnet = await Testnet.start("parity", seed=3)
    core = kit.TradingCore("parity session", tick_size=0.5, guard=False)
    core.disarm_rules = LENIENT

    async def connect(**options):
        return await core.add_connector("binance", [PAIR], endpoint=testnet, **options)

    yield core, testnet, connect
    await core.stop()
    testnet.stop_now()


async def test_a_live_session_takes_the_same_decisions(market_of, tmp_path):
    core, testnet, connect = market_of
    market = await connect(mode="live")
    path = await session_of(core, market, testnet, tmp_path, SECONDS, FILLS)
    report = await asyncio.to_thread(parity, path)
    if folder := os.environ.get("KIT_PARITY_KEEP"):
        (Path(folder) / path.name).write_bytes(path.read_bytes())
        (Path(folder) / "report.txt").write_text(str(report))
    check(report)
    fills = report.fills
    assert fills.orders == (report.frame()["action"] == "place").sum()
    assert len(fills.by_order) == fills.orders - sum(fills.left_out.values())
    assert {fit.matched + fit.missed for fit in fills.fits} == {fills.real_fills}
    if LONG:  # in half a minute one fill more or less at the edge of an outage is many per cent
        best = fills.fits[0]
        assert best.matched >= 0.9 * fills.real_fills, fills
        assert best.invented <= 0.1 * fills.real_fills, fills


async def test_a_paper_session_takes_the_same_decisions(market_of, tmp_path):
    core, testnet, connect = market_of
    market = await connect(mode="paper", balances={"BTC": 10, "USDT": 1_000_000}, timeout=120)
    path = await session_of(core, market, testnet, tmp_path, min(SECONDS, 16), 0)
    report = await asyncio.to_thread(parity, path)
    check(report)
    assert report.fills is not None


async def test_the_fills_of_orders_that_stood_alone_are_simulated(tmp_path):
    """Nobody but the test trades: first in its queue an order is filled, and behind a unit that stays it is not."""
    async with await Testnet.start("parity alone", flow=False) as testnet:
        await fill_book(testnet)
        async with connected(testnet) as stack:
            session = stack.core.record_session(tmp_path)
            await stack.stir()
            hit = [await stack.rest(INSIDE + step) for step in (3, 2, 1)]
            behind = await stack.rest(BID)
            for order_id in hit:
                await asyncio.sleep(0.2)  # the exchange's times are in milliseconds, and its books come every 100
                await stack.hit(AMOUNT / 2, stack.order(order_id).price)
                await asyncio.sleep(0.2)
                await stack.hit(AMOUNT / 2, stack.order(order_id).price)
            await stack.testnet.trade(PAIR, "sell", Decimal("0.5"), BID, time_in_force="IOC")
            await stack.settled()
            assert set(stack.open_orders) == {behind}
        fills = (await asyncio.to_thread(parity, session.path)).fills
    assert (fills.orders, fills.real_fills, fills.left_out) == (4, 6, {})
    assert {(fit.matched, fit.missed, fit.invented) for fit in fills.fits} == {(6, 0, 0)}, fills

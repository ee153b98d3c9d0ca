"""A live session on the testnet, recorded whole and replayed: every decision comes out again.

It runs for a minute; ``KIT_PARITY_SECONDS=600`` makes it ten.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

import kit
from kit.backtest.parity import parity
from kit.testnet import Testnet
from tests.support.stack import LENIENT, PAIR, until

SECONDS = float(os.environ.get("KIT_PARITY_SECONDS", "60"))
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


async def session_of(core: kit.TradingCore, market, testnet: Testnet, folder: Path, seconds: float, **options) -> Path:
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
        **options,
    )
    await core.start()
    loop = asyncio.get_running_loop()
    began, disconnected = loop.time(), False
    for number in range(10_000):
        if loop.time() - began >= seconds:
            break
        core.strategy.params.update(CHANGES[number % len(CHANGES)])
        await asyncio.sleep(rng.uniform(0.6, 1.4) * seconds / 9)
        if not disconnected and loop.time() - began >= seconds / 2:
            disconnected = True
            await testnet.fault("cut_market", seconds=1.5)
            await testnet.fault("cut_user", seconds=1.5)
    assert disconnected
    await until(lambda: market.ready, "ready again")
    await asyncio.sleep(2)
    await core.stop()
    return session.path


def check(report) -> None:
    assert report.equal, report
    assert report.param_changes >= 5
    kinds = report.frame()["action"].value_counts()
    assert kinds["place"] > SECONDS / 10
    assert kinds["cancel"] > SECONDS / 20
    assert not report.notes
    fills = report.fills
    assert fills.real_fills > SECONDS / 10
    best = fills.fits[0]
    assert best.matched >= 0.9 * fills.real_fills, fills
    assert best.invented <= 0.1 * fills.real_fills, fills


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
    path = await session_of(core, market, testnet, tmp_path, SECONDS)
    report = await asyncio.to_thread(parity, path)
    if folder := os.environ.get("KIT_PARITY_KEEP"):
        (Path(folder) / path.name).write_bytes(path.read_bytes())
        (Path(folder) / "report.txt").write_text(str(report))
    check(report)


async def test_a_paper_session_takes_the_same_decisions(market_of, tmp_path):
    core, testnet, connect = market_of
    market = await connect(mode="paper", balances={"BTC": 10, "USDT": 1_000_000}, timeout=120)
    path = await session_of(core, market, testnet, tmp_path, min(SECONDS, 30))
    report = await asyncio.to_thread(parity, path)
    assert report.equal, report
    assert report.param_changes >= 5
    assert (report.frame()["action"] == "place").sum() > 3
    assert report.fills is not None

"""Recording over real sockets: a stream that is lost while it is recorded comes back as a gap and a whole book."""

import asyncio
from pathlib import Path

import pytest

import kit
from kit.storage.events import EventKind
from kit.testnet import Testnet
from tests.support.recorded import replay
from tests.support.stack import PAIR, until


@pytest.fixture
async def testnet():
    testnet = await Testnet.start("recording", seed=5)
    yield testnet
    testnet.stop_now()


async def test_a_reconnect_while_recording_is_one_gap_and_the_book_is_right_after_it(testnet: Testnet, tmp_path: Path):
    core = kit.TradingCore("recording")
    try:
        market = await core.add_connector("binance", [PAIR], endpoint=testnet)
        recorder = core.record(tmp_path)
        tracker, book = market.order_book_tracker, market.get_order_book(PAIR)
        await until(lambda: tracker.status(PAIR).diffs > 10, "updates")
        for fault in ("cut_market", "gap"):
            await testnet.fault(fault, **({"seconds": 0.5} if fault == "cut_market" else {}))
            await until(lambda: not market.ready, f"{fault} is noticed")
            await until(lambda: market.ready, f"ready again after {fault}")
            before = tracker.status(PAIR).diffs
            await until(lambda before=before: tracker.status(PAIR).diffs > before + 10, "updates after it")
        bids, asks = (dict(side) for side in book.depth(1 << 30))
        update_id = book.update_id
        status = await recorder.close()
    finally:
        await core.stop()
    recording = kit.open_recording(tmp_path)
    events = recording.events(PAIR)
    assert (status.lost, status.errors, status.events) == (0, 0, len(events))
    assert kit.check(events).ok
    assert len(recording.gaps()) == 2
    assert events.update_id[events.kind == EventKind.DEPTH][-1] == update_id
    assert replay(events.rows(0, len(events) - 1)) == (bids, asks), "the last row is the gap of the recorder's end"
    await asyncio.to_thread(kit.backtest, kit.PureMarketMaking, tmp_path, **QUOTES)


QUOTES = {
    "balances": {"BTC": "0.5", "USDT": "30000"},
    "bid_spread": "0.0002",
    "ask_spread": "0.0002",
    "order_amount": "0.01",
    "order_refresh_time": 3,
    "progress": False,
}

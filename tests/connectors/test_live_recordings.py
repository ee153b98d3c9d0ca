"""``core.record``: which markets are recorded while connectors come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import kit
from kit.backtest.rules import find_rule
from kit.core.clock import Clock, ClockMode
from kit.errors import InvalidInput, NotReady, UnknownPair
from kit.storage.events import EventKind
from kit.trading_core import TradingCore
from tests.support.fake_venue import PAIR, RULES, FakeVenue

ETH = "ETH/USDT"


@pytest.fixture
async def core(venue: FakeVenue):
    core = TradingCore("recorded", tables=False)
    yield core
    report = await core.stop()
    assert report.clean


def trades(folder: Path, pair: str = PAIR) -> list[float]:
    events = kit.open_recording(folder).events(pair)
    return events.price[events.kind == EventKind.TRADE].tolist()


async def settle(core: TradingCore) -> None:
    while any(connector.order_book_tracker.backlog for connector in core.connectors.values()):
        await asyncio.sleep(0)


async def test_a_core_records_what_it_streams_with_the_rules_that_a_backtest_needs(
    core: TradingCore, venue: FakeVenue, tmp_path: Path
) -> None:
    with pytest.raises(NotReady, match=r"nothing to record yet; first: await core\.add_connector"):
        core.record(tmp_path)
    await core.add_connector("binance", [PAIR])
    recorder = core.record(tmp_path)
    assert core.record(tmp_path) is recorder
    venue.trade(101.5)
    await settle(core)
    recorder.stop()
    venue.trade(102.5)
    await settle(core)
    assert trades(tmp_path) == [101.5]
    events = kit.open_recording(tmp_path).events(PAIR)
    assert events.kind.tolist()[:2] == [EventKind.GAP, EventKind.CLEAR], "it begins with the book as it stands"
    assert find_rule("binance", PAIR, events.info, None) == RULES[PAIR]
    again = core.record(tmp_path)
    assert again is not recorder
    venue.trade(103.5)
    await settle(core)
    again.stop()
    assert trades(tmp_path) == [101.5, 103.5]


async def test_the_end_of_the_core_ends_the_recording(core: TradingCore, venue: FakeVenue, tmp_path: Path) -> None:
    await core.add_connector("binance", [PAIR])
    recorder = core.record(tmp_path)
    venue.trade(101.5)
    await settle(core)
    await core.stop()
    assert not recorder.running
    assert trades(tmp_path) == [101.5]


async def test_connectors_and_pairs_that_come_later_are_recorded_too(
    core: TradingCore, venue: FakeVenue, tmp_path: Path
) -> None:
    await core.add_connector("binance", [PAIR])
    with core.record(tmp_path) as recorder:
        await core.add_connector("binance", [PAIR, ETH])
        venue.trade(101.5, pair=ETH)
        await settle(core)
        await core.add_connector("binance", [PAIR], name="second")
        await core.remove_connector("second")
    assert set(recorder.status().markets) == {("binance", PAIR), ("binance", ETH), ("second", PAIR)}
    recording = kit.open_recording(tmp_path)
    assert recording.events(ETH).price[recording.events(ETH).kind == EventKind.TRADE].tolist() == [101.5]
    assert len(recording.events(PAIR, "second")) >= 4


async def test_pairs_can_be_chosen(core: TradingCore, venue: FakeVenue, tmp_path: Path) -> None:
    await core.add_connector("binance", [PAIR, ETH])
    with pytest.raises(UnknownPair, match=r"XRP/USDT cannot be recorded: no connector streams it; streamed are BTC"):
        core.record(tmp_path, pairs=["XRP-USDT"])
    with pytest.raises(InvalidInput, match=r"give a list, as in \['BTC/USDT'\]"):
        core.record(tmp_path, pairs=PAIR)
    with pytest.raises(InvalidInput, match="pairs is empty"):
        core.record(tmp_path, pairs=[])
    with core.record(tmp_path, pairs=["eth-usdt"]):
        pass
    assert kit.open_recording(tmp_path).markets == [("binance", ETH)]


async def test_a_recording_that_cannot_begin_leaves_nothing_running(
    core: TradingCore, venue: FakeVenue, tmp_path: Path
) -> None:
    await core.add_connector("binance", [PAIR])
    running = core.record(tmp_path)
    with pytest.raises(InvalidInput, match="is being recorded into by another recorder"):
        core.record(tmp_path, pairs=[PAIR])
    running.stop()
    core.record(tmp_path, pairs=[PAIR]).stop()
    blocked = tmp_path / "a file"
    blocked.write_text("in the way")
    with pytest.raises(InvalidInput, match=r"nothing can be written into .*a file"):
        core.record(blocked)


async def test_it_can_be_asked_for_from_another_thread(core: TradingCore, venue: FakeVenue, tmp_path: Path) -> None:
    await core.add_connector("binance", [PAIR])
    recorder = await asyncio.to_thread(core.record, tmp_path)
    venue.trade(101.5)
    await settle(core)
    await recorder.close()
    assert trades(tmp_path) == [101.5]


async def test_a_backtest_has_nothing_to_record(tmp_path: Path) -> None:
    core = TradingCore("replay", clock=Clock(ClockMode.BACKTEST))
    with pytest.raises(NotReady, match="nothing to record yet"):
        core.record(tmp_path)

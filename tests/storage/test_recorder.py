"""The live recorder: what the books took is what is read, losses are marked, the loop never waits for the disk."""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kit.core.clock import ManualTime
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, NotReady, UnknownPair
from kit.market.order_book_tracker import OrderBookTracker
from kit.storage.events import BUY, SELL, EventFlag, EventKind
from kit.storage.market_writer import MarketWriter
from kit.storage.recorder import FLUSH_INTERVAL, Recorder
from kit.storage.recordings import open_recording
from kit.types.market import Level, OrderBookDiff, PublicTrade, StreamLost, TradeType
from tests.support.book_model import PAIR, diff, snapshot
from tests.support.fake_book_source import FakeBookSource
from tests.support.kit_logs import kit_records
from tests.support.recorded import NOW, Rig, replay

ROOT = Path(__file__).parents[2]
ETH = "ETH/USDT"
BIDS: list[Level] = [(99.0, 1.0), (98.0, 2.0)]
ASKS: list[Level] = [(101.0, 1.0), (102.0, 2.0)]


@pytest.fixture
def rig(tmp_path: Path):
    rig = Rig(tmp_path)
    yield rig
    rig.recorder.stop()


def trade(trade_id: str = "7", price: float = 100.0, side: TradeType = TradeType.SELL) -> PublicTrade:
    return PublicTrade(PAIR, trade_id, NOW - 1.25, side, price, 0.5)


def kinds(events) -> list[str]:
    return [EventKind(kind).name for kind in events.kind]


# -- what is written -----------------------------------------------------------------------------------------------


def test_messages_become_rows(rig: Rig) -> None:
    rig.send(
        snapshot(10, BIDS, ASKS),
        OrderBookDiff(PAIR, 11, NOW - 1.5, ((99.0, 0.0), (98.5, 3.0)), ((101.0, 4.0),), 11),
        trade("12345"),
        trade("a-b", side=TradeType.BUY),
    )
    status = rig.recorder.stop()
    events = rig.read()
    assert kinds(events) == [
        *("GAP", "CLEAR", "SNAPSHOT", "SNAPSHOT", "SNAPSHOT", "SNAPSHOT"),
        *("DEPTH", "DEPTH", "DEPTH", "TRADE", "TRADE", "GAP"),
    ]
    assert events.side.tolist() == [0, 0, BUY, BUY, SELL, SELL, BUY, BUY, SELL, SELL, BUY, 0]
    assert events.price[6:11].tolist() == [99.0, 98.5, 101.0, 100.0, 100.0]
    assert events.amount[6:11].tolist() == [0.0, 3.0, 4.0, 0.5, 0.5]
    assert events.update_id.tolist() == [0, 10, 10, 10, 10, 10, 11, 11, 11, 12345, 0, 0]
    assert [row for row, flags in enumerate(events.flags) if flags & EventFlag.END] == [0, 5, 8, 9, 10, 11]
    assert events.exch_ts[6] == NOW * 1e9 - 1_500_000_000
    assert events.exch_ts[9] == NOW * 1e9 - 1_250_000_000
    assert np.allclose((events.local_ts - NOW * 1e9) / 1e6, [0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4, 4], atol=0.001)
    assert (status.events, status.waiting, status.lost, status.behind, status.running) == (12, 0, 0, 0.0, False)
    assert status.bytes == next(rig.folder.rglob("*.parquet")).stat().st_size
    assert status.markets == (("binance", PAIR),)


def test_recording_may_begin_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    rig = Rig(tmp_path, attach=False)
    rig.send(snapshot(10, BIDS, ASKS), diff(11, [(98.5, 3.0)], first=11))
    rig.recorder.attach("binance", rig.tracker)
    rig.send(diff(12, [(98.6, 1.0)], first=12))
    rig.recorder.flush()
    events = rig.read()
    rig.recorder.stop()
    assert kinds(events)[:2] == ["GAP", "CLEAR"]
    assert replay(events)[0] == {99.0: 1.0, 98.0: 2.0, 98.5: 3.0, 98.6: 1.0}


@pytest.mark.parametrize("seed", range(8))
def test_the_rows_end_in_the_book_whatever_happened_to_the_stream(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rig = Rig(tmp_path)
    book = rig.tracker.order_books[PAIR]
    number = 10
    for step in range(300):
        roll = rng.random()
        first = number + 1
        number += rng.randint(1, 3)
        change = [(99.0 - rng.randint(0, 20), rng.choice([0.0, 1.5, 2.25]))]
        if roll < 0.85:
            rig.send(diff(number, change, first=first))
        elif roll < 0.88:
            rig.send(diff(number - 5, [(98.0, 77.0)], first=first - 5))  # old news
        elif roll < 0.91:
            number += 5  # missed
        elif roll < 0.93:
            rig.send(StreamLost(PAIR, NOW, "test"))
        elif roll < 0.95:
            rig.send(diff(number, [(500.0, 1.0)], first=first))  # crosses
        else:
            rig.send(snapshot(number, [*BIDS, *((90.0 - n, 1.0) for n in range(3))], ASKS))
        if step % 60 == 0:
            rig.recorder.flush()
    rig.send(snapshot(number + 1, BIDS, ASKS), diff(number + 2, [(97.0, 5.0)], first=number + 2))
    rig.recorder.flush()
    bids, asks = book.depth(1000)
    assert replay(rig.read()) == (dict(bids), dict(asks))
    assert rig.read().exchange == "binance"
    rig.recorder.stop()
    assert rig.recorder.status().errors == 0


def test_diffs_kept_for_a_snapshot_are_in_the_book_that_is_recorded(rig: Rig) -> None:
    rig.send(diff(12, [(97.5, 9.0)], first=11), diff(14, [(97.4, 8.0)], first=13), snapshot(11, BIDS, ASKS))
    rig.recorder.stop()
    events = rig.read()
    assert "DEPTH" not in kinds(events)
    assert events.update_id[1] == 14
    assert replay(events.rows(0, len(events) - 1))[0] == {99.0: 1.0, 98.0: 2.0, 97.5: 9.0, 97.4: 8.0}


def test_losses_and_the_recorders_own_absence_are_gaps(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.send(snapshot(10, BIDS, ASKS), diff(11, [(98.5, 3.0)], first=11))
    rig.send(StreamLost(PAIR, NOW, "test"), StreamLost(PAIR, NOW, "again"))
    rig.time.jump(4.0)
    rig.send(snapshot(20, BIDS, ASKS), diff(29, [(98.5, 3.0)], first=28))  # 21 to 27 are missing
    rig.time.jump(2.0)
    rig.send(snapshot(30, BIDS, ASKS))
    rig.recorder.stop()
    rig.time.jump(10.0)
    again = Recorder(tmp_path, time_source=rig.time, flush_interval=60)
    again.attach("binance", rig.tracker)
    again.stop()
    assert kinds(rig.read()).count("GAP") == 6
    gaps = open_recording(tmp_path).gaps()
    assert gaps.seconds.round().tolist() == [4.0, 2.0, 10.0]


def test_the_tracker_that_stops_leaves_a_gap(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.send(snapshot(10, BIDS, ASKS))
    rig.tracker._lose(PAIR, "stopped")
    rig.tracker.order_books[PAIR].invalidate("stopped")
    rig.time.jump(3.0)
    rig.send(snapshot(20, BIDS, ASKS))
    rig.recorder.stop()
    assert open_recording(tmp_path).gaps().seconds.round().tolist() == [3.0]


def test_the_whole_book_is_told_again_every_hour(rig: Rig) -> None:
    rig.send(snapshot(10, BIDS, ASKS), diff(11, [(98.5, 3.0)], first=11))
    rig.time.jump(3600)
    rig.send(diff(12, [(98.6, 1.0)], first=12), diff(13, [(98.7, 1.0)], first=13))
    rig.recorder.flush()
    events = rig.read()
    assert kinds(events)[6:] == ["DEPTH", "DEPTH", "CLEAR", *["SNAPSHOT"] * 6, "DEPTH"]
    assert replay(events.rows(8, len(events))) == replay(events)
    assert events.local_ts[8] == events.local_ts[7]


def test_what_a_book_refuses_is_not_recorded(rig: Rig) -> None:
    rig.send(snapshot(10, BIDS, ASKS), trade(price=float("nan")), diff(11, [(98.0, -1.0)], first=11))
    rig.recorder.stop()
    assert kinds(rig.read()) == ["GAP", "CLEAR", *["SNAPSHOT"] * 4, "GAP"]


def test_times_never_go_back_even_if_the_clock_does(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.send(snapshot(10, BIDS, ASKS))
    rig.recorder.stop()
    last = rig.read().local_ts[-1]
    behind = ManualTime(NOW - 30)
    recorder = Recorder(tmp_path, time_source=behind, flush_interval=60)
    recorder.attach("binance", rig.tracker)
    recorder.stop()
    events = rig.read()
    assert events.local_ts[-1] == last
    assert recorder.status().errors == 0
    far_behind = Recorder(tmp_path, time_source=ManualTime(NOW - 3600), flush_interval=60)
    with pytest.raises(InvalidInput, match=r"holds events that are 3600 s later than now: is a clock wrong"):
        far_behind.attach("binance", rig.tracker)
    far_behind.stop()


def test_pairs_and_notes(tmp_path: Path) -> None:
    rig = Rig(tmp_path, PAIR, ETH, attach=False)
    with pytest.raises(UnknownPair, match=r"binance does not stream XRP/USDT; it streams BTC/USDT, ETH/USDT"):
        rig.recorder.attach("binance", rig.tracker, pairs=["XRP/USDT"])
    rig.recorder.attach("binance", rig.tracker, pairs=[ETH], notes=lambda pair: {"of": pair})
    rig.send(snapshot(10, BIDS, ASKS), snapshot(5, BIDS, ASKS, pair=ETH))
    rig.recorder.stop()
    recording = open_recording(tmp_path)
    assert recording.markets == [("binance", ETH)]
    assert recording.info(ETH) == {"of": ETH}


def test_a_pair_that_is_added_later_is_recorded_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.tracker._registry.add([ETH])
    rig.send(snapshot(5, BIDS, ASKS, pair=ETH), diff(6, [(98.5, 1.0)], first=6, pair=ETH))
    rig.recorder.stop()
    assert kinds(rig.read(ETH)) == ["GAP", "CLEAR", *["SNAPSHOT"] * 4, "DEPTH", "GAP"]


def test_a_tracker_that_takes_the_place_of_another_goes_on_in_the_same_files(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.send(snapshot(10, BIDS, ASKS))
    other = OrderBookTracker(FakeBookSource(), TaskSupervisor("b"), trading_pairs=[PAIR], time_source=rig.time)
    rig.recorder.attach("binance", other)
    rig.send(diff(11, [(98.5, 3.0)], first=11))  # the old one is heard no more
    other.process(snapshot(50, BIDS, ASKS))
    rig.recorder.stop()
    assert kinds(rig.read()).count("GAP") == 4
    assert rig.read().update_id.tolist()[-2] == 50
    assert "DEPTH" not in kinds(rig.read())


# -- room and disk -------------------------------------------------------------------------------------------------


class Disk:
    """Stands before the writer: closed, it lets nothing through; broken, it refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        self.error: Exception | None = None
        real = MarketWriter.write

        def write(writer: MarketWriter, events):
            self.reached.set()
            assert self.open.wait(60)
            if self.error is not None:
                raise self.error
            return real(writer, events)

        monkeypatch.setattr(MarketWriter, "write", write)


def test_a_disk_that_hangs_fills_the_memory_only_so_far_and_what_is_lost_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    rig = Rig(tmp_path, max_waiting=1000)
    rig.send(snapshot(10, BIDS, ASKS))
    disk.open.clear()
    rig.recorder._thread._orders.put(threading.Event())
    assert disk.reached.wait(60)
    with caplog.at_level(logging.WARNING, "kit.storage.tape"):
        for number in range(11, 2011):
            rig.send(diff(number, [(50.0 + number % 40, 1.0)], first=number))
        full = rig.recorder.status()
        assert full.waiting <= 1001
        assert full.lost > 900
        assert full.behind > 1.9
        disk.open.set()
        rig.recorder.flush()
        rig.recorder.flush()
        rig.send(diff(2011, [(49.0, 5.0)], first=2011), diff(2012, [(48.0, 5.0)], first=2012))
    rig.recorder.flush()
    bids, asks = rig.tracker.order_books[PAIR].depth(1000)
    assert replay(rig.read()) == (dict(bids), dict(asks)), "it goes on with the whole book"
    assert len(open_recording(tmp_path).gaps()) == 1
    assert rig.recorder.status().lost == full.lost
    messages = [record.getMessage() for record in kit_records(caplog)]
    assert len(messages) == 2
    assert "which is the limit; what comes now is not recorded" in messages[0]
    assert f"is recorded again; {full.lost} rows are missing" in messages[1]
    rig.recorder.stop()


def test_what_a_full_disk_refuses_is_kept_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    rig = Rig(tmp_path)
    disk.error = OSError(28, "No space left on device")
    rig.send(snapshot(10, BIDS, ASKS))
    with caplog.at_level(logging.ERROR, "kit.storage.writer_thread"):
        rig.recorder.flush()
        rig.recorder.flush()
    status = rig.recorder.status()
    assert (status.errors, status.events, status.lost) == (2, 0, 0)
    assert status.waiting == 6
    assert "No space left on device" in status.last_error
    assert len(kit_records(caplog)) == 1
    assert kit_records(caplog)[0].exc_info in (None, False)
    rig.send(diff(11, [(98.5, 1.0)], first=11))
    disk.error = None
    status = rig.recorder.stop()
    assert (status.waiting, status.events, status.lost) == (0, 8, 0)
    assert kinds(rig.read()) == ["GAP", "CLEAR", *["SNAPSHOT"] * 4, "DEPTH", "GAP"]


def test_what_the_disk_refuses_to_the_end_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    rig = Rig(tmp_path)
    disk.error = OSError(28, "No space left on device")
    rig.send(snapshot(10, BIDS, ASKS))
    with caplog.at_level(logging.ERROR, "kit.storage.writer_thread"):
        status = rig.recorder.stop()
    assert (status.lost, status.waiting, status.events) == (7, 0, 0)
    assert "7 rows could not be written and are lost" in caplog.text


def test_a_write_that_breaks_off_at_midnight_is_taken_up_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path)
    rig.time.jump(86_400 - 0.0015)
    rig.send(snapshot(10, BIDS, ASKS), diff(11, [(98.5, 1.0)], first=11), diff(12, [(98.4, 1.0)], first=12))
    real, calls = MarketWriter._write_one, []

    def second_fails(writer, events):
        calls.append(len(events))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(writer, events)

    monkeypatch.setattr(MarketWriter, "_write_one", second_fails)
    with caplog.at_level(logging.CRITICAL, "kit.storage.writer_thread"):
        rig.recorder.flush()
    rig.recorder.stop()
    assert {path.parent.name for path in tmp_path.rglob("*.parquet")} == {"date=2024-08-09", "date=2024-08-10"}
    assert calls[0] + calls[1] == 8
    events = rig.read()
    assert kinds(events) == ["GAP", "CLEAR", *["SNAPSHOT"] * 4, "DEPTH", "DEPTH", "GAP"]
    assert rig.recorder.status().lost == 0


# -- life ----------------------------------------------------------------------------------------------------------


def test_stop_is_idempotent_and_lets_others_in(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(InvalidInput, match="is being recorded into by another recorder"):
        Rig(tmp_path)
    rig.send(snapshot(10, BIDS, ASKS))
    with rig.recorder:
        assert rig.recorder.running
    status = rig.recorder.stop()
    assert rig.recorder.stop() == status
    assert not rig.recorder.running
    assert "stopped" in repr(rig.recorder)
    with pytest.raises(NotReady, match="was stopped; start another one"):
        rig.recorder.attach("binance", rig.tracker)
    Rig(tmp_path).recorder.stop()


async def test_close_waits_for_the_merge_without_blocking(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.recorder:
        for number in range(10, 15):
            rig.send(snapshot(number, BIDS, ASKS))
            rig.recorder.flush()
        assert len(list(tmp_path.rglob("*.parquet"))) == 5
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    assert not rig.recorder._thread._thread.is_alive()


@pytest.mark.parametrize("options", [{"flush_interval": 0}, {"flush_interval": 61}, {"max_waiting": 5}])
def test_impossible_options_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        Recorder(tmp_path, time_source=ManualTime(NOW), **options)


def test_it_writes_by_itself(tmp_path: Path) -> None:
    time = ManualTime(NOW)
    tracker = OrderBookTracker(FakeBookSource(), TaskSupervisor("t"), trading_pairs=[PAIR], time_source=time)
    with Recorder(tmp_path, time_source=time, flush_interval=0.01) as recorder:
        recorder.attach("binance", tracker)
        written = threading.Event()
        real = MarketWriter.tidy
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MarketWriter, "tidy", lambda writer: (real(writer), writer.last and written.set()))
            assert written.wait(60)
        assert kinds(open_recording(tmp_path).events(PAIR)) == ["GAP"]


def test_what_is_not_stopped_is_written_when_python_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.support.recorded import *\n"
        "rig = Rig(Path(sys.argv[1])); rig.send(OrderBookSnapshot(PAIR, 1, 0.0, ((9.0, 1.0),), ((10.0, 1.0),)))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT, timeout=180)
    assert kinds(open_recording(tmp_path).events(PAIR)) == ["GAP", "CLEAR", "SNAPSHOT", "SNAPSHOT", "GAP"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_kill_9_costs_what_was_not_written_yet(tmp_path: Path) -> None:
    """At most 5 s, when the disk takes its time: it is written every 3."""
    assert FLUSH_INTERVAL <= 3.0
    command = [sys.executable, "-m", "tests.support.recorded", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        written, end = 0, time.monotonic() + 120
        for line in child.stdout:
            assert time.monotonic() < end, f"{written} changes were written by itself, but not those that came later"
            told = int(line)
            if list(tmp_path.rglob("*.parquet")):
                written = len(depth_numbers(tmp_path))
            if 1000 < written < told - 1000:  # the rest waits for the next file
                os.kill(child.pid, signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    numbers = depth_numbers(tmp_path)
    assert np.array_equal(numbers, np.arange(2, len(numbers) + 2)), "nothing is missing before the end"
    assert len(numbers) >= written
    last = open_recording(tmp_path).events(PAIR).local_ts[-1] / 1e9
    # A recorder that comes after it takes the folder over, and the time between is a gap.
    rig = Rig(tmp_path, attach=False)
    rig.time.jump(last + 1 - rig.time.time())
    rig.recorder.attach("binance", rig.tracker)
    rig.send(snapshot(10**9, BIDS, ASKS))
    rig.recorder.stop()
    assert open_recording(tmp_path).gaps().seconds.tolist() == [pytest.approx(1.001, abs=0.01)]


def depth_numbers(folder: Path) -> np.ndarray:
    events = open_recording(folder).events(PAIR)
    return events.update_id[events.kind == EventKind.DEPTH]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"nothing can be written into .*file .*; record into another folder"):
        Rig(tmp_path / "file")

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(InvalidInput, match="No locks available"):
        Rig(tmp_path / "folder")


def test_what_came_in_while_the_disk_refused_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    rig = Rig(tmp_path)
    disk.error = OSError(28, "No space left on device")
    rig.send(snapshot(10, BIDS, ASKS))
    rig.recorder.flush()
    rig.send(diff(11, [(98.5, 1.0)], first=11), diff(12, [(98.5, 2.0)], first=12))
    status = rig.recorder.stop()
    assert (status.events, status.waiting, status.lost) == (0, 0, 9)

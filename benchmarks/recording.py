"""Time recording live, and what recordings cost on disk and to read.

Usage: ``python benchmarks/recording.py [--seconds N] [--rate N] [recorded.raw.gz ...] [--json]``

Live: the sink of an ``OrderBookTracker`` gets changed levels at a steady rate for some seconds, twice: without and with
a ``Recorder``. The CPU time (all threads) of the second run less that of the first is what recording costs, as a share
of one core. One event is one changed level: a message each, the worst case, or 68 in a message, as futures streams
have. Files of recorded streams, in the form that ``kit.import_raw`` reads, are written as a live recorder does (part by
part, then merged) and read again, against copying the same columns in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kit.core.clock import SYSTEM_TIME
from kit.core.tasks import TaskSupervisor
from kit.market.order_book_tracker import OrderBookTracker
from kit.storage.events import COLUMNS, MarketEvents
from kit.storage.recorder import Recorder
from kit.storage.recording_writer import RecordingWriter
from kit.storage.recordings import open_recording
from kit.types.market import MarketMessage, OrderBookDiff, OrderBookSnapshot

PAIR = "BTC/USDT"
TARGET_CPU, TARGET_BYTES = 0.10, 5.0
STEP = 0.01


class Source:
    """Streams what it is told to."""

    def attach_market_sink(self, sink) -> None:
        self.sink = sink

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        for pair in trading_pairs:
            levels = range(1, 1001)
            bids = tuple((60_000 - level / 10, 1.0) for level in levels)
            asks = tuple((60_000 + level / 10, 1.0) for level in levels)
            self.sink(OrderBookSnapshot(pair, 1, time.time(), bids, asks))

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        pass

    def is_streaming(self, trading_pair: str) -> bool:  # noqa: ARG002
        return True

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        raise AssertionError(f"the stream of {trading_pair} has no gaps")

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        return dict.fromkeys(trading_pairs, 60_000.0)


def messages(count: int, levels: int, seed: int = 7) -> list[MarketMessage]:
    rng = random.Random(seed)
    made: list[MarketMessage] = []
    for number in range(2, count // levels + 2):
        sides: tuple[list, list] = ([], [])
        for _ in range(levels):
            is_ask = rng.random() < 0.5
            away = 1 + int(rng.expovariate(1 / 200))
            price = 60_000 + away / 10 if is_ask else 60_000 - away / 10
            sides[is_ask].append((price, round(rng.uniform(0.001, 3.0), 3)))
        made.append(OrderBookDiff(PAIR, number, 1.7e9, tuple(sides[0]), tuple(sides[1]), number))
    return made


async def stream(seconds: float, rate: int, levels: int, folder: Path | None) -> dict[str, float]:
    """Send at a steady rate; returns CPU and wall seconds, and what the recorder says."""
    made = messages(int(rate * seconds), levels)
    source = Source()
    supervisor = TaskSupervisor("benchmark")
    tracker = OrderBookTracker(source, supervisor, stale_after=None)
    await tracker.start([PAIR])
    recorder = None
    if folder is not None:
        recorder = Recorder(folder, time_source=SYSTEM_TIME)
        recorder.attach("binance", tracker)
    await asyncio.sleep(0.1)
    worst = 0.0
    cpu, begin, sent = time.process_time(), time.perf_counter(), 0
    while sent < len(made):
        due = int((time.perf_counter() - begin) * rate / levels)
        for message in made[sent:due]:
            source.sink(message)
        sent = max(sent, min(due, len(made)))
        before = time.perf_counter()
        await asyncio.sleep(STEP)
        worst = max(worst, time.perf_counter() - before - STEP)
    result = {"wall": time.perf_counter() - begin, "worst_lateness_ms": worst * 1e3}
    if recorder is not None:
        await recorder.close()  # the last write and the merge are part of the cost
        status = recorder.status()
        result |= {"events": status.events, "lost": status.lost, "bytes": status.bytes}
    result["cpu"] = time.process_time() - cpu
    await tracker.stop()
    await supervisor.close()
    return result


def live(seconds: float, rate: int) -> list[dict[str, object]]:
    rows = []
    for levels in (1, 68):
        folder = Path(tempfile.mkdtemp())
        try:
            without = asyncio.run(stream(seconds, rate, levels, None))
            recorded = asyncio.run(stream(seconds, rate, levels, folder))
        finally:
            shutil.rmtree(folder)
        share = (recorded["cpu"] - without["cpu"]) / recorded["wall"]
        rows.append(
            {
                "levels_per_message": levels,
                "events_per_s": rate,
                "books_alone_percent": round(100 * without["cpu"] / without["wall"], 1),
                "recording_percent": round(100 * share, 1),
                "meets_target": share < TARGET_CPU,
                "us_per_event": round(share / rate * 1e6, 2),
                "lost": recorded["lost"],
                "worst_lateness_ms": round(recorded["worst_lateness_ms"], 1),
                "worst_lateness_without_ms": round(without["worst_lateness_ms"], 1),
            }
        )
    return rows


def on_disk(events: MarketEvents, name: str, rounds: int = 3) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp())
    try:
        cpu = time.process_time()
        with RecordingWriter(folder) as writer:
            for start in range(0, len(events), 20_000):
                writer.append(events.rows(start, min(start + 20_000, len(events))))
                writer.flush()
        written = time.process_time() - cpu
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        read, copied = [], []
        for _ in range(rounds):
            begin = time.process_time()
            found = open_recording(folder).events(events.trading_pair)
            read.append(time.process_time() - begin)
            begin = time.process_time()
            for column in COLUMNS:
                getattr(found, column).copy()
            copied.append(time.process_time() - begin)
    finally:
        shutil.rmtree(folder)
    return {
        "file": name,
        "events": len(events),
        "bytes_per_event": round(size / len(events), 2),
        "meets_target": size / len(events) <= TARGET_BYTES,
        "equal": all(np.array_equal(getattr(found, column), getattr(events, column)) for column in COLUMNS),
        "written_and_merged_million_per_s": round(len(events) / written / 1e6, 1),
        "read_million_per_s": round(len(events) / min(read) / 1e6, 1),
        "read_against_copying": round(min(read) / max(min(copied), 1e-9), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second (default 5000)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = live(options.seconds, options.rate)
    for path in options.files:
        from kit.storage.importers import import_raw

        rows.append(on_disk(import_raw([path], exchange="binance", trading_pair=PAIR, need_snapshot=False), path.name))
    for row in rows:
        print(json.dumps(row, indent=None if options.json else 2))


if __name__ == "__main__":
    main()

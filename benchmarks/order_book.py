"""Time ``OrderBook.apply_diff`` and, in the same run, the least that any book in Python must do.

Usage: ``python benchmarks/order_book.py [recorded.raw.gz ...] [--rounds N] [--json]``

The yardstick is ``dict.update`` of the same levels into a plain dict per side: no best price, no checks, zeros kept.
Without files the diffs are synthetic: some 60 levels each, most of them near the top of a book of 2 x 5,000 levels
around a price that wanders. Files hold recorded Binance streams, ``<ns> <message>`` a line, with a snapshot inside.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from kit.market.order_book import OrderBook
from kit.types.market import Level, OrderBookDiff, OrderBookSnapshot

PAIR = "BTC/USDT"
Stream = tuple[OrderBookSnapshot, list[OrderBookDiff]]


def synthetic(count: int = 4_000, levels: int = 52, size: int = 5_000, seed: int = 7) -> Stream:
    """Make a stream whose prices are multiples of 0.1; each diff clears what the price has moved over."""
    rng = random.Random(seed)
    mid = 600_000
    bids = tuple(((mid - i) / 10, 1.0) for i in range(1, size + 1))
    asks = tuple(((mid + i) / 10, 1.0) for i in range(1, size + 1))
    snapshot = OrderBookSnapshot(PAIR, 1, 0.0, bids, asks)

    def side(sign: int) -> tuple[Level, ...]:
        changes = {(mid - sign * away) / 10: 0.0 for away in range(4)}
        for _ in range(levels // 2):
            tick = mid + sign * (1 + int(rng.expovariate(1 / 200)))
            changes[tick / 10] = 0.0 if rng.random() < 0.45 else round(rng.uniform(0.001, 3.0), 5)
        return tuple(changes.items())

    diffs = []
    for number in range(2, count + 2):
        mid += rng.randint(-3, 3)
        diffs.append(OrderBookDiff(PAIR, number, 0.0, side(-1), side(1), number))
    return snapshot, diffs


def recorded(path: Path) -> Stream:
    """Read a recording; only the updates that follow its snapshot."""
    snapshot, diffs = None, []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            message = json.loads(line.split(" ", 1)[1])
            data = message.get("data", message)
            if "lastUpdateId" in data:
                snapshot = OrderBookSnapshot(
                    PAIR, data["lastUpdateId"], 0.0, _levels(data["bids"]), _levels(data["asks"])
                )
            elif data.get("e") == "depthUpdate":
                ids = data["u"], data["E"] / 1000
                diffs.append(
                    OrderBookDiff(PAIR, *ids, _levels(data["b"]), _levels(data["a"]), data["U"], data.get("pu"))
                )
    if snapshot is None:
        raise SystemExit(f"{path} holds no snapshot to start from")
    return snapshot, [diff for diff in diffs if diff.update_id > snapshot.update_id]


def _levels(rows: list[list[str]]) -> tuple[Level, ...]:
    return tuple((float(price), float(amount)) for price, amount in rows)


def run_book(stream: Stream) -> Callable[[], object]:
    book = OrderBook(PAIR)
    book.apply_snapshot(stream[0])

    def run() -> None:
        for diff in stream[1]:
            book.apply_diff(diff)

    return run


def run_dicts(stream: Stream) -> Callable[[], object]:
    bids, asks = dict(stream[0].bids), dict(stream[0].asks)

    def run() -> None:
        for diff in stream[1]:
            bids.update(diff.bids)
            asks.update(diff.asks)

    return run


def read_times(stream: Stream) -> dict[str, float]:
    """Time the readers, in µs a call, on the book as it stands after the stream."""
    book = OrderBook(PAIR)
    book.apply_snapshot(stream[0])
    for diff in stream[1]:
        book.apply_diff(diff)
    total = sum(amount for _, amount in book.depth(100_000)[1])
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "best_bid": (lambda: book.best_bid, 20_000),
        "depth(20)": (lambda: book.depth(20), 2_000),
        "vwap of the first 10 levels": (lambda: book.get_vwap_for_volume(True, near), 2_000),
        "price for half the book": (lambda: book.get_price_for_volume(True, total / 2), 50),
        "snapshot, cached": (lambda: book.snapshot, 200),
    }
    near = sum(amount for _, amount in book.depth(10)[1])
    times = {}
    for name, (call, repeat) in calls.items():
        call()
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        times[name] = round((time.perf_counter() - start) / repeat * 1e6, 2)
    return times


def measure(stream: Stream, rounds: int) -> dict[str, object]:
    count = len(stream[1])
    seconds: dict[str, list[float]] = {"book": [], "dict": []}
    for _ in range(rounds):  # in turn, so that a change of the machine's speed meets both
        for name, make in (("book", run_book), ("dict", run_dicts)):
            run = make(stream)
            start = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - start) / count * 1e6)
    return {
        "diffs": count,
        "levels_per_diff": round(sum(len(diff.bids) + len(diff.asks) for diff in stream[1]) / count, 1),
        "book_us_min": round(min(seconds["book"]), 1),
        "book_us_median": round(median(seconds["book"]), 1),
        "dict_update_us_min": round(min(seconds["dict"]), 1),
        "dict_update_us_median": round(median(seconds["dict"]), 1),
        "ratio_of_minima": round(min(seconds["book"]) / min(seconds["dict"]), 2),
        "reading_us": read_times(stream),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    streams = {path.name: recorded(path) for path in options.files} or {"synthetic": synthetic()}
    for name, stream in streams.items():
        result = {"stream": name, **measure(stream, options.rounds)}
        print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()

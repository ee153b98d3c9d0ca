"""A recorder on a tracker that the test feeds by hand, and a child process that records until it is killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.core.clock import SYSTEM_TIME, ManualTime
from kit.core.tasks import TaskSupervisor
from kit.market.order_book_tracker import OrderBookTracker
from kit.storage.events import BUY, EventKind, MarketEvents
from kit.storage.recorder import Recorder
from kit.storage.recordings import open_recording
from kit.types.market import OrderBookDiff, OrderBookSnapshot
from tests.support.book_model import PAIR
from tests.support.fake_book_source import FakeBookSource

NOW = 1_723_161_600.0  # 2024-08-09


class Rig:
    """A tracker without tasks and a recorder that writes only when it is told to."""

    def __init__(self, folder: Path, *pairs: str, attach: bool = True, **options: Any) -> None:
        self.time = ManualTime(NOW)
        self.folder = folder
        self.tracker = OrderBookTracker(
            FakeBookSource(), TaskSupervisor("test"), trading_pairs=pairs or (PAIR,), time_source=self.time
        )
        self.recorder = Recorder(folder, time_source=self.time, flush_interval=60, **options)
        if attach:
            self.recorder.attach("binance", self.tracker)

    def send(self, *messages: Any) -> None:
        for message in messages:
            self.time.jump(0.001)
            self.tracker.process(message)

    def read(self, pair: str = PAIR) -> MarketEvents:
        return open_recording(self.folder).events(pair)


def replay(events: MarketEvents) -> tuple[dict[float, float], dict[float, float]]:
    """Return the book (bids, asks) that rows end in."""
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    for kind, side, price, amount in zip(events.kind, events.side, events.price, events.amount, strict=True):
        levels = sides[0 if side == BUY else 1]
        if kind in (EventKind.CLEAR, EventKind.GAP):
            sides[0].clear()
            sides[1].clear()
        elif kind in (EventKind.SNAPSHOT, EventKind.DEPTH):
            levels[float(price)] = float(amount)
            if not amount:
                del levels[float(price)]
    return sides


def record_until_killed(folder: str, say: Callable[[str], Any] = print) -> None:
    """Record up to 5,000 changes a second in real time, and say the number of the last one after every 500."""
    import time

    pair = PAIR
    tracker = OrderBookTracker(FakeBookSource(), TaskSupervisor("child"), trading_pairs=[pair])
    recorder = Recorder(folder, time_source=SYSTEM_TIME)
    recorder.attach("binance", tracker)
    tracker.process(OrderBookSnapshot(pair, 1, SYSTEM_TIME.time(), ((99.0, 1.0),), ((101.0, 1.0),)))
    number = 1
    while True:
        for _ in range(500):
            number += 1
            level = (99.0 - number % 50, number / 1000)
            tracker.process(OrderBookDiff(pair, number, SYSTEM_TIME.time(), (level,), (), number, None))
        say(f"{number}")
        time.sleep(0.1)


if __name__ == "__main__":
    record_until_killed(sys.argv[1], lambda text: print(text, flush=True))

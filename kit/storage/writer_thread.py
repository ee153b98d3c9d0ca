"""The thread that takes what was recorded to disk."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from kit.errors import InvalidInput
from kit.storage.live_market import LiveMarket

logger = logging.getLogger(__name__)


class WriterThread:
    """Write markets every ``interval`` seconds, merge their files, and go on whatever the disk says.

    ``add``, ``flush`` and ``finish`` may be called from any thread, but not at the same moment from two.
    """

    def __init__(self, folder: Path, interval: float) -> None:
        self.markets: dict[tuple[str, str], LiveMarket] = {}  # replaced, never changed, as the thread reads it
        self.errors = 0
        self.last_error = ""
        self._folder = folder
        self._interval = interval
        self._orders: queue.SimpleQueue[threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"recorder {folder.name}", daemon=True)
        self._thread.start()

    def add(self, key: tuple[str, str], market: LiveMarket) -> None:
        """Write one more market."""
        self.markets = {**self.markets, key: market}

    def flush(self, timeout: float) -> bool:
        """Write what waits; return whether that is done within ``timeout`` seconds."""
        done = threading.Event()
        self._orders.put(done)
        return done.wait(timeout) or not self._thread.is_alive()

    def finish(self) -> None:
        """Write and merge everything and end; ``join`` waits for it."""
        self._orders.put(None)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it came within ``timeout`` seconds (``None``: however long it takes)."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        done: threading.Event | None = threading.Event()
        while done is not None:
            try:
                done = self._orders.get(timeout=self._interval)
            except queue.Empty:
                done = threading.Event()
            for market in self.markets.values():
                self._safely(market.write)
            if done is not None:
                done.set()
            for market in self.markets.values():
                self._safely(market.tidy)
        self._give_up()
        for market in self.markets.values():
            self._safely(market.close)

    def _give_up(self) -> None:
        """Count what the disk refuses to the end, and say so."""
        dropped = sum(market.drop() for market in self.markets.values())
        if dropped:
            logger.error("%s: %d rows could not be written and are lost: %s", self._folder, dropped, self.last_error)

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # one market's disk trouble, or a defect, must not end the recording of all
            self.errors += 1
            text = f"{type(error).__name__}: {error}"
            if text != self.last_error:  # a full disk says the same every few seconds
                logger.error("recording into %s failed: %s", self._folder, text, exc_info=not _expected(error))
            self.last_error = text


def _expected(error: Exception) -> bool:
    return isinstance(error, OSError | InvalidInput)

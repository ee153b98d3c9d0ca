"""One market on its way from memory to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kit.errors import InvalidInput
from kit.storage.events import NANOSECONDS, MarketEvents
from kit.storage.market_writer import MarketWriter
from kit.storage.message_rows import Entry, build, rows_of
from kit.storage.tape import Book, Room, Tape

Notes = Callable[[str], Mapping[str, str]]

_PORTION: Final = 2_000
"""Rows turned into arrays at a time: a millisecond or so in which the loop cannot run."""

_CLOCK_LEEWAY: Final = 60.0


class LiveMarket:
    """The tapes of one market, one after the other, and the writer of its files.

    ``write``, ``tidy``, ``drop`` and ``close`` belong to the writing thread, the rest to the loop's. ``now`` is the
    time in seconds. Raises ``InvalidInput`` when another recorder is at work there or the folder holds later times.
    """

    def __init__(self, root: Path, exchange: str, trading_pair: str, room: Room, *, now: float) -> None:
        self.notes: Notes = lambda _: {}
        self.written = 0
        self.bytes = 0
        self._exchange = exchange
        self._trading_pair = trading_pair
        self._room = room
        self._writer = MarketWriter(root, exchange, trading_pair)
        self._tapes: list[Tape] = []
        self._held: MarketEvents | None = None
        self._dropped = 0
        self._last = self._writer.last or 0
        if self._last / NANOSECONDS > now + _CLOCK_LEEWAY:
            self._writer.abandon()
            raise InvalidInput(
                f"{self._writer.folder} holds events that are {self._last / NANOSECONDS - now:.0f} s later than now: "
                f"is a clock wrong? Record into another folder"
            )

    def new_tape(self, book: Book, now: Callable[[], float]) -> Tape:
        """Return a tape that goes on after what there is."""
        before = max((tape.last for tape in self._tapes), default=self._last)
        tape = Tape(self._trading_pair, book, self._room, now, not_before=before)
        self._tapes = [*self._tapes, tape]
        return tape

    @property
    def lost(self) -> int:
        """Return how many rows are missing for want of room or disk."""
        return self._dropped + sum(tape.lost for tape in self._tapes)

    @property
    def oldest(self) -> int | None:
        """Return the local time (ns) of the oldest row that is not on disk."""
        held = self._held
        if held is not None:
            return int(held.local_ts[0])
        for tape in self._tapes:
            try:
                return tape.entries[0][0]
            except IndexError:  # nothing waits, or the other thread has just taken it
                continue
        return None

    def write(self) -> None:
        """Write what waits; what the disk does not take is held, and the tapes fill up. Raises ``OSError``."""
        while (held := self._held or self._collect()) is not None:
            self._held = held
            try:
                rows = self._writer.write(held)
            except InvalidInput:
                self._dropped += self._let_go(len(held))
                raise
            self.written += self._let_go(rows)
        self.bytes = self._writer.bytes

    def tidy(self) -> None:
        """Merge small files where there are many. Raises ``OSError`` and ``InvalidInput``."""
        self._writer.tidy()
        self.bytes = self._writer.bytes

    def drop(self) -> int:
        """Forget what could not be written; return how many rows."""
        rows = 0
        while (held := self._held or self._collect()) is not None:  # what was held, then what came in meanwhile
            self._held = held
            rows += self._let_go(len(held))
        self._dropped += rows
        return rows

    def close(self) -> None:
        """Merge the files and let other recorders in. Raises ``OSError`` and ``InvalidInput``."""
        try:
            self._writer.close()
        finally:
            self.bytes = self._writer.bytes

    def _let_go(self, rows: int) -> int:
        held = self._held
        self._held = held.rows(rows, len(held)) if held is not None and rows < len(held) else None
        self._room.taken += rows
        return rows

    def _collect(self) -> MarketEvents | None:
        notes = dict(self.notes(self._trading_pair))
        parts = []
        for tape in self._tapes:
            left = len(tape.entries)
            while left:
                portion: list[Entry] = []
                rows = 0
                while left and rows < _PORTION:
                    portion.append(tape.entries.popleft())
                    rows += rows_of(portion[-1])
                    left -= 1
                parts.append(build(self._exchange, self._trading_pair, portion, notes))
        return MarketEvents.concat(parts) if parts else None

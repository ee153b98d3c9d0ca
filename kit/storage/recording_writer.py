"""Writing recordings from events that are there already."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from kit.storage.events import MarketEvents
from kit.storage.market_writer import FULL, MarketWriter


class RecordingWriter:
    """Write events of any markets into a folder that ``kit.open_recording`` reads; a context manager.

    ``append`` collects, ``flush`` writes files, ``close`` merges them into files of up to a million rows, one folder a
    market and UTC day. Files appear whole, so the folder is readable at any moment. A folder that holds a recording is
    added to, in the order of time. For one thread at a time.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self._writers: dict[tuple[str, str], MarketWriter] = {}
        self._waiting: dict[tuple[str, str], list[MarketEvents]] = {}

    def market(self, exchange: str, trading_pair: str) -> MarketWriter:
        """Return the writer of one market, made when it is first asked for. Raises ``InvalidInput``, ``OSError``."""
        key = exchange, trading_pair
        if key not in self._writers:
            self._writers[key] = MarketWriter(self.folder, exchange, trading_pair)
        return self._writers[key]

    @property
    def bytes(self) -> int:
        """Return the size on disk of the markets written to, in bytes."""
        return sum(writer.bytes for writer in self._writers.values())

    def append(self, events: MarketEvents) -> None:
        """Take events, sorted by local time; they are written by ``flush``, or at once when there are many.

        Raises ``InvalidInput`` for unsorted times or such before what is recorded, at the latest when they are written.
        """
        key = events.exchange, events.trading_pair
        self.market(*key)
        waiting = self._waiting.setdefault(key, [])
        waiting.append(events)
        if sum(map(len, waiting)) >= FULL:
            self.flush()

    def flush(self) -> None:
        """Write what was appended, and merge small files where many have come together. Raises ``OSError``.

        What could not be written is kept for the next flush, except for events that are refused (``InvalidInput``).
        """
        for key, waiting in self._waiting.items():
            if waiting:
                events, writer = MarketEvents.concat(waiting), self._writers[key]
                waiting[:] = []
                try:
                    while len(events):
                        events = events.rows(writer.write(events), len(events))
                except OSError:
                    waiting[:] = [events]
                    raise
                writer.tidy()

    def close(self) -> None:
        """Write what was appended and merge each day's files; idempotent."""
        try:
            self.flush()
        finally:
            writers, self._writers = self._writers, {}
            with ExitStack() as closing:  # each is closed, whatever another one raises
                for writer in writers.values():
                    closing.callback(writer.close)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

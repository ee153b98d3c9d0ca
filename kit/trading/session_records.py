"""What is kept of a core's session: the orders of each account, the last prices, and recordings."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol

from kit.connectors.connector import Connector
from kit.connectors.live_recordings import LiveRecordings
from kit.core.time_source import TimeSource
from kit.errors import InvalidInput
from kit.orders.session_log import SessionLog
from kit.strategy.session_recorder import SessionRecording
from kit.trading.log_feed import CoreLog


class RecordedCore(Protocol):
    """What is asked of a core; ``SessionRecording`` looks further into it."""

    name: str


class SessionRecords:
    """Keeps the ``logs`` of every account of a core, also of those that are gone; ``by_name`` are those of now.

    ``marks`` are the mid prices by connector and pair at which connectors were left. For the core's loop.
    """

    def __init__(self, core: RecordedCore, core_log: CoreLog, time_source: TimeSource) -> None:
        self.logs: Final[list[SessionLog]] = []
        self.by_name: Final[dict[str, SessionLog]] = {}
        self.marks: Final[dict[tuple[str, str], Decimal]] = {}
        self.recordings: Final = LiveRecordings(time_source)
        self._core = core
        self._core_log = core_log
        self._session: SessionRecording | None = None

    def open_log(self, connector: Connector) -> None:
        """Keep a log of the account that a connector trades with now; one that was open already goes on."""
        self._core_log.watch_events(connector.pubsub)
        side = connector.side
        log = next((known for known in self.logs if known.tracker is side.order_tracker), None)
        if log is None:
            log = SessionLog(connector.name, side.order_tracker, side.pubsub, mode=side.mode)
            self.logs.append(log)
        self.by_name[connector.name] = log

    def mark(self, connectors: Mapping[str, Connector]) -> None:
        """Keep the prices of now, as these connectors may go."""
        self.marks.update(current_marks(connectors))

    def record_session(self, folder: str | Path) -> SessionRecording:
        """See ``TradingCore.record_session``."""
        session = self._session
        if session is None or session.stopped:
            self._session = session = SessionRecording(self._core, folder)
        elif session.path.parent != Path(folder):
            raise InvalidInput(f"core {self._core.name} records into {session.path.parent}; stop that first: .stop()")
        return session

    def __repr__(self) -> str:
        return f"<SessionRecords of {self._core.name!r}: {', '.join(self.by_name) or 'no accounts'}>"


def current_marks(connectors: Mapping[str, Connector]) -> dict[tuple[str, str], Decimal]:
    """Return the mid price of every pair by connector and pair, NaN where a side of the book is empty."""
    return {
        (name, pair): connector.get_mid_price(pair)
        for name, connector in connectors.items()
        for pair in connector.trading_pairs
    }

"""The recordings that a core makes of its connectors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit.connectors.connector import Connector
from kit.connectors.pairs import normalize_pair
from kit.core.clock import TimeSource
from kit.errors import InvalidInput, KitError, NotReady, NotSupported, UnknownPair
from kit.market.order_book_tracker import OrderBookTracker
from kit.storage.rule_notes import note_rule

if TYPE_CHECKING:
    from kit.storage.recorder import Recorder

logger = logging.getLogger(__name__)


class _Recording:
    """A recorder, and which connectors it records."""

    def __init__(self, recorder: Recorder, pairs: frozenset[str] | None) -> None:
        self.recorder = recorder
        self.pairs = pairs
        self.attached: dict[str, Connector] = {}

    def attach(self, connector: Connector) -> None:
        tracker = connector.order_book_tracker
        if not isinstance(tracker, OrderBookTracker):
            raise NotSupported(f"{connector.name} replays data that is recorded already; there is nothing to record")
        wanted = None if self.pairs is None else self.pairs & set(connector.trading_pairs)
        if wanted is None or wanted:
            self.recorder.attach(connector.name, tracker, pairs=wanted, notes=_rule_notes(connector))
        self.attached[connector.name] = connector

    def follow(self, connectors: Mapping[str, Connector]) -> None:
        for name, connector in tuple(self.attached.items()):
            if connectors.get(name) is not connector:
                self.recorder.detach(name)
                del self.attached[name]
        for name, connector in connectors.items():
            if name not in self.attached:
                self.attached[name] = connector
                try:
                    self.attach(connector)
                except (KitError, OSError) as error:
                    logger.error("%s is not recorded into %s: %s", name, self.recorder.folder, error)


class LiveRecordings:
    """Starts recordings of connectors, and lets them follow what connectors a core has. For the loop's thread."""

    def __init__(self, time_source: TimeSource) -> None:
        self._time_source = time_source
        self._recordings: list[_Recording] = []

    def start(
        self, folder: str | Path, connectors: Mapping[str, Connector], pairs: Iterable[str] | None = None
    ) -> Recorder:
        """Record connectors' pairs (``None``: all, also later ones) into a folder, or return what does so already.

        Raises ``NotReady`` without connectors, ``UnknownPair``, ``InvalidInput`` and ``OSError``.
        """
        from kit.storage.recorder import Recorder

        if not connectors:
            raise NotReady("there is nothing to record yet; first: await core.add_connector(…)")
        wanted = _checked(pairs, connectors)
        self._recordings = [one for one in self._recordings if one.recorder.running]
        for one in self._recordings:
            if one.recorder.folder == Path(folder).expanduser() and one.pairs == wanted:
                return one.recorder
        recording = _Recording(Recorder(folder, time_source=self._time_source), wanted)
        try:
            for connector in connectors.values():
                recording.attach(connector)
        except BaseException:
            recording.recorder.stop()
            raise
        self._recordings.append(recording)
        return recording.recorder

    def follow(self, connectors: Mapping[str, Connector]) -> None:
        """Record connectors that are new, and no longer those that are gone."""
        for recording in self._recordings:
            if recording.recorder.running:
                recording.follow(connectors)

    async def close(self) -> None:
        """End every recording; returns when their files are written."""
        recordings, self._recordings = self._recordings, []
        for recording in recordings:
            await recording.recorder.close()


def _checked(pairs: Iterable[str] | None, connectors: Mapping[str, Connector]) -> frozenset[str] | None:
    if pairs is None:
        return None
    if isinstance(pairs, str):
        raise InvalidInput(f"pairs is the text {pairs!r}; give a list, as in [{pairs!r}]")
    wanted = frozenset(normalize_pair(pair) for pair in pairs)
    streamed = {pair for connector in connectors.values() for pair in connector.trading_pairs}
    if missing := wanted - streamed:
        raise UnknownPair(
            f"{', '.join(sorted(missing))} cannot be recorded: no connector streams it; streamed are "
            f"{', '.join(sorted(streamed))}"
        )
    if not wanted:
        raise InvalidInput("pairs is empty; name at least one, or leave it out to record all")
    return wanted


def _rule_notes(connector: Connector) -> Callable[[str], Mapping[str, str]]:
    return lambda pair: note_rule(connector.trading_rules.get(pair))

"""The one timer that brings panels up to date: at most one beat in a quarter of a second, for all of them together.

A panel that nobody looks at costs nothing: it leaves the beat when its last visible view is gone and comes back when a
view shows itself. Without panels in the beat no timer waits. The timer is a plain call of the core's loop, not a task,
so nothing is left to end when the core stops.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from kit.core.affinity import LoopAffinity
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.error_list import ErrorList
from kit.core.time_source import Timer
from kit.errors import InvalidInput, NotReady

INTERVAL: Final = 0.25
"""Seconds between two beats."""

MAX_LOAD: Final = 0.2
"""The share of the loop's time that beats may take; slow ones come less often."""


class Refreshed(Protocol):
    """What a beat brings up to date."""

    @property
    def name(self) -> str:
        """Return what errors are listed under."""
        ...

    @property
    def errors(self) -> ErrorList:
        """Return where its errors are listed."""
        ...

    @property
    def home(self) -> Refresher | None:
        """Return the timer that it belongs to now; a core that is started later may live on another loop."""
        ...

    @property
    def wanted(self) -> bool:
        """Tell whether somebody looks at it and there may be news; asked once a beat."""
        ...

    def refresh(self) -> None:
        """Send what changed since the last time."""
        ...


@dataclass(frozen=True, slots=True)
class RefreshStats:
    """Counts of one timer: beats, errors, and the seconds that beats took in all and at most."""

    beats: int = 0
    errors: int = 0
    seconds: float = 0.0
    slowest: float = 0.0


class Refresher:
    """Call ``refresh`` of every panel in the beat, on one loop, each ``interval`` seconds (default 0.25).

    ``wake(panel)`` takes a panel into the beat, from any thread; it is brought up to date at once, and drops out as
    soon as it is not ``wanted``. An error of one panel is noted in its ``errors``; the others get theirs all the same.
    Raises ``InvalidInput`` for an interval that is not positive.
    """

    def __init__(
        self,
        affinity: LoopAffinity,
        *,
        interval: float = INTERVAL,
        time_source: TimeSource = SYSTEM_TIME,
    ) -> None:
        if not interval > 0:
            raise InvalidInput(f"interval is {interval}; give seconds above 0, such as 0.25")
        self.interval = interval
        self.stats = RefreshStats()
        self.affinity = affinity
        self._time_source = time_source
        self._panels: dict[int, Refreshed] = {}
        self._timer: Timer | None = None

    @property
    def waiting(self) -> bool:
        """Tell whether a beat is due."""
        return self._timer is not None

    @property
    def panels(self) -> tuple[Refreshed, ...]:
        """Return the panels in the beat."""
        return tuple(self._panels.values())

    def wake(self, panel: Refreshed) -> None:
        """Take a panel into the beat and bring it up to date; does nothing when the loop runs no more."""
        try:
            self.affinity.call(self._wake, panel)
        except NotReady:
            return  # the core's loop ended: its last state is on the page

    def drop(self, panel: Refreshed) -> None:
        """Take a panel out of the beat; harmless when it is not in."""
        try:
            self.affinity.call(self._drop, panel)
        except NotReady:
            self._drop(panel)  # no loop, so no beat can come in between

    def _wake(self, panel: Refreshed) -> None:
        self._panels[id(panel)] = panel
        self._refresh(panel)
        self._arm()

    def _drop(self, panel: Refreshed) -> None:
        self._panels.pop(id(panel), None)
        if not self._panels and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, after: float | None = None) -> None:
        loop = self.affinity.loop
        if self._timer is None and self._panels and loop is not None and loop.is_running():
            self._timer = self._time_source.call_later(self.interval if after is None else after, self._beat)

    def _beat(self) -> None:
        self._timer = None
        begin = self._time_source.monotonic()
        for panel in self.panels:
            self._refresh(panel)
        taken = self._time_source.monotonic() - begin
        stats = self.stats
        self.stats = RefreshStats(stats.beats + 1, stats.errors, stats.seconds + taken, max(stats.slowest, taken))
        self._arm(max(self.interval - taken, taken / MAX_LOAD - taken))

    def _refresh(self, panel: Refreshed) -> None:
        try:
            home = panel.home
            if home is not None and home is not self:
                home.wake(panel)
            elif panel.wanted:
                panel.refresh()
                return
        except Exception as error:  # noqa: BLE001  # one panel's failure must not stop the others
            stats = self.stats
            self.stats = RefreshStats(stats.beats, stats.errors + 1, stats.seconds, stats.slowest)
            panel.errors.add(panel.name, error)
            return
        self._panels.pop(id(panel), None)


_refreshers: dict[asyncio.AbstractEventLoop, Refresher] = {}


def refresher_of(loop: asyncio.AbstractEventLoop) -> Refresher:
    """Return the one timer of a loop: cores that share a loop share it."""
    for closed in [known for known in _refreshers if known.is_closed()]:
        del _refreshers[closed]
    if loop not in _refreshers:
        _refreshers[loop] = Refresher(LoopAffinity(loop))
    return _refreshers[loop]

"""Where a core's trading state stands, and who is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

from kit.core.listeners import Listeners
from kit.core.time_source import TimeSource
from kit.trading.checks import Check
from kit.types.drawn import Drawn

logger = logging.getLogger(__name__)

Transition = tuple[float, "TradingState", "TradingState", str]
"""When (seconds since the epoch), from, to, why (empty where it was asked for)."""

_KEPT: Final = 200


class TradingState(Enum):
    """What a core's strategy may do: nothing; trade on paper; that, with live prepared; trade the real account."""

    OFF = "off"
    PAPER = "paper"
    ARMED = "armed"
    LIVE = "live"


class SwitchBoard(Drawn):
    """The state, since when and why, and what is being done; ``LiveSwitch`` changes it."""

    def __init__(self, name: str, time_source: TimeSource) -> None:
        self._name = name
        self._time_source = time_source
        self._state = TradingState.OFF
        self.reason = ""
        self.since = time_source.time()
        self.busy = ""
        self.checks: tuple[Check, ...] = ()
        self.last_word = ""
        self.transitions: tuple[Transition, ...] = ()
        self._listeners: Listeners[[]] = Listeners("the live switch")

    @property
    def state(self) -> TradingState:
        """Return the state."""
        return self._state

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` on the core's loop after every change; returns the function that ends that."""
        return self._listeners.add(listener)

    def _say(self, busy: str) -> None:
        self.busy = busy
        self._tell()

    def _enter(self, state: TradingState, reason: str = "") -> None:
        before, now = self._state, self._time_source.time()
        self.reason = reason
        if state is not before:
            self._state, self.since = state, now
            self.transitions = (*self.transitions, (now, before, state, reason))[-_KEPT:]
            more = f": {reason}" if reason else ""
            logger.info("core %s: %s -> %s%s", self._name, before.value, state.value, more)
            self._entered()
        self._tell()

    def _entered(self) -> None:
        """Follow a change of the state, before anybody is told."""

    def _tell(self) -> None:
        self._listeners.tell()

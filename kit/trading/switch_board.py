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


class Standing:
    """How a switch stands, for those who change that; ``SwitchBoard`` shows it.

    ``held`` is why the strategy must do nothing, empty where it may act. ``entered`` is called after a change of the
    state, before anybody is told.
    """

    def __init__(self, name: str, time_source: TimeSource) -> None:
        self.name = name
        self.state = TradingState.OFF
        self.held = ""
        self.reason = ""
        self.since = time_source.time()
        self.busy = ""
        self.checks: tuple[Check, ...] = ()
        self.last_word = ""
        self.transitions: tuple[Transition, ...] = ()
        self.listeners: Listeners[[]] = Listeners("the live switch")
        self.entered: Callable[[], None] = lambda: None
        self._time_source = time_source

    def say(self, busy: str) -> None:
        """Tell what is being done from now on; empty for nothing any more."""
        self.busy = busy
        self.tell()

    def enter(self, state: TradingState, reason: str = "") -> None:
        """Take a state, or stay in it for another reason."""
        before, now = self.state, self._time_source.time()
        self.reason = reason
        if state is not before:
            self.state, self.since = state, now
            self.transitions = (*self.transitions, (now, before, state, reason))[-_KEPT:]
            more = f": {reason}" if reason else ""
            logger.info("core %s: %s -> %s%s", self.name, before.value, state.value, more)
            self.entered()
        self.tell()

    def begin_anew(self) -> None:
        """Count the time in the state from now on."""
        self.since = self._time_source.time()

    def fall(self, reason: str) -> None:
        """Leave ``ARMED``, or stay where arming failed."""
        if self.state is TradingState.ARMED:
            self.enter(TradingState.OFF if self.held else TradingState.PAPER, reason)
        else:
            self.tell()

    def hold(self, cause: str) -> None:
        """Let the strategy do nothing from now on."""
        self.held = cause

    def tell(self) -> None:
        """Tell the listeners."""
        self.listeners.tell()

    def __repr__(self) -> str:
        more = f": {self.reason}" if self.reason else ""
        return f"<Standing of {self.name!r}: {self.state.value}{more}>"


class SwitchBoard(Drawn):
    """The state, since when and why, and what is being done, to be read; ``LiveSwitch`` changes it."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    @property
    def state(self) -> TradingState:
        """Return the state."""
        return self._standing.state

    @property
    def reason(self) -> str:
        """Return why it went back by itself, or could not; empty otherwise."""
        return self._standing.reason

    @property
    def since(self) -> float:
        """Return when the state began, seconds since the epoch."""
        return self._standing.since

    @property
    def busy(self) -> str:
        """Return what is being done right now; empty for nothing."""
        return self._standing.busy

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the checks of the last pre-flight."""
        return self._standing.checks

    @property
    def last_word(self) -> str:
        """Return what the exchange said when it last went back."""
        return self._standing.last_word

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Return the changes so far, oldest first."""
        return self._standing.transitions

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` on the core's loop after every change; returns the function that ends that."""
        return self._standing.listeners.add(listener)

"""The live switch: off, paper, armed, live, and how a core gets from one to the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from kit.connectors.connector import Connector
from kit.core.time_source import TimeSource
from kit.errors import InvalidInput, NotReady, NotSupported
from kit.trading.checks import Check, failed
from kit.trading.switched_core import SwitchedCore

__all__ = ["Check", "LiveSwitch", "TradingState", "Transition"]

logger = logging.getLogger(__name__)

Transition = tuple[float, "TradingState", "TradingState", str]
"""When (seconds since the epoch), from, to, why (empty where it was asked for)."""

_KEPT = 200


class TradingState(Enum):
    """What a core's strategy may do: nothing; trade on paper; that, with live prepared; trade the real account."""

    OFF = "off"
    PAPER = "paper"
    ARMED = "armed"
    LIVE = "live"


class LiveSwitch:
    """Holds the trading state of a core and changes it; ``core.switch``.

    ``reason`` is empty, or why it went back by itself. ``since`` is when the state began, seconds since the epoch.
    ``busy`` tells what is being done right now. ``checks`` are those of the last pre-flight. ``last_word`` is what the
    exchange said when it last went back. ``transitions`` are the changes so far, oldest first. Reading is harmless
    from any thread; the coroutines belong on the core's loop (``core.arm()`` and its like hop there).
    """

    def __init__(self, core: SwitchedCore, time_source: TimeSource) -> None:
        self._core = core
        self._time_source = time_source
        self._state = TradingState.OFF
        self.reason = ""
        self.since = time_source.time()
        self.busy = ""
        self.checks: tuple[Check, ...] = ()
        self.last_word = ""
        self.transitions: tuple[Transition, ...] = ()
        self._listeners: tuple[Callable[[], None], ...] = ()

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> TradingState:
        """Return the state."""
        return self._state

    @property
    def confirmations(self) -> tuple[str, ...]:
        """Return what may be typed to go live: the name of a connector or exchange, or a pair."""
        names: dict[str, None] = {}
        for connector in self._tradable():
            names |= dict.fromkeys((connector.name, *connector.trading_pairs))
        return tuple(names)

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` on the core's loop after every change; returns the function that ends that."""
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(known for known in self._listeners if known is not listener)

        return remove

    def __repr__(self) -> str:
        more = f": {self.reason}" if self.reason else ""
        return f"<LiveSwitch {self._state.value}{more}>"

    # -- what the core tells ---------------------------------------------------------------------------------------

    async def started(self) -> None:
        """Take the state that the core's connectors have, as its clock begins."""
        modes = {connector.mode for connector in self._tradable() if not connector.trading_refused}
        self._enter(
            TradingState.LIVE if "live" in modes else TradingState.PAPER if "paper" in modes else TradingState.OFF
        )

    def stopped(self) -> None:
        """Be off, as the core ends; it has cancelled its orders by itself."""
        self._enter(TradingState.OFF)

    # -- the ways --------------------------------------------------------------------------------------------------

    async def arm(self) -> tuple[Check, ...]:
        """See ``TradingCore.arm``."""
        self._require_running()
        self.checks = tuple(
            Check("credentials", connector.name, "failed", "live accounts beside paper are not here yet")
            for connector in self._tradable()
        )
        self._tell()
        return self.checks

    async def go_live(self) -> tuple[Check, ...]:
        """See ``TradingCore.go_live``."""
        checks = await self.arm()
        if bad := failed(checks):
            raise NotReady("not live: " + "; ".join(map(str, bad)))
        self._enter(TradingState.LIVE)
        return checks

    async def confirm_live(self, text: str) -> tuple[Check, ...]:
        """See ``TradingCore.confirm_live``."""
        if self._state is not TradingState.ARMED:
            raise NotReady(f"the core is {self._state.value}, not armed; arm it first: await core.arm()")
        if text.strip().casefold() not in {known.casefold() for known in self.confirmations}:
            raise InvalidInput(f"type one of {', '.join(self.confirmations)} to go live, not {text!r}")
        return await self.go_live()

    async def go_paper(self) -> str:
        """See ``TradingCore.go_paper``."""
        self._require_running()
        if any(connector.mode == "live" for connector in self._tradable()):
            raise NotSupported("a live connector cannot go on paper yet; await core.go_off()")
        self._enter(TradingState.PAPER)
        return self.last_word

    async def go_off(self, reason: str = "", timeout: float = 10.0) -> str:
        """See ``TradingCore.go_off``."""
        self.last_word = await self._cancel_everything(timeout)
        self._enter(TradingState.OFF, reason)
        return self.last_word

    async def _cancel_everything(self, timeout: float) -> str:
        words = []
        for connector in self._tradable():
            self._say(f"cancelling {len(connector.in_flight_orders)} orders on {connector.name}")
            orders = len(connector.in_flight_orders)
            left = await connector.sweep(timeout)
            connector.reopen()
            self._say("")
            if left:
                raise NotReady(f"{connector.name}: the exchange has not confirmed the cancels of {', '.join(left)}")
            words.append(f"{connector.name}: {orders} orders cancelled, 0 open on the exchange")
        return "; ".join(words)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _tradable(self) -> list[Connector]:
        return [connector for connector in self._core.connectors.values() if connector.mode != "data"]

    def _require_running(self) -> None:
        if not self._core.running:
            raise NotReady(f"core {self._core.name} does not run; first: await core.start()")

    def _say(self, busy: str) -> None:
        self.busy = busy
        self._tell()

    def _enter(self, state: TradingState, reason: str = "") -> None:
        before, now = self._state, self._time_source.time()
        self.reason = reason
        if state is not before:
            self._state, self.since = state, now
            self.transitions = (*self.transitions, (now, before, state, reason))[-_KEPT:]
            logger.info("core %s: %s -> %s %s", self._core.name, before.value, state.value, reason)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            try:
                listener()
            except Exception:  # a widget's defect must not stand in the way of going off
                logger.exception("a listener of the live switch failed")

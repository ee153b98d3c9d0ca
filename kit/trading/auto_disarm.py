"""Looks for causes to disarm, and goes back until the exchange has confirmed it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from kit.core.time_source import TimeSource
from kit.errors import KitError
from kit.trading.disarming import DisarmRules, DisarmWatch
from kit.trading.switch_board import TradingState
from kit.trading.switched_core import SwitchedCore

logger = logging.getLogger(__name__)

RETRY: Final = 5.0
"""Seconds after which a way back that the exchange did not confirm is tried again."""

Way = Callable[[str], Coroutine[Any, Any, None]]


class AutoDisarm:
    """Watches a core while it is armed or live, and takes it back.

    ``state()`` is the core's. ``hold(cause)`` keeps its strategy still from that moment on; ``back(cause)`` goes back
    from live, or raises what it was not confirmed by; ``lay_down(cause)`` leaves ``ARMED``. ``told`` is why it is
    about to do that, where somebody said so.
    """

    def __init__(
        self,
        core: SwitchedCore,
        rules: Callable[[], DisarmRules],
        time_source: TimeSource,
        *,
        state: Callable[[], TradingState],
        hold: Callable[[str], None],
        back: Way,
        lay_down: Way,
    ) -> None:
        self.watch = DisarmWatch(core, rules, time_source)
        self._core = core
        self._rules = rules
        self._time_source = time_source
        self._state, self._hold, self._back, self._lay_down = state, hold, back, lay_down
        self._watching: asyncio.Task[None] | None = None
        self._going: asyncio.Task[None] | None = None
        self._laying: asyncio.Task[None] | None = None
        self.told = ""

    @property
    def going(self) -> bool:
        """Tell whether it is on its way back from live."""
        return self._going is not None and not self._going.done()

    def follow(self) -> None:
        """Watch from now on, or no more, as the state says."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        self.watch.end()
        if self._state() in (TradingState.ARMED, TradingState.LIVE):
            self.watch.begin(
                (connector, side)
                for connector in self._core.connectors.values()
                if (side := connector.side_of("live")) is not None
            )
            self._watching = self._core.supervisor.spawn(self._keep_watch(), name="disarm watch")

    def forget(self) -> None:
        """Let tasks be whose loop is gone."""
        self._watching = self._going = self._laying = None
        self.told = ""

    def act(self, cause: str, *, told: bool = False) -> None:
        """Go back for ``cause``, behind; does nothing unless the core is live or armed, and not on its way already.

        A cause that was ``told`` is not found again by looking: until it is done with it stands in ``told``, as the
        core may be about to go live.
        """
        state = self._state()
        if state is TradingState.ARMED:
            self.told = cause if told else self.told
            if self._laying is None or self._laying.done():
                logger.warning("core %s is no longer armed: %s", self._core.name, cause)
                self._laying = self._core.supervisor.spawn(self._end_armed(cause), name="disarm")
        elif state is TradingState.LIVE and not self.going:
            self._hold(cause)
            logger.error("core %s goes back by itself: %s", self._core.name, cause)
            self._going = self._core.supervisor.spawn(self._go_back(cause), name="disarm")

    async def _end_armed(self, cause: str) -> None:
        try:
            await self._lay_down(cause)
        finally:
            self.told = ""

    async def _go_back(self, cause: str) -> None:
        strategy = self._core.strategy
        if strategy is not None and not strategy.paused:
            strategy.pause(f"live trading ended by itself: {cause}; resume() goes on")
        while self._state() is TradingState.LIVE:
            try:
                await self._back(cause)
                continue
            except KitError as error:
                logger.error("core %s is still live, though it should not be: %s", self._core.name, error)
            except Exception:  # whatever it is, live orders may be open, and nobody else tries again
                logger.exception("core %s is still live, though it should not be", self._core.name)
            self._hold(cause)
            await self._time_source.sleep(RETRY)

    async def _keep_watch(self) -> None:
        until = self._time_source.monotonic() + self._rules().armed_for
        while True:
            await self._time_source.sleep(self.watch.interval)
            cause = self.watch.look()
            armed = self._state() is TradingState.ARMED
            if not cause and armed and self._time_source.monotonic() >= until:
                cause = f"it was armed for {self._rules().armed_for:g} s; arm again"
            if cause:
                self.act(cause)

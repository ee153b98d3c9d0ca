"""The live switch: off, paper, armed, live, and how a core gets from one to the other."""

from __future__ import annotations

from kit.connectors.connector import Connector
from kit.core.time_source import TimeSource
from kit.trading.auto_disarm import AutoDisarm
from kit.trading.checks import Check
from kit.trading.disarming import DisarmRules
from kit.trading.live_accounts import LiveAccounts
from kit.trading.live_checks import LiveChecks
from kit.trading.switch_board import Standing, SwitchBoard, TradingState, Transition
from kit.trading.switched_core import SwitchedCore, confirmations, is_live, live_sides, trading_connectors
from kit.trading.way_back import WayBack
from kit.trading.way_up import WayUp

__all__ = ["Check", "LiveSwitch", "TradingState", "Transition"]


class LiveSwitch(SwitchBoard):
    """Holds the trading state of a core and changes it; ``core.switch``.

    ``reason`` is empty, or why it went back by itself, or why it could not. ``since`` is when the state began, seconds
    since the epoch. ``busy`` tells what is being done right now. ``checks`` are those of the last pre-flight.
    ``last_word`` is what the exchange said when it last went back. ``transitions`` are the changes so far, oldest
    first. ``rules`` say when it goes back by itself. Reading is harmless from any thread; the coroutines belong on the
    core's loop (``core.arm()`` and its like hop there).

    An account is exchanged only when the exchange has said that nothing of the old one is open. Where it does not say
    so, the state stays as it is, with the reason, and the call raises.
    """

    def __init__(self, core: SwitchedCore, time_source: TimeSource) -> None:
        stands = Standing(core.name, time_source)
        super().__init__(stands)
        self._core = core
        self.rules = DisarmRules()
        accounts = LiveAccounts(core, time_source)
        self._checks = LiveChecks(core, stands, accounts, time_source)
        self._back = WayBack(core, stands, accounts)
        self._auto = AutoDisarm(
            core,
            lambda: self.rules,
            time_source,
            state=lambda: stands.state,
            hold=stands.hold,
            back=self._back.by_itself,
            lay_down=self._back.lay_down,
        )
        stands.entered = self._auto.follow
        self._up = WayUp(core, stands, accounts, self._checks, self._back, self._auto)

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def core(self) -> SwitchedCore:
        """Return whose switch it is."""
        return self._core

    @property
    def confirmations(self) -> tuple[str, ...]:
        """Return what may be typed to go live: the name of a connector or exchange, or a pair."""
        return confirmations(self._core)

    def gate(self) -> str:
        """Return why the strategy must do nothing now, an empty text where it may act. For the core's loop.

        Asked at every tick and order, it also notices, before anything can be placed, that the loop stood still.
        """
        stands = self._standing
        if stands.state is TradingState.LIVE and not stands.held and (cause := self._auto.watch.stood_still()):
            self.disarm(cause)
        return stands.held or self._unchecked()

    def _unchecked(self) -> str:
        """Return what a strategy is held by while a live account can trade that no check has let in."""
        if self._standing.state is TradingState.LIVE:
            return ""
        names = ", ".join(connector.name for connector in trading_connectors(self._core) if is_live(connector))
        return f"{names} could trade live, but was not checked; await core.go_live() does that" if names else ""

    def __repr__(self) -> str:
        more = f": {self.reason}" if self.reason else ""
        return f"<LiveSwitch {self.state.value}{more}>"

    # -- what the core tells, under its lock -----------------------------------------------------------------------

    async def starting(self) -> None:
        """Check the live accounts before the clock begins; raises ``NotReady`` naming what failed."""
        if sides := live_sides(self._core):
            await self._checks.require(sides)

    def started(self) -> None:
        """Take the state that the core's connectors have, as its clock begins."""
        self._standing.held = ""
        self._follow_connectors()

    async def joined(self, connector: Connector, *, fresh: bool = True) -> None:
        """Take in a connector that came while the core runs; raises ``NotReady`` where a live one fails a check.

        One that is not ``fresh`` was here before: it is taken in only where its key was refused and is not any more.
        """
        stands = self._standing
        if not self._core.running:
            return
        if not fresh and (stands.held or not is_live(connector) or stands.state is TradingState.LIVE):
            return
        if is_live(connector):
            await self._checks.require([(connector, connector.side)])
        if not stands.held:
            self._follow_connectors()

    def left(self) -> None:
        """Follow the removal of a connector."""
        if self._core.running and not self._standing.held:
            self._follow_connectors()

    def abort(self) -> None:
        """Break off what prepares or checks a live account, as somebody wants to stop or go back."""
        self._checks.abort()

    def stopped(self) -> None:
        """Be off, as the core ends; it has cancelled its orders by itself."""
        self._standing.held = ""
        self._standing.enter(TradingState.OFF)

    def abandoned(self) -> None:
        """Be off, as the loop is gone that the core lived on, and its tasks with it."""
        self._auto.forget()
        self._checks.forget()
        if self._standing.state is not TradingState.OFF:
            self._standing.enter(TradingState.OFF, "the event loop ended without stop()")

    def _follow_connectors(self) -> None:
        """Take the state that follows from the connectors' accounts."""
        stands = self._standing
        modes = {connector.mode for connector in trading_connectors(self._core) if not connector.trading_refused}
        if "live" in modes and stands.state is TradingState.LIVE:
            self._auto.follow()  # other accounts than before
            stands.tell()
        elif "live" in modes:
            stands.enter(TradingState.LIVE)
        elif stands.state is not TradingState.ARMED or not modes:
            stands.enter(TradingState.PAPER if modes else TradingState.OFF)

    # -- the ways up and back --------------------------------------------------------------------------------------

    async def arm(self) -> tuple[Check, ...]:
        """See ``TradingCore.arm``."""
        return await self._up.arm()

    async def go_live(self) -> tuple[Check, ...]:
        """See ``TradingCore.go_live``."""
        return await self._up.go_live()

    async def confirm_live(self, text: str) -> tuple[Check, ...]:
        """See ``TradingCore.confirm_live``."""
        return await self._up.confirm_live(text)

    async def go_paper(self) -> str:
        """See ``TradingCore.go_paper``."""
        self.abort()
        return await self._back.go_paper()

    async def go_off(self, reason: str = "") -> str:
        """See ``TradingCore.go_off``."""
        self.abort()
        return await self._back.go_off(reason)

    def disarm(self, cause: str) -> None:
        """Go back by itself, for ``cause``: the strategy is held at once, orders are cancelled behind.

        Does nothing unless the core is live, or armed. For the core's loop.
        """
        self._auto.act(cause, told=True)

"""The live switch: off, paper, armed, live, and how a core gets from one to the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final

from kit.connectors.account_side import AccountSide
from kit.connectors.connector import Connector
from kit.core.time_source import TimeSource
from kit.errors import InvalidInput, KitError, NotReady
from kit.strategy.tables import counted
from kit.trading.auto_disarm import AutoDisarm
from kit.trading.checks import Check, failed
from kit.trading.disarming import DisarmRules
from kit.trading.live_accounts import LiveAccounts
from kit.trading.preflight import Preflight
from kit.trading.switch_board import SwitchBoard, TradingState, Transition
from kit.trading.switched_core import SwitchedCore

__all__ = ["Check", "LiveSwitch", "TradingState", "Transition"]

logger = logging.getLogger(__name__)

PATIENCE: Final = 10.0
"""Seconds that an exchange has to confirm the cancels."""


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
        super().__init__(core.name, time_source)
        self._core = core
        self.rules = DisarmRules()
        self._accounts = LiveAccounts(core, time_source)
        self._auto = AutoDisarm(
            core,
            lambda: self.rules,
            time_source,
            state=lambda: self._state,
            hold=self._hold,
            back=self._back_by_itself,
            lay_down=self._lay_down,
        )
        self._breakable: asyncio.Future[tuple[Check, ...]] | None = None
        self._held = ""

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def core(self) -> SwitchedCore:
        """Return whose switch it is."""
        return self._core

    @property
    def confirmations(self) -> tuple[str, ...]:
        """Return what may be typed to go live: the name of a connector or exchange, or a pair."""
        names: dict[str, None] = {}
        for connector in self._trading():
            exchange = self._core.connector_manager.exchange_of(connector.name)
            names |= dict.fromkeys((connector.name, exchange, *connector.trading_pairs))
        return tuple(names)

    def gate(self) -> str:
        """Return why the strategy must do nothing now, an empty text where it may act. For the core's loop.

        Asked at every tick and order, it also notices, before anything can be placed, that the loop stood still.
        """
        if self._state is TradingState.LIVE and not self._held and (cause := self._auto.watch.stood_still()):
            self.disarm(cause)
        return self._held or self._unchecked()

    def _unchecked(self) -> str:
        """Return what a strategy is held by while a live account can trade that no check has let in."""
        if self._state is TradingState.LIVE:
            return ""
        names = ", ".join(connector.name for connector in self._trading() if _is_live(connector))
        return f"{names} could trade live, but was not checked; await core.go_live() does that" if names else ""

    def __repr__(self) -> str:
        more = f": {self.reason}" if self.reason else ""
        return f"<LiveSwitch {self._state.value}{more}>"

    # -- what the core tells, under its lock -----------------------------------------------------------------------

    async def starting(self) -> None:
        """Check the live accounts before the clock begins; raises ``NotReady`` naming what failed."""
        sides = [(connector, connector.side) for connector in self._trading() if _is_live(connector)]
        if sides:
            self._raise_for_failed(await self._unless_broken_off(self._check(sides)))

    def started(self) -> None:
        """Take the state that the core's connectors have, as its clock begins."""
        self._held = ""
        self._follow_connectors()

    async def joined(self, connector: Connector, *, fresh: bool = True) -> None:
        """Take in a connector that came while the core runs; raises ``NotReady`` where a live one fails a check.

        One that is not ``fresh`` was here before: it is taken in only where its key was refused and is not any more.
        """
        if not self._core.running:
            return
        if not fresh and (self._held or not _is_live(connector) or self._state is TradingState.LIVE):
            return
        if _is_live(connector):
            self._raise_for_failed(await self._unless_broken_off(self._check([(connector, connector.side)])))
        if not self._held:
            self._follow_connectors()

    def left(self) -> None:
        """Follow the removal of a connector."""
        if self._core.running and not self._held:
            self._follow_connectors()

    def abort(self) -> None:
        """Break off what prepares or checks a live account, as somebody wants to stop or go back."""
        if self._breakable is not None:
            self._breakable.cancel()

    def stopped(self) -> None:
        """Be off, as the core ends; it has cancelled its orders by itself."""
        self._held = ""
        self._enter(TradingState.OFF)

    def abandoned(self) -> None:
        """Be off, as the loop is gone that the core lived on, and its tasks with it."""
        self._auto.forget()
        self._breakable = None
        if self._state is not TradingState.OFF:
            self._enter(TradingState.OFF, "the event loop ended without stop()")

    # -- the ways up -----------------------------------------------------------------------------------------------

    async def arm(self) -> tuple[Check, ...]:
        """See ``TradingCore.arm``."""
        async with self._core.changing:
            return await self._arm()

    async def go_live(self) -> tuple[Check, ...]:
        """See ``TradingCore.go_live``."""
        async with self._core.changing:
            if self._state is TradingState.LIVE:
                return await self._stay_live()
            if self._state is not TradingState.ARMED:
                self._raise_for_failed(await self._arm())
            await self._put_live()
            return self.checks

    async def confirm_live(self, text: str) -> tuple[Check, ...]:
        """See ``TradingCore.confirm_live``."""
        self._require_armed()
        if text.strip().casefold() not in {known.casefold() for known in self.confirmations}:
            raise InvalidInput(f"type one of {', '.join(self.confirmations)} to go live, not {text!r}")
        async with self._core.changing:
            self._require_armed()  # somebody may have gone off meanwhile
            await self._put_live()
            return self.checks

    async def _stay_live(self) -> tuple[Check, ...]:
        """Go on where going back was asked for and not confirmed, after the checks."""
        self._require_running()
        if not self._held:
            return self.checks
        if self._auto.going:
            raise NotReady(f"core {self._core.name} is going back by itself: {self._held}; wait for that")
        sides = [(connector, connector.side) for connector in self._trading() if _is_live(connector)]
        self._raise_for_failed(await self._unless_broken_off(self._check(sides)))
        self._held = ""
        self._enter(TradingState.LIVE)
        return self.checks

    async def _arm(self) -> tuple[Check, ...]:
        self._require_running()
        if self._state is TradingState.LIVE:
            return self.checks
        connectors = self._trading()
        if not connectors:
            self.checks = (Check("connectors", "", "failed", _NOTHING_TRADES),)
        else:
            self._say("preparing " + ", ".join(connector.name for connector in connectors))
            try:
                self.checks = await self._unless_broken_off(self._prepare(connectors))
            except NotReady:  # broken off by who puts it away next
                raise
            except BaseException:
                if self._state is not TradingState.ARMED:
                    await self._put_away()
                raise
            finally:
                self._say("")
        if failed(self.checks):
            await self._put_away()
            self._fall("" if self._state is not TradingState.ARMED else _named(failed(self.checks)))
        elif self._state is TradingState.ARMED:
            self.since = self._time_source.time()  # the time that it is armed for begins anew
            self._auto.follow()
            self._tell()
        else:
            self._enter(TradingState.ARMED)
        return self.checks

    async def _prepare(self, connectors: Sequence[Connector]) -> tuple[Check, ...]:
        prepared = await asyncio.gather(*map(self._accounts.prepare, connectors), return_exceptions=True)
        sides, missing = [], []
        for connector, found in zip(connectors, prepared, strict=True):
            if isinstance(found, AccountSide):
                sides.append((connector, found))
                missing.append(Check("credentials", connector.name, "passed", "an API key and its secret are there"))
            elif isinstance(found, KitError):
                missing.append(Check("credentials", connector.name, "failed", str(found)))
            else:
                raise found
        return (*missing, *(await self._check(sides)))

    async def _put_live(self) -> None:
        """Cancel what rests on paper, then let the connectors trade with their live sides."""
        connectors, before = self._trading(), self._held
        self._held = "the core is going live"
        try:
            for connector in connectors:
                side = connector.side_of("live")
                if side is None or not side.ready:
                    raise NotReady(f"{connector.name}: the live account is not ready any more; arm again")
                if side is not connector.side:
                    resting = counted(len(connector.in_flight_orders), "paper order")
                    self._say(f"cancelling {resting} on {connector.name}")
                    await self._accounts.withdraw(connector, PATIENCE)
            if self._auto.told:
                raise NotReady(f"not live: {self._auto.told}")
            for connector in connectors:
                side = connector.side_of("live")
                assert side is not None
                self._accounts.put_live(connector, side)
        except BaseException:
            self._held = before
            for connector in connectors:
                connector.reopen()
            raise
        finally:
            self._say("")
        self._held = ""
        self._enter(TradingState.LIVE)

    # -- the ways back ---------------------------------------------------------------------------------------------

    async def go_paper(self) -> str:
        """See ``TradingCore.go_paper``."""
        self.abort()
        async with self._core.changing:
            self._require_running()
            for connector in self._trading():
                await self._accounts.prepare_paper(connector)
            return await self._go_back(TradingState.PAPER, "")

    async def go_off(self, reason: str = "") -> str:
        """See ``TradingCore.go_off``."""
        self.abort()
        async with self._core.changing:
            return await self._go_back(TradingState.OFF, reason)

    def disarm(self, cause: str) -> None:
        """Go back by itself, for ``cause``: the strategy is held at once, orders are cancelled behind.

        Does nothing unless the core is live, or armed. For the core's loop.
        """
        self._auto.act(cause, told=True)

    def _hold(self, cause: str) -> None:
        self._held = cause

    async def _back_by_itself(self, cause: str) -> None:
        async with self._core.changing:
            if self._state is TradingState.LIVE:
                both = all(one.side_of("paper") is not None for one in self._trading())
                await self._go_back(TradingState.PAPER if both else TradingState.OFF, cause)

    async def _lay_down(self, cause: str) -> None:
        async with self._core.changing:
            if self._state is TradingState.ARMED:
                await self._put_away()
                self._fall(cause)

    async def _go_back(self, target: TradingState, reason: str) -> str:
        """Cancel everything, ask the exchange, then change; raises ``NotReady`` with nothing changed."""
        before = self._held
        # While off, a live account may hold orders that were placed by hand.
        live = self._state is TradingState.LIVE or any(connector.mode == "live" for connector in self._trading())
        if live or target is TradingState.OFF:
            self._held = reason or _OFF
            try:
                self.last_word = await self._withdraw()
            except NotReady as error:
                self._held = before
                raise self._unconfirmed(error, reason) from None
            except BaseException as error:
                self._held = before
                self._reopen()
                why = "it was interrupted" if isinstance(error, asyncio.CancelledError) else f"it broke: {error!r}"
                self._unconfirmed(NotReady(why), reason)
                raise
        # Without a pause, so that nothing can leave some of the accounts exchanged.
        put_down = {connector: self._accounts.take_back(connector) for connector in self._trading()}
        self._reopen()
        self._held = "" if target is TradingState.PAPER else reason or _OFF
        self._enter(target, reason)
        for connector, side in put_down.items():
            await self._accounts.put_down(connector, side)
        return self.last_word

    def _reopen(self) -> None:
        for connector in self._trading():
            connector.reopen()

    async def _withdraw(self) -> str:
        connectors = [connector for connector in self._trading() if connector.desk is not None]
        count = sum(len(connector.in_flight_orders) for connector in connectors)
        self._say(
            f"cancelling {counted(count, 'order')} on {', '.join(one.name for one in connectors)}" if connectors else ""
        )
        try:
            asked = (self._accounts.withdraw(connector, PATIENCE) for connector in connectors)
            words = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            self._say("")
        for word in words:
            if isinstance(word, BaseException):
                if not isinstance(word, KitError):
                    raise word
                self._reopen()
                raise NotReady("; ".join(map(str, words)))
        return "; ".join(map(str, words))

    def _unconfirmed(self, error: NotReady, reason: str) -> NotReady:
        strategy, state = self._core.strategy, self._state.value
        told = f"{reason}: {error}" if reason else str(error)
        self.last_word = str(error)
        if self._state is TradingState.LIVE:
            if strategy is not None and not strategy.paused:
                strategy.pause(f"going back was not confirmed: {error}; try again with await core.go_off()")
            # Another strategy, which a cell puts in its place, must not go on either.
            self._held = "going back was not confirmed; again: await core.go_off(), or go on: await core.go_live()"
            self._enter(self._state, f"still live: {told}")
        return NotReady(
            f"the core stays {state}: {error}. The cancels go on being asked for, and the strategy is paused; call "
            "again in a moment, or look at the exchange's own page and cancel there"
        )

    async def _put_away(self) -> None:
        for connector in self._trading():
            await self._accounts.put_away(connector)

    def _entered(self) -> None:
        self._auto.follow()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _trading(self) -> list[Connector]:
        return [connector for connector in self._core.connectors.values() if connector.mode != "data"]

    def _require_running(self) -> None:
        if self._core.read_only is not None:
            raise NotReady(str(self._core.read_only))
        if not self._core.running:
            raise NotReady(f"core {self._core.name} does not run; first: await core.start()")

    def _require_armed(self) -> None:
        if self._state is not TradingState.ARMED:
            raise NotReady(f"the core is {self._state.value}, not armed; arm it first: await core.arm()")

    async def _check(self, sides: Sequence[tuple[Connector, AccountSide]]) -> tuple[Check, ...]:
        self.checks = await Preflight(self._core, sides, self._time_source).run()
        return self.checks

    async def _unless_broken_off(self, work: Coroutine[Any, Any, tuple[Check, ...]]) -> tuple[Check, ...]:
        task = self._breakable = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and own.cancelling():
                raise
            raise NotReady(f"the checks of core {self._core.name} were broken off, as it goes back or stops") from None
        finally:
            task.cancel()
            self._breakable = None

    @staticmethod
    def _raise_for_failed(checks: Iterable[Check]) -> None:
        if bad := failed(checks):
            raise NotReady(f"not live, as checks failed: {_named(bad)}")

    def _follow_connectors(self) -> None:
        """Take the state that follows from the connectors' accounts."""
        modes = {connector.mode for connector in self._trading() if not connector.trading_refused}
        if "live" in modes and self._state is TradingState.LIVE:
            self._auto.follow()  # other accounts than before
            self._tell()
        elif "live" in modes:
            self._enter(TradingState.LIVE)
        elif self._state is not TradingState.ARMED or not modes:
            self._enter(TradingState.PAPER if modes else TradingState.OFF)

    def _fall(self, reason: str) -> None:
        """Leave ``ARMED``, or stay where arming failed."""
        if self._state is TradingState.ARMED:
            self._enter(TradingState.OFF if self._held else TradingState.PAPER, reason)
        else:
            self._tell()


_OFF: Final = "trading is off; await core.go_paper() or core.go_live() goes on"
_NOTHING_TRADES: Final = (
    "no connector trades; add one with mode='paper', which can then go live with its key, or with mode='live'"
)


def _is_live(connector: Connector) -> bool:
    return connector.mode == "live" and not connector.trading_refused


def _named(checks: Iterable[Check]) -> str:
    return "; ".join(map(str, checks))

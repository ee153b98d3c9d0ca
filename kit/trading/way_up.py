"""The ways up to live trading: armed once every check passed, live once nothing rests on paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kit.connectors.connector import Connector
from kit.core.naming import counted
from kit.errors import InvalidInput, NotReady
from kit.trading.auto_disarm import AutoDisarm
from kit.trading.checks import Check, failed, named, require_passed
from kit.trading.live_accounts import LiveAccounts
from kit.trading.live_checks import LiveChecks
from kit.trading.switch_board import Standing, TradingState
from kit.trading.switched_core import SwitchedCore, confirmations, live_sides, require_running, trading_connectors
from kit.trading.way_back import PATIENCE, WayBack

_NOTHING_TRADES: Final = (
    "no connector trades; add one with mode='paper', which can then go live with its key, or with mode='live'"
)


class WayUp:
    """Arms a core and takes it live; each way is under the core's lock, and leaves all as it was where it fails."""

    def __init__(
        self,
        core: SwitchedCore,
        stands: Standing,
        accounts: LiveAccounts,
        checks: LiveChecks,
        back: WayBack,
        auto: AutoDisarm,
    ) -> None:
        self._core = core
        self._stands = stands
        self._accounts = accounts
        self._checks = checks
        self._back = back
        self._auto = auto

    def __repr__(self) -> str:
        return f"<WayUp of {self._core.name!r}: {self._stands.state.value}>"

    async def arm(self) -> tuple[Check, ...]:
        """See ``TradingCore.arm``."""
        async with self._core.changing:
            return await self._arm()

    async def go_live(self) -> tuple[Check, ...]:
        """See ``TradingCore.go_live``."""
        async with self._core.changing:
            if self._stands.state is TradingState.LIVE:
                return await self._stay_live()
            if self._stands.state is not TradingState.ARMED:
                require_passed(await self._arm())
            await self._put_live()
            return self._stands.checks

    async def confirm_live(self, text: str) -> tuple[Check, ...]:
        """See ``TradingCore.confirm_live``."""
        self._require_armed()
        known = confirmations(self._core)
        if text.strip().casefold() not in {one.casefold() for one in known}:
            raise InvalidInput(f"type one of {', '.join(known)} to go live, not {text!r}")
        async with self._core.changing:
            self._require_armed()  # somebody may have gone off meanwhile
            await self._put_live()
            return self._stands.checks

    def _require_armed(self) -> None:
        if self._stands.state is not TradingState.ARMED:
            raise NotReady(f"the core is {self._stands.state.value}, not armed; arm it first: await core.arm()")

    async def _stay_live(self) -> tuple[Check, ...]:
        """Go on where going back was asked for and not confirmed, after the checks."""
        stands = self._stands
        require_running(self._core)
        if not stands.held:
            return stands.checks
        if self._auto.going:
            raise NotReady(f"core {self._core.name} is going back by itself: {stands.held}; wait for that")
        await self._checks.require(live_sides(self._core))
        stands.held = ""
        stands.enter(TradingState.LIVE)
        return stands.checks

    async def _arm(self) -> tuple[Check, ...]:
        stands = self._stands
        require_running(self._core)
        if stands.state is TradingState.LIVE:
            return stands.checks
        connectors = trading_connectors(self._core)
        if not connectors:
            stands.checks = (Check("connectors", "", "failed", _NOTHING_TRADES),)
        else:
            await self._prepare(connectors)
        if failed(stands.checks):
            await self._back.put_away()
            stands.fall("" if stands.state is not TradingState.ARMED else named(failed(stands.checks)))
        elif stands.state is TradingState.ARMED:
            stands.begin_anew()  # the time that it is armed for
            self._auto.follow()
            stands.tell()
        else:
            stands.enter(TradingState.ARMED)
        return stands.checks

    async def _prepare(self, connectors: Sequence[Connector]) -> None:
        self._stands.say("preparing " + ", ".join(connector.name for connector in connectors))
        try:
            self._stands.checks = await self._checks.prepare(connectors)
        except NotReady:  # broken off by who puts it away next
            raise
        except BaseException:
            if self._stands.state is not TradingState.ARMED:
                await self._back.put_away()
            raise
        finally:
            self._stands.say("")

    async def _put_live(self) -> None:
        """Cancel what rests on paper, then let the connectors trade with their live sides."""
        stands, connectors = self._stands, trading_connectors(self._core)
        before, stands.held = stands.held, "the core is going live"
        try:
            for connector in connectors:
                await self._make_way(connector)
            if self._auto.told:
                raise NotReady(f"not live: {self._auto.told}")
            for connector in connectors:
                side = connector.side_of("live")
                assert side is not None
                self._accounts.put_live(connector, side)
        except BaseException:
            stands.held = before
            for connector in connectors:
                connector.reopen()
            raise
        finally:
            stands.say("")
        stands.held = ""
        stands.enter(TradingState.LIVE)

    async def _make_way(self, connector: Connector) -> None:
        """Cancel a connector's orders on paper; raises ``NotReady`` where its live account is not ready."""
        side = connector.side_of("live")
        if side is None or not side.ready:
            raise NotReady(f"{connector.name}: the live account is not ready any more; arm again")
        if side is not connector.side:
            resting = counted(len(connector.in_flight_orders), "paper order")
            self._stands.say(f"cancelling {resting} on {connector.name}")
            await self._accounts.withdraw(connector, PATIENCE)

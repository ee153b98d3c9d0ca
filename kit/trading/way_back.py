"""The ways back from live trading: accounts are exchanged once the exchange has said that nothing is open."""

from __future__ import annotations

import asyncio
from typing import Final

from kit.core.naming import counted
from kit.errors import KitError, NotReady
from kit.trading.live_accounts import LiveAccounts
from kit.trading.switch_board import Standing, TradingState
from kit.trading.switched_core import SwitchedCore, require_running, trading_connectors

PATIENCE: Final = 10.0
"""Seconds that an exchange has to confirm the cancels."""

_OFF: Final = "trading is off; await core.go_paper() or core.go_live() goes on"


class WayBack:
    """Takes a core back to paper or off; each way is under the core's lock.

    Where the exchange does not say that nothing is open the state stays as it is, with the reason, and the call raises.
    """

    def __init__(self, core: SwitchedCore, stands: Standing, accounts: LiveAccounts) -> None:
        self._core = core
        self._stands = stands
        self._accounts = accounts

    def __repr__(self) -> str:
        return f"<WayBack of {self._core.name!r}: {self._stands.state.value}>"

    async def go_paper(self) -> str:
        """See ``TradingCore.go_paper``."""
        async with self._core.changing:
            require_running(self._core)
            for connector in trading_connectors(self._core):
                await self._accounts.prepare_paper(connector)
            return await self._go_back(TradingState.PAPER, "")

    async def go_off(self, reason: str) -> str:
        """See ``TradingCore.go_off``."""
        async with self._core.changing:
            return await self._go_back(TradingState.OFF, reason)

    async def by_itself(self, cause: str) -> None:
        """Leave ``LIVE``: for paper where every connector has an account there, else off."""
        async with self._core.changing:
            if self._stands.state is TradingState.LIVE:
                both = all(one.side_of("paper") is not None for one in trading_connectors(self._core))
                await self._go_back(TradingState.PAPER if both else TradingState.OFF, cause)

    async def lay_down(self, cause: str) -> None:
        """Leave ``ARMED``."""
        async with self._core.changing:
            if self._stands.state is TradingState.ARMED:
                await self.put_away()
                self._stands.fall(cause)

    async def put_away(self) -> None:
        """End what was prepared of live accounts that nothing trades with."""
        for connector in trading_connectors(self._core):
            await self._accounts.put_away(connector)

    async def _go_back(self, target: TradingState, reason: str) -> str:
        """Cancel everything, ask the exchange, then change; raises ``NotReady`` with nothing changed."""
        stands = self._stands
        # While off, a live account may hold orders that were placed by hand.
        live = stands.state is TradingState.LIVE or any(one.mode == "live" for one in trading_connectors(self._core))
        if live or target is TradingState.OFF:
            await self._cancel_all(reason)
        # Without a pause, so that nothing can leave some of the accounts exchanged.
        put_down = {connector: self._accounts.take_back(connector) for connector in trading_connectors(self._core)}
        self._reopen()
        stands.held = "" if target is TradingState.PAPER else reason or _OFF
        stands.enter(target, reason)
        for connector, side in put_down.items():
            await self._accounts.put_down(connector, side)
        return stands.last_word

    async def _cancel_all(self, reason: str) -> None:
        stands = self._stands
        before, stands.held = stands.held, reason or _OFF
        try:
            stands.last_word = await self._withdraw()
        except NotReady as error:
            stands.held = before
            raise self._unconfirmed(error, reason) from None
        except BaseException as error:
            stands.held = before
            self._reopen()
            why = "it was interrupted" if isinstance(error, asyncio.CancelledError) else f"it broke: {error!r}"
            self._unconfirmed(NotReady(why), reason)
            raise

    def _reopen(self) -> None:
        for connector in trading_connectors(self._core):
            connector.reopen()

    async def _withdraw(self) -> str:
        stands = self._stands
        connectors = [connector for connector in trading_connectors(self._core) if connector.desk is not None]
        count = sum(len(connector.in_flight_orders) for connector in connectors)
        stands.say(
            f"cancelling {counted(count, 'order')} on {', '.join(one.name for one in connectors)}" if connectors else ""
        )
        try:
            asked = (self._accounts.withdraw(connector, PATIENCE) for connector in connectors)
            words = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            stands.say("")
        for word in words:
            if isinstance(word, BaseException):
                if not isinstance(word, KitError):
                    raise word
                self._reopen()
                raise NotReady("; ".join(map(str, words)))
        return "; ".join(map(str, words))

    def _unconfirmed(self, error: NotReady, reason: str) -> NotReady:
        stands, strategy = self._stands, self._core.strategy
        state = stands.state.value
        told = f"{reason}: {error}" if reason else str(error)
        stands.last_word = str(error)
        if stands.state is TradingState.LIVE:
            if strategy is not None and not strategy.paused:
                strategy.pause(f"going back was not confirmed: {error}; try again with await core.go_off()")
            # Another strategy, which a cell puts in its place, must not go on either.
            stands.held = "going back was not confirmed; again: await core.go_off(), or go on: await core.go_live()"
            stands.enter(stands.state, f"still live: {told}")
        return NotReady(
            f"the core stays {state}: {error}. The cancels go on being asked for, and the strategy is paused; call "
            "again in a moment, or look at the exchange's own page and cancel there"
        )

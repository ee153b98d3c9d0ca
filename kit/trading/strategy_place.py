"""The place of a core's strategy: who takes it, who is taken out of it, and what keeps whoever is there still."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, Protocol

from kit.connectors.connector import Connector
from kit.core.affinity import LoopAffinity
from kit.core.clock import Clock, ClockMode
from kit.errors import NotReady, StrategyError
from kit.strategy.strategy_base import StrategyBase
from kit.trading.clock_members import ClockMembers
from kit.trading.log_feed import CoreLog
from kit.trading.swap import OrdersChoice, StrategySwap
from kit.trading.switch import LiveSwitch

logger = logging.getLogger(__name__)

MAX_STRATEGY_ERRORS: Final = 3
"""Ticks in a row in which a strategy may throw before it is paused and its orders are cancelled."""


class PlacingCore(Protocol):
    """What is asked of a core that has a place for a strategy."""

    name: str
    clock: Clock
    affinity: LoopAffinity
    switch: LiveSwitch

    @property
    def running(self) -> bool:
        """Tell whether the clock ticks."""
        ...

    @property
    def connectors(self) -> Mapping[str, Connector]:
        """Return the connectors by name."""
        ...


class StrategyPlace:
    """Holds the strategy of a core; ``members`` are told when another one takes its place.

    For the core's loop, but for ``halt``.
    """

    def __init__(self, core: PlacingCore, members: ClockMembers, core_log: CoreLog) -> None:
        self._core = core
        self._members = members
        self._core_log = core_log
        self._swap = StrategySwap()
        self._strategy: StrategyBase | None = None

    @property
    def strategy(self) -> StrategyBase | None:
        """Return who is in it."""
        return self._strategy

    @property
    def unattended(self) -> tuple[str, ...]:
        """Return the client order ids of orders that a swap left on an exchange with nobody to look after them."""
        return self._swap.unattended

    def __repr__(self) -> str:
        strategy = self._strategy.name if self._strategy else "no strategy"
        return f"<StrategyPlace of {self._core.name!r}: {strategy}>"

    # -- who is in it ----------------------------------------------------------------------------------------------

    def assign(self, strategy: StrategyBase | None) -> None:
        """Put a strategy in, as ``core.strategy = …`` does."""
        self.swap(strategy, self._swap.choice(self._strategy, strategy))

    def swap(self, strategy: StrategyBase | None, orders: OrdersChoice = "cancel") -> tuple[str, ...]:
        """See ``TradingCore.swap_strategy``."""
        core, previous = self._core, self._strategy
        if strategy is previous:
            return ()
        if core.running:
            self.check_markets(strategy)
        if strategy is not None:
            strategy.live_on(core.affinity)
            strategy.health.on_failed_tick = self._on_failed_tick
            strategy.gate = core.switch.gate if core.clock.mode is ClockMode.REALTIME else None
        if previous is not None:
            previous.health.on_failed_tick = previous.gate = None

        def exchange() -> None:
            self._strategy = strategy
            self._members.sync()

        with self._core_log.here():
            return self._swap.carry_out(previous, strategy, orders, exchange)

    def check_markets(self, strategy: StrategyBase | None) -> None:
        """Raise ``NotReady`` for a strategy with a market that is none of the core's."""
        for market in strategy.markets if strategy is not None else ():
            if isinstance(market, Connector) and market not in self._core.connectors.values():
                raise NotReady(
                    f"{market.name}, the market of {strategy}, is closed or belongs to another core; "
                    f"make the strategy anew with the market that add_connector returns"
                )

    def let_go(self, connector: Connector) -> None:
        """Take out a strategy whose market is about to be removed under it: it would place orders meanwhile."""
        if (
            self._core.running
            and self._strategy is not None
            and connector in self._strategy.markets
            and connector.mode != "data"
        ):
            logger.warning("%s is taken out, as its market %s is removed", self._strategy.name, connector.name)
            self.swap(None)

    # -- what it is told -------------------------------------------------------------------------------------------

    def live_on(self, affinity: LoopAffinity) -> None:
        """Tell the strategy the loop that the core lives on from now on."""
        if self._strategy is not None:
            self._strategy.live_on(affinity)

    def account_changed(self, connector: Connector) -> None:
        """Tell the strategy that one of its markets trades with another account from now on."""
        if self._strategy is not None and connector in self._strategy.markets:
            self._strategy.account_changed(connector)

    def cancel_all(self) -> None:
        """Cancel the strategy's orders."""
        if self._strategy is not None:
            self._strategy.cancel_all()

    def halt(self, reason: str) -> None:
        """Keep the strategy from placing orders, from any thread."""
        if self._strategy is not None and not self._strategy.paused:
            self._strategy.pause(f"{reason}; resume() goes on")

    def _on_failed_tick(self, error: StrategyError) -> None:
        strategy = self._strategy
        if strategy is None or strategy.paused or strategy.consecutive_errors < MAX_STRATEGY_ERRORS:
            return
        logger.error(
            "%s failed in %d ticks in a row and is paused, its orders are cancelled. Mend it and call resume(), or "
            "assign another strategy. Last error: %s",
            strategy.name,
            strategy.consecutive_errors,
            error,
        )
        strategy.pause(str(error))
        strategy.cancel_all()
        self._core.switch.disarm(
            f"{strategy.name} was paused after {strategy.consecutive_errors} failed ticks: {error}"
        )

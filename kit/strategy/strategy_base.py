"""The base of every strategy: parameters, life, and what happens when it fails."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from kit.core.clock import Clock
from kit.core.naming import counted
from kit.errors import InvalidInput, StrategyError
from kit.strategy.live_params import LiveParams, apply_pending, start_queueing, stop_queueing
from kit.strategy.market_api import Market
from kit.strategy.order_placing import OrderPlacing
from kit.strategy.own_orders import OwnOrder
from kit.strategy.params import Params as BaseParams
from kit.strategy.strategy_health import StrategyHealth
from kit.strategy.strategy_hooks import StrategyHooks, check_hooks
from kit.types.drawn import Drawn

logger = logging.getLogger(__name__)

READINESS_WARNING_SECONDS: Final = 900.0
"""How often a strategy says that it waits for a market."""


class StrategyBase(Drawn, StrategyHooks, OrderPlacing):
    """A strategy: a child of the clock that reads markets, places orders and hears what becomes of them.

    ``StrategyBase(market, trading_pair, name=…, **parameters)``: the market and pair that ``buy`` and ``sell`` use
    unless told otherwise (the pair may be left out where the market streams one), and the parameters, which are the
    fields of the nested class ``Params``. Raises ``InvalidInput`` or ``UnknownPair`` before anything runs.

    A subclass overrides hooks (see ``StrategyHooks``). ``params`` reads and changes parameters, also while it runs
    (see ``LiveParams``). ``health`` counts failures: a hook's exception is never swallowed but logged, counted, and
    kept as ``health.last_error``. While ``paused``, ticks pass by without ``on_tick``; events are still heard.
    """

    Params: ClassVar[type[BaseParams]] = BaseParams

    made_with: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    """The arguments of the constructor."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note what a strategy is made with, whatever ``__init__`` a subclass has."""
        strategy = super().__new__(cls)
        strategy.made_with = (args, kwargs)
        return strategy

    def __init__(
        self,
        market: Market | None = None,
        trading_pair: str | None = None,
        *,
        name: str | None = None,
        params: BaseParams | Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(name)
        self.params: Final = LiveParams(self._read_params(params, parameters))
        self.health: Final = StrategyHealth(self.name)
        self._waiting_since_warning = -math.inf
        self._taken_in: tuple[StrategyBase, tuple[OwnOrder, ...]] | None = None
        self._router.on_error = lambda error: self.health.hook_failed(error, self.current_timestamp)
        if market is not None:
            self.add_market(market, trading_pair)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_hooks(cls)
        parent = next(base for base in cls.__mro__[1:] if "Params" in vars(base))
        if not (isinstance(cls.Params, type) and issubclass(cls.Params, vars(parent)["Params"])):
            written = "kit.Params" if parent is StrategyBase else f"{parent.__name__}.Params"
            raise InvalidInput(
                f"{cls.__name__}.Params must extend the parameters that {cls.__name__} inherits; write "
                f"'class Params({written}):' inside {cls.__name__}"
            )

    def _read_params(self, given: BaseParams | Mapping[str, Any] | None, more: Mapping[str, Any]) -> BaseParams:
        if isinstance(given, BaseParams):
            if not isinstance(given, self.Params):
                raise InvalidInput(
                    f"params are {type(given).__qualname__}, but {type(self).__name__} takes {self.Params.__qualname__}"
                )
            return given.evolve(**more) if more else given
        return self.Params(**{**(given or {}), **more})

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self, clock: Clock, timestamp: float) -> None:
        """Begin: called by the clock. Orders left from an earlier run are matched with what is still in flight."""
        super().start(clock, timestamp)
        start_queueing(self.params)
        self.health.reset()
        self._orders.reconcile(timestamp)
        self._router.attach(self.markets)
        try:
            self.on_start(timestamp)
            if self._taken_in is not None:
                self._take_in(*self._taken_in)
                self._taken_in = None
        except BaseException as error:
            self.pause(f"on_start failed: {type(error).__name__}: {error}")
            self.cancel_all()
            self._detach(clock)  # a clock leaves out of its run what fails to start, and never stops it
            raise

    def can_adopt(self, order: OwnOrder) -> bool:
        """Tell whether an order of another strategy could be one of this one's: it must hear of it."""
        return order.market in self.markets

    def adopted(self, previous: StrategyBase, orders: tuple[OwnOrder, ...]) -> None:
        """Note orders that were handed over; see ``kit.strategy.handover``."""
        self._taken_in = (previous, orders)

    def _take_in(self, previous: StrategyBase, orders: tuple[OwnOrder, ...]) -> None:
        """Fit adopted orders into what the strategy keeps of its own, after ``on_start``."""

    def stop(self, clock: Clock) -> None:
        """End: called by the clock. Open orders stay; the core that stops the strategy cancels them."""
        try:
            self.on_stop()
        finally:
            self._detach(clock)

    def _detach(self, clock: Clock) -> None:
        self._router.detach()
        stop_queueing(self.params)
        super().stop(clock)

    def tick(self, timestamp: float) -> None:
        """Run one tick: apply queued parameters, then act if every market is ready and nothing is paused."""
        super().tick(timestamp)
        self._orders.forget(timestamp)
        try:
            applied = apply_pending(self.params)
            if applied is not None:
                self.on_params_changed(*applied)
            if self.paused or self.held:
                return
            self._act(timestamp)
        except Exception as error:
            failure = self.health.tick_failed(error, timestamp)
            if isinstance(error, StopIteration):  # a stray next() must not look like the clock's sign to end the run
                raise failure from error
            raise
        self.health.tick_passed()

    def _act(self, timestamp: float) -> None:
        for market in self.markets:
            if not market.ready:
                self._warn_not_ready(timestamp)
                self.on_not_ready(timestamp)
                return
        self._waiting_since_warning = -math.inf
        self.on_tick(timestamp)

    def _warn_not_ready(self, timestamp: float) -> None:
        if timestamp - self._waiting_since_warning >= READINESS_WARNING_SECONDS:
            self._waiting_since_warning = timestamp
            waiting = ", ".join(market.name for market in self.markets if not market.ready)
            logger.warning(
                "%s waits: not ready: %s; see the status of the market for what is missing", self.name, waiting
            )

    def account_changed(self, market: Market) -> None:
        """Call ``on_account_changed``: the core tells that a market trades with another account from now on."""
        try:
            self.on_account_changed(market)
        except Exception as error:  # the account is exchanged, whatever the hook makes of it
            self.health.hook_failed(error, self.current_timestamp)
            logger.exception("on_account_changed of %s threw", self.name)

    def pause(self, reason: str = "") -> None:
        """Stop calling ``on_tick`` until ``resume``. Orders stay as they are; ``cancel_all`` removes them."""
        self.paused = True
        self.pause_reason = reason

    def resume(self) -> None:
        """Act again from the next tick on; the row of failed ticks starts anew."""
        self._affinity.run_sync(self._resume)

    def _resume(self) -> None:
        self.paused = False
        self.pause_reason = ""
        self.health.reset()

    @property
    def consecutive_errors(self) -> int:
        """Return the failed ticks in a row."""
        return self.health.consecutive_errors

    @property
    def last_error(self) -> StrategyError | None:
        """Return the last exception of a tick or hook, with the original as its ``__cause__``."""
        return self.health.last_error

    def __repr__(self) -> str:
        state = f"paused: {self.pause_reason}" if self.paused else "running" if self.clock is not None else "stopped"
        places = ", ".join(market.name for market in self.markets) or "no market"
        orders = counted(len(still_in_flight(self)), "order")
        return f"<{self.name} on {places} {self._trading_pair or ''} {state}, {orders}>"


def still_in_flight(strategy: StrategyBase) -> tuple[OwnOrder, ...]:
    """Return the active orders; of a strategy that runs no more and hears no events those that its markets know."""
    orders = strategy.active_orders
    if strategy.clock is not None:
        return orders
    return tuple(order for order in orders if order.client_order_id in order.market.in_flight_orders)

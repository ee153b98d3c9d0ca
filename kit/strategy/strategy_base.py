"""The base of every strategy: markets, parameters, own orders, events."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Final

from kit.connectors.pairs import normalize_pair
from kit.core.clock import Clock
from kit.core.time_iterator import TimeIterator
from kit.errors import InvalidInput, NotReady, StrategyError, UnknownPair
from kit.strategy.event_router import EventRouter
from kit.strategy.live_params import LiveParams, apply_pending, start_queueing, stop_queueing
from kit.strategy.market_api import Market
from kit.strategy.own_orders import OwnOrder, OwnOrders
from kit.strategy.params import Params as BaseParams
from kit.strategy.strategy_health import StrategyHealth
from kit.strategy.strategy_hooks import StrategyHooks
from kit.types.orders import OrderType, TimeInForce

logger = logging.getLogger(__name__)

CANCEL_RETRY_SECONDS: Final = 10.0
"""How long a cancel that got no answer is waited for before the strategy asks again."""

READINESS_WARNING_SECONDS: Final = 900.0
"""How often a strategy says that it waits for a market."""

_NAN: Final = Decimal("NaN")


class StrategyBase(StrategyHooks, TimeIterator):
    """A strategy: a child of the clock that reads markets, places orders and hears what becomes of them.

    ``StrategyBase(market, trading_pair, name=…, **parameters)``: the market and pair that ``buy`` and ``sell`` use
    unless told otherwise (the pair may be left out where the market streams one), and the parameters, which are the
    fields of the nested class ``Params``. Raises ``InvalidInput`` or ``UnknownPair`` before anything runs.

    A subclass overrides hooks (see ``StrategyHooks``). ``params`` reads and changes parameters, also while it runs
    (see ``LiveParams``). ``health`` counts failures: a hook's exception is never swallowed but logged, counted, and
    kept as ``health.last_error``. While ``paused``, ticks pass by without ``on_tick``; events are still heard.
    """

    Params: ClassVar[type[BaseParams]] = BaseParams

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
        self.paused = False
        self.pause_reason = ""
        self.markets: tuple[Market, ...] = ()
        self._trading_pair: str | None = None
        self._waiting_since_warning = -math.inf
        self._orders: Final = OwnOrders()
        self._router: Final = EventRouter(self, self._orders, lambda: self.current_timestamp)
        self._router.on_error = lambda error: self.health.hook_failed(error, self.current_timestamp)
        if market is not None:
            self.add_market(market, trading_pair)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not (isinstance(cls.Params, type) and issubclass(cls.Params, BaseParams)):
            raise InvalidInput(
                f"{cls.__name__}.Params must be a class derived from kit.Params; write "
                f"'class Params(kit.Params):' inside {cls.__name__}"
            )

    def _read_params(self, given: BaseParams | Mapping[str, Any] | None, more: Mapping[str, Any]) -> BaseParams:
        if isinstance(given, BaseParams):
            if not isinstance(given, self.Params):
                raise InvalidInput(
                    f"params are {type(given).__qualname__}, but {type(self).__name__} takes {self.Params.__qualname__}"
                )
            return given.evolve(**more) if more else given
        return self.Params(**{**(given or {}), **more})

    # -- markets ---------------------------------------------------------------------------------------------------

    def add_market(self, market: Market, trading_pair: str | None = None) -> None:
        """Trade on one more market; the first one is the default, with ``trading_pair`` as the default pair."""
        if market in self.markets:
            return
        pair = self._choose_pair(market, trading_pair)
        if not self.markets:
            self._trading_pair = pair
        self.markets = (*self.markets, market)
        if self.clock is not None:
            self._router.attach((market,))

    @staticmethod
    def _choose_pair(market: Market, trading_pair: str | None) -> str | None:
        pairs = market.trading_pairs
        if trading_pair is None:
            return pairs[0] if len(pairs) == 1 else None
        pair = normalize_pair(trading_pair)
        if pair not in pairs:
            raise UnknownPair(f"{market.name} does not stream {pair}; it streams {', '.join(pairs) or 'nothing'}")
        return pair

    @property
    def market(self) -> Market:
        """Return the default market; raises ``InvalidInput`` where none was given."""
        if not self.markets:
            raise InvalidInput(f"{self.name} has no market; give one: {type(self).__name__}(market, 'BTC/USDT')")
        return self.markets[0]

    @property
    def trading_pair(self) -> str:
        """Return the default pair; raises ``InvalidInput`` where none was given."""
        if self._trading_pair is None:
            pairs = ", ".join(self.market.trading_pairs)
            raise InvalidInput(f"{self.name} has no default pair and {self.market.name} streams several: {pairs}")
        return self._trading_pair

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
        except BaseException:
            self._detach(clock)  # a clock leaves out of its run what fails to start, and never stops it
            raise

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
            if self.paused:
                return
            self._act(timestamp)
        except StopIteration:
            raise  # the clock's sign to end the run
        except Exception as error:
            self.health.tick_failed(error, timestamp)
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

    def pause(self, reason: str = "") -> None:
        """Stop calling ``on_tick`` until ``resume``. Orders stay as they are; ``cancel_all`` removes them."""
        self.paused = True
        self.pause_reason = reason

    def resume(self) -> None:
        """Act again from the next tick on; the row of failed ticks starts anew."""
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

    # -- orders ----------------------------------------------------------------------------------------------------

    @property
    def active_orders(self) -> tuple[OwnOrder, ...]:
        """Return this strategy's orders that rest, or may rest, on an exchange, in order of placement."""
        return self._orders.active

    @property
    def active_buys(self) -> tuple[OwnOrder, ...]:
        """Return the active buy orders in order of placement."""
        return self._orders.buys

    @property
    def active_sells(self) -> tuple[OwnOrder, ...]:
        """Return the active sell orders in order of placement."""
        return self._orders.sells

    def order(self, order_id: str) -> OwnOrder | None:
        """Return an own order by client order id: active, or ended less than 180 s ago."""
        return self._orders.get(order_id)

    def order_age(self, order: OwnOrder) -> float:
        """Return the seconds since the tick in which the order was placed."""
        return self.current_timestamp - order.creation_timestamp

    def buy(
        self,
        amount: Decimal | str | int | float,
        price: Decimal | str | int | float | None = None,
        order_type: OrderType = OrderType.LIMIT,
        *,
        market: Market | None = None,
        trading_pair: str | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        level: int | None = None,
    ) -> str:
        """Place a buy order of ``amount`` base at ``price`` quote; return its client order id at once.

        The market rounds both down to its steps. ``level`` is a note of the strategy's own. Raises ``InvalidInput``
        for what the market cannot take and ``NotReady`` while the strategy does not run, before anything is sent.
        """
        return self._place(True, amount, price, order_type, market, trading_pair, time_in_force, level)

    def sell(
        self,
        amount: Decimal | str | int | float,
        price: Decimal | str | int | float | None = None,
        order_type: OrderType = OrderType.LIMIT,
        *,
        market: Market | None = None,
        trading_pair: str | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        level: int | None = None,
    ) -> str:
        """Place a sell order; as ``buy``."""
        return self._place(False, amount, price, order_type, market, trading_pair, time_in_force, level)

    def _place(
        self,
        is_buy: bool,
        amount: Any,
        price: Any,
        order_type: OrderType,
        market: Market | None,
        trading_pair: str | None,
        time_in_force: TimeInForce,
        level: int | None,
    ) -> str:
        if self.clock is None:
            raise NotReady(f"{self.name} does not run, so it would not hear of its orders; start the core first")
        market = market or self.market
        pair = self.trading_pair if trading_pair is None else normalize_pair(trading_pair)
        if market not in self.markets:
            raise InvalidInput(f"{self.name} does not listen to {market.name}; call add_market(market) first")
        size = amount if type(amount) is Decimal else _exact("amount", amount)
        limit = price if type(price) is Decimal or price is None else _exact("price", price)
        send = market.buy if is_buy else market.sell
        order = self._router.place(
            lambda: send(pair, size, order_type, limit, time_in_force=time_in_force),
            lambda order_id: OwnOrder(
                order_id,
                market,
                pair,
                is_buy,
                _NAN if limit is None else limit,
                size,
                order_type,
                self.current_timestamp,
                level,
            ),
        )
        return order.client_order_id

    def cancel(self, order_id: str) -> bool:
        """Ask to cancel an own order; tell whether a request was sent.

        Nothing is sent for an order that ended, or whose cancel is under way for less than 10 s. The exchange's word
        comes as ``did_cancel_order``. Raises ``InvalidInput`` for an id that is not this strategy's.
        """
        order = self._orders.get(order_id)
        if order is None:
            raise InvalidInput(f"{order_id!r} is no order of {self.name}; its active orders are in active_orders")
        asked = order.cancel_requested_at
        now = self.current_timestamp
        if order.ended_at is not None or (asked is not None and now - asked < CANCEL_RETRY_SECONDS):
            return False
        order.market.cancel(order.trading_pair, order_id)
        order.cancel_requested_at = now
        return True

    def cancel_all(self) -> int:
        """Ask to cancel every active order of this strategy; return how many requests were sent."""
        return sum(self.cancel(order.client_order_id) for order in self.active_orders)

    def __repr__(self) -> str:
        state = f"paused: {self.pause_reason}" if self.paused else "running" if self.clock is not None else "stopped"
        places = ", ".join(market.name for market in self.markets) or "no market"
        return f"<{self.name} on {places} {self._trading_pair or ''} {state}, {len(self.active_orders)} orders>"


def _exact(name: str, value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise InvalidInput(
            f"{name} is {value!r}, which is no number; give a Decimal or a text such as '0.01'"
        ) from None

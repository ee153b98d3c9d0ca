"""Pure market making: buy and sell orders at fixed distances from a reference price, replaced in a cycle."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, cast

from kit.strategy.cancel_rules import may_stay, over_age, too_near
from kit.strategy.explanation import Explanation, explain, verdict
from kit.strategy.hanging_orders import HangingOrders
from kit.strategy.market_api import Market
from kit.strategy.market_making_inputs import MarketMakingInputs
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.market_making_stages import STAGES, MarketMakingContext, Stage
from kit.strategy.market_making_status import MarketMakingStatus, market_making_status
from kit.strategy.own_orders import OwnOrder
from kit.strategy.params import Params as BaseParams
from kit.strategy.price_sources import PriceSource, as_price_source
from kit.strategy.proposal import EMPTY, Proposal
from kit.strategy.refresh_timers import RefreshTimers
from kit.strategy.strategy_base import StrategyBase
from kit.strategy.tick_record import CancelReason, Outcome, TickRecord, stage_name
from kit.types.events import BuyOrderCompletedEvent, Event, OrderFilledEvent
from kit.types.orders import OrderType

logger = logging.getLogger(__name__)


class PureMarketMaking(StrategyBase):
    """Quote both sides of one pair around a reference price.

    ``PureMarketMaking(market, "BTC/USDT", bid_spread="0.001", ask_spread="0.001", order_amount="0.01")``; the other
    parameters, and what each was called in the reference, are in ``PureMarketMakingParams``. ``price_source`` is where
    the reference price comes from, if not from the market itself: another market, ``(market, pair)``, a URL, a function
    without arguments or a ``PriceSource``.

    Each tick, where placing is due, a proposal runs through ``stages`` (see ``kit.strategy.market_making_stages``; a
    subclass may replace them). Then orders that are too old, too near, or due for replacement and not within the
    tolerance, are cancelled; when no quote is left, all buys and then all sells are placed. ``explain()`` tells what
    came of the last tick and why. Without a reference price, or while the market is not ready, nothing is quoted and
    resting orders are cancelled.
    """

    Params: ClassVar[type[BaseParams]] = PureMarketMakingParams

    stages: ClassVar[Sequence[Stage]] = STAGES

    def __init__(
        self,
        market: Market,
        trading_pair: str | None = None,
        *,
        name: str | None = None,
        params: BaseParams | Mapping[str, Any] | None = None,
        price_source: Any = None,
        **parameters: Any,
    ) -> None:
        super().__init__(market, trading_pair, name=name, params=params, **parameters)
        self._market: Final = market
        self._pair: Final = self.trading_pair
        self._inputs: Final = MarketMakingInputs(market, self._pair)
        self._inputs.prices.source = as_price_source(price_source)
        self._timers: Final = RefreshTimers()
        self._hanging: Final = HangingOrders()
        self._record = TickRecord(self.current_timestamp, self._timers, Outcome.NO_TICK)
        self._proposed: TickRecord | None = None
        self._missing_price = False
        self._nothing_to_quote = False
        self._looks_back = True
        self._router.observers.append(self._order_changed)

    # -- the tick --------------------------------------------------------------------------------------------------

    def on_start(self, timestamp: float) -> None:
        """Begin with fresh timers: orders may be placed on the first tick."""
        self._timers.reset()
        self._hanging.release()
        self._inputs.forget()
        self._proposed = None
        self._looks_back = True
        self._record = TickRecord(timestamp, self._timers, Outcome.NO_TICK)
        source = self.price_source
        if source is not None and self.clock is not None:
            source.start(self.clock)

    def on_stop(self) -> None:
        """End the price source's task."""
        if self.price_source is not None:
            self.price_source.stop()

    def on_params_changed(self, old: BaseParams, new: BaseParams) -> None:  # noqa: ARG002
        """Forget the state of what was switched off."""
        params = cast("PureMarketMakingParams", new)
        if not params.hanging_orders_enabled:
            self._hanging.release()
        self._inputs.forget(params)

    def on_tick(self, timestamp: float) -> None:
        """Build, tend what hangs, cancel, place: in this order (§2.2 of the reference's description)."""
        record = self._record = TickRecord(timestamp, self._timers)
        params = self._applied
        if self._looks_back:
            self._look_back(params)
        reference = record.reference = self.reference_price()
        if reference is None:
            self._withdraw_without_price(record)
            return
        self._missing_price = False
        proposal = self._propose(reference, record) if self._timers.create_at <= timestamp else None
        if self._hanging:
            self._tend_hanging(reference, params, record)
        if self.active_orders:
            self._cancel_quotes(proposal, reference, params, record)
        record.outcome = self._obstacle(proposal, params, record)
        if proposal is not None and record.outcome in (Outcome.PLACED, Outcome.NOTHING_LEFT):
            self._place_all(proposal, params, record)

    def on_not_ready(self, timestamp: float) -> None:
        """Withdraw: a stale book or a silent private stream is nothing to leave orders on."""
        record = self._record = TickRecord(timestamp, self._timers)
        record.outcome = Outcome.NOT_READY
        record.problem = ", ".join(market.name for market in self.markets if not market.ready)
        self._withdraw(record)

    @property
    def _applied(self) -> PureMarketMakingParams:
        # A subclass's Params extend these; StrategyBase sees to that.
        return cast("PureMarketMakingParams", self.params.model)

    @property
    def price_source(self) -> PriceSource | None:
        """The source of the reference price, ``None`` for the market itself; may be set while it runs."""
        return self._inputs.prices.source

    @price_source.setter
    def price_source(self, source: Any) -> None:
        new, old = as_price_source(source), self.price_source
        if self.clock is not None:
            if new is not None:
                new.start(self.clock)
            if old is not None:
                old.stop()
        self._inputs.prices.source = new

    def reference_price(self) -> Decimal | None:
        """Return the price that spreads are measured from, in quote; ``None`` where there is none (formula 1)."""
        return self._inputs.prices.reference(self._applied, self.current_timestamp)

    def _look_back(self, params: PureMarketMakingParams) -> None:
        """On the first tick with a ready market: adopt orders found open, learn what the inventory cost."""
        self._looks_back = False
        if params.hanging_orders_enabled:
            self._orders.adopt(self._market, self._pair, self.current_timestamp)
            for order in self.active_orders:
                self._hanging.add(order)
        cost = self._inputs.prices.cost
        if params.inventory_price is not None and cost.price is None:
            cost.seed(self._market.get_balance(self._inputs.assets[0]), params.inventory_price)

    def _withdraw_without_price(self, record: TickRecord) -> None:
        record.outcome = Outcome.NO_PRICE
        record.problem = self._inputs.prices.problem
        if not self._missing_price:
            self._missing_price = True
            logger.warning(
                "%s: no reference price for %s: %s; quotes are withdrawn until it is back",
                self.name,
                self._pair,
                record.problem,
            )
        self._withdraw(record)

    def _withdraw(self, record: TickRecord) -> None:
        if self.active_orders:
            self._cancel(self.active_orders, CancelReason.WITHDRAWN, record)
            self._timers.withdrawn(record.timestamp)

    # -- the proposal ----------------------------------------------------------------------------------------------

    def _propose(self, reference: Decimal, record: TickRecord) -> Proposal:
        self._inputs.advance(self._applied, reference, record.timestamp)
        context = record.context = self.context(reference, record.timestamp)
        self._proposed = record
        proposal = EMPTY
        trail = record.trail
        for stage in self.stages:
            proposal = stage(proposal, context)
            trail.append((stage, proposal))
        return proposal

    @property
    def trail(self) -> tuple[tuple[str, Proposal], ...]:
        """Return what each stage made of the last tick's proposal: (name of the stage, proposal after it)."""
        return tuple((stage_name(stage), proposal) for stage, proposal in self._record.trail)

    @property
    def trail_context(self) -> MarketMakingContext | None:
        """Return what the stages of the last tick saw; ``None`` where nothing was proposed."""
        return self._record.context

    def _verdict(self) -> str:
        return verdict(self, self._record, self._proposed, len(self.hanging_orders))

    def explain(self) -> Explanation:
        """Tell why it quotes what it quotes, or does not: a sentence, and the last proposal stage by stage."""
        return explain(self._verdict(), self._record, self._proposed)

    @property
    def status(self) -> MarketMakingStatus:
        """Return markets, assets, inventory skew and orders as DataFrames that draw themselves."""
        record = self._record
        context = None if record.reference is None else self.context(record.reference, record.timestamp)
        return market_making_status(
            self._verdict(),
            self._market,
            self._pair,
            self._inputs,
            context,
            self.active_orders,
            self.hanging_orders,
            record.timestamp,
        )

    def context(self, reference: Decimal, timestamp: float) -> MarketMakingContext:
        """Gather what the stages of this tick may see."""
        params = self._applied
        return self._inputs.context(params, reference, timestamp, self.active_orders, self._staying(params))

    def _staying(self, params: PureMarketMakingParams) -> frozenset[str]:
        """Return the ids of orders whose funds are not free for new ones: they hang, will hang, or still rest."""
        hanging = self._hanging
        stay = [*hanging.orders, *hanging.candidates] if hanging else []
        if not params.should_wait_order_cancel_confirmation:
            stay += [order for order in self.active_orders if order.is_cancelling]
        return frozenset([order.client_order_id for order in stay])

    # -- orders out ------------------------------------------------------------------------------------------------

    @property
    def hanging_orders(self) -> tuple[OwnOrder, ...]:
        """Return the active orders that hang."""
        return self._hanging.orders

    def _tend_hanging(self, reference: Decimal, params: PureMarketMakingParams, record: TickRecord) -> None:
        hanging = self._hanging
        far = hanging.far_from(reference, params.hanging_orders_cancel_pct)
        self._cancel(far, CancelReason.HANGING_FAR, record)
        old = hanging.over_age(record.timestamp, params.max_order_age)
        hanging.renew(old)
        self._cancel(old, CancelReason.HANGING_OLD, record)
        for order in hanging.take_renewals():
            place = self.buy if order.is_buy else self.sell
            anew = place(order.remaining, order.price, self._order_type(params), level=order.level)
            hanging.add(*self._orders.named([anew]))
            record.placed += 1
        hanging.prune()

    def _cancel(self, orders: Iterable[OwnOrder], reason: CancelReason, record: TickRecord) -> None:
        sent = sum([self.cancel(order.client_order_id) for order in orders])
        if sent:
            record.cancels.append((reason, sent))

    def _quotes(self) -> tuple[OwnOrder, ...]:
        return self._hanging.others(self.active_orders)

    def _cancel_quotes(
        self, proposal: Proposal | None, reference: Decimal, params: PureMarketMakingParams, record: TickRecord
    ) -> None:
        now = record.timestamp
        self._cancel(over_age(self._quotes(), now, params.max_order_age), CancelReason.OVER_AGE, record)
        quotes = self._quotes()
        if quotes and self._timers.cancel_at <= now and not may_stay(quotes, proposal, params.order_refresh_tolerance):
            self._hanging.convert()
            self._cancel(self._quotes(), CancelReason.DUE, record)
        # Where the tolerance kept them the timers stay as they are: from now on every tick compares again.
        self._cancel(too_near(self._quotes(), reference, params.minimum_spread), CancelReason.NEAR, record)

    def _obstacle(self, proposal: Proposal | None, params: PureMarketMakingParams, record: TickRecord) -> Outcome:
        """Return why nothing may be placed now, or ``PLACED``."""
        timers = self._timers
        if proposal is None:
            return Outcome.PAUSE_AFTER_FILL if timers.hold_until >= timers.create_at else Outcome.RESTING
        orders = self.active_orders
        if orders:
            waits = params.should_wait_order_cancel_confirmation
            if waits and any(order.is_cancelling for order in orders):
                return Outcome.CANCELS_UNCONFIRMED
            candidates = self._hanging.candidates
            if any(not order.is_cancelling and order not in candidates for order in self._quotes()):
                return Outcome.KEPT if timers.cancel_at <= record.timestamp else Outcome.QUOTES_REST
        if timers.create_at >= record.timestamp:
            return Outcome.JUST_DUE
        return Outcome.NOTHING_LEFT if proposal.is_empty else Outcome.PLACED

    def _place_all(self, proposal: Proposal, params: PureMarketMakingParams, record: TickRecord) -> None:
        self._tell_when_nothing_to_quote(record)
        order_type = self._order_type(params)
        buys: list[str] = []
        sells: list[str] = []
        try:
            for place, entries, placed in ((self.buy, proposal.buys, buys), (self.sell, proposal.sells, sells)):
                for entry in entries:
                    placed.append(place(entry.size, entry.price, order_type, level=entry.level))
        finally:
            # Also where the market refused one of them: the others rest now and live by the timers.
            if buys or sells:
                record.placed += len(buys) + len(sells)
                self._timers.placed(record.timestamp, params.order_refresh_time)
            if params.hanging_orders_enabled:
                self._hanging.pair(self._orders.named(buys), self._orders.named(sells))

    def _order_type(self, params: PureMarketMakingParams) -> OrderType:
        rule = self._inputs.rule
        posts_only = rule is None or rule.supports_limit_maker_orders
        return OrderType.LIMIT_MAKER if posts_only and not params.take_if_crossed else OrderType.LIMIT

    def _tell_when_nothing_to_quote(self, record: TickRecord) -> None:
        empty = record.outcome is Outcome.NOTHING_LEFT
        if empty and not self._nothing_to_quote:
            logger.warning(
                "%s: nothing to quote; the stage that left nothing over is %s", self.name, record.emptied_by or "none"
            )
        self._nothing_to_quote = empty

    # -- events in -------------------------------------------------------------------------------------------------

    def _order_changed(self, order: OwnOrder, event: Event) -> None:
        if isinstance(event, OrderFilledEvent):
            self._inputs.prices.cost.fill(event, *self._inputs.assets)
        elif isinstance(event, BuyOrderCompletedEvent) and not self._hanging.holds(order):  # the sell's is one, too
            params = self._applied
            self._timers.filled(self.current_timestamp, params.filled_order_delay)
            self._inputs.prices.last_own_trade = order.price
            if params.ping_pong_enabled:
                self._inputs.ping_pong.filled(order.is_buy)

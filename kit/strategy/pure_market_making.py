"""Pure market making: buy and sell orders at fixed distances from a reference price, replaced in a cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, cast

from kit.core.clock import Clock
from kit.errors import KitError
from kit.strategy.cancel_rules import may_stay, over_age, short_lived, too_near
from kit.strategy.hanging_orders import HangingOrders
from kit.strategy.live_params import check_with, latest
from kit.strategy.market_api import Market
from kit.strategy.market_making_inputs import MarketMakingInputs
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.market_making_stages import STAGES, MarketMakingContext, Stage
from kit.strategy.market_making_status import MarketMakingStatus, market_making_status
from kit.strategy.own_orders import OwnOrder
from kit.strategy.params import Params as BaseParams
from kit.strategy.placing_rules import may_place
from kit.strategy.price_source import PriceSource
from kit.strategy.proposal import PriceSize, Proposal
from kit.strategy.quoting import QuotingStrategy
from kit.strategy.renewals import place_renewals
from kit.strategy.strategy_base import StrategyBase, still_in_flight
from kit.strategy.tick_record import CancelReason, Outcome, TickRecord
from kit.types.events import BuyOrderCompletedEvent, MarketEvent, OrderFilledEvent
from kit.types.market import PriceType


class PureMarketMaking(QuotingStrategy):
    """Quote both sides of one pair around a reference price.

    ``PureMarketMaking(market, "BTC/USDT", bid_spread="0.001", ask_spread="0.001", order_amount="0.01")``; the other
    parameters, and what each was called in the reference, are in ``PureMarketMakingParams``. ``price_source`` is where
    the reference price comes from, if not from the market itself: another market, ``(market, pair)``, a URL, a function
    without arguments, an object with ``price()`` or a ``PriceSource``.

    Each tick, where placing is due, a proposal runs through ``stages`` (see ``kit.strategy.market_making_stages``; a
    subclass may replace them). Then orders that are too old, too near, or due for replacement and not within the
    tolerance, are cancelled; when no quote is left, all buys and then all sells are placed. ``explain()`` tells what
    came of the last tick and why, ``status`` what rests. Without a reference price, or while the market is not ready,
    nothing is quoted and resting orders are cancelled.
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
        self._inputs: Final = MarketMakingInputs(market, self._pair)
        self._inputs.prices.use(price_source, self._applied.price_type)
        check_with(self.params, self._inputs.prices.check)
        self._hanging: Final = HangingOrders()
        self._looks_back = self._seeds_cost = True
        self._outdated = False
        self._router.observe(MarketEvent.OrderFilled, self._filled)
        for tag in (MarketEvent.BuyOrderCompleted, MarketEvent.SellOrderCompleted):
            self._router.observe(tag, self._completed)

    # -- life ------------------------------------------------------------------------------------------------------

    def on_start(self, timestamp: float) -> None:
        """Begin anew; what own trades told is remembered."""
        super().on_start(timestamp)
        self._hanging.release()
        self._inputs.forget()
        self._looks_back = self._seeds_cost = True
        if self.clock is not None:
            self._inputs.prices.start(self.clock)

    def on_account_changed(self, market: Market) -> None:
        """Forget what belongs to the old account: hanging orders, and what the inventory has cost."""
        super().on_account_changed(market)
        if market is self.market:
            self._hanging.release()
            self._inputs.begin_account()
            self._seeds_cost = True

    def _take_in(self, previous: StrategyBase, orders: tuple[OwnOrder, ...]) -> None:
        """Go on where another strategy stopped: its quotes rest for their time, what hung hangs."""
        params = self._applied
        self._looks_back = False  # it would let the quotes hang
        self._outdated = previous.params.model != self.params.model
        hangs = previous.hanging_orders if isinstance(previous, PureMarketMaking) else ()
        quotes = [order for order in orders if order not in hangs]
        if params.hanging_orders_enabled:
            for order in hangs:
                self._hanging.add(order)
            by_level = sorted(
                (order for order in quotes if order.level is not None), key=lambda order: order.level or 0
            )
            buys, sells = ([order for order in by_level if order.is_buy is side] for side in (True, False))
            self._hanging.pair(buys, sells)
        if quotes:
            placed = max(order.creation_timestamp for order in quotes)
            self._timers.placed(placed, params.order_refresh_time)

    def on_params_changed(self, old: BaseParams, new: BaseParams) -> None:
        """Forget the state of what was switched off, take note of what was set anew."""
        before, params = cast("PureMarketMakingParams", old), cast("PureMarketMakingParams", new)
        if params.inventory_price != before.inventory_price:
            self._seeds_cost = True
        # The tolerance compares prices only: a changed size would wait until the orders are too old.
        self._outdated = True
        if not params.hanging_orders_enabled:
            self._hanging.release()
        times = (params.order_refresh_time, params.filled_order_delay)
        if times != (before.order_refresh_time, before.filled_order_delay):
            self._timers.reschedule(*times)
        self._inputs.forget(params)

    @property
    def price_source(self) -> PriceSource | None:
        """The source of the reference price, ``None`` for the market itself; may be set while it runs."""
        return self._inputs.prices.source

    @price_source.setter
    def price_source(self, source: Any) -> None:
        latest_params = cast("PureMarketMakingParams", latest(self.params))
        self._inputs.prices.use(source, latest_params.price_type, self.clock)

    def _detach(self, clock: Clock) -> None:
        # Not in on_stop: a start that fails comes by here too.
        self._inputs.prices.stop()
        super()._detach(clock)

    # -- the tick --------------------------------------------------------------------------------------------------

    @property
    def _applied(self) -> PureMarketMakingParams:
        # A subclass's Params extend these; StrategyBase sees to that.
        return cast("PureMarketMakingParams", self.params.model)

    def on_tick(self, timestamp: float) -> None:
        """Build, tend what hangs, cancel, place: in this order (§2.2 of the reference's description)."""
        record = self._record = TickRecord(timestamp, self._timers)
        params = self._applied
        if self._looks_back:
            self._look_back(params)
        if self._seeds_cost:
            self._seeds_cost = False
            self._inputs.seed_cost(params)
        reference = record.reference = self.reference_price()
        if reference is None:
            self._withdraw_without_price(record)
            return
        self._tell_once("price")
        proposal = self._propose(reference, record) if self._timers.create_at <= timestamp else None
        if self._hanging:
            self._tend_hanging(reference, params, record)
        if self.active_orders:
            self._cancel_quotes(proposal, reference, params, record)
        waits = params.should_wait_order_cancel_confirmation
        record.outcome = may_place(proposal, self._timers, self.active_orders, self._hanging, timestamp, waits)
        if proposal is not None and record.outcome in (Outcome.PLACED, Outcome.NOTHING_LEFT):
            self._place_all(proposal, params, record)

    def reference_price(self) -> Decimal | None:
        """Return the price that spreads are measured from, in quote; ``None`` where there is none (formula 1)."""
        return self._inputs.prices.reference(self._applied, self.current_timestamp)

    def _look_back(self, params: PureMarketMakingParams) -> None:
        """On the first tick with a ready market: adopt orders found open."""
        self._looks_back = False
        if params.hanging_orders_enabled:
            self._orders.adopt(self._market, self._pair, self.current_timestamp)
            for order in self.active_orders:
                self._hanging.add(order)

    def _withdraw_without_price(self, record: TickRecord) -> None:
        record.outcome = Outcome.NO_PRICE
        record.problem = self._inputs.prices.problem
        self._tell_once(
            "price",
            f"no reference price for {self._pair}: {record.problem}; quotes are withdrawn until it is back",
        )
        self._withdraw(record)

    # -- the proposal ----------------------------------------------------------------------------------------------

    def _propose(self, reference: Decimal, record: TickRecord) -> Proposal:
        self._inputs.advance(self._applied, reference, record.timestamp)
        proposal = self._run_stages(self.context(reference, record.timestamp), record)
        self._tell_once("minimum_spread", self._short_lived)
        return proposal

    @property
    def _short_lived(self) -> str:
        """Tell of quotes that minimum_spread takes back as soon as they rest."""
        limit, proposed = self._applied.minimum_spread, self._proposed
        if limit is None or proposed is None or proposed.reference is None or not proposed.trail:
            return ""
        return short_lived(proposed.trail[-1][1], proposed.reference, limit)

    def context(self, reference: Decimal, timestamp: float) -> MarketMakingContext:
        """Gather what the stages of this tick may see."""
        params, orders, hanging = self._applied, self.active_orders, self._hanging
        # The funds of orders that hang, will hang, or may rest beside the new ones are not free for these.
        staying = {*hanging.orders, *hanging.candidates} if hanging else set()
        if not params.should_wait_order_cancel_confirmation:
            staying.update(order for order in orders if order.is_cancelling)
        return self._inputs.context(params, reference, timestamp, orders, staying)

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
        record.placed += place_renewals(hanging, self._renew, self._tell_once)
        hanging.prune()

    def _renew(self, order: OwnOrder) -> OwnOrder:
        renewed: list[OwnOrder] = []
        again = PriceSize(order.price, order.remaining, order.level)
        self._quote(order.is_buy, (again,), self._inputs.order_type(self._applied), renewed)
        return renewed[-1]

    def _cancel_quotes(
        self, proposal: Proposal | None, reference: Decimal, params: PureMarketMakingParams, record: TickRecord
    ) -> None:
        now, hanging = record.timestamp, self._hanging
        self._cancel(
            over_age(hanging.others(self.active_orders), now, params.max_order_age), CancelReason.OVER_AGE, record
        )
        quotes = hanging.others(self.active_orders)
        tolerance = None if self._outdated else params.order_refresh_tolerance
        if quotes and self._timers.cancel_at <= now and not may_stay(quotes, proposal, tolerance):
            hanging.convert()
            self._cancel(hanging.others(quotes), CancelReason.DUE, record)
        # Where the tolerance kept them the timers stay as they are: from now on every tick compares again.
        if params.minimum_spread is not None:
            quotes = hanging.others(self.active_orders)
            self._cancel(too_near(quotes, reference, params.minimum_spread), CancelReason.NEAR, record)

    def _place_all(self, proposal: Proposal, params: PureMarketMakingParams, record: TickRecord) -> None:
        emptied = record.outcome is Outcome.NOTHING_LEFT
        self._tell_once(
            "quotes",
            f"nothing to quote; the stage that left nothing over is {record.emptied_by or 'none'}" if emptied else "",
        )
        order_type = self._inputs.order_type(params)
        buys: list[OwnOrder] = []
        sells: list[OwnOrder] = []
        try:
            self._quote(True, proposal.buys, order_type, buys)
            self._quote(False, proposal.sells, order_type, sells)
        except KitError as error:
            record.problem = str(error)
            raise
        finally:
            # Also where the market refused one of them: the others rest now and live by the timers.
            if buys or sells:
                record.placed += len(buys) + len(sells)
                self._outdated = False
                self._timers.placed(record.timestamp, params.order_refresh_time)
            if params.hanging_orders_enabled:
                self._hanging.pair(buys, sells)

    @property
    def _notes(self) -> tuple[tuple[str, str], ...]:
        notes = (("renewal", self._hanging.given_up), ("minimum_spread", self._short_lived))
        return tuple((step, note) for step, note in notes if note)

    @property
    def status(self) -> MarketMakingStatus:
        """Return markets, assets, inventory skew and orders as DataFrames that draw themselves."""
        record = self._record
        context = None if record.reference is None else self.context(record.reference, record.timestamp)
        return market_making_status(
            self._verdict(), self._inputs, context, still_in_flight(self), self.hanging_orders, record.timestamp
        )

    # -- events in -------------------------------------------------------------------------------------------------

    def _filled(self, order: OwnOrder, event: OrderFilledEvent) -> None:  # noqa: ARG002
        unpriced = self._inputs.note_fill(event)
        if unpriced and self._applied.price_type is PriceType.InventoryCost:
            for asset, problem in unpriced.items():
                self._tell_once(f"fees in {asset}", problem)

    def _completed(self, order: OwnOrder, event: BuyOrderCompletedEvent) -> None:  # noqa: ARG002
        if self._hanging.holds(order):
            return
        params = self._applied
        self._timers.filled(self.current_timestamp, params.filled_order_delay)
        self._inputs.prices.last_own_trade = order.price
        if params.ping_pong_enabled:
            self._inputs.ping_pong.filled(order.is_buy)

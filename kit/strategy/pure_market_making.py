"""Pure market making: buy and sell orders at fixed distances from a reference price, replaced in a cycle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final, cast

from kit.strategy.market_api import Market
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.market_making_stages import STAGES, MarketMakingContext, Stage, within_tolerance
from kit.strategy.own_orders import OwnOrder
from kit.strategy.params import Params as BaseParams
from kit.strategy.proposal import EMPTY, Proposal
from kit.strategy.refresh_timers import RefreshTimers
from kit.strategy.strategy_base import StrategyBase
from kit.types.events import BuyOrderCompletedEvent, Event
from kit.types.market import PriceType, TradingRule
from kit.types.orders import OrderType

logger = logging.getLogger(__name__)

_ZERO: Final = Decimal(0)


class PureMarketMaking(StrategyBase):
    """Quote both sides of one pair around the mid price.

    ``PureMarketMaking(market, "BTC/USDT", bid_spread="0.001", ask_spread="0.001", order_amount="0.01")``. Each
    tick, where placing is due, a proposal runs through ``stages`` (see ``kit.strategy.market_making_stages``; a
    subclass may replace them); ``trail`` keeps what each stage made of it. Then orders that are too old, or due for
    replacement and not within the tolerance, are cancelled; when none is left, all buys and then all sells are placed.
    Without a reference price (an empty side of the book), or while the market is not ready, nothing is quoted and
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
        **parameters: Any,
    ) -> None:
        super().__init__(market, trading_pair, name=name, params=params, **parameters)
        self._market: Final = market
        self._pair: Final = self.trading_pair
        self._quantize_price = partial(market.quantize_order_price, self._pair)
        self._quantize_amount = partial(market.quantize_order_amount, self._pair)
        self._timers: Final = RefreshTimers()
        self._missing_price = False
        self._nothing_to_quote = False
        self._router.observers.append(self._order_changed)
        self._trail: list[tuple[Stage, Proposal]] = []
        self.trail_context: MarketMakingContext | None = None

    # -- the tick --------------------------------------------------------------------------------------------------

    def on_start(self, timestamp: float) -> None:  # noqa: ARG002
        """Begin with fresh timers: orders may be placed on the first tick."""
        self._timers.reset()

    def on_tick(self, timestamp: float) -> None:
        """Build, cancel, place: in this order (§2.2 of the reference's description)."""
        reference = self.reference_price()
        if reference is None:
            self._withdraw_without_price(timestamp)
            return
        self._missing_price = False
        params = self._applied
        proposal = self._propose(reference, timestamp) if self._timers.create_at <= timestamp else None
        self._cancel_over_age(params, timestamp)
        self._cancel_due(proposal, params, timestamp)
        if proposal is not None and self._may_place(timestamp):
            self._place_all(proposal, params, timestamp)

    def on_not_ready(self, timestamp: float) -> None:
        """Withdraw: a stale book or a silent private stream is nothing to leave orders on."""
        self._withdraw(timestamp)

    @property
    def _applied(self) -> PureMarketMakingParams:
        # A subclass's Params extend these; StrategyBase sees to that.
        return cast("PureMarketMakingParams", self.params.model)

    def reference_price(self) -> Decimal | None:
        """Return the price that spreads are measured from, in quote; ``None`` where there is none (formula 1)."""
        price = self._market.get_price_by_type(self._pair, PriceType.MidPrice)
        return price if price.is_finite() and price > 0 else None

    def _withdraw_without_price(self, timestamp: float) -> None:
        if not self._missing_price:
            self._missing_price = True
            logger.warning(
                "%s: no reference price for %s, a side of its book is empty; quotes are withdrawn until it is back",
                self.name,
                self._pair,
            )
        self._withdraw(timestamp)

    def _withdraw(self, timestamp: float) -> None:
        if self.active_orders:
            self.cancel_all()
            self._timers.withdrawn(timestamp)

    # -- the proposal ----------------------------------------------------------------------------------------------

    def _propose(self, reference: Decimal, timestamp: float) -> Proposal:
        context = self.trail_context = self.context(reference, timestamp)
        proposal = EMPTY
        trail = self._trail = []
        for stage in self.stages:
            proposal = stage(proposal, context)
            trail.append((stage, proposal))
        return proposal

    @property
    def trail(self) -> tuple[tuple[str, Proposal], ...]:
        """Return what each stage made of the last proposal: (name of the stage, proposal after it).

        ``trail_context`` is what the stages saw, with the time of the tick.
        """
        return tuple((getattr(stage, "__name__", repr(stage)), proposal) for stage, proposal in self._trail)

    def context(self, reference: Decimal, timestamp: float) -> MarketMakingContext:
        """Gather what the stages of this tick may see."""
        market, pair = self._market, self._pair
        rule = market.trading_rules.get(pair)
        base_asset, quote_asset = _assets(pair, rule)
        base, quote = market.get_available_balance(base_asset), market.get_available_balance(quote_asset)
        for order in self.active_orders:
            if order.is_buy:
                quote += order.remaining * order.price
            else:
                base += order.remaining
        return MarketMakingContext(
            timestamp=timestamp,
            trading_pair=pair,
            params=self._applied,
            buy_reference=reference,
            sell_reference=reference,
            quantize_price=self._quantize_price,
            quantize_amount=self._quantize_amount,
            base_budget=base,
            quote_budget=quote,
            best_bid=_price_or_none(market.get_price(pair, False)),
            best_ask=_price_or_none(market.get_price(pair, True)),
            maker_fee=market.get_fee(pair, OrderType.LIMIT_MAKER),
            rule=rule,
        )

    # -- orders out ------------------------------------------------------------------------------------------------

    def _cancel_over_age(self, params: PureMarketMakingParams, timestamp: float) -> None:
        limit = params.max_order_age
        if limit is not None and any(timestamp - order.creation_timestamp > limit for order in self.active_orders):
            self.cancel_all()

    def _cancel_due(self, proposal: Proposal | None, params: PureMarketMakingParams, timestamp: float) -> None:
        if self._timers.cancel_at > timestamp or not self.active_orders:
            return
        tolerance = params.order_refresh_tolerance
        if proposal is not None and tolerance is not None and self._is_close(proposal, tolerance):
            return  # the timers stay: from now on every tick compares again
        self.cancel_all()

    def _is_close(self, proposal: Proposal, tolerance: Decimal) -> bool:
        return all(
            within_tolerance([order.price for order in orders], [entry.price for entry in entries], tolerance)
            for orders, entries in ((self.active_buys, proposal.buys), (self.active_sells, proposal.sells))
        )

    def _may_place(self, timestamp: float) -> bool:
        # Orders whose cancel is under way are among the active ones: the exchange's word is waited for.
        return self._timers.create_at < timestamp and not self.active_orders

    def _place_all(self, proposal: Proposal, params: PureMarketMakingParams, timestamp: float) -> None:
        self._tell_when_nothing_to_quote(proposal)
        order_type = self._order_type()
        placed = False
        try:
            for place, entries in ((self.buy, proposal.buys), (self.sell, proposal.sells)):
                for entry in entries:
                    place(entry.size, entry.price, order_type, level=entry.level)
                    placed = True
        finally:
            # Also where the market refused one of them: the others rest now and live by the timers.
            if placed:
                self._timers.placed(timestamp, params.order_refresh_time)

    def _order_type(self) -> OrderType:
        rule = self._market.trading_rules.get(self._pair)
        return OrderType.LIMIT if rule is not None and not rule.supports_limit_maker_orders else OrderType.LIMIT_MAKER

    def _tell_when_nothing_to_quote(self, proposal: Proposal) -> None:
        if proposal.is_empty and not self._nothing_to_quote:
            emptied = next((name for name, after in self.trail if after.is_empty), "none")
            logger.warning("%s: nothing to quote; the stage that left nothing over is %s", self.name, emptied)
        self._nothing_to_quote = proposal.is_empty

    # -- events in -------------------------------------------------------------------------------------------------

    def _order_changed(self, order: OwnOrder, event: Event) -> None:  # noqa: ARG002
        if isinstance(event, BuyOrderCompletedEvent):  # the sell side's event is one, too
            self._timers.filled(self.current_timestamp, self._applied.filled_order_delay)


def _assets(pair: str, rule: TradingRule | None) -> tuple[str, str]:
    if rule is not None:
        return rule.base_asset, rule.quote_asset
    base, _, quote = pair.partition("/")
    return base, quote.partition(":")[0]


def _price_or_none(price: Decimal) -> Decimal | None:
    return price if price.is_finite() else None

"""Gathers what the stages of one tick may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from decimal import Decimal
from functools import partial

from kit.strategy.market_api import Market
from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.moving_price_band import MovingPriceBand
from kit.strategy.own_orders import OwnOrder
from kit.strategy.ping_pong import PingPong
from kit.strategy.reference_prices import ReferencePrices
from kit.types.market import TradingRule
from kit.types.orders import OrderType


class MarketMakingInputs:
    """Asks one market, and what the strategy remembers, for the context of a tick."""

    def __init__(self, market: Market, trading_pair: str) -> None:
        self.market = market
        self.trading_pair = trading_pair
        self._quantize_price = partial(market.quantize_order_price, trading_pair)
        self._quantize_amount = partial(market.quantize_order_amount, trading_pair)
        # Where the grid depends on the price (significant digits) the market knows it; else the rule does.
        quantum: Callable[[str, Decimal], Decimal] | None = getattr(market, "get_order_price_quantum", None)
        self._price_step = partial(quantum, trading_pair) if quantum is not None else self._step_of_rule
        self.prices = ReferencePrices(market, trading_pair)
        self.ping_pong = PingPong()
        self.band = MovingPriceBand()

    @property
    def rule(self) -> TradingRule | None:
        """Return the pair's rule."""
        return self.market.trading_rules.get(self.trading_pair)

    @property
    def assets(self) -> tuple[str, str]:
        """Return the names of base and quote."""
        return self._assets_by(self.rule)

    def _assets_by(self, rule: TradingRule | None) -> tuple[str, str]:
        if rule is not None:
            return rule.base_asset, rule.quote_asset
        base, _, quote = self.trading_pair.partition("/")
        return base, quote.partition(":")[0]

    def _step_of_rule(self, price: Decimal) -> Decimal:  # noqa: ARG002
        rule = self.rule
        return Decimal(0) if rule is None else rule.min_price_increment

    def advance(self, params: PureMarketMakingParams, reference: Decimal, timestamp: float) -> None:
        """Bring what is remembered up to this tick, before the context is gathered for a proposal."""
        if params.moving_price_band_enabled:
            self.band.update(timestamp, reference, params)
        if params.ping_pong_enabled:
            self.ping_pong.settle()

    def forget(self, params: PureMarketMakingParams | None = None) -> None:
        """Drop the state of the features that ``params`` switch off; of all of them without ``params``."""
        if params is None or not params.ping_pong_enabled:
            self.ping_pong.reset()
        if params is None or not params.moving_price_band_enabled:
            self.band.reset()

    def context(
        self,
        params: PureMarketMakingParams,
        reference: Decimal,
        timestamp: float,
        orders: Sequence[OwnOrder],
        staying: Set[OwnOrder],
    ) -> MarketMakingContext:
        """Gather, changing nothing.

        ``orders`` are all active ones, ``staying`` those whose funds are not free for new ones.
        """
        market, pair = self.market, self.trading_pair
        rule = self.rule
        base_asset, quote_asset = self._assets_by(rule)
        base = base_free = base_total = market.get_available_balance(base_asset)
        quote = quote_free = quote_total = market.get_available_balance(quote_asset)
        for order in orders:
            held = order.remaining
            if order.is_buy:
                held *= order.price
                quote_total += held
                if staying and order in staying:
                    quote -= held
            else:
                base_total += held
                if staying and order in staying:
                    base -= held
        base, quote = base + base_total - base_free, quote + quote_total - quote_free
        deep_bid, deep_ask = self._depths(params, orders) if params.order_optimization_enabled else (None, None)
        return MarketMakingContext(
            timestamp=timestamp,
            trading_pair=pair,
            params=params,
            buy_reference=reference,
            sell_reference=self.prices.for_sells(reference, params),
            quantize_price=self._quantize_price,
            quantize_amount=self._quantize_amount,
            price_step=self._price_step,
            base_budget=base,
            quote_budget=quote,
            base_total=base_total,
            quote_total=quote_total,
            best_bid=_or_none(market.get_price(pair, False)),
            best_ask=_or_none(market.get_price(pair, True)),
            deep_bid=deep_bid,
            deep_ask=deep_ask,
            band_floor=self.band.floor,
            band_ceiling=self.band.ceiling,
            filled_buys=self.ping_pong.filled_buys,
            filled_sells=self.ping_pong.filled_sells,
            maker_fee=market.get_fee(pair, OrderType.LIMIT_MAKER),
            rule=rule,
        )

    def _depths(
        self, params: PureMarketMakingParams, orders: Sequence[OwnOrder]
    ) -> tuple[Decimal | None, Decimal | None]:
        # As in the reference the own share is the last order of the side, not their sum.
        bought = next((order.quantity for order in reversed(orders) if order.is_buy), Decimal(0))
        sold = next((order.quantity for order in reversed(orders) if not order.is_buy), Decimal(0))
        ask, pair = self.market.get_price_for_volume, self.trading_pair
        return (
            _or_none(ask(pair, False, params.bid_order_optimization_depth + bought)),
            _or_none(ask(pair, True, params.ask_order_optimization_depth + sold)),
        )


def _or_none(price: Decimal) -> Decimal | None:
    return price if price.is_finite() else None

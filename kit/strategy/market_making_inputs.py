"""Gathers what the stages of one tick may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from kit.strategy.market_api import Market
from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.moving_price_band import MovingPriceBand
from kit.strategy.own_orders import OwnOrder
from kit.strategy.ping_pong import PingPong
from kit.strategy.reference_prices import ReferencePrices
from kit.types.events import OrderFilledEvent
from kit.types.market import TradingRule
from kit.types.orders import OrderType


class _Funds(NamedTuple):
    """See the fields of ``MarketMakingContext``."""

    base_budget: Decimal
    quote_budget: Decimal
    base_total: Decimal
    quote_total: Decimal


class MarketMakingInputs:
    """Asks one market, and what the strategy remembers, for the context of a tick."""

    def __init__(self, market: Market, trading_pair: str) -> None:
        self.market = market
        self.trading_pair = trading_pair
        base, _, quote = trading_pair.partition("/")
        self._assets_by_name = base, quote.partition(":")[0]
        self._quantize_price = partial(market.quantize_order_price, trading_pair)
        self._quantize_amount = partial(market.quantize_order_amount, trading_pair)
        # Where the grid depends on the price (significant digits) the market knows it; else the rule does.
        quantum: Callable[[str, Decimal], Decimal] | None = getattr(market, "get_order_price_quantum", None)
        self._price_step = partial(quantum, trading_pair) if quantum is not None else self._step_of_rule
        self.prices = ReferencePrices(market, trading_pair)
        self.ping_pong = PingPong()
        self.band = MovingPriceBand()
        self._cost_said: Decimal | None = None

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
        return self._assets_by_name

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
        market, pair, rule = self.market, self.trading_pair, self.rule
        funds = self._funds(self._assets_by(rule), orders, staying)
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
            base_budget=funds.base_budget,
            quote_budget=funds.quote_budget,
            base_total=funds.base_total,
            quote_total=funds.quote_total,
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
            reference_type=self.prices.answered,
            price_source="" if self.prices.source is None else self.prices.source.name,
        )

    def _funds(self, assets: tuple[str, str], orders: Sequence[OwnOrder], staying: Set[OwnOrder]) -> _Funds:
        """Count what is free and what own orders hold."""
        available = self.market.get_available_balance
        base, quote = available(assets[0]), available(assets[1])
        base_kept = quote_kept = Decimal(0)
        for order in orders:
            held = order.remaining
            if order.is_buy:
                held *= order.price
                quote += held
                if staying and order in staying:
                    quote_kept += held
            else:
                base += held
                if staying and order in staying:
                    base_kept += held
        return _Funds(base - base_kept, quote - quote_kept, base, quote)

    def note_fill(self, event: OrderFilledEvent) -> dict[str, str]:
        """Let the inventory's cost know of a fill; return, by asset, what is wrong with fees that nobody can price."""
        quote = self.assets[1]
        return {
            asset: (
                f"fees in {asset} are left out of the inventory's cost: {self.market.name} streams no price of {asset} "
                f"in {quote}; stream {asset}/{quote} too"
            )
            for asset in self.prices.cost.fill(event, *self.assets, self._price_of)
        }

    def _price_of(self, asset: str) -> Decimal | None:
        """Return what an asset costs in quote, where this market streams their pair, either way round."""
        market, quote = self.market, self.assets[1]
        for pair, is_inverse in ((f"{asset}/{quote}", False), (f"{quote}/{asset}", True)):
            if pair in market.trading_pairs:
                price = market.get_mid_price(pair)
                if price.is_finite() and price > 0:
                    return 1 / price if is_inverse else price
        return None

    def begin_account(self) -> None:
        """Forget what the inventory has cost, as it is another account's from now on."""
        self.prices.cost.seed(Decimal(0), Decimal(0))
        self.forget()

    def seed_cost(self, params: PureMarketMakingParams) -> None:
        """Take what the inventory is said to have cost: where that is news, or no own trade has told it yet."""
        said, news = params.inventory_price, params.inventory_price != self._cost_said
        self._cost_said = said
        if said is not None and (news or self.prices.cost.price is None):
            self.prices.cost.seed(self.market.get_balance(self.assets[0]), said)

    def order_type(self, params: PureMarketMakingParams) -> OrderType:
        """Return how quotes are sent: post-only where the market can and nothing is meant to cross (formula 11)."""
        rule = self.rule
        posts_only = rule is None or rule.supports_limit_maker_orders
        return OrderType.LIMIT_MAKER if posts_only and not params.take_if_crossed else OrderType.LIMIT

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

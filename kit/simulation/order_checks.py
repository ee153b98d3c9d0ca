"""The trading rules as a simulated exchange enforces them: an order passes in ticks, or is refused as live."""

from __future__ import annotations

from decimal import Decimal

from kit.errors import InvalidOrder, NotSupported
from kit.orders.exact import EXACT, ZERO
from kit.types.market import TradingRule
from kit.types.orders import OrderRequest, OrderType

MAX_OPEN_ORDERS = 200
"""Open orders that a pair takes by default, as on Binance."""


class OrderChecks:
    """The rules of one pair. Every method raises ``InvalidOrder`` or ``NotSupported``, saying what is allowed."""

    def __init__(self, rule: TradingRule, max_open_orders: int = MAX_OPEN_ORDERS) -> None:
        self.rule = rule
        self._max_open = max_open_orders
        self._lowest_price = max(rule.min_price or ZERO, rule.min_price_increment)
        self._lowest_amount = max(rule.min_order_size, rule.min_base_amount_increment)
        self._types = {
            OrderType.LIMIT: rule.supports_limit_orders,
            OrderType.LIMIT_MAKER: rule.supports_limit_maker_orders,
            OrderType.MARKET: rule.supports_market_orders,
        }

    def ticks_of(self, request: OrderRequest, open_orders: int) -> int:
        """Check an order and return its price in ticks, 0 for a market order; ``open_orders`` rest on the pair."""
        rule = self.rule
        if not self._types[request.order_type]:
            raise NotSupported(f"{rule.trading_pair} takes no {request.order_type.name} orders")
        self._check_amount(request.amount)
        price = request.price
        if request.order_type is OrderType.MARKET:
            return 0
        if price is None:
            raise InvalidOrder(f"a {request.order_type.name} order on {rule.trading_pair} needs a price")
        ticks = self._ticks(price)
        self.check_notional(EXACT.multiply(request.amount, price))
        if open_orders >= self._max_open:
            raise InvalidOrder(f"too many open orders: {rule.trading_pair} takes {self._max_open} at a time")
        return ticks

    def check_notional(self, value: Decimal) -> None:
        """Check an order's value in quote."""
        rule = self.rule
        if value < rule.min_notional_size:
            raise InvalidOrder(
                f"the order is worth {value.normalize():f} {rule.quote_asset}, below the minimum of "
                f"{rule.min_notional_size} on {rule.trading_pair}"
            )

    def _ticks(self, price: Decimal) -> int:
        rule = self.rule
        if (
            not price.is_finite()
            or price < self._lowest_price
            or (rule.max_price is not None and price > rule.max_price)
        ):
            highest = "no end" if rule.max_price is None else rule.max_price
            raise InvalidOrder(f"price {price} is outside of {self._lowest_price} to {highest} on {rule.trading_pair}")
        ticks, rest = EXACT.divmod(price, rule.min_price_increment)
        if rest:
            raise InvalidOrder(f"price {price} is no multiple of {rule.min_price_increment} on {rule.trading_pair}")
        return int(ticks)

    def _check_amount(self, amount: Decimal) -> None:
        rule = self.rule
        if not amount.is_finite() or amount < self._lowest_amount:
            raise InvalidOrder(f"amount {amount} is below the minimum of {self._lowest_amount} on {rule.trading_pair}")
        if rule.max_order_size is not None and amount > rule.max_order_size:
            raise InvalidOrder(f"amount {amount} is above the maximum of {rule.max_order_size} on {rule.trading_pair}")
        if EXACT.remainder(amount, rule.min_base_amount_increment):
            step = rule.min_base_amount_increment
            raise InvalidOrder(f"amount {amount} is no multiple of {step} on {rule.trading_pair}")

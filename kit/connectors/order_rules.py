"""Trading rules applied: exact quantisation and the checks before an order is sent. Pure functions."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation

from kit.errors import InvalidOrder, NotSupported
from kit.types.market import TradingRule
from kit.types.orders import OrderType, TimeInForce

_ZERO = Decimal(0)
_LARGEST = Decimal(10) ** 18
_EXACT = Context(prec=60)


def to_decimal(name: str, value: object) -> Decimal:
    """Return ``value`` as an exact, finite decimal; a float is taken as it is written (0.1 is 0.1).

    Raises ``InvalidOrder``, naming the value, when it is no number, NaN or infinite.
    """
    try:
        number = (
            value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else str(value))
        )
    except InvalidOperation:
        raise InvalidOrder(
            f"{name} is {value!r}, which is no number; give a Decimal or a text such as '0.01'"
        ) from None
    if not number.is_finite():
        raise InvalidOrder(
            f"{name} is {number}, which cannot be traded; the likely cause is a price taken from an empty order book"
        )
    if abs(number) > _LARGEST:
        raise InvalidOrder(f"{name} is {number}, beyond anything that an exchange takes (10^18)")
    return number


def floor_to(value: Decimal, increment: Decimal) -> Decimal:
    """Return the largest multiple of ``increment`` that is not above ``value``; NaN passes, increment 0 is none."""
    if increment <= 0 or value.is_nan():
        return value
    return _EXACT.multiply(_EXACT.divide_int(value, increment), increment)


def check_type(rule: TradingRule, order_type: object, time_in_force: object) -> None:
    """Check that the pair takes the order type and that the two go together."""
    if not isinstance(order_type, OrderType):
        allowed = ", ".join(f"OrderType.{kind.name}" for kind in OrderType)
        raise InvalidOrder(f"order_type is {order_type!r}; it must be one of {allowed}")
    if not isinstance(time_in_force, TimeInForce):
        allowed = ", ".join(f"TimeInForce.{kind.name}" for kind in TimeInForce)
        raise InvalidOrder(f"time_in_force is {time_in_force!r}; it must be one of {allowed}")
    supported = {
        OrderType.LIMIT: rule.supports_limit_orders,
        OrderType.LIMIT_MAKER: rule.supports_limit_maker_orders,
        OrderType.MARKET: rule.supports_market_orders,
    }
    if not supported[order_type]:
        allowed = ", ".join(kind.name for kind, is_supported in supported.items() if is_supported)
        raise NotSupported(f"{rule.trading_pair} takes no {order_type.name} orders here; it takes {allowed}")
    if order_type is not OrderType.LIMIT and time_in_force is not TimeInForce.GTC:
        raise InvalidOrder(
            f"time_in_force {time_in_force.name} goes with LIMIT orders only, not with {order_type.name}"
        )


def check_price(rule: TradingRule, price: Decimal) -> None:
    """Check a quantised limit price against the pair's range."""
    lowest = max(rule.min_price or _ZERO, rule.min_price_increment)
    if price < lowest or price <= 0:
        raise InvalidOrder(
            f"price {price} {rule.quote_asset} is too low for {rule.trading_pair}: prices start at {lowest} "
            f"and move in steps of {rule.min_price_increment} (they are rounded down)"
        )
    if rule.max_price is not None and price > rule.max_price:
        raise InvalidOrder(f"price {price} is above {rule.max_price}, the highest that {rule.trading_pair} takes")


def check_amount(rule: TradingRule, amount: Decimal, asked: Decimal) -> None:
    """Check a quantised amount in base; ``asked`` is what it was before rounding down."""
    if asked <= 0:
        raise InvalidOrder(f"amount {asked} {rule.base_asset} must be above 0; the side is said by buy() or sell()")
    lowest = max(rule.min_order_size, rule.min_base_amount_increment)
    if amount < lowest or amount <= 0:
        raise InvalidOrder(
            f"amount {asked} {rule.base_asset} is below the minimum of {rule.trading_pair}: orders start at {lowest} "
            f"and move in steps of {rule.min_base_amount_increment} (amounts are rounded down to {amount} here)"
        )
    if rule.max_order_size is not None and amount > rule.max_order_size:
        raise InvalidOrder(
            f"amount {asked} {rule.base_asset} is above {rule.max_order_size}, the maximum of {rule.trading_pair}; "
            f"split the order"
        )


def check_notional(rule: TradingRule, amount: Decimal, price: Decimal) -> None:
    """Check an order's value in quote; a NaN price, as of an empty book, leaves the judgement to the exchange."""
    if price.is_nan():
        return
    notional = amount * price
    if notional < rule.min_notional_size:
        needed = rule.min_notional_size / price
        raise InvalidOrder(
            f"the order is worth {notional.normalize():f} {rule.quote_asset}, below the minimum of "
            f"{rule.min_notional_size} for {rule.trading_pair}; at price {price} ask for at least {needed:.8f} "
            f"{rule.base_asset}"
        )

"""ccxt's unified dictionaries as values of the kit; pure functions that never see ccxt itself.

Money arrives as text (the trading instance keeps numbers so) or as ``float`` (the data instance); floats go through
their shortest text, which is exact for what exchanges send. A field that an exchange does not tell stays
``None``. What cannot be an order or a fill at all raises ``BadItem``, which the stream's guard turns into a reconnect
and with it into a reconciliation: a fill is never skipped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from kit.types.market import OrderBookSnapshot, PublicTrade, TradeType, TradingRule
from kit.types.orders import (
    Balance,
    OrderState,
    OrderType,
    OrderUpdate,
    TokenAmount,
    TradeFee,
    TradeUpdate,
)

# ccxt.base.decimal_to_precision names the ways in which exchanges state precision by these numbers.
DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE = 2, 3, 4

_FINEST = Decimal("1e-8")
_STATES = {
    "open": OrderState.OPEN,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "canceling": OrderState.PENDING_CANCEL,
    "expired": OrderState.EXPIRED,
    "rejected": OrderState.FAILED,
}
_SIDES = {"buy": TradeType.BUY, "sell": TradeType.SELL}


class BadItem(ValueError):
    """A parsed message lacks what makes it an order, a fill or a market."""


def to_decimal(value: Any) -> Decimal | None:
    """Return ``value`` (Decimal, str, int or float) as an exact finite Decimal; ``None`` for what is not a number."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def plain(value: Decimal) -> str:
    """Return a Decimal as digits without an exponent, exactly as it is."""
    return format(value, "f")


def seconds(milliseconds: Any, default: float = 0.0) -> float:
    """Return ccxt's milliseconds as seconds; ``default`` when there are none."""
    return default if milliseconds is None else float(milliseconds) / 1000


def order_update(
    order: Mapping[str, Any], *, now: float, decode_id: Callable[[str], str] = str, pair: str | None = None
) -> OrderUpdate:
    """Return ccxt's order structure as an update; ``now`` (seconds) stands in where the exchange tells no time.

    ``decode_id`` turns the exchange's client order id into ours. Raises ``BadItem`` without a pair or any id.
    """
    symbol = order.get("symbol") or pair
    exchange_id, client_id = order.get("id"), order.get("clientOrderId")
    if not symbol or not (exchange_id or client_id):
        raise BadItem(f"an order without pair or id: keys {sorted(key for key in order if order[key] is not None)}")
    filled = to_decimal(order.get("filled"))
    state = _STATES.get(str(order.get("status")), OrderState.OPEN)
    if state is OrderState.OPEN and filled:
        state = OrderState.PARTIALLY_FILLED
    times = (order.get(key) for key in ("lastUpdateTimestamp", "lastTradeTimestamp", "timestamp"))
    return OrderUpdate(
        trading_pair=str(symbol),
        state=state,
        timestamp=seconds(next((time for time in times if time is not None), None), now),
        client_order_id=decode_id(str(client_id)) if client_id else None,
        exchange_order_id=str(exchange_id) if exchange_id else None,
        filled=filled,
        filled_quote=to_decimal(order.get("cost")),
        trade_type=_SIDES.get(str(order.get("side"))),
        order_type=_order_type(order),
        amount=to_decimal(order.get("amount")),
        # For a market order ccxt puts the average price there, which is none that anybody asked for.
        price=None if order.get("type") == "market" else to_decimal(order.get("price")) or None,
    )


def _order_type(order: Mapping[str, Any]) -> OrderType | None:
    kind = order.get("type")
    if kind == "market":
        return OrderType.MARKET
    if kind == "limit_maker" or (kind == "limit" and order.get("postOnly")):
        return OrderType.LIMIT_MAKER
    return OrderType.LIMIT if kind == "limit" else None


def trade_update(
    trade: Mapping[str, Any],
    *,
    now: float,
    client_id: str | None = None,
    exchange_id: str | None = None,
    pair: str | None = None,
) -> TradeUpdate:
    """Return ccxt's private trade as a fill; the keyword arguments fill in what an embedded fill leaves out.

    Raises ``BadItem`` without a pair, an order id, a price or an amount.
    """
    symbol = trade.get("symbol") or pair
    order_id = trade.get("order") or exchange_id
    price, amount = to_decimal(trade.get("price")), to_decimal(trade.get("amount"))
    if not symbol or not (order_id or client_id) or price is None or not amount:
        raise BadItem(f"a fill without pair, order id, price or amount: trade {trade.get('id')} of {symbol}")
    quote = to_decimal(trade.get("cost"))
    role = trade.get("takerOrMaker")
    trade_id = trade.get("id") or f"{order_id or client_id}-{trade.get('timestamp')}-{plain(price)}-{plain(amount)}"
    return TradeUpdate(
        trade_id=str(trade_id),
        trading_pair=str(symbol),
        timestamp=seconds(trade.get("timestamp"), now),
        price=price,
        amount=amount,
        quote_amount=price * amount if quote is None else quote,
        client_order_id=client_id,
        exchange_order_id=str(order_id) if order_id else None,
        fee=_fee(trade),
        is_maker=None if role is None else role == "maker",
        trade_type=_SIDES.get(str(trade.get("side"))),
    )


def _fee(trade: Mapping[str, Any]) -> TradeFee:
    fees = trade.get("fees") or ([trade["fee"]] if trade.get("fee") else [])
    amounts: dict[str, Decimal] = {}
    for fee in fees:
        cost, currency = to_decimal(fee.get("cost")), fee.get("currency")
        if cost and currency:
            amounts[currency] = amounts.get(currency, Decimal(0)) + cost
    return TradeFee(tuple(TokenAmount(token, amount) for token, amount in amounts.items()))


def client_id_in(info: Any, keys: Iterable[str]) -> str | None:
    """Return the client order id that an exchange's own fill message holds under one of ``keys``."""
    if not isinstance(info, Mapping):
        return None
    return next((str(info[key]) for key in keys if info.get(key)), None)


def public_trade(trade: Mapping[str, Any]) -> PublicTrade:
    """Return ccxt's public trade; where an exchange does not tell the taker's side, a buyer is assumed."""
    price, amount, time = float(trade["price"]), float(trade["amount"]), trade.get("timestamp")
    return PublicTrade(
        trading_pair=trade["symbol"],
        trade_id=str(trade.get("id") or f"{time}-{price!r}-{amount!r}"),
        timestamp=seconds(time),
        side=_SIDES.get(str(trade.get("side")), TradeType.BUY),
        price=price,
        amount=amount,
    )


def balance_of(account: Mapping[str, Any]) -> Balance | None:
    """Return one asset's entry of ccxt's balance structure; ``None`` when it is told in part only."""
    total, free = to_decimal(account.get("total")), to_decimal(account.get("free"))
    return None if total is None or free is None else Balance(total=total, available=free)


def balances(structure: Mapping[str, Any]) -> dict[str, Balance | None]:
    """Return ccxt's balance structure by asset; ``None`` for an asset that is told in part only."""
    assets = structure.get("total") or {}
    return {asset: balance_of(structure[asset]) for asset in assets if isinstance(structure.get(asset), Mapping)}


def snapshot(book: Mapping[str, Any], pair: str) -> OrderBookSnapshot:
    """Return ccxt's order book structure."""
    sides = (tuple((float(level[0]), float(level[1])) for level in book[key] if level[1]) for key in ("bids", "asks"))
    bids, asks = sides
    return OrderBookSnapshot(pair, int(book.get("nonce") or 0), seconds(book.get("timestamp")), bids, asks)


def is_tradable(market: Mapping[str, Any]) -> bool:
    """Tell whether the kit can trade a market: spot, or a contract whose amounts are in base; and not delisted."""
    if market.get("active") is False or not market.get("base") or not market.get("quote"):
        return False
    if market.get("spot"):
        return True
    return bool(market.get("swap") and market.get("linear") and to_decimal(market.get("contractSize")) == 1)


def trading_rule(market: Mapping[str, Any], precision_mode: int = TICK_SIZE) -> TradingRule:
    """Return the rule of one of ccxt's market structures; what an exchange does not state becomes permissive."""
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    amounts, prices = limits.get("amount") or {}, limits.get("price") or {}
    types = _order_types(market)
    return TradingRule(
        trading_pair=market["symbol"],
        base_asset=market["base"],
        quote_asset=market["quote"],
        min_price_increment=_increment(precision.get("price"), precision_mode),
        min_base_amount_increment=_increment(precision.get("amount"), precision_mode),
        min_order_size=to_decimal(amounts.get("min")) or Decimal(0),
        max_order_size=to_decimal(amounts.get("max")) or None,
        min_notional_size=to_decimal((limits.get("cost") or {}).get("min")) or Decimal(0),
        min_price=to_decimal(prices.get("min")) or None,
        max_price=to_decimal(prices.get("max")) or None,
        maker_fee=to_decimal(market.get("maker")) or Decimal(0),
        taker_fee=to_decimal(market.get("taker")) or Decimal(0),
        supports_limit_orders=not types or "LIMIT" in types,
        supports_limit_maker_orders=not types or "LIMIT_MAKER" in types or bool(market.get("contract")),
        supports_market_orders=not types or "MARKET" in types,
        exchange_symbol=str(market.get("id") or ""),
    )


def _order_types(market: Mapping[str, Any]) -> list[str]:
    info = market.get("info")
    types = info.get("orderTypes") if isinstance(info, Mapping) else None
    return [str(kind).upper() for kind in types] if isinstance(types, list) else []


def _increment(precision: Any, mode: int) -> Decimal:
    number = to_decimal(precision)
    if number is None or mode == SIGNIFICANT_DIGITS:
        return _FINEST  # the step depends on the price itself; ccxt rounds such prices when they are sent
    if mode == DECIMAL_PLACES:
        return Decimal(1).scaleb(-int(number))
    return number if number > 0 else _FINEST

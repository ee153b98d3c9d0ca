"""Binance's order filters: the checks, their error codes and texts, and their description for ``exchangeInfo``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from kit.testnet.market import Market
from kit.testnet.symbols import UNITS, Side, SymbolInfo, to_units

ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK")
STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")


class VenueReject(Exception):
    """The exchange refuses a request: Binance's error ``code`` and ``message``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as it is asked for. ``qty`` in base or, for market orders, ``quote_qty`` in quote; ``price`` in quote.

    An empty ``client_order_id`` gets a generated one; an empty ``stp_mode`` means the symbol's default.
    """

    symbol: str
    side: Side
    type: str = "LIMIT"
    qty: Decimal | None = None
    quote_qty: Decimal | None = None
    price: Decimal | None = None
    time_in_force: str = "GTC"
    client_order_id: str = ""
    stp_mode: str = ""


class Size(NamedTuple):
    """A checked order in ints: ``quote_units`` is the budget of a market order by quote, else 0."""

    price_ticks: int
    qty_lots: int
    quote_units: int


def filter_failure(name: str) -> VenueReject:
    """Return the rejection that Binance sends for a filter."""
    return VenueReject(-1013, f"Filter failure: {name}")


def check(market: Market, new: NewOrder, *, now_ms: int, open_orders: int) -> Size:
    """Check an order's fields and filters and return it in ints; raises ``VenueReject``.

    ``open_orders`` is the number of the account's open orders on the symbol.
    """
    _check_words(new)
    info = market.info
    if new.type == "MARKET":
        return _check_market(market, new, now_ms)
    if new.price is None:
        raise missing("price")
    if new.qty is None:
        raise missing("quantity")
    if new.quote_qty is not None:
        raise VenueReject(-1106, "Parameter 'quoteOrderQty' sent when not required.")
    price = _price_filter(info, new.price)
    _percent_price(market, price, now_ms)
    lots = _lot_size(info, new.qty)
    _notional(info, price * lots * info.quote_units, bounded=True)
    may_rest = new.type == "LIMIT_MAKER" or new.time_in_force == "GTC"
    if may_rest and open_orders >= info.max_num_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    return Size(price, lots, 0)


def describe(info: SymbolInfo) -> list[dict[str, object]]:
    """Return the symbol's filters as ``exchangeInfo`` lists them."""
    up, down = str(info.percent_price_up), str(info.percent_price_down)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": _text(info.min_price or info.tick_size),
            "maxPrice": _text(info.max_price),
            "tickSize": _text(info.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": _text(info.min_qty),
            "maxQty": _text(info.max_qty),
            "stepSize": _text(info.step_size),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": _text(info.min_notional),
            "applyMinToMarket": True,
            "maxNotional": _text(info.max_notional),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": info.max_num_orders},
    ]


def _text(value: Decimal) -> str:
    return f"{value:.8f}"


def _check_words(new: NewOrder) -> None:
    if new.side not in {"BUY", "SELL"}:
        raise VenueReject(-1117, "Invalid side.")
    if new.type not in ORDER_TYPES:
        raise VenueReject(-1116, "Invalid orderType.")
    if new.time_in_force not in TIMES_IN_FORCE:
        raise VenueReject(-1115, "Invalid timeInForce.")
    if new.stp_mode and new.stp_mode not in STP_MODES:
        raise VenueReject(-1013, "This symbol does not allow the specified self-trade prevention mode.")


def missing(name: str) -> VenueReject:
    """Return the rejection of a request without a parameter that it needs."""
    return VenueReject(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _units(value: Decimal, name: str) -> int:
    units = to_units(value)
    if units is None:
        if not value.is_finite():
            raise VenueReject(-1100, f"Illegal characters found in parameter '{name}'.")
        raise VenueReject(-1111, f"Parameter '{name}' has too much precision.")
    return units


def _price_filter(info: SymbolInfo, price: Decimal) -> int:
    ticks, rest = divmod(_units(price, "price"), info.tick_units)
    if rest or not (info.min_price or info.tick_size) <= price <= info.max_price:
        raise filter_failure("PRICE_FILTER")
    return ticks


def _lot_size(info: SymbolInfo, qty: Decimal) -> int:
    lots, rest = divmod(_units(qty, "quantity"), info.lot_units)
    if rest or not info.min_qty <= qty <= info.max_qty:
        raise filter_failure("LOT_SIZE")
    return lots


def _percent_price(market: Market, price_ticks: int, now_ms: int) -> None:
    """Bound the price by multiples of the average price; before the first trade there is nothing to compare with."""
    quote, lots = market.tape.average(now_ms)
    if not lots:
        return
    down, up = market.info.percent_units
    value = price_ticks * lots * market.info.quote_units * UNITS
    if not quote * down <= value <= quote * up:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _notional(info: SymbolInfo, units: int, *, bounded: bool) -> None:
    value = Decimal(units).scaleb(-8)
    if value < info.min_notional or (bounded and value > info.max_notional):
        raise filter_failure("NOTIONAL")


def _check_market(market: Market, new: NewOrder, now_ms: int) -> Size:
    info = market.info
    if (new.qty is None) == (new.quote_qty is None):
        raise (
            missing("quantity")
            if new.qty is None
            else VenueReject(-1128, "Combination of optional parameters invalid.")
        )
    if new.price is not None:
        raise VenueReject(-1106, "Parameter 'price' sent when not required.")
    if new.quote_qty is not None:
        units = _units(new.quote_qty, "quoteOrderQty")
        _notional(info, units, bounded=False)
        return Size(0, 0, units)
    lots = _lot_size(info, new.qty or Decimal(0))
    quote, traded = market.tape.average(now_ms)
    if traded:
        _notional(info, quote * lots // traded, bounded=False)
    return Size(0, lots, 0)

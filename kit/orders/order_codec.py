"""Orders as JSON values and back, without losing a digit: amounts travel as text, enumerations by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from typing import Any

from kit.errors import InvalidInput
from kit.orders.fills import Fills
from kit.types.market import TradeType
from kit.types.orders import OrderState, OrderType, TimeInForce, TokenAmount, TradeFee, TradeUpdate


def encode(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as what ``json.dumps`` takes."""
    return {name: _to_json(value) for name, value in values.items()}


def decode(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that ``encode`` was given.

    Raises ``InvalidInput`` naming the field that is unknown or does not read.
    """
    values: dict[str, Any] = {}
    for name, value in data.items():
        read = _READERS.get(name)
        if read is None:
            raise InvalidInput(f"A stored order has the unknown field {name!r}; was it written by a newer version?")
        try:
            values[name] = None if value is None else read(value)
        except (ValueError, ArithmeticError, TypeError, KeyError) as error:
            raise InvalidInput(f"A stored order's {name} does not read: {value!r}.") from error
    return values


def _to_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Fills):
        return [_fill_to_json(fill) for fill in value.by_trade_id.values()]
    return value


def _fill_to_json(fill: TradeUpdate) -> dict[str, Any]:
    row = {field.name: _to_json(getattr(fill, field.name)) for field in fields(fill)}
    row["fee"] = [[fee.token, str(fee.amount)] for fee in fill.fee.flat_fees]
    return row


def _fill_from_json(row: Mapping[str, Any]) -> TradeUpdate:
    values = dict(row)
    for name in ("price", "amount", "quote_amount"):
        values[name] = Decimal(values[name])
    values["fee"] = TradeFee(tuple(TokenAmount(token, Decimal(amount)) for token, amount in values["fee"]))
    side = values["trade_type"]
    values["trade_type"] = None if side is None else TradeType(side)
    return TradeUpdate(**values)


def _fills_from_json(rows: list[Mapping[str, Any]]) -> Fills:
    return Fills([_fill_from_json(row) for row in rows])


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "client_order_id": str,
    "trading_pair": str,
    "trade_type": TradeType,
    "order_type": OrderType,
    "amount": Decimal,
    "creation_timestamp": float,
    "price": Decimal,
    "base_asset": str,
    "quote_asset": str,
    "time_in_force": TimeInForce,
    "exchange_order_id": str,
    "progress": OrderState,
    "cancel_requested": bool,
    "acknowledged": bool,
    "fills": _fills_from_json,
    "stated_filled": Decimal,
    "stated_filled_quote": Decimal,
    "last_update_timestamp": float,
    "reason": str,
    "error": str,
    "filled_after_end": bool,
}

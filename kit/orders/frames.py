"""Orders, fills and balances as pandas tables; columns and their types are the same for empty tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import OrderFilledEvent
from kit.types.orders import TokenAmount

if TYPE_CHECKING:
    import pandas as pd

_TEXT = "str"
_NUMBER = "float64"
_TIME = "datetime64[ns, UTC]"

_ORDER_COLUMNS = {
    "connector": _TEXT,
    "mode": _TEXT,
    "client_order_id": _TEXT,
    "exchange_order_id": _TEXT,
    "trading_pair": _TEXT,
    "side": _TEXT,
    "type": _TEXT,
    "state": _TEXT,
    "price": _NUMBER,
    "amount": _NUMBER,
    "executed": _NUMBER,
    "remaining": _NUMBER,
    "average_price": _NUMBER,
    "fee": _NUMBER,
    "fee_asset": _TEXT,
    "created": _TIME,
    "updated": _TIME,
    "reason": _TEXT,
}

_FILL_COLUMNS = {
    "connector": _TEXT,
    "mode": _TEXT,
    "time": _TIME,
    "trading_pair": _TEXT,
    "side": _TEXT,
    "type": _TEXT,
    "price": _NUMBER,
    "amount": _NUMBER,
    "quote_amount": _NUMBER,
    "fee": _NUMBER,
    "fee_asset": _TEXT,
    "client_order_id": _TEXT,
    "exchange_order_id": _TEXT,
    "trade_id": _TEXT,
}

_BALANCE_COLUMNS = {
    "connector": _TEXT,
    "mode": _TEXT,
    "asset": _TEXT,
    "total": _NUMBER,
    "available": _NUMBER,
    "held": _NUMBER,
}


class AccountBalances(Protocol):
    """What ``balances_frame`` reads, as ``Balances`` offers it."""

    @property
    def assets(self) -> tuple[str, ...]:
        """Return the assets to list."""
        ...

    def total(self, asset: str) -> Decimal:
        """Return the total."""
        ...

    def available(self, asset: str) -> Decimal:
        """Return what is free."""
        ...


Row: TypeAlias = "tuple[Any, ...]"


def orders_frame(orders: Iterable[tuple[str, str, InFlightOrder]]) -> pd.DataFrame:
    """Return one row for each (connector name, mode, order), in the order given; ``mode`` is "paper" or "live".

    Amounts (base), prices (quote) and fees are float64, NaN where there is none; times are UTC; the rest is text. With
    fees in several assets ``fee`` is NaN and ``fee_asset`` lists them all.
    """
    return orders_table(order_rows(orders))


def order_rows(orders: Iterable[tuple[str, str, InFlightOrder]]) -> list[Row]:
    """Return what ``orders_table`` makes a table of: copies, which change no more."""
    return [(connector, mode, *_order_row(order)) for connector, mode, order in orders]


def orders_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows of orders as a table; see ``orders_frame``."""
    return _frame(_ORDER_COLUMNS, rows)


def fills_frame(fills: Iterable[tuple[str, str, OrderFilledEvent]]) -> pd.DataFrame:
    """Return one row for each (connector name, mode, fill), in the order given; units and types as ``orders_frame``."""
    return fills_table(fill_rows(fills))


def fill_rows(fills: Iterable[tuple[str, str, OrderFilledEvent]]) -> list[Row]:
    """Return what ``fills_table`` makes a table of."""
    return [(connector, mode, *_fill_row(fill)) for connector, mode, fill in fills]


def fills_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows of fills as a table; see ``fills_frame``."""
    return _frame(_FILL_COLUMNS, rows)


def balances_frame(accounts: Iterable[tuple[str, str, AccountBalances]]) -> pd.DataFrame:
    """Return one row for each asset of each (connector name, mode, account); amounts float64, in units of the asset.

    ``held`` is what open orders take, and whatever else the exchange holds back: ``total`` less ``available``.
    """
    return balances_table(balance_rows(accounts))


def balance_rows(accounts: Iterable[tuple[str, str, AccountBalances]]) -> list[Row]:
    """Return what ``balances_table`` makes a table of."""
    return [
        (name, mode, asset, total, available, total - available)
        for name, mode, balances in accounts
        for asset in balances.assets
        for total, available in [(balances.total(asset), balances.available(asset))]
    ]


def balances_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows of balances as a table; see ``balances_frame``."""
    return _frame(_BALANCE_COLUMNS, rows)


def _order_row(order: InFlightOrder) -> tuple[Any, ...]:
    fees = [TokenAmount(token, amount) for token, amount in order.cumulative_fees.items()]
    return (
        order.client_order_id,
        order.exchange_order_id,
        order.trading_pair,
        order.trade_type.value,
        order.order_type.value,
        order.current_state.value,
        order.price,
        order.amount,
        order.executed_amount_base,
        order.remaining,
        order.average_executed_price,
        *_fee_cells(fees),
        order.creation_timestamp,
        order.last_update_timestamp,
        order.reason,
    )


def _fill_row(fill: OrderFilledEvent) -> tuple[Any, ...]:
    return (
        fill.timestamp,
        fill.trading_pair,
        fill.trade_type.value,
        fill.order_type.value,
        fill.price,
        fill.amount,
        fill.price * fill.amount,
        *_fee_cells(fill.trade_fee.flat_fees),
        fill.order_id,
        fill.exchange_order_id,
        fill.exchange_trade_id,
    )


def _fee_cells(fees: Sequence[TokenAmount]) -> tuple[Decimal | None, str]:
    tokens = sorted({fee.token for fee in fees})
    if len(tokens) > 1:
        return None, "+".join(tokens)
    return sum((fee.amount for fee in fees), Decimal(0)), "".join(tokens)


def _frame(columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    import pandas as pd  # kit imports fast without it

    cells = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pd.DataFrame(
        {name: _column(pd, kind, values) for (name, kind), values in zip(columns.items(), cells, strict=True)}
    )


def _column(pd: Any, kind: str, values: Sequence[Any]) -> Any:
    if kind == _TEXT:
        return pd.Series(["" if value is None else value for value in values], dtype=_TEXT)
    if kind == _NUMBER:
        return pd.Series([float("nan") if value is None else float(value) for value in values], dtype=_NUMBER)
    # Whole microseconds: a float of seconds carries no more, and pandas would round it in its own way.
    micros = pd.Series([round(value * 1e6) for value in values], dtype="int64")
    return pd.to_datetime(micros, unit="us", utc=True).astype(_TIME)

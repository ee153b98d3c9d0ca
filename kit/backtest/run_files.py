"""A run's record in one file, a zip of JSON and one array: nothing in it is executed when it is read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from kit.backtest.run_record import Account, BacktestRun, Decision, Market
from kit.errors import InvalidInput
from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import OrderFilledEvent
from kit.types.market import TradeType, TradingRule
from kit.types.orders import OrderType, TokenAmount, TradeFee

VERSION: Final = 1

_PLAIN: Final = ("strategy", "assumptions", "parameters", "data_id", "quote_asset", "tick_size", "started", "ended")


def save(run: BacktestRun, path: str | Path) -> Path:
    """Write a run's record; the parent folder must exist, else raises ``InvalidInput``. Returns the path."""
    target = Path(path)
    samples = io.BytesIO()
    np.save(samples, run.samples.rows(), allow_pickle=False)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in (("run.json", json.dumps(_encode(run))), ("samples.npy", samples.getvalue())):
            # Without a date of its own: the same run is the same file.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    write_bytes(target, packed.getvalue())
    return target


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file. Raises ``InvalidInput`` where nothing can be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"nothing can be written to {path}: {error.strerror}; the folder must exist") from error


def load(path: str | Path) -> BacktestRun:
    """Return the record that ``save`` wrote. Raises ``InvalidInput`` for a file that is none, or of another version."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("run.json"))
            rows = np.load(io.BytesIO(archive.read("samples.npy")), allow_pickle=False)
        if data["version"] != VERSION:
            raise InvalidInput(f"{path} is of version {data['version']}; this kit reads version {VERSION}")
        run = _decode(data)
        run.samples.load(rows)
    except FileNotFoundError as error:
        raise InvalidInput(f"there is no saved result {path} (looked in {Path.cwd()})") from error
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InvalidInput(f"{path} is no saved result, or damaged: {error}") from error
    return run


def _encode(run: BacktestRun) -> dict[str, Any]:
    return {
        "version": VERSION,
        **{name: _text_map(getattr(run, name)) for name in _PLAIN},
        "markets": [[one.connector, one.trading_pair, _rule_out(one.rule)] for one in run.markets],
        "accounts": [list(account) for account in run.accounts],
        "initial_balances": _balances_out(run.initial_balances),
        "final_balances": None if run.final_balances is None else _balances_out(run.final_balances),
        "orders": [[connector, order.as_dict()] for connector, order in run.orders],
        "fills": [[fill.connector, _fill_out(fill.event), fill.mid] for fill in run.fills],
        "decisions": [[str(cell) if isinstance(cell, Decimal) else cell for cell in row] for row in run.decisions],
        "counts": run.counts,
        "notes": run.notes,
    }


def _decode(data: Mapping[str, Any]) -> BacktestRun:
    final = data["final_balances"]
    run = BacktestRun(
        **{name: data[name] for name in _PLAIN},
        markets=[Market(connector, pair, _rule_in(rule)) for connector, pair, rule in data["markets"]],
        accounts=[Account(*account) for account in data["accounts"]],
        initial_balances=_balances_in(data["initial_balances"]),
        final_balances=None if final is None else _balances_in(final),
        orders=[(connector, InFlightOrder.from_dict(order)) for connector, order in data["orders"]],
        counts=dict(data["counts"]),
        notes=list(data["notes"]),
    )
    for connector, event, mid in data["fills"]:
        run.add_fill(connector, _fill_in(event), mid)
    for *cells, price, amount in data["decisions"]:
        run.decisions.append(Decision(*cells, *(None if one is None else Decimal(one) for one in (price, amount))))
    return run


def _text_map(value: Any) -> Any:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, Mapping) else value


def _balances_out(balances: Mapping[Account, Decimal]) -> list[list[str]]:
    return [[*account, str(amount)] for account, amount in balances.items()]


def _balances_in(rows: list[list[str]]) -> dict[Account, Decimal]:
    return {Account(connector, asset): Decimal(amount) for connector, asset, amount in rows}


def _rule_out(rule: TradingRule) -> dict[str, Any]:
    values = {item.name: getattr(rule, item.name) for item in fields(rule)}
    return {name: {"decimal": str(value)} if isinstance(value, Decimal) else value for name, value in values.items()}


def _rule_in(data: Mapping[str, Any]) -> TradingRule:
    values: dict[str, Any] = {k: Decimal(v["decimal"]) if isinstance(v, dict) else v for k, v in data.items()}
    return TradingRule(**values)


def _fill_out(event: OrderFilledEvent) -> dict[str, Any]:
    values = {item.name: getattr(event, item.name) for item in fields(event)}
    values |= {"trade_type": event.trade_type.value, "order_type": event.order_type.value}
    values |= {"price": str(event.price), "amount": str(event.amount)}
    return values | {"trade_fee": [[fee.token, str(fee.amount)] for fee in event.trade_fee.flat_fees]}


def _fill_in(data: dict[str, Any]) -> OrderFilledEvent:
    values = data | {"trade_type": TradeType(data["trade_type"]), "order_type": OrderType(data["order_type"])}
    values |= {"price": Decimal(data["price"]), "amount": Decimal(data["amount"])}
    fee = TradeFee(tuple(TokenAmount(token, Decimal(amount)) for token, amount in data["trade_fee"]))
    return OrderFilledEvent(**(values | {"trade_fee": fee}))

"""The tables of a result: equity, positions, round trips and decisions as pandas DataFrames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from kit.backtest.analysis import Analysis
from kit.backtest.pnl import ValuedFill
from kit.backtest.run_record import BacktestRun, Decision, Floats
from kit.orders.exact import EXACT, QUOTIENT, ZERO

if TYPE_CHECKING:
    import pandas as pd

_TIME: Final = "datetime64[ns, UTC]"

_DECISIONS: Final = {
    "time": _TIME,
    "connector": "str",
    "action": "str",
    "client_order_id": "str",
    "trading_pair": "str",
    "side": "str",
    "type": "str",
    "price": "float64",
    "amount": "float64",
}

_POSITIONS: Final = {
    "time": _TIME,
    "connector": "str",
    "trading_pair": "str",
    "change": "float64",
    "price": "float64",
    "position": "float64",
    "average_cost": "float64",
    "realised": "float64",
    "unrealised": "float64",
    "mid": "float64",
}

_TRADES: Final = {
    "connector": "str",
    "trading_pair": "str",
    "side": "str",
    "amount": "float64",
    "entry_time": _TIME,
    "exit_time": _TIME,
    "entry_price": "float64",
    "exit_price": "float64",
    "gain": "float64",
    "fees": "float64",
    "pnl": "float64",
    "duration": "float64",
}


def equity_frame(analysis: Analysis) -> pd.DataFrame:
    """Return one row a sample, indexed by UTC time.

    Money in the run's quote asset: ``equity``, ``holding`` (what the initial balances alone would be worth),
    ``drawdown`` from the highest equity so far and the same as a fraction of it, ``spread_captured`` and ``fees``
    summed up to then, ``inventory_value``. Then ``mid <market>`` as sampled (NaN where the book was empty), ``inventory
    <asset>`` gained since the start and ``balance <account>``, in units of the asset.
    """
    import pandas as pd

    peaks = np.maximum.accumulate(analysis.equity) if len(analysis.times) else analysis.equity
    falls = peaks - analysis.equity
    columns: dict[str, Floats] = {
        "equity": analysis.equity,
        "holding": analysis.holding,
        "drawdown": falls,
        "drawdown_fraction": np.divide(falls, peaks, out=np.zeros_like(falls), where=peaks > 0),
        "spread_captured": cumulative(analysis, [float(fill.spread) for fill in analysis.fills]),
        "fees": cumulative(analysis, [float(fill.fee) for fill in analysis.fills]),
        "inventory_value": analysis.inventory_value,
    }
    for name, path in zip(market_names(analysis.run), analysis.valuation.raw_mids.T, strict=True):
        columns[f"mid {name}"] = path
    columns |= {f"inventory {asset}": path for asset, path in analysis.inventory.items()}
    several = len({account.connector for account in analysis.run.accounts}) > 1
    for account in analysis.run.accounts:
        name = f"{account.connector} {account.asset}" if several else account.asset
        columns[f"balance {name}"] = analysis.balances(account)
    return pd.DataFrame(columns, index=pd.Index(times_column(analysis.times), name="time"), dtype="float64")


def cumulative(analysis: Analysis, values: Sequence[float]) -> Floats:
    """Return, at every sample, the sum of the fills' values up to it."""
    order = np.argsort(analysis.fill_times, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64)[order])])
    return np.asarray(sums[np.searchsorted(analysis.fill_times[order], analysis.times, side="right")])


def market_names(run: BacktestRun) -> list[str]:
    """Return a name for each market: its pair, with the exchange where several are traded."""
    several = len({market.connector for market in run.markets}) > 1
    return [f"{one.connector} {one.trading_pair}" if several else one.trading_pair for one in run.markets]


def decisions_frame(decisions: Sequence[Decision]) -> pd.DataFrame:
    """Return one row for each order and cancel that the strategy asked for, in that order."""
    return _frame(_DECISIONS, [tuple(row) for row in decisions])


@dataclass(slots=True)
class _Position:
    """Amount (base, negative is short) and cost by the average-cost method; ``realised`` in quote, without fees."""

    amount: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO

    def add(self, change: Decimal, price: Decimal) -> None:
        """Book a trade: what lessens the position realises a gain, the rest adds to its cost."""
        closing = min(abs(change), abs(self.amount)) if change * self.amount < 0 else ZERO
        if closing:
            sign = 1 if self.amount > 0 else -1
            share = QUOTIENT.divide(EXACT.multiply(self.cost, closing), abs(self.amount))
            self.realised = EXACT.add(self.realised, EXACT.subtract(EXACT.multiply(price, closing) * sign, share))
            self.cost = EXACT.subtract(self.cost, share)
        opening = EXACT.subtract(abs(change), closing)
        self.cost = EXACT.add(self.cost, EXACT.multiply(price, opening) * (1 if change > 0 else -1))
        self.amount = EXACT.add(self.amount, change)


def positions_frame(analysis: Analysis) -> pd.DataFrame:
    """Return one row a fill: the pair's position after it, counted from zero at the start, by average cost.

    ``change`` and ``position`` in base, without fees; ``price``, ``average_cost``, ``mid`` in the pair's quote asset;
    ``realised`` and ``unrealised`` gains in it too, fees left out.
    """
    positions: dict[int, _Position] = {}
    rows = []
    for fill in analysis.fills:
        event, position = fill.record.event, positions.setdefault(fill.market, _Position())
        change = event.amount if fill.sign > 0 else -event.amount
        position.add(change, event.price)
        average = float(position.cost / position.amount) if position.amount else float("nan")
        unrealised = float(position.amount) * fill.mid - float(position.cost) if position.amount else 0.0
        place = (event.timestamp, fill.record.connector, event.trading_pair, change, event.price)
        rows.append((*place, position.amount, average, position.realised, unrealised, fill.mid))
    return _frame(_POSITIONS, rows)


def trades_frame(analysis: Analysis) -> pd.DataFrame:
    """Return the round trips: each buy matched with sells (or the reverse), first in, first out, from zero on.

    ``side`` is that of the entry ("buy" is long), ``amount`` in base, ``duration`` in seconds; ``gain`` in the pair's
    quote asset, before ``fees`` (the fills' shares of them, in the run's quote asset times the amount matched); ``pnl``
    is the gain in the run's quote asset, at the exit, less fees. What is still open at the end is not among them.
    """
    waiting: dict[int, deque[_Open]] = {}
    rows: list[tuple[object, ...]] = []
    for fill in analysis.fills:
        rows.extend(_match(fill, waiting.setdefault(fill.market, deque())))
    return _frame(_TRADES, rows)


@dataclass(slots=True)
class _Open:
    """A fill with the amount of it (base) that nothing has closed yet."""

    fill: ValuedFill
    left: Decimal


def _match(fill: ValuedFill, waiting: deque[_Open]) -> Iterator[tuple[object, ...]]:
    event = fill.record.event
    left = event.amount
    while left and waiting and waiting[0].fill.sign != fill.sign:
        entry = waiting[0]
        amount = min(left, entry.left)
        yield _round_trip(entry.fill, fill, amount)
        left = EXACT.subtract(left, amount)
        entry.left = EXACT.subtract(entry.left, amount)
        if not entry.left:
            waiting.popleft()
    if left:
        waiting.append(_Open(fill, left))


def _round_trip(entry: ValuedFill, end: ValuedFill, amount: Decimal) -> tuple[object, ...]:
    first, last = entry.record.event, end.record.event
    gain = float(EXACT.multiply(EXACT.subtract(last.price, first.price), amount)) * entry.sign
    shares = [float(one.fee) * float(amount) / float(one.record.event.amount) for one in (entry, end)]
    unit = float(end.quote_value) if end.quote_value is not None else float("nan")
    side = "buy" if entry.sign > 0 else "sell"
    times = (first.timestamp, last.timestamp)
    money = (gain, sum(shares), gain * unit - sum(shares))
    place = (entry.record.connector, first.trading_pair, side, amount)
    return (*place, *times, first.price, last.price, *money, last.timestamp - first.timestamp)


def times_column(seconds: Floats | Sequence[float]) -> pd.Series:
    """Return times in seconds as UTC, to the microsecond: a float carries no more."""
    import pandas as pd

    micros = np.round(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)
    return pd.Series(pd.to_datetime(micros, unit="us", utc=True).astype(_TIME))


def _frame(columns: Mapping[str, str], rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    import pandas as pd

    cells = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pd.DataFrame(
        {name: _column(kind, values) for (name, kind), values in zip(columns.items(), cells, strict=True)}
    )


def _column(kind: str, values: Sequence[object]) -> pd.Series:
    import pandas as pd

    if kind == _TIME:
        return times_column([float(value) for value in values])  # type: ignore[arg-type]
    if kind == "float64":
        floats = [float("nan") if value is None else float(value) for value in values]  # type: ignore[arg-type]
        return pd.Series(floats, dtype="float64")
    return pd.Series(list(values), dtype=kind)

"""A run turned into columns over equal intervals of time, from which every statistic is a function of sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from kit.backtest.markouts import HORIZONS, moves_after
from kit.backtest.pnl import ProfitAndLoss, ValuedFill, profit_and_loss, value_fills
from kit.backtest.run_record import Account, BacktestRun, Floats
from kit.backtest.valuation import Valuation

INTERVALS: Final = (10.0, 60.0, 300.0, 3600.0, 86400.0)
"""Lengths in seconds that intervals may have; the shortest with at most ``MOST_INTERVALS`` is taken."""

MOST_INTERVALS: Final = 10_000

SIDES: Final = ("buy", "sell", "total")


@dataclass(frozen=True)
class Intervals:
    """Equal intervals over the sampled time: ``count`` of them, ``seconds`` long each, ending at ``edges[1:]``."""

    edges: Floats

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self.edges) - 1

    @property
    def seconds(self) -> float:
        """Return the length of one."""
        return float(self.edges[-1] - self.edges[0]) / self.count

    def index(self, times: Floats) -> npt.NDArray[np.int64]:
        """Return the interval that each time falls in; those before and after go to the first and the last."""
        return np.clip(np.searchsorted(self.edges, times, side="left") - 1, 0, self.count - 1)

    def sums(self, times: Floats, values: Floats) -> Floats:
        """Return the sum of the values in each interval; NaN counts as nothing."""
        counted = np.bincount(self.index(times), weights=np.nan_to_num(values), minlength=self.count)
        return np.asarray(counted, dtype=np.float64)


def intervals_of(times: Floats, seconds: float | None, tick_size: float) -> Intervals:
    """Cut the sampled time into equal intervals of about ``seconds``; one where there is too little to cut."""
    start, end = (float(times[0]), float(times[-1])) if len(times) else (0.0, 0.0)
    span = end - start
    if seconds is None:
        seconds = next((length for length in INTERVALS if span / length <= MOST_INTERVALS), INTERVALS[-1])
    count = max(1, math.floor(span / max(seconds, tick_size) + 1e-9))
    return Intervals(np.linspace(start, end, count + 1))


class Analysis:
    """Everything that is computed from a run once; all money in the run's quote asset."""

    def __init__(self, run: BacktestRun, *, seconds: float | None = None) -> None:
        self.run = run
        self.rows: Floats = run.samples.rows()
        self.times: Floats = self.rows[:, 0]
        self.valuation = Valuation(run, self.rows)
        self.intervals = intervals_of(self.times, seconds, run.tick_size)

    @cached_property
    def fills(self) -> list[ValuedFill]:
        """Return the fills with what they were worth."""
        return value_fills(self.run, self.valuation)

    @cached_property
    def pnl(self) -> ProfitAndLoss:
        """Return the exact parts of the profit."""
        return profit_and_loss(self.run, self.valuation, self.fills)

    @cached_property
    def fill_times(self) -> Floats:
        """Return the fills' times in seconds."""
        return np.array([fill.record.event.timestamp for fill in self.fills], dtype=np.float64)

    def balances(self, account: Account) -> Floats:
        """Return an account's total at every sample."""
        return self.rows[:, 1 + len(self.run.markets) + list(self.run.accounts).index(account)]

    @cached_property
    def equity(self) -> Floats:
        """Return the worth of all balances that can be valued, at every sample."""
        return self._worth({account: self.balances(account) for account in self.run.accounts})

    @cached_property
    def holding(self) -> Floats:
        """Return the worth of the initial balances at every sample: what doing nothing would have come to."""
        held = {account: np.float64(float(amount)) for account, amount in self.run.initial_balances.items()}
        return self._worth(held)

    def _worth(self, amounts: dict[Account, Floats] | dict[Account, np.float64]) -> Floats:
        total = np.zeros(len(self.times))
        for account, amount in amounts.items():
            path = self.valuation.path(account)
            if path is not None:
                total = total + amount * path
        return total

    @cached_property
    def inventory(self) -> dict[str, Floats]:
        """Return, by asset other than the quote asset, what balances gained since the start, at every sample."""
        result: dict[str, Floats] = {}
        for account in self.run.accounts:
            if account.asset != self.run.quote_asset:
                gained = self.balances(account) - float(self.run.initial_balances.get(account, 0))
                result[account.asset] = result.get(account.asset, np.zeros(len(self.times))) + gained
        return result

    @cached_property
    def inventory_value(self) -> Floats:
        """Return the worth of the inventory of all assets at every sample, short positions negative."""
        gained = {
            account: self.balances(account) - float(self.run.initial_balances.get(account, 0))
            for account in self.run.accounts
            if account.asset != self.run.quote_asset
        }
        return self._worth(gained)

    def changes(self, path: Floats, first: float, last: float) -> Floats:
        """Return what a path gained in each interval, given its exact ends."""
        if not len(path):
            return np.array([last - first])
        at = np.searchsorted(self.times, self.intervals.edges, side="right") - 1
        ends = path[np.maximum(at, 0)].copy()
        ends[0], ends[-1] = first, last
        return np.diff(ends)

    @cached_property
    def columns(self) -> dict[str, Floats]:
        """Return, by name, what each interval adds to the sums that statistics are made of."""
        initial, final = float(self.pnl.initial_equity), float(self.pnl.final_equity)
        change = self.changes(self.equity, initial, final)
        held = self.changes(self.holding, initial, initial + float(self.pnl.holdings_revaluation))
        columns = {
            "change": change,
            "change_squared": change**2,
            "loss_squared": np.minimum(change, 0.0) ** 2,
            "holding": held,
        }
        return columns | self._order_columns() | self._fill_columns()

    def _fill_columns(self) -> dict[str, Floats]:
        turnover = _column(self.fills, [float(fill.turnover) for fill in self.fills])
        add = self.intervals.sums
        columns = {
            "fills": add(self.fill_times, np.ones(len(self.fills))),
            "turnover": add(self.fill_times, turnover),
            "spread": add(self.fill_times, _column(self.fills, [float(fill.spread) for fill in self.fills])),
            "fees": add(self.fill_times, _column(self.fills, [float(fill.fee) for fill in self.fills])),
        }
        for horizon in HORIZONS:
            moved, gained = self.markout_money(horizon)
            for side, mine in self.sides().items():
                known = mine & np.isfinite(moved)
                key = f"{horizon:g}_{side}"
                columns[f"adverse_{key}"] = add(self.fill_times, np.where(known, moved, 0.0))
                columns[f"markout_{key}"] = add(self.fill_times, np.where(known, gained, 0.0))
                columns[f"notional_{key}"] = add(self.fill_times, np.where(known, turnover, 0.0))
                columns[f"count_{key}"] = add(self.fill_times, known.astype(np.float64))
        return columns

    def sides(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return which fills are buys, which sells, and all of them."""
        buys = np.array([fill.sign > 0 for fill in self.fills], dtype=np.bool_)
        return dict(zip(SIDES, (buys, ~buys, np.ones(len(self.fills), dtype=np.bool_)), strict=True))

    def markout_money(self, horizon: float) -> tuple[Floats, Floats]:
        """Return, for each fill, what the mid price's move after it, and the move with the spread, came to in money."""
        moves = moves_after(self.fills, self.valuation, horizon, self.run.tick_size)
        units = _column(self.fills, [float(fill.record.event.amount) * _worth_of(fill) for fill in self.fills])
        moved = moves * units
        return moved, moved + _column(self.fills, [float(fill.spread) for fill in self.fills])

    def _order_columns(self) -> dict[str, Floats]:
        seen = [(name, order) for name, order in self.run.orders if order.acknowledged]
        times = np.array([order.creation_timestamp for _, order in seen], dtype=np.float64)
        paths = {account: self.valuation.path(account) for account in {Account(n, o.quote_asset) for n, o in seen}}
        ordered, executed = np.zeros(len(seen)), np.zeros(len(seen))
        filled = np.array([float(order.executed_amount_base > 0) for _, order in seen], dtype=np.float64)
        for at, (name, order) in enumerate(seen):
            path = paths[Account(name, order.quote_asset)]
            unit = 0.0 if path is None or not len(path) else path[self.valuation.index_at(order.creation_timestamp)]
            price = float(order.price or order.average_executed_price or 0) * float(unit)
            ordered[at] = float(order.amount) * price
            executed[at] = float(order.executed_amount_base) * price
        return {
            "orders": self.intervals.sums(times, np.ones(len(seen))),
            "orders_filled": self.intervals.sums(times, filled),
            "ordered": self.intervals.sums(times, ordered),
            "executed": self.intervals.sums(times, executed),
        }


def _column(fills: Sequence[ValuedFill], values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64).reshape(len(fills))


def _worth_of(fill: ValuedFill) -> float:
    return float(fill.quote_value) if fill.quote_value is not None else math.nan

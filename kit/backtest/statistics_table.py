"""The table of statistics: values, bootstrap intervals, units and definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from kit.backtest.analysis import Analysis
from kit.backtest.bootstrap import MIN_INTERVALS, BlockBootstrap, interval, resample
from kit.backtest.markouts import HORIZONS
from kit.backtest.run_record import Floats
from kit.backtest.statistics import (
    SIDE_STATISTICS,
    STATISTICS,
    Statistic,
    Totals,
    definition,
    greatest,
    time_weighted_std,
)

if TYPE_CHECKING:
    import pandas as pd


class StatisticsTable:
    """Computes the statistics of a run with their bootstrap intervals; ``replicates`` are kept for comparisons."""

    def __init__(self, analysis: Analysis, *, seed: int = 0, replicates: int = 1000, confidence: float = 0.95) -> None:
        self.analysis = analysis
        self.confidence = confidence
        self.bootstrap = BlockBootstrap(analysis.intervals.count, seed=seed, replicates=replicates)
        self.point = self._totals({name: np.array([column.sum()]) for name, column in analysis.columns.items()})
        self.point = self._totals(dict(self.point.sums) | _deepest(analysis.equity))
        self.drawn: Totals | None = None
        if analysis.intervals.count >= MIN_INTERVALS:
            falls = self.bootstrap.deepest_falls(analysis.columns["change"], self.point.initial)
            sums = resample(analysis.columns, self.bootstrap)
            self.drawn = self._totals(sums | dict(zip(("max_drawdown", "max_drawdown_fraction"), falls, strict=True)))

    def _totals(self, sums: Mapping[str, Floats]) -> Totals:
        intervals = self.analysis.intervals
        return Totals(sums, intervals.count, intervals.seconds, float(self.analysis.pnl.initial_equity))

    def value(self, statistic: Statistic) -> float:
        """Return a statistic of the run itself."""
        return float(statistic.function(self.point)[0])

    def replicates(self, statistic: Statistic) -> Floats:
        """Return a statistic of every resampled history; one NaN where the run is too short to resample."""
        return np.array([math.nan]) if self.drawn is None else statistic.function(self.drawn)

    def row(self, statistic: Statistic) -> tuple[str, float, float, float, str, str]:
        """Return name, value, interval, unit and definition."""
        low, high = interval(self.replicates(statistic), self.confidence)
        if statistic.unit == "count":
            low = high = math.nan  # a count is what it is
        words = definition(statistic.function)
        return statistic.name, self.value(statistic), low, high, self._unit(statistic.unit), words

    def _unit(self, unit: str) -> str:
        return self.analysis.run.quote_asset if unit == "quote" else unit

    def frame(self) -> pd.DataFrame:
        """Return the table: index name, columns value, low, high, unit, definition."""
        import pandas as pd

        rows = [self.row(statistic) for statistic in STATISTICS]
        rows += [*self._inventory_rows(), *self._profit_rows()]
        names = ["name", "value", "low", "high", "unit", "definition"]
        return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:4], "float64")).set_index("name")

    def _inventory_rows(self) -> Iterator[tuple[str, float, float, float, str, str]]:
        times, quote = self.analysis.times, self.analysis.run.quote_asset
        held = [(f"_{asset}", asset, path) for asset, path in self.analysis.inventory.items()]
        for end, unit, path in [*held, ("_value", quote, self.analysis.inventory_value)]:
            std, most = time_weighted_std(path, times), greatest(path)
            yield f"inventory_std{end}", std, math.nan, math.nan, unit, definition(time_weighted_std)
            yield f"inventory_max{end}", most, math.nan, math.nan, unit, definition(greatest)

    def _profit_rows(self) -> Iterator[tuple[str, float, float, float, str, str]]:
        pnl, quote = self.analysis.pnl, self.analysis.run.quote_asset
        parts = {
            "inventory_revaluation": "Part of the return: what was traded, from its value at the fill to the end's. "
            "Spread captured + inventory and holdings revaluation - fees (+ unexplained) = return, exactly.",
            "holdings_revaluation": "Part of the return: the initial balances, from the start's prices to the end's.",
            "unexplained": "Part of the return: final balances that the fills do not account for.",
            "initial_equity": "Worth of the initial balances at the first known prices (E0).",
            "final_equity": "Worth of the final balances at the last known prices.",
        }
        for name, words in parts.items():
            yield name, float(getattr(pnl, name)), math.nan, math.nan, quote, words

    def markouts(self) -> pd.DataFrame:
        """Return one row for each horizon and side: fills, notional, markout and adverse selection with intervals."""
        import pandas as pd

        total = {"total": tuple(one for one in STATISTICS if one.name.startswith(("markout", "adverse")))}
        rows = []
        for side, statistics in (SIDE_STATISTICS | total).items():
            for at, horizon in enumerate(HORIZONS):
                four = [self.row(statistic) for statistic in statistics[4 * at : 4 * at + 4]]
                key = f"{horizon:g}_{side}"
                counted = float(self.point[f"count_{key}"][0]), float(self.point[f"notional_{key}"][0])
                rows.append((horizon, side, *counted, *four[0][1:4], four[1][1], *four[2][1:4], four[3][1]))
        names = ["horizon", "side", "fills", "notional", "markout_bps", "markout_low", "markout_high", "markout_money"]
        names += ["adverse_bps", "adverse_low", "adverse_high", "adverse_money"]
        return (
            pd.DataFrame(rows, columns=names)
            .astype({"fills": "int64"})
            .sort_values("horizon", kind="stable", ignore_index=True)
        )


def _deepest(equity: Floats) -> dict[str, Floats]:
    if not len(equity):
        return {"max_drawdown": np.array([math.nan]), "max_drawdown_fraction": np.array([math.nan])}
    peaks = np.maximum.accumulate(equity)
    falls = peaks - equity
    shares = np.divide(falls, peaks, out=np.zeros_like(falls), where=peaks > 0)
    return {"max_drawdown": np.array([falls.max()]), "max_drawdown_fraction": np.array([shares.max()])}

"""What a backtest gives back: tables, statistics, figures, and a page that shows them with their assumptions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from kit.backtest import report, run_files
from kit.backtest.analysis import Analysis
from kit.backtest.bootstrap import MIN_INTERVALS
from kit.backtest.comparison import Comparison
from kit.backtest.overview_svg import moment, overview_svg
from kit.backtest.pnl import ProfitAndLoss
from kit.backtest.result_frames import decisions_frame, equity_frame, market_names, positions_frame, trades_frame
from kit.backtest.result_plots import plot_result
from kit.backtest.run_record import BacktestRun
from kit.backtest.statistics_table import StatisticsTable
from kit.orders.frames import fills_frame, orders_frame

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

SHORT_RUN: Final = 86400.0
"""Seconds below which annualised figures come with a warning and are not among the headlines."""

FEW_FILLS: Final = 30


class Result:
    """The outcome of a run. Tables are built when first read; each read hands out a copy, yours to change.

    ``seed`` and ``replicates`` are those of the bootstrap intervals, ``confidence`` their probability (0.95).
    Statistics cut time into intervals of ``interval`` seconds; the default is 10 s up to a day, longer for longer runs.
    """

    def __init__(
        self,
        run: BacktestRun,
        *,
        seed: int = 0,
        replicates: int = 1000,
        confidence: float = 0.95,
        interval: float | None = None,
    ) -> None:
        self.run = run
        self.analysis = Analysis(run, seconds=interval)
        self.confidence = confidence
        self._bootstrap = {"seed": seed, "replicates": replicates}
        self._statistics: StatisticsTable | None = None
        self._tables: dict[str, pd.DataFrame] = {}

    # -- tables ----------------------------------------------------------------------------------------------------

    def _table(self, name: str, build: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        if name not in self._tables:
            self._tables[name] = build()
        return self._tables[name].copy()

    @property
    def orders(self) -> pd.DataFrame:
        """Return one row an order, as ``TradingCore.orders`` has them but for the mode."""
        return self._table("orders", self._orders)

    def _orders(self) -> pd.DataFrame:
        return orders_frame((connector, "", order) for connector, order in self.run.orders).drop(columns="mode")

    @property
    def fills(self) -> pd.DataFrame:
        """Return one row a fill: ``TradingCore.fills`` without the mode, ``mid``, ``spread_captured``, ``fee_value``.

        ``mid`` is the pair's mid price at the fill; the other two are money in the run's quote asset.
        """
        return self._table("fills", self._fills)

    def _fills(self) -> pd.DataFrame:
        fills = self.analysis.fills
        frame = fills_frame((fill.record.connector, "", fill.record.event) for fill in fills).drop(columns="mode")
        return frame.assign(
            mid=[fill.mid for fill in fills],
            spread_captured=[float(fill.spread) for fill in fills],
            fee_value=[float(fill.fee) for fill in fills],
        ).astype(dict.fromkeys(("mid", "spread_captured", "fee_value"), "float64"))

    @property
    def positions(self) -> pd.DataFrame:
        """Return each pair's position after every fill, by average cost (``result_frames.positions_frame``)."""
        return self._table("positions", lambda: positions_frame(self.analysis))

    @property
    def equity(self) -> pd.DataFrame:
        """Return equity, drawdown, inventory, prices and balances at every tick (``result_frames.equity_frame``)."""
        return self._table("equity", lambda: equity_frame(self.analysis))

    @property
    def decisions(self) -> pd.DataFrame:
        """Return one row for each order and cancel that the strategy asked for."""
        return self._table("decisions", lambda: decisions_frame(self.run.decisions))

    @property
    def trades(self) -> pd.DataFrame:
        """Return the round trips, first in, first out (``result_frames.trades_frame``)."""
        return self._table("trades", lambda: trades_frame(self.analysis))

    # -- statistics ------------------------------------------------------------------------------------------------

    @property
    def statistics(self) -> StatisticsTable:
        """Return what computes the statistics, with the resampled histories."""
        if self._statistics is None:
            self._statistics = StatisticsTable(self.analysis, confidence=self.confidence, **self._bootstrap)
        return self._statistics

    @property
    def stats(self) -> pd.DataFrame:
        """Return every statistic: index name; value, low and high of its interval, unit, definition with formula."""
        return self._table("stats", self.statistics.frame)

    @property
    def markouts(self) -> pd.DataFrame:
        """Return what fills were worth 1, 5, 30 and 60 s later, by side and in total, in bps and money."""
        return self._table("markouts", self.statistics.markouts)

    @property
    def pnl(self) -> ProfitAndLoss:
        """Return the parts of the profit as exact Decimals, in the run's quote asset."""
        return self.analysis.pnl

    @property
    def notes(self) -> list[str]:
        """Return what a reader should know before believing the figures."""
        analysis, pnl = self.analysis, self.analysis.pnl
        found = list(self.run.notes)
        if pnl.unvalued:
            found.append(
                f"Not valued, and left out of all money (buying it shows as a loss): {', '.join(pnl.unvalued)}. "
                f"No pair of this run with a known price leads from there to {self.run.quote_asset}."
            )
        if not len(analysis.times):
            found.append("The run has no samples: it ended before its first tick.")
        elif not self.annualises:
            found.append(f"{self.duration_words} of data: annualised figures say little about a year.")
        if len(analysis.times) and analysis.intervals.count < MIN_INTERVALS:
            found.append(
                f"No bootstrap intervals: {self.duration_words} of data are {analysis.intervals.count} intervals of "
                f"{analysis.intervals.seconds:g} s, and it takes {MIN_INTERVALS} at least to tell figures from chance."
            )
        if len(analysis.fills) < FEW_FILLS:
            found.append(f"Fills: {len(analysis.fills)}, too few to judge a strategy by.")
        if any(math.isnan(record.mid) for record in self.run.fills):
            found.append(
                f"Mid prices at fills are those of the tick before, up to {self.run.tick_size:g} s old: how gains "
                "divide into spread captured and later moves is approximate; return and markouts do not need them."
            )
        if pnl.unexplained:
            found.append(f"Balances changed by {pnl.unexplained:f} {self.run.quote_asset} that no fill accounts for.")
        return found

    # -- showing ---------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """Return the strategy and what it traded."""
        return f"{self.run.strategy} on {', '.join(market_names(self.run))}"

    @property
    def duration(self) -> float:
        """Return the sampled time in seconds."""
        times = self.analysis.times
        return float(times[-1] - times[0]) if len(times) else 0.0

    @property
    def annualises(self) -> bool:
        """Tell whether there are data enough for annualised figures to be worth a look: a day."""
        return self.duration >= SHORT_RUN

    @property
    def duration_words(self) -> str:
        """Return the sampled time for readers."""
        for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
            if self.duration >= 2 * length:
                return f"{self.duration / length:.1f} {unit}"
        return f"{self.duration:.3g} s"

    def plot(self, trading_pair: str | None = None) -> go.Figure:
        """Draw price with own fills, equity, drawdown, inventory and spread captured over one time axis, with plotly.

        ``trading_pair`` chooses whose price and fills are drawn; the default is the pair with most fills.
        Raises ``NotReady`` without samples, ``InvalidInput`` for a pair that was not traded.
        """
        return plot_result(self.analysis, self.title, trading_pair=trading_pair)

    def compare(self, other: Result, *, names: tuple[str, str] = ("this", "other"), force: bool = False) -> Comparison:
        """Return the statistics side by side, with intervals of their differences; it shows itself and plots.

        Raises ``InvalidInput`` where the two ran on different data, as their difference would then say nothing about
        the strategies; ``force=True`` compares all the same.
        """
        return Comparison(self, other, names=names, force=force)

    def to_html(self, path: str | Path, *, plotlyjs: Literal["inline", "cdn"] = "inline") -> report.SavedPage:
        """Write a page that stands by itself: statistics, assumptions and the interactive figure.

        ``plotlyjs`` "inline" puts plotly's script into the page (about 5 MB, opens offline), "cdn" a link to it (some
        hundred kB). Returns the path; its repr tells the size.
        """
        figure = self.plot() if len(self.analysis.times) else None
        return report.write_page(path, report.page(self, figure, plotlyjs), plotlyjs)

    def save(self, path: str | Path) -> Path:
        """Write the run's record to one file that ``Result.load`` reads back, digit by digit."""
        return run_files.save(self.run, path)

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Result:
        """Return the result that ``save`` wrote; ``options`` as for ``Result``. Raises ``InvalidInput`` for others."""
        return cls(run_files.load(path), **options)

    def _repr_html_(self) -> str:
        return report.fragment(self, overview_svg(self.analysis))

    def __repr__(self) -> str:
        pnl, quote = self.analysis.pnl, self.run.quote_asset
        start = float(pnl.initial_equity)
        share = float(pnl.total) / start if start > 0 else math.nan
        return (
            f"<Result {self.title}, {self.duration_words} from {moment(self.run.started)}: "
            f"return {report.number(float(pnl.total), quote)} ({report.number(share, 'fraction')}), "
            f"{len(self.run.orders):,} orders, {len(self.run.fills):,} fills, "
            f"spread captured {report.number(float(pnl.spread_captured), quote)}, "
            f"fees {report.number(float(pnl.fees), quote)}>"
        )

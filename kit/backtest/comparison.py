"""Two results side by side, and whether their difference is more than chance."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from kit.backtest import report
from kit.backtest.bootstrap import MIN_INTERVALS, interval
from kit.backtest.result_plots import plot_equities
from kit.backtest.statistics import STATISTICS, Statistic
from kit.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from kit.backtest.result import Result


class Comparison:
    """``other`` less ``this``, statistic by statistic. ``frame`` holds the table, ``plot()`` the overlaid equities.

    Where both ran over the same time, histories of both are resampled from the same blocks of time, so that what the
    market did to both falls out of the interval of their difference. Raises ``InvalidInput`` for results on different
    data (unless ``force``), or valued in different assets.
    """

    def __init__(self, this: Result, other: Result, *, names: tuple[str, str], force: bool = False) -> None:
        if len(set(names)) != 2 or {"difference", "low", "high", "unit", "definition"} & set(names):
            raise InvalidInput(f"names are {names}; give two different ones that are no columns of the table")
        if not hasattr(other, "statistics") or not hasattr(other, "run"):
            raise InvalidInput(f"other is {other!r}; give another result, as kit.backtest(…) returns it")
        if this.run.quote_asset != other.run.quote_asset:
            raise InvalidInput(
                f"the results are valued in {this.run.quote_asset} and {other.run.quote_asset}: their money cannot be "
                "compared; run one of them again with the quote_asset of the other"
            )
        self.differences = data_differences(this, other)
        if self.differences and not force:
            raise InvalidInput(
                f"the results ran on different data ({'; '.join(self.differences)}), so their difference says little "
                "about the strategies; run both on the same data, or pass force=True to compare all the same"
            )
        self.this, self.other, self.names = this, other, names
        self._frame: pd.DataFrame | None = None

    @property
    def paired(self) -> bool:
        """Tell whether both histories can be resampled from the same blocks of time."""
        one, two = self.this.statistics.bootstrap, self.other.statistics.bootstrap
        alike = (one.count, one.block, one.seed, one.replicates) == (two.count, two.block, two.seed, two.replicates)
        return alike and not self.differences

    @property
    def frame(self) -> pd.DataFrame:
        """Return the table: index name; the two values, their difference, its interval, unit, definition.

        ``low`` and ``high`` hold the difference of all but the inventory's figures; an interval without 0 in it is
        more than chance explains, at the results' confidence, for a single statistic looked at by itself.
        """
        if self._frame is None:
            self._frame = self._build()
        return self._frame.copy()

    def _build(self) -> pd.DataFrame:
        import pandas as pd

        one, two = self.this.stats, self.other.stats
        order = [*one.index, *(name for name in two.index if name not in one.index)]
        values = dict(zip(self.names, (one["value"], two["value"]), strict=True))
        frame = pd.DataFrame({name: column.reindex(order) for name, column in values.items()})
        frame["difference"] = frame[self.names[1]] - frame[self.names[0]]
        between = {one.name: self._interval(one) for one in STATISTICS if one.unit != "count"}
        for at, end in enumerate(("low", "high")):
            frame[end] = [between.get(name, (math.nan, math.nan))[at] for name in order]
        words = two[["unit", "definition"]].combine_first(one[["unit", "definition"]])
        return frame.join(words).rename_axis("name")

    def _interval(self, statistic: Statistic) -> tuple[float, float]:
        one, two = self.this.statistics.replicates(statistic), self.other.statistics.replicates(statistic)
        if not self.paired:
            # Independent histories: any pairing does; a shuffled one has nothing in common but chance.
            two = two[np.random.default_rng(1).permutation(len(two))]
        if len(one) != len(two):
            return math.nan, math.nan
        return interval(two - one, self.this.confidence)

    def plot(self) -> go.Figure:
        """Draw what trading added in both over one time axis, their difference and the inventories' worth below."""
        runs = {self.names[0]: self.this.analysis, self.names[1]: self.other.analysis}
        return plot_equities(runs, f"{self.names[0]} and {self.names[1]}")

    def to_html(self, path: str | Path, *, plotlyjs: Literal["inline", "cdn"] = "inline") -> report.SavedPage:
        """Write a page with the table and the figure; ``plotlyjs`` as for ``Result.to_html``."""
        body = report.figure_html(self.plot(), plotlyjs) + self._repr_html_()
        return report.write_page(path, report.whole_page(f"{self.names[0]} and {self.names[1]}", body), plotlyjs)

    def settings(self) -> pd.DataFrame:
        """Return the assumptions and parameters in which the two runs differ; empty text where one has none."""
        import pandas as pd

        rows = []
        for kind in ("assumptions", "parameters"):
            one, two = getattr(self.this.run, kind), getattr(self.other.run, kind)
            names = [*one, *(name for name in two if name not in one)]
            rows += [(name, one.get(name, ""), two.get(name, "")) for name in names if one.get(name) != two.get(name)]
        return pd.DataFrame(rows, columns=["setting", *self.names]).set_index("setting")

    def _repr_html_(self) -> str:
        confidence = f"{self.this.confidence * 100:g} % interval of the difference"
        notes = [f"Different data: {reason}." for reason in self.differences]
        if not self.paired:
            notes.append("The runs are not resampled from the same blocks of time: intervals are wider than need be.")
        counts = [result.analysis.intervals.count for result in (self.this, self.other)]
        if min(counts) < MIN_INTERVALS:
            notes.append(
                f"No intervals of the differences: the runs have {counts[0]} and {counts[1]} intervals of time, and it "
                f"takes {MIN_INTERVALS} at least to tell a difference from chance."
            )
        shown = "".join(f'<div class="note">{html.escape(note)}</div>' for note in notes)
        table = report.statistics_table(self.frame, (*self.names, "difference"), confidence, defined=False)
        settings = "".join(
            f"<tr><th>{html.escape(str(row[0]))}</th><td>{html.escape(str(row[1]))}</td>"
            f"<td>{html.escape(str(row[2]))}</td></tr>"
            for row in self.settings().itertuples()
        )
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("setting", *self.names))
        differ = f"<table><tr>{head}</tr>{settings}</table>" if settings else "<p>Same settings.</p>"
        title = f"<h2>{html.escape(self.names[0])} and {html.escape(self.names[1])}</h2>"
        return f'{report.STYLE}<div class="kit-result">{title}{shown}{differ}<h3>Statistics</h3>{table}</div>'

    def __repr__(self) -> str:
        gain = report.rows_of(self.frame)["return"]
        words = report.number(float(gain["difference"]), self.this.run.quote_asset)
        low, high = report.number(float(gain["low"])), report.number(float(gain["high"]))
        return f"<Comparison: {self.names[1]} less {self.names[0]}: return {words} ({low} … {high})>"


def data_differences(this: Result, other: Result) -> list[str]:
    """Return in what the data of two results differ, in words; nothing for the same data."""
    one, two = this.run, other.run
    found = []
    if one.data_id != two.data_id:
        found.append(f"data {one.data_id or 'unnamed'} and {two.data_id or 'unnamed'}")
    markets = [sorted((market.connector, market.trading_pair) for market in run.markets) for run in (one, two)]
    if markets[0] != markets[1]:
        found.append(f"markets {markets[0]} and {markets[1]}")
    spans = [
        (result.analysis.times[[0, -1]] if len(result.analysis.times) else np.zeros(2)) for result in (this, other)
    ]
    if float(np.max(np.abs(spans[0] - spans[1]))) > max(one.tick_size, two.tick_size):
        found.append(
            f"{this.duration_words} from {spans[0][0]:.0f} s and {other.duration_words} from {spans[1][0]:.0f} s"
        )
    return found

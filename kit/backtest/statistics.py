"""The statistics of a run, each a function of sums over its intervals, defined in the function's docstring.

Notation: the sampled time is cut into n equal intervals of d seconds. dE is the change of equity in one of them. E0 is
the initial equity, sign +1 for buys and -1 for sells. Money is in the run's quote asset, "bps" are hundredths of
a percent of the traded value.
A year has 365 days of 24 hours, as these markets never close.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from kit.backtest.markouts import HORIZONS
from kit.backtest.run_record import Floats

YEAR: Final = 365 * 86400.0
"""Seconds of a year of a market that never closes."""

BPS: Final = 1e4


@dataclass(frozen=True)
class Totals:
    """Sums over all intervals, of the run itself (shape (1,)) or of its resampled histories (shape (replicates,))."""

    sums: Mapping[str, Floats]
    count: int
    seconds: float
    initial: float

    def __getitem__(self, name: str) -> Floats:
        """Return one column's sums."""
        return self.sums[name]

    @property
    def duration(self) -> float:
        """Return the sampled time in seconds."""
        return self.count * self.seconds


Function: TypeAlias = Callable[[Totals], Floats]


class Statistic(NamedTuple):
    """One row of the table: ``unit`` "quote" stands for the run's quote asset."""

    name: str
    unit: str
    function: Function


def ratio(above: Floats | float, below: Floats | float) -> Floats:
    """Return ``above / below``, NaN where ``below`` is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    result: Floats = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)
    return result


# -- returns ---------------------------------------------------------------------------------------------------------


def total_return(t: Totals) -> Floats:
    """Return final less initial equity, fees paid: sum(dE)."""
    return t["change"]


def return_fraction(t: Totals) -> Floats:
    """Return the return as a fraction of initial equity: sum(dE) / E0."""
    return ratio(t["change"], max(t.initial, 0.0))


def annualised_return(t: Totals) -> Floats:
    """Return the return as a fraction of initial equity, times (a year / the run's time). Not compounded.

    Compounding a short run's return would print astronomic figures.
    """
    return return_fraction(t) * _years_inverse(t.duration)


def return_over_holding(t: Totals) -> Floats:
    """Return the return less what the initial balances alone would have come to: what trading added."""
    return t["change"] - t["holding"]


def sharpe(t: Totals) -> Floats:
    """Return the annualised Sharpe ratio: mean(dE) / std(dE) * sqrt(a year / d), with the sample std (n - 1)."""
    if t.count < 2:
        return np.full_like(t["change"], np.nan)
    mean = t["change"] / t.count
    squares = t["change_squared"]
    variance = (squares - t.count * mean**2) / (t.count - 1)
    # A variance below the rounding of its own terms is none.
    safe = np.where(variance > 1e-12 * squares / t.count, variance, np.nan)
    return mean / np.sqrt(safe) * math.sqrt(_years_inverse(t.seconds))


def sortino(t: Totals) -> Floats:
    """Return the annualised Sortino ratio: mean(dE) / sqrt(mean(min(0, dE)^2)) * sqrt(a year / d), target 0."""
    downside = np.sqrt(t["loss_squared"] / t.count)
    return ratio(t["change"] / t.count, downside) * math.sqrt(_years_inverse(t.seconds))


def max_drawdown(t: Totals) -> Floats:
    """Return the greatest fall of equity from an earlier peak, over all samples: max(cummax(E) - E).

    Its interval comes from histories put together from shuffled blocks of intervals.
    """
    return t["max_drawdown"]


def max_drawdown_fraction(t: Totals) -> Floats:
    """Return the greatest fall of equity as a fraction of the peak before it: max((cummax(E) - E) / cummax(E))."""
    return t["max_drawdown_fraction"]


# -- trading ---------------------------------------------------------------------------------------------------------


def orders(t: Totals) -> Floats:
    """Return the number of orders that the exchange accepted."""
    return t["orders"]


def fills(t: Totals) -> Floats:
    """Return the number of fills; an order may have several."""
    return t["fills"]


def fill_ratio(t: Totals) -> Floats:
    """Return executed by ordered amount of the accepted orders, each at its price: sum(executed) / sum(ordered)."""
    return ratio(t["executed"], t["ordered"])


def orders_filled(t: Totals) -> Floats:
    """Return the share of the accepted orders that had at least one fill."""
    return ratio(t["orders_filled"], t["orders"])


def turnover(t: Totals) -> Floats:
    """Return the traded value: sum over fills of price * amount."""
    return t["turnover"]


def turnover_ratio(t: Totals) -> Floats:
    """Return the traded value by initial equity: turnover / E0."""
    return ratio(t["turnover"], max(t.initial, 0.0))


def turnover_per_day(t: Totals) -> Floats:
    """Return the traded value per 24 hours: turnover * (a day / the run's time)."""
    return t["turnover"] * _years_inverse(t.duration) / 365


# -- edge ------------------------------------------------------------------------------------------------------------


def spread_captured(t: Totals) -> Floats:
    """Return the gain against the mid price at the fill: sum over fills of sign * (mid - price) * amount."""
    return t["spread"]


def spread_captured_bps(t: Totals) -> Floats:
    """Return spread captured by turnover, in bps."""
    return ratio(t["spread"], t["turnover"]) * BPS


def fees(t: Totals) -> Floats:
    """Return the fees paid, each valued at the moment of its fill; rebates are negative."""
    return t["fees"]


def fees_bps(t: Totals) -> Floats:
    """Return fees by turnover, in bps."""
    return ratio(t["fees"], t["turnover"]) * BPS


def _markout_statistics(horizon: float, side: str = "total") -> Iterator[Statistic]:
    """Give the four figures of one horizon and side; fills whose later price is unknown are left out of both sums."""
    key, at = f"{horizon:g}_{side}", f"{horizon:g}s"
    end = "" if side == "total" else f"_{side}"
    which = "fills" if side == "total" else f"{side} fills"

    def markout(t: Totals) -> Floats:
        return ratio(t[f"markout_{key}"], t[f"notional_{key}"]) * BPS

    def markout_money(t: Totals) -> Floats:
        return t[f"markout_{key}"]

    def adverse(t: Totals) -> Floats:
        return ratio(t[f"adverse_{key}"], t[f"notional_{key}"]) * BPS

    def adverse_money(t: Totals) -> Floats:
        return t[f"adverse_{key}"]

    money = f"sum over {which} of sign * (mid {horizon:g} s later - price) * amount"
    moved = f"sum over {which} of sign * (mid {horizon:g} s later - mid at the fill) * amount"
    markout.__doc__ = f"What fills were worth {horizon:g} s later, before fees: {money}, by their value, in bps."
    markout_money.__doc__ = f"The same in money: {money}."
    adverse.__doc__ = f"How the mid price moved after fills, negative against us: {moved}, by their value, in bps."
    adverse_money.__doc__ = f"The same in money: {moved}."
    yield Statistic(f"markout_{at}{end}", "bps", markout)
    yield Statistic(f"markout_{at}{end}_money", "quote", markout_money)
    yield Statistic(f"adverse_selection_{at}{end}", "bps", adverse)
    yield Statistic(f"adverse_selection_{at}{end}_money", "quote", adverse_money)


STATISTICS: Final = (
    Statistic("return", "quote", total_return),
    Statistic("return_fraction", "fraction", return_fraction),
    Statistic("annualised_return", "fraction", annualised_return),
    Statistic("return_over_holding", "quote", return_over_holding),
    Statistic("sharpe", "", sharpe),
    Statistic("sortino", "", sortino),
    Statistic("max_drawdown", "quote", max_drawdown),
    Statistic("max_drawdown_fraction", "fraction", max_drawdown_fraction),
    Statistic("orders", "count", orders),
    Statistic("fills", "count", fills),
    Statistic("fill_ratio", "fraction", fill_ratio),
    Statistic("orders_filled", "fraction", orders_filled),
    Statistic("turnover", "quote", turnover),
    Statistic("turnover_ratio", "fraction", turnover_ratio),
    Statistic("turnover_per_day", "quote", turnover_per_day),
    Statistic("spread_captured", "quote", spread_captured),
    Statistic("spread_captured_bps", "bps", spread_captured_bps),
    Statistic("fees", "quote", fees),
    Statistic("fees_bps", "bps", fees_bps),
    *(one for horizon in HORIZONS for one in _markout_statistics(horizon)),
)
"""Those with intervals; figures of the inventory and the parts of the profit follow them in the table."""

SIDE_STATISTICS: Final = {
    side: tuple(one for horizon in HORIZONS for one in _markout_statistics(horizon, side)) for side in ("buy", "sell")
}


def definition(function: Callable[..., object]) -> str:
    """Return a function's docstring on one line, as a phrase."""
    words = " ".join((inspect.getdoc(function) or "").split())
    words = words.removeprefix("Return ").removeprefix("the ")
    return words[:1].upper() + words[1:]


def _years_inverse(seconds: float) -> float:
    return YEAR / seconds if seconds > 0 else math.nan


# -- inventory -------------------------------------------------------------------------------------------------------


def time_weights(times: Floats) -> Floats:
    """Return how long each sample stood, as a share of the run; the last stood for no time. One sample stands alone."""
    if len(times) < 2:
        return np.ones(len(times))
    stood = np.append(np.diff(times), 0.0)
    return np.asarray(stood / stood.sum(), dtype=np.float64)


def time_weighted_std(values: Floats, times: Floats) -> float:
    """Return the standard deviation over time: sqrt(mean(x^2) - mean(x)^2), samples weighted by how long they stood."""
    if not len(values):
        return math.nan
    weights = time_weights(times)
    centred = values - float(np.sum(weights * values))
    return math.sqrt(float(np.sum(weights * centred**2)))


def greatest(values: Floats) -> float:
    """Return the greatest size, long or short: max(abs(x)). x is what the balances gained since the start."""
    return float(np.max(np.abs(values))) if len(values) else math.nan

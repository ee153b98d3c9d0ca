"""One trial of a sweep: what a worker process does, and what it hands back."""

from __future__ import annotations

import functools
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from kit.backtest.config import BacktestConfig
from kit.backtest.deflated_sharpe import GainMoments
from kit.backtest.result import Result
from kit.backtest.run_record import Floats
from kit.backtest.runner import backtest
from kit.backtest.statistics import STATISTICS, YEAR
from kit.backtest.statistics_table import StatisticsTable
from kit.core.clock import SYSTEM_TIME
from kit.errors import InvalidInput
from kit.simulation.feed import FeedColumns
from kit.types.market import TradingRule

Objective: TypeAlias = str | Callable[[Result], float]

SHOWN: Final = (
    "return",
    "return_over_holding",
    "sharpe",
    "sharpe_over_holding",
    "max_drawdown",
    "fills",
    "turnover",
    "spread_captured",
    "fees",
    "adverse_selection_5s",
)
"""Statistics that every row of a sweep's table has; any other can be the objective."""

OBJECTIVES: Final = (*(statistic.name for statistic in STATISTICS), "sharpe_over_holding")

SMALLER_IS_BETTER: Final = ("max_drawdown", "max_drawdown_fraction", "fees", "fees_bps")

EXTENSIVE: Final = frozenset(
    statistic.name
    for statistic in STATISTICS
    if (statistic.unit in ("quote", "count") and statistic.name not in ("max_drawdown", "turnover_per_day"))
    or statistic.name in ("return_fraction", "turnover_ratio")
)
"""Statistics that grow with time, so that a shorter held-out time makes them smaller."""


@dataclass(frozen=True)
class SharedFeed:
    """A market's feed by the folder from which any process maps it into memory."""

    exchange: str
    trading_pair: str
    folder: str
    rule: TradingRule


@dataclass(frozen=True)
class Window:
    """A span of time, seconds since the epoch."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep have in common. ``windows``: in-sample, then held-out where there is one."""

    config: BacktestConfig
    feeds: Sequence[SharedFeed]
    windows: Sequence[Window]
    objective: Objective

    def arguments(self) -> dict[str, Any]:
        """Return data and rules as ``kit.backtest`` takes them."""
        data: dict[str, dict[str, Any]] = {}
        rules: dict[str, dict[str, TradingRule]] = {}
        for feed in self.feeds:
            data.setdefault(feed.exchange, {})[feed.trading_pair] = _open(feed)
            rules.setdefault(feed.exchange, {})[feed.trading_pair] = feed.rule
        return {"data": data, "rules": rules}


@dataclass(frozen=True)
class Measured:
    """One run's figures: the objective's value, statistics by name, moments of the gains over holding."""

    value: float
    statistics: Mapping[str, float]
    gains: GainMoments


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: ``runs`` in the order of the windows, or ``error``, and the exception where it can travel.

    ``seconds`` are those that the worker spent.
    """

    runs: Sequence[Measured] = ()
    error: str = ""
    exception: BaseException | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)


def run_trial(packed: bytes, params: Mapping[str, Any]) -> Outcome:
    """Run a trial on all windows of a packed ``Job``; whatever goes wrong in it is told, not raised."""
    begun = SYSTEM_TIME.monotonic()
    try:
        job = _unpack(packed)
        arguments = job.arguments()
        runs = [_run(job, arguments, window, params) for window in job.windows]
    except Exception as error:  # noqa: BLE001 - a user's code: its error belongs to this trial alone, and is in the table
        return failure(error, SYSTEM_TIME.monotonic() - begun)
    return Outcome(runs, seconds=SYSTEM_TIME.monotonic() - begun)


def failure(error: BaseException, seconds: float = 0.0) -> Outcome:
    """Return the outcome of a trial that threw."""
    text = f"{type(error).__name__}: {error}"
    return Outcome((), " ".join(text.split()), _portable(error), seconds)


def _portable(error: BaseException) -> BaseException | None:
    """Return the exception, or its cause, as it arrives in another process; ``None`` where it does not."""
    for one in (error, error.__cause__):
        try:
            copy = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own bytes
        except Exception:  # noqa: BLE001, S112 - classes of users fail to pickle in any way they like
            continue
        if isinstance(copy, BaseException):
            return copy
    return None


@functools.lru_cache(maxsize=1)
def _unpack(packed: bytes) -> Job:
    job: Job = pickle.loads(packed)  # noqa: S301 - written by the process that started this one
    return job


def _open(feed: SharedFeed) -> FeedColumns:
    try:
        return FeedColumns.open(feed.folder)
    except InvalidInput as error:
        raise InvalidInput(
            f"a worker cannot read the feed of {feed.trading_pair} in {feed.folder}: {error}. Workers on other "
            "machines need a folder that all machines see: set the environment's KIT_CACHE to one before the sweep"
        ) from error


def _run(job: Job, arguments: Mapping[str, Any], window: Window, params: Mapping[str, Any]) -> Measured:
    config = replace(job.config, start=window.start, end=window.end, **arguments)
    result = backtest(config, progress=False, **params)
    statistics = measure(result)
    gains = GainMoments.of(gains_over_holding(result))
    value = number_of(job.objective(result)) if callable(job.objective) else statistics[job.objective]
    return Measured(value, {name: statistics[name] for name in SHOWN}, gains)


def number_of(value: Any) -> float:
    """Return what an objective gave as a float; raises ``InvalidInput`` for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"the objective gave {value!r}; it must return one number") from None


def measure(result: Result) -> dict[str, float]:
    """Return every statistic of a run by name, without intervals."""
    table = StatisticsTable(result.analysis, replicates=1)
    values = {statistic.name: table.value(statistic) for statistic in STATISTICS}
    return values | {"sharpe_over_holding": sharpe_over_holding(result)}


def gains_over_holding(result: Result) -> Floats:
    """Return what each interval gained beyond the initial balances' own moves, in money: what trading added."""
    columns = result.analysis.columns
    return np.asarray(columns["change"] - columns["holding"], dtype=np.float64)


def sharpe_over_holding(result: Result) -> float:
    """Return the annualised Sharpe ratio of the gains over holding: mean(x) / std(x) * sqrt(a year / interval).

    The Sharpe ratio against a benchmark (W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21, 1994),
    which here is keeping the initial balances. NaN where trading changed nothing.
    """
    seconds = result.analysis.intervals.seconds
    sharpe = GainMoments.of(gains_over_holding(result)).sharpe
    return sharpe * math.sqrt(YEAR / seconds) if seconds > 0 else math.nan

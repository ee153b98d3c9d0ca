"""``kit.sweep``: many backtests of one strategy over a grid or an Optuna space, on several processes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import difflib
import logging
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cloudpickle

from kit.backtest.config import BacktestConfig
from kit.backtest.runner import merge
from kit.backtest.sweep_data import make_room, share, split
from kit.backtest.sweep_driver import Driver, SweepTrial
from kit.backtest.sweep_errors import SweepFailed
from kit.backtest.sweep_interrupts import Interrupts
from kit.backtest.sweep_result import SweepResult
from kit.backtest.sweep_space import Direction, Search, make_search
from kit.backtest.sweep_trial import OBJECTIVES, SMALLER_IS_BETTER, Job, Objective, SharedFeed
from kit.errors import InvalidInput
from kit.simulation.models import describe

logger = logging.getLogger(__name__)

FILE_MODULE: Final = "kit_strategy_"
"""How ``kit.backtest.config`` names the modules that it makes of files."""


def sweep(
    strategy: Any,
    data: Any = None,
    space: Any = None,
    *,
    objective: Objective = "sharpe_over_holding",
    workers: int = 2,
    trials: int | None = None,
    held_out: Any = 0.3,
    direction: Direction | None = None,
    address: Any = None,
    sampler: Any = None,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> SweepResult:
    """Back-test a strategy with many parameters on several processes and return a table of what came of each.

    ``strategy``, ``data`` and ``options`` are those of ``kit.backtest``. ``space`` is a grid (name -> values), Optuna
    distributions by name, or a function of an Optuna trial that returns parameters; fees, latency, queue and the like
    can be swept as well. ``trials``: how many; ``None`` is all of a grid, 50 of an Optuna search. ``sampler`` is
    Optuna's, TPE with ``seed`` by default.

    ``objective`` is a statistic's name (those of ``result.stats``, or ``sharpe_over_holding``, the default, from which
    the market's own moves of the first balances are taken off) or a function of a ``Result`` that returns a number;
    ``direction`` is "maximize", or "minimize" as for drawdown and fees by default.
    ``held_out``: the share of the time, at its end, that is kept for validation: every trial runs on both times, each
    with a fresh account; the search and ``best`` go by the first alone. ``None`` for none, or (start, end).

    Runs on an embedded Dask cluster that drives ``workers`` processes and ends with the sweep; or on the cluster at
    ``address`` (text, or a Dask client), where ``workers`` only says how many trials an Optuna search has under way.
    Data go by path: on several machines ``KIT_CACHE`` must be a folder that all see. Strategies may be defined in
    a notebook's cell. A grid gives the same table on any number of workers, an Optuna search on up to 8.

    A trial that fails is a row with its error; a worker that dies is replaced and its trials run again. Ctrl-C ends the
    sweep, whatever it is at, and returns what is done (``interrupted`` is True; with nothing done it is raised).

    Raises ``InvalidInput`` and ``InsufficientBalance`` before anything runs, ``NetworkUnavailable`` where no cluster
    answers, ``SweepFailed`` when every trial failed, with the first error as its cause.
    """
    request = SweepRequest.of(
        strategy,
        data,
        space,
        options,
        objective=objective,
        direction=direction,
        trials=trials,
        sampler=sampler,
        seed=seed,
        held_out=held_out,
        workers=workers,
        address=address,
        progress=progress,
    )
    return request.run(threading.Event())


async def sweep_async(
    strategy: Any,
    data: Any = None,
    space: Any = None,
    *,
    objective: Objective = "sharpe_over_holding",
    workers: int = 2,
    trials: int | None = None,
    held_out: Any = 0.3,
    direction: Direction | None = None,
    address: Any = None,
    sampler: Any = None,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> SweepResult:
    """Run a sweep as ``sweep`` does, in a thread, so that the notebook's or the strategy's loop goes on meanwhile.

    Cancelling (in a notebook: interrupting the cell) ends the sweep; the ``CancelledError`` has what is done in its
    attribute ``partial``.
    """
    request = SweepRequest.of(
        strategy,
        data,
        space,
        options,
        objective=objective,
        direction=direction,
        trials=trials,
        sampler=sampler,
        seed=seed,
        held_out=held_out,
        workers=workers,
        address=address,
        progress=progress,
    )
    stop = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(request.run, stop))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError as error:
        stop.set()
        error.partial = await work  # type: ignore[attr-defined]
        raise


@dataclass(frozen=True)
class SweepRequest:
    """A sweep that was asked for, checked as far as it can be without its data."""

    config: BacktestConfig
    search: Search
    objective: Objective
    direction: Direction
    held_out: Any
    workers: int
    address: Any
    progress: bool

    @classmethod
    def of(
        cls,
        strategy: Any,
        data: Any,
        space: Any,
        options: Mapping[str, Any],
        *,
        objective: Objective,
        direction: Direction | None,
        trials: int | None,
        sampler: Any,
        seed: int,
        workers: int,
        **others: Any,
    ) -> SweepRequest:
        """Check the arguments of a sweep. Raises ``InvalidInput``."""
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise InvalidInput(f"workers is {workers!r}; give a number of processes from 1, at best that of the cores")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidInput(f"seed is {seed!r}; it must be a whole number from 0")
        toward = check_objective(objective, direction)
        search = make_search(space, toward, trials=trials, seed=seed, sampler=sampler, workers=workers)
        config = merge_options(strategy, data, options)
        for name in space if isinstance(space, Mapping) else ():
            if name in options or name in (options.get("params") or {}):
                raise InvalidInput(f"{name!r} is in the space and given as {name}=… as well; leave one of them away")
        return cls(config, search, objective, toward, workers=workers, **others)

    def run(self, stop: threading.Event) -> SweepResult:
        """Run the sweep until it is done, ``stop`` is set or an interrupt comes."""
        with Interrupts(stop) as interrupts:  # also while the folder is removed: the result must come out
            return self._run(stop, interrupts)

    def _run(self, stop: threading.Event, interrupts: Interrupts) -> SweepResult:
        with make_room() as folder:
            room = Path(folder)
            with interrupts.raised():
                feeds, span = share(self.config, room)
                windows, notes = split(span, self.held_out, self.config.tick_size)
                job = Job(replace(self.config, data=None, rules=None), feeds, windows, self.objective)
                packed = _packed(job)
            trials = self._drive(packed, room, stop, interrupts)
        result = SweepResult(
            trials,
            objective=self.objective if isinstance(self.objective, str) else objective_name(self.objective),
            direction=self.direction,
            windows=windows,
            search=self.search.description,
            planned=self.search.total,
            setting=_setting(self.config, feeds),
            interrupted=stop.is_set(),
            own_objective=callable(self.objective),
            notes=notes,
        )
        return self._checked(result)

    def _drive(self, packed: bytes, room: Path, stop: threading.Event, interrupts: Interrupts) -> list[SweepTrial]:
        from kit.backtest.sweep_workers import open_pool

        workers = min(self.workers, self.search.total)
        with _progress(self.search.total, self.progress, self.direction) as show:
            driver = Driver(self.search, stop, show, interrupts.raised)
            try:
                with open_pool(packed, workers=workers, address=self.address, room=room) as pool:
                    driver.run(pool)
            except Exception:
                if not interrupts.came:
                    raise
                logger.warning("the interrupted sweep's cluster did not close as it should", exc_info=True)
        if interrupts.came and not any(trial.outcome for trial in driver.trials):
            raise KeyboardInterrupt
        return driver.trials

    def _checked(self, result: SweepResult) -> SweepResult:
        failed = [trial for trial in result.trials if trial.state == "failed"]
        if not failed or len(failed) < len(result.trials):
            return result
        first, outcome = failed[0], failed[0].outcome
        text = outcome.error if outcome is not None else ""
        given = ", ".join(f"{name}={value!r}" for name, value in first.params.items())
        raise SweepFailed(
            f"all {len(failed)} trials failed; the first, with {given}: {text}. Run kit.backtest(strategy, data, …) "
            "with these parameters to see it whole",
            result,
        ) from (outcome.exception if outcome is not None else None)


def merge_options(strategy: Any, data: Any, options: Mapping[str, Any]) -> BacktestConfig:
    """Return what every trial has in common: a configuration, where ``strategy`` is one, with what else was given."""
    fields = {field.name: field.default for field in dataclasses.fields(BacktestConfig)}
    for name in ("strategy", "params", "trading_pair", "seed"):
        fields.pop(name)
    given = {name: options.get(name, default) for name, default in fields.items()} | {"data": data, "seed": 0}
    parameters = {name: value for name, value in options.items() if name not in given and name != "params"}
    return merge(strategy, {**(options.get("params") or {}), **parameters}, **given)


def check_objective(objective: Objective, direction: Direction | None) -> Direction:
    """Return the direction that an objective is to go. Raises ``InvalidInput`` for unknown ones."""
    if not callable(objective) and objective not in OBJECTIVES:
        near = difflib.get_close_matches(str(objective), OBJECTIVES, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidInput(
            f"objective is {objective!r}; {hint}Give a function of a Result, or one of {', '.join(OBJECTIVES)}"
        )
    if direction is None:
        return "minimize" if objective in SMALLER_IS_BETTER else "maximize"
    if direction not in ("maximize", "minimize"):
        raise InvalidInput(f"direction is {direction!r}; give 'maximize' or 'minimize'")
    return direction


def objective_name(objective: Any) -> str:
    """Return what a function is called in tables."""
    name = str(getattr(objective, "__name__", type(objective).__name__))
    return "objective" if name == "<lambda>" else name


def _packed(job: Job) -> bytes:
    module = sys.modules.get(getattr(job.config.strategy, "__module__", ""))
    # A strategy of a configuration's "file.py:Class" is in a module that no other process finds by its name.
    by_value = module is not None and module.__name__.startswith(FILE_MODULE)
    try:
        if by_value:
            cloudpickle.register_pickle_by_value(module)
        packed: bytes = cloudpickle.dumps(job)
    except Exception as error:  # a user's object may fail to pickle in any way it likes
        raise InvalidInput(
            f"the strategy or an option cannot travel to another process ({type(error).__name__}: {error}); open "
            "files, locks and connections must be made in the strategy, not beside it"
        ) from error
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return packed


def _setting(config: BacktestConfig, feeds: Sequence[SharedFeed]) -> dict[str, str]:
    """Return what all trials have in common, for readers."""
    name = getattr(config.strategy, "__name__", type(config.strategy).__name__)
    markets = ", ".join(f"{feed.trading_pair} on {feed.exchange}" for feed in feeds)
    told = {"strategy": str(name), "data": markets, "tick": f"{config.tick_size:g} s"}
    for role in ("fees", "queue", "latency", "exchange", "balances"):
        given = getattr(config, role)
        if given is not None:
            told[role] = given if isinstance(given, str) else describe(given)
    if config.params:
        told["parameters"] = ", ".join(f"{key}={value}" for key, value in config.params.items())
    return told


@contextlib.contextmanager
def _progress(total: int, shown: bool, direction: Direction) -> Iterator[Callable[[SweepTrial], None]]:
    if not shown:
        yield lambda _: None
        return
    from tqdm.auto import tqdm

    better = max if direction == "maximize" else min
    with tqdm(total=total, unit="trial", leave=False, desc="sweep") as bar:
        best = math.nan
        failed = 0

        def show(trial: SweepTrial) -> None:
            nonlocal best, failed
            failed += trial.state == "failed"
            if math.isfinite(trial.value):
                best = trial.value if math.isnan(best) else better(best, trial.value)
            bar.set_postfix_str(f"best {best:.6g}" + (f", {failed} failed" if failed else ""), refresh=False)
            bar.update()

        yield show

"""What a sweep tries: every point of a grid, or what an Optuna sampler proposes."""

from __future__ import annotations

import itertools
import logging
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

from kit.errors import InvalidInput

Direction: TypeAlias = Literal["maximize", "minimize"]

DEFAULT_TRIALS: Final = 50
"""Trials of an Optuna search for which no number is given."""

AT_ONCE: Final = 8
"""Trials that an Optuna search lets go at once, whatever the number of workers up to it, so that the sampler knows the
same at every step and a seed gives the same table on one worker and on eight."""

RESERVED: Final = ("strategy", "data", "start", "end", "progress", "params", "rules")
"""Arguments of ``kit.backtest`` that belong to the sweep itself; all others may be swept, fees and latency as well."""


class Search(Protocol):
    """Proposes parameters by number, and is told what came of them in the order of the numbers."""

    total: int
    at_once: int
    description: str

    def ask(self) -> dict[str, Any] | None:
        """Return the next trial's parameters; ``None`` when all have been proposed."""
        ...

    def tell(self, number: int, value: float | None) -> None:
        """Take a trial's objective; ``None`` where it failed or has none."""
        ...


class GridSearch:
    """Every combination of the values, the last name changing fastest; or some of them, drawn by a seed."""

    def __init__(self, values: Mapping[str, Sequence[Any]], trials: int | None, seed: int) -> None:
        size = math.prod(len(choices) for choices in values.values())
        self.total = size if trials is None else min(trials, size)
        self.at_once = self.total
        shape = " x ".join(str(len(choices)) for choices in values.values())
        self.description = f"grid of {shape} ({', '.join(values)})"
        points: Iterable[tuple[Any, ...]] = itertools.product(*values.values())
        if self.total < size:
            chosen = set(random.Random(seed).sample(range(size), self.total))
            points = (point for index, point in enumerate(points) if index in chosen)
            self.description += f", {self.total} of {size} drawn with seed {seed}"
        self._points = (dict(zip(values, point, strict=True)) for point in points)

    def ask(self) -> dict[str, Any] | None:
        """Return the next point."""
        return next(self._points, None)

    def tell(self, number: int, value: float | None) -> None:
        """Do nothing: a grid does not learn."""


class OptunaSearch:
    """Asks an Optuna sampler; trials are told in the order of their numbers, so that a seed decides everything."""

    def __init__(
        self,
        space: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]],
        direction: Direction,
        *,
        trials: int | None,
        seed: int,
        sampler: Any = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self._space = space
        self._study = _quiet_study(direction, sampler, seed)
        self._trials: list[Any] = []
        self.total = DEFAULT_TRIALS if trials is None else trials
        self.at_once = at_once
        names = f" ({', '.join(space)})" if isinstance(space, Mapping) else ""
        self.description = f"Optuna's {type(self._study.sampler).__name__}, {self.total} trials{names}, seed {seed}"

    def ask(self) -> dict[str, Any] | None:
        """Return what the sampler proposes, knowing the trials told so far."""
        if len(self._trials) == self.total:
            return None
        trial = self._study.ask(dict(self._space)) if isinstance(self._space, Mapping) else self._study.ask()
        self._trials.append(trial)
        if isinstance(self._space, Mapping):
            return dict(trial.params)
        params = self._space(trial)
        if not isinstance(params, Mapping):
            raise InvalidInput(f"space(trial) gave {params!r}; return a dict of parameters by name")
        check_names(params)
        return dict(params)

    def tell(self, number: int, value: float | None) -> None:
        """Let the sampler learn."""
        from optuna.trial import TrialState

        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._study.tell(self._trials[number], value, state=state)


def make_search(
    space: Any, direction: Direction, *, trials: int | None, seed: int, sampler: Any = None, workers: int = 1
) -> Search:
    """Return the search that a space stands for. Raises ``InvalidInput`` for what is neither grid nor Optuna space."""
    if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int) or trials < 1):
        raise InvalidInput(f"trials is {trials!r}; give a whole number from 1, or None for all points of a grid")
    at_once = max(AT_ONCE, workers)
    if callable(space):
        return OptunaSearch(space, direction, trials=trials, seed=seed, sampler=sampler, at_once=at_once)
    if not isinstance(space, Mapping) or not space:
        raise InvalidInput(
            f"space is {space!r}; give a grid, {{'bid_spread': ['0.001', '0.002']}}, Optuna distributions by name, or "
            "a function of an Optuna trial that returns parameters"
        )
    check_names(space)
    if not any(_is_distribution(value) for value in space.values()):
        if sampler is not None:
            raise InvalidInput("a grid has no sampler; give Optuna distributions, or leave sampler away")
        return GridSearch({name: _choices(name, values) for name, values in space.items()}, trials, seed)
    distributions = {name: _distribution(name, value) for name, value in space.items()}
    return OptunaSearch(distributions, direction, trials=trials, seed=seed, sampler=sampler, at_once=at_once)


def check_names(params: Mapping[str, Any]) -> None:
    """Check that no argument of the sweep itself is swept."""
    for name in params:
        if not isinstance(name, str):
            raise InvalidInput(f"a parameter's name is {name!r}; names are texts")
        if name in RESERVED:
            raise InvalidInput(f"{name!r} cannot be swept; sweep parameters of the strategy, fees, latency or the like")


def _choices(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidInput(f"space[{name!r}] is {values!r}; give a list of values, [{values!r}] for a single one")
    choices = [value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value for value in values]
    if not choices:
        raise InvalidInput(f"space[{name!r}] has no values; give one at least")
    return choices


def _is_distribution(value: Any) -> bool:
    # Without importing Optuna, which takes a second, for a grid.
    return any(kind.__module__ == "optuna.distributions" for kind in type(value).__mro__)


def _distribution(name: str, value: Any) -> Any:
    if _is_distribution(value):
        return value
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution(_choices(name, value))


def _quiet_study(direction: Direction, sampler: Any, seed: int) -> Any:
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, logging.WARNING))  # it would announce a study that nobody asked for
    try:
        chosen = optuna.samplers.TPESampler(seed=seed) if sampler is None else sampler
        return optuna.create_study(direction=direction, sampler=chosen)
    finally:
        optuna.logging.set_verbosity(level)

"""Pools that need no processes, and trials that were never run."""

from __future__ import annotations

import contextlib
import random

from kit.backtest.deflated_sharpe import GainMoments
from kit.backtest.sweep_driver import SweepTrial
from kit.backtest.sweep_result import SweepResult
from kit.backtest.sweep_trial import SHOWN, Measured, Outcome, Window, run_trial


class ShufflingPool:
    """Ends trials in a random order, ``slots`` of them under way; ``work(params)`` gives the outcome."""

    def __init__(self, work, *, slots=2, seed=0):
        self._work = work
        self._slots = slots
        self._random = random.Random(seed)
        self._queue = []
        self.most = 0

    def submit(self, number, params):
        self._queue.append((number, params))
        self.most = max(self.most, len(self._queue))

    def next(self, timeout):
        if not self._queue:
            return None
        number, params = self._queue.pop(self._random.randrange(min(self._slots, len(self._queue))))
        return number, self._work(params)

    def ended(self):
        return []  # what nobody waits for does not run


@contextlib.contextmanager
def open_here(packed, *, workers, address, room):
    """Stand in for ``sweep_workers.open_pool``: trials run in this process, one after the other."""
    yield ShufflingPool(lambda params: run_trial(packed, params), slots=workers)


def measured(value, *, sharpe=0.1, count=100, **statistics):
    return Measured(value, dict.fromkeys(SHOWN, 1.0) | statistics, GainMoments(sharpe, count))


def trial(number, params, *values, error="", **options):
    if error:
        return SweepTrial(number, params, Outcome((), error))
    return SweepTrial(number, params, Outcome([measured(value, **options) for value in values]))


def made_result(trials, *, objective="sharpe", direction="maximize", lengths=(700.0, 300.0), **options):
    edges = [1_723_161_600.0]
    for length in lengths:
        edges.append(edges[-1] + length)
    windows = [Window(*edges[at : at + 2]) for at in range(len(lengths))]
    settings = {"search": "grid", "planned": len(trials), "setting": {"strategy": "Made up"}} | options
    return SweepResult(trials, objective=objective, direction=direction, windows=windows, **settings)

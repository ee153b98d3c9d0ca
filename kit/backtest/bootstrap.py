"""How far figures of a run could lie off by chance: a circular block bootstrap over its intervals of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from kit.backtest.run_record import Floats
from kit.errors import InvalidInput

MIN_INTERVALS: Final = 8
"""With fewer intervals of time there is nothing to resample: intervals are NaN."""

_CHUNK: Final = 1_000_000


class BlockBootstrap:
    """Draws ``replicates`` histories of ``count`` intervals, made of blocks of ``block`` neighbouring intervals.

    Blocks keep what follows from one interval to the next; they start anywhere and wrap around (Politis and Romano,
    "A circular block-resampling procedure", 1992). The same seed and sizes draw the same histories, so that figures of
    two runs over the same time can be compared pair by pair. ``block`` None is the cube root of ``count``, rounded up.
    """

    def __init__(self, count: int, *, replicates: int = 1000, seed: int = 0, block: int | None = None) -> None:
        if count < 1 or replicates < 1:
            raise InvalidInput(f"a bootstrap needs intervals and replicates, not {count} and {replicates}")
        self.count = count
        self.replicates = replicates
        self.seed = seed
        self.block = min(count, max(1, math.ceil(count ** (1 / 3) - 1e-9) if block is None else block))
        blocks = -(-count // self.block)
        self._lengths = np.full(blocks, self.block)
        self._lengths[-1] = count - self.block * (blocks - 1)
        self._starts = np.random.default_rng(seed).integers(0, count, size=(replicates, blocks))

    def sums(self, column: Floats) -> Floats:
        """Return each history's sum of a column; shape (replicates,)."""
        prefix = np.concatenate([[0.0], np.cumsum(np.concatenate([column, column]))])
        drawn = prefix[self._starts + self._lengths] - prefix[self._starts]
        return np.asarray(drawn.sum(axis=1), dtype=np.float64)

    def deepest_falls(self, changes: Floats, initial: float) -> tuple[Floats, Floats]:
        """Return each history's greatest fall from a peak, in money and as a fraction of that peak."""
        step = max(1, _CHUNK // self.count)
        parts = [
            _falls(initial + np.cumsum(changes[self.indices(first, first + step)], axis=1), initial)
            for first in range(0, self.replicates, step)
        ]
        money, fraction = zip(*parts, strict=True)
        return np.concatenate(money), np.concatenate(fraction)

    def indices(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.int64]:
        """Return which interval stands where in the histories ``first`` to ``last``; shape (histories, count)."""
        starts = self._starts[first:last]
        drawn = (starts[:, :, None] + np.arange(self.block)) % self.count
        return drawn.reshape(len(starts), -1)[:, : self.count]


def interval(values: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of replicates; NaN where fewer than half of them are numbers."""
    finite = values[np.isfinite(values)]
    if 2 * len(finite) < len(values) or not len(finite):
        return math.nan, math.nan
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _falls(paths: Floats, initial: float) -> tuple[Floats, Floats]:
    paths = np.concatenate([np.full((len(paths), 1), initial), paths], axis=1)
    peaks = np.maximum.accumulate(paths, axis=1)
    falls = peaks - paths
    fractions = np.divide(falls, peaks, out=np.zeros_like(falls), where=peaks > 0)
    return falls.max(axis=1), fractions.max(axis=1)


def resample(columns: Mapping[str, Floats], bootstrap: BlockBootstrap) -> dict[str, Floats]:
    """Return the sums of every column for every history."""
    return {name: bootstrap.sums(column) for name, column in columns.items()}

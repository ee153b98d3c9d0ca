"""The deflated Sharpe ratio: is the best of many trials better than luck among as many would be.

After D. H. Bailey and M. Lopez de Prado, "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest
Overfitting and Non-Normality", Journal of Portfolio Management 40 (5), 2014, pages 94-107.

All Sharpe ratios here are those of one interval, not annualised: SR = mean(x) / std(x) of the gains x of n equal
intervals, std with n - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from kit.backtest.run_record import Floats

EULER_GAMMA: Final = 0.5772156649015329

_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class GainMoments:
    """What the deflated Sharpe ratio needs to know of one run's gains.

    ``sharpe`` of one interval, ``count`` of intervals, ``skew`` m3 / m2^1.5, ``kurtosis`` m4 / m2^2 (3 for a normal
    distribution). NaN where the gains are too few or do not vary.
    """

    sharpe: float
    count: int
    skew: float = 0.0
    kurtosis: float = 3.0

    @classmethod
    def of(cls, gains: Floats) -> GainMoments:
        """Return the moments of gains (any unit of money, one an interval)."""
        count = len(gains)
        largest = float(np.max(np.abs(gains))) if count else 0.0
        if count < 2 or not 0 < largest < math.inf:
            return cls(math.nan, count, math.nan, math.nan)
        gains = gains / largest  # the unit of money does not matter; powers of it must not overflow
        centred = gains - gains.mean()
        variance = float(np.mean(centred**2))
        if not variance > 1e-12 * float(np.mean(gains**2)):  # below the rounding of its own terms: none
            return cls(math.nan, count, math.nan, math.nan)
        sharpe = float(gains.mean()) / math.sqrt(variance * count / (count - 1))
        skew = float(np.mean(centred**3)) / variance**1.5
        return cls(sharpe, count, skew, float(np.mean(centred**4)) / variance**2)


@dataclass(frozen=True)
class DeflatedSharpe:
    """``probability`` that the true Sharpe ratio is above ``hurdle``, what the best of ``trials`` reaches by luck.

    ``sharpe`` is the best trial's, both of one interval; ``deviation`` is the standard deviation over the trials.
    """

    probability: float
    hurdle: float
    sharpe: float
    trials: int
    deviation: float


def expected_maximum(trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of ``trials`` without skill is expected to show.

    SR0 = sqrt(V) * ((1 - g) * Z^-1(1 - 1/N) + g * Z^-1(1 - 1/(N e))), with N independent trials whose Sharpe ratios
    have the variance V, g Euler's constant and Z the standard normal distribution. 0 for a single trial.
    """
    if trials < 2 or not variance > 0:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * first + EULER_GAMMA * second)


def probabilistic_sharpe(gains: GainMoments, hurdle: float) -> float:
    """Return the probability that the true Sharpe ratio is above ``hurdle``, given what was seen.

    Z((SR - hurdle) * sqrt(n - 1) / sqrt(1 - skew * SR + (kurtosis - 1) / 4 * SR^2)). NaN where SR is unknown.
    """
    if math.isnan(gains.sharpe) or gains.count < 2:
        return math.nan
    spread = 1 - gains.skew * gains.sharpe + (gains.kurtosis - 1) / 4 * gains.sharpe**2
    return _NORMAL.cdf((gains.sharpe - hurdle) * math.sqrt((gains.count - 1) / max(spread, 1e-12)))


def deflated_sharpe(best: GainMoments, sharpes: Sequence[float]) -> DeflatedSharpe:
    """Return the deflated Sharpe ratio of the best trial: its probabilistic Sharpe ratio at the hurdle SR0.

    ``sharpes`` are those of all trials, the best among them; NaN are left out. Trials that resemble each other count
    as independent here, though their variance is smaller: with a hurdle from few distinct trials, read it with care.
    """
    known = [sharpe for sharpe in sharpes if math.isfinite(sharpe)]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else 0.0
    hurdle = expected_maximum(len(known), variance)
    probability = probabilistic_sharpe(best, hurdle)
    return DeflatedSharpe(probability, hurdle, best.sharpe, len(known), math.sqrt(variance))

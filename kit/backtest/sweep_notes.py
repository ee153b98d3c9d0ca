"""How far the best trial of a sweep is to be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kit.backtest.bootstrap import MIN_INTERVALS
from kit.backtest.sweep_trial import EXTENSIVE

if TYPE_CHECKING:
    from kit.backtest.sweep_driver import SweepTrial
    from kit.backtest.sweep_result import SweepResult

CONFIDENCE: Final = 0.95
"""Probability that a deflated Sharpe ratio must have, to be called better than chance."""

FAR_BELOW: Final = 0.5
"""A held-out objective below this share of the in-sample one is far below it."""

FEW_TO_RANK: Final = 5
"""Trials below which the held-out rank of the best says nothing."""


@dataclass
class Judgement:
    """``warnings`` speak against the best trial, ``notes`` are what else a reader should know."""

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(result: SweepResult, told: Sequence[str]) -> Judgement:
    """Return what speaks for and against a sweep's best trial."""
    judgement = Judgement(notes=list(told))
    _completeness(result, judgement)
    if not result.ranked:
        judgement.warnings.append(f"No trial has a {result.objective}: there is no best.")
        return judgement
    _chance(result, judgement)
    _holding(result, judgement)
    if len(result.windows) > 1:
        _held_out(result, judgement)
    else:
        judgement.notes.append("No time was held out: nothing shows what the best does on data it was not chosen by.")
    return judgement


def _completeness(result: SweepResult, judgement: Judgement) -> None:
    ended = sum(trial.outcome is not None for trial in result.trials)
    failed = [trial for trial in result.trials if trial.state == "failed"]
    if result.interrupted and ended < result.planned:
        judgement.warnings.append(f"Interrupted: {ended} of {result.planned} trials ended.")
    if failed and failed[0].outcome is not None:
        judgement.notes.append(
            f"{len(failed)} trials failed; the first, number {failed[0].number}: {failed[0].outcome.error}"
        )
    silent = sum(trial.state == "done" and not math.isfinite(trial.value) for trial in result.trials)
    if silent:
        judgement.notes.append(f"{silent} trials ended without a {result.objective} (too few fills, or no change).")


def _chance(result: SweepResult, judgement: Judgement) -> None:
    verdict = result.deflated_sharpe
    best = result.best.outcome
    count = best.runs[0].gains.count if best is not None else 0
    if count < MIN_INTERVALS:
        judgement.warnings.append(
            f"Whether the best is better than chance cannot be told: its in-sample time has {count} intervals "
            f"(of 10 s, or longer in long runs), and it takes {MIN_INTERVALS} at least; give more data."
        )
        return
    if math.isnan(verdict.probability):
        judgement.warnings.append("Whether the best is better than chance cannot be told: its trading changed nothing.")
        return
    text = (
        f"deflated Sharpe ratio {verdict.probability:.1%}: of {verdict.trials} trials without skill, the best would "
        f"show {verdict.hurdle:.3g} an interval over holding by luck, this one shows {verdict.sharpe:.3g}"
    )
    if verdict.probability < CONFIDENCE:
        judgement.warnings.append(f"The best is not better than chance ({text}; {CONFIDENCE:.0%} would be convincing).")
    else:
        judgement.notes.append(f"The best is better than chance in-sample ({text}).")


def _holding(result: SweepResult, judgement: Judgement) -> None:
    best = result.best.outcome
    if best is None:
        return
    gained, added = (best.runs[0].statistics[name] for name in ("return", "return_over_holding"))
    if gained > 0 >= added:
        judgement.warnings.append(
            f"In-sample the best gains {gained:.6g}, but trading added {added:.6g}: the initial balances alone "
            "gained it."
        )
    if result.objective in ("sharpe", "sortino") and not math.isclose(gained, added, rel_tol=0.1, abs_tol=1e-9):
        judgement.notes.append(
            f"{result.objective} includes what the market did to the initial balances; objective='sharpe_over_holding' "
            "is of what trading added."
        )


def _held_out(result: SweepResult, judgement: Judgement) -> None:
    best = result.best
    inside, outside = best.value, best.held_out_value
    if math.isnan(outside):
        judgement.warnings.append(f"Held-out, the best has no {result.objective}: it hardly traded there.")
        return
    sign = 1 if result.direction == "maximize" else -1
    if sign * outside < sign * _least_expected(result, inside):
        judgement.warnings.append(
            f"Held-out is far from in-sample: {result.objective} {outside:.6g} after {inside:.6g}"
            + (" in a time that is not as long." if _shrinks(result) < 1 else ".")
        )
    known = [trial for trial in result.ranked if math.isfinite(trial.held_out_value)]
    place = _place(known, best, sign)
    if len(known) >= FEW_TO_RANK and place > (len(known) + 1) / 2:
        judgement.warnings.append(
            f"Held-out, the best in-sample is number {place} of {len(known)}: choosing by it was no better than by lot."
        )


def _place(known: Sequence[SweepTrial], best: SweepTrial, sign: int) -> int:
    return 1 + sum(sign * trial.held_out_value > sign * best.held_out_value for trial in known)


def _least_expected(result: SweepResult, inside: float) -> float:
    """Return the worst held-out objective that is not far from the in-sample one."""
    good = inside > 0 if result.direction == "maximize" else inside < 0
    return inside * FAR_BELOW * _shrinks(result) if good else inside / FAR_BELOW


def _shrinks(result: SweepResult) -> float:
    """Return how much smaller the objective may be as the held-out time is shorter; a function's may grow with time."""
    inside, outside = (window.seconds for window in result.windows)
    grows = result.objective in EXTENSIVE or result.own_objective
    return min(1.0, outside / inside) if grows else 1.0

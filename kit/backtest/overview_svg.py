"""A small still picture of a run as inline SVG: no script, it stays in a saved notebook and takes the page's ink."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from kit.backtest.analysis import Analysis
from kit.backtest.pnl import ValuedFill
from kit.backtest.result_frames import cumulative, market_names
from kit.backtest.result_plots import BLUE, GREEN, GREY, RED, VIOLET, chosen_market, down_sample
from kit.backtest.run_record import Floats

WIDTH: Final = 900
LEFT: Final = 150
HEIGHT: Final = 54
GAP: Final = 18
MOST_FILLS: Final = 300


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of the picture: a line of values over the samples' times."""

    name: str
    values: Floats
    color: str
    fills: Sequence[ValuedFill] = ()


def overview_svg(analysis: Analysis) -> str:
    """Return the SVG: price with own fills, equity, drawdown, inventory and spread captured; empty without samples."""
    if len(analysis.times) < 2:
        return ""
    run = analysis.run
    market = chosen_market(analysis, None)
    asset = run.markets[market].base
    falls = np.maximum.accumulate(analysis.equity) - analysis.equity
    spread = cumulative(analysis, [float(fill.spread) for fill in analysis.fills])
    mine = [fill for fill in analysis.fills if fill.market == market]
    strips = [
        Strip(f"{market_names(run)[market]} mid", analysis.valuation.raw_mids[:, market], GREY, mine),
        Strip(f"equity [{run.quote_asset}]", analysis.equity, BLUE),
        Strip(f"drawdown [{run.quote_asset}]", 0.0 - falls, RED),
        Strip(f"inventory [{asset}]", analysis.inventory.get(asset, np.zeros(len(analysis.times))), VIOLET),
        Strip(f"spread captured [{run.quote_asset}]", spread, GREEN),
    ]
    body = "".join(_strip(strip, analysis.times, at * (HEIGHT + GAP)) for at, strip in enumerate(strips))
    bottom = len(strips) * (HEIGHT + GAP)
    first, last = (moment(float(time)) for time in (analysis.times[0], analysis.times[-1]))
    ends = f'<text x="{LEFT}" y="{bottom + 6}">{first}</text>'
    ends += f'<text x="{WIDTH}" y="{bottom + 6}" text-anchor="end">{last}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -8 {WIDTH + 4} {bottom + 18}" role="img" '
        f'aria-label="price, equity, drawdown, inventory and spread captured over time" '
        f'style="width:100%;max-width:{WIDTH}px;margin-top:14px" font-size="11" fill="currentColor">{body}{ends}</svg>'
    )


def moment(seconds: float) -> str:
    """Return a time as text, UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if math.isfinite(seconds) else "?"


def _strip(strip: Strip, times: Floats, top: float) -> str:
    known = strip.values[np.isfinite(strip.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    span = (high - low) or 1.0
    start, length = float(times[0]), float(times[-1] - times[0])

    def across(time: float) -> float:
        return LEFT + (WIDTH - LEFT) * min(max((time - start) / length, 0.0), 1.0)

    def down(value: float) -> float:
        return top + HEIGHT * (1 - min(max((value - low) / span, 0.0), 1.0) if high > low else 0.5)

    at = down_sample(strip.values, 600)
    pieces: list[list[str]] = [[]]
    for index in at:
        value = float(strip.values[index])
        if math.isfinite(value):
            pieces[-1].append(f"{across(float(times[index])):.1f},{down(value):.1f}")
        elif pieces[-1]:
            pieces.append([])
    lines = "".join(
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{strip.color}" stroke-width="1.3"/>'
        for points in pieces
        if points
    )
    step = max(1, -(-len(strip.fills) // MOST_FILLS))
    radius = 1.7 if len(strip.fills) > 50 else 3
    marks = "".join(
        f'<circle cx="{across(fill.record.event.timestamp):.1f}" cy="{down(float(fill.record.event.price)):.1f}" '
        f'r="{radius}" opacity=".8" fill="{GREEN if fill.sign > 0 else RED}"/>'
        for fill in strip.fills[::step]
    )
    edge = (
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{top + HEIGHT}" y2="{top + HEIGHT}" stroke="currentColor" opacity=".18"/>'
    )
    label = f'<text x="0" y="{top + HEIGHT / 2 + 4}">{html.escape(strip.name)}</text>'
    if step > 1:
        label += f'<text x="0" y="{top + HEIGHT / 2 + 17}" opacity=".6" font-size="9">one of {step} fills drawn</text>'
    scale = "".join(
        f'<text x="{LEFT - 6}" y="{y}" text-anchor="end" opacity=".6" font-size="9">{_short(value)}</text>'
        for value, y in ((high, top + 8), (low, top + HEIGHT))
        if high > low or value is high
    )
    return edge + lines + marks + label + scale


def _short(value: float) -> str:
    return (
        f"{value:,.0f}"
        if abs(value) >= 10_000
        else np.format_float_positional(value + 0.0, 5, fractional=False, trim="-")
    )

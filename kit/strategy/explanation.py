"""Why a market maker quotes what it quotes, or does not quote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from kit.core.naming import counted
from kit.strategy.proposal import EMPTY, Proposal
from kit.strategy.stage_reasons import change, reason
from kit.strategy.strategy_base import StrategyBase, still_in_flight
from kit.strategy.tables import Table
from kit.strategy.tick_record import Outcome, TickRecord, stage_name

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("step", "buys", "sells", "top_buy", "top_sell", "buy_size", "sell_size", "change", "why")


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What ``strategy.explain()`` returns.

    ``verdict`` answers in one sentence whether it quotes and why (not). ``frame`` has one row for each stage of the
    last proposal (orders of each side after it, nearest prices in quote, summed sizes in base, what it changed and
    why), then one for each kind of cancel, one for the placing, and one for what else is amiss. ``timestamp`` is the
    last tick, ``proposed_at`` the tick that the stages are from (seconds; NaN and ``None`` before the first).
    """

    verdict: str
    timestamp: float
    proposed_at: float | None
    table: Table

    @property
    def frame(self) -> pd.DataFrame:
        """Return the steps as a DataFrame."""
        return self.table.frame

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.table.text()}" if self.table.rows else self.verdict

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.verdict)}</b></p>" + (self.table.html() if self.table.rows else "")


def explain(
    headline: str, record: TickRecord, proposed: TickRecord | None, notes: Sequence[tuple[str, str]] = ()
) -> Explanation:
    """Put records into words: of the last tick, and of the last one in which a proposal was built.

    ``notes`` are what else is to be told: the step that it belongs to, and a clause.
    """
    rows: list[tuple[Any, ...]] = [] if proposed is None else _stage_rows(proposed)
    for cancel, count in record.cancels:
        rows.append(_step("cancelled", counted(count, "order"), cancel.value))
    rows.append(_step("placed", counted(record.placed, "order") if record.placed else "", record.outcome.value))
    rows += [_step(step, "", note) for step, note in notes]
    proposed_at = None if proposed is None else proposed.timestamp
    when = "" if proposed_at is None else f" of the tick at {_clock(proposed_at)}"
    return Explanation(headline, record.timestamp, proposed_at, Table(f"Steps{when}", COLUMNS, tuple(rows)))


def _clock(timestamp: float) -> str:
    """Return the time of day in UTC; fractions of a second where there are any."""
    text = f"{datetime.fromtimestamp(timestamp, UTC):%H:%M:%S.%f}"
    return f"{text.rstrip('0').rstrip('.')} UTC"


def _stage_rows(record: TickRecord) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    before = EMPTY
    for stage, after in record.trail:
        changed = change(before, after)
        # A first stage that proposes nothing changes nothing, yet it is the one to say why.
        tells = changed or (not rows and after.is_empty)
        why = reason(stage, after, record.context) if tells and record.context is not None else ""
        rows.append((stage_name(stage), *_figures(after), changed, why))
        before = after
    return rows


def _figures(proposal: Proposal) -> tuple[Any, ...]:
    buys, sells = proposal.buys, proposal.sells
    return (
        len(buys),
        len(sells),
        max((entry.price for entry in buys), default=None),
        min((entry.price for entry in sells), default=None),
        sum(entry.size for entry in buys),
        sum(entry.size for entry in sells),
    )


def _step(name: str, changed: str, why: str) -> tuple[Any, ...]:
    return (name, None, None, None, None, None, None, changed, why)


def verdict(
    strategy: StrategyBase, record: TickRecord, proposed: TickRecord | None, hanging: int, lost: str = ""
) -> str:
    """Return in a sentence or two what rests and why not more; ``lost`` tells what became of missing quotes."""
    if strategy.clock is None:
        return _stopped(strategy, record)
    buys, sells = len(strategy.active_buys), len(strategy.active_sells)
    rests = f"{buys} buy and {sells} sell orders rest" + (f", {hanging} of them hanging" if hanging else "")
    state = f"Quoting: {rests}" if buys + sells > hanging else f"Not quoting{f': {rests}' if hanging else ''}"
    if held := strategy.held:
        return f"{state}. The core lets it do nothing: {held}."
    if strategy.paused:
        said = f": {strategy.pause_reason}" if strategy.pause_reason else ""
        return f"{state}. The strategy is paused{said}; resume() goes on."
    if strategy.consecutive_errors and strategy.last_error is not None:
        return f"{state}. The last tick failed: {strategy.last_error}."
    one_sided = "" if proposed is None or record.outcome in _WITHOUT_STAGES else missing_side(proposed)
    return f"{state}. {sentence(obstacle(record, buys + sells > hanging))}.{one_sided}{lost}"


_WITHOUT_STAGES = frozenset({Outcome.NOTHING_LEFT, Outcome.NO_PRICE, Outcome.NOT_READY})
"""Outcomes that a side's stages have no part in, or that name the stage themselves."""


def _stopped(strategy: StrategyBase, record: TickRecord) -> str:
    if record.outcome is Outcome.NO_TICK:
        why = f": {strategy.pause_reason}" if strategy.pause_reason else "; start the core"
        return f"Not quoting. The strategy does not run{why}."
    said = "The strategy was stopped, or another one took its place: core.strategy is the one that runs."
    left = len(still_in_flight(strategy))
    verb = "rests" if left == 1 else "rest"
    return f"Not quoting. {said}" + (f" {left} of its orders still {verb} on the exchange." if left else "")


def missing_side(proposed: TickRecord) -> str:
    """Return why a proposal has no buys, or no sells, as a sentence; empty where it has both or neither."""
    if not proposed.trail or proposed.context is None:
        return ""
    last = proposed.trail[-1][1]
    if bool(last.buys) is bool(last.sells):
        return ""
    side = "sells" if last.buys else "buys"
    stage, after = next(entry for entry in proposed.trail if not getattr(entry[1], side))
    return f" No {side} after {stage_name(stage)}: {reason(stage, after, proposed.context)}."


def sentence(text: str) -> str:
    """Return a clause as the begin of a sentence."""
    return text[:1].upper() + text[1:]


def obstacle(record: TickRecord, rests: bool = True) -> str:
    """Return in words what kept the last tick from placing orders; ``rests`` tells whether quotes rest."""
    until = f"{max(0.0, record.create_at - record.timestamp):g} s"
    details = {
        Outcome.NOT_READY: f"not ready: {record.problem}; the market's status tells what is missing",
        Outcome.NO_PRICE: f"there is no reference price: {record.problem}",
        Outcome.RESTING: (
            f"{'placed orders are due for replacement' if rests else 'the next placing is due'} in {until} "
            f"(order_refresh_time)"
        ),
        Outcome.PAUSE_AFTER_FILL: f"an order was filled; the pause (filled_order_delay) ends in {until}",
        Outcome.JUST_DUE: "placing is due from the next tick on",
        Outcome.CANCELS_UNCONFIRMED: (
            "at the last tick the exchange had not confirmed every cancel (should_wait_order_cancel_confirmation)"
        ),
        Outcome.KEPT: "resting orders are within order_refresh_tolerance of what would be placed",
        Outcome.QUOTES_REST: "quotes still rest",
        Outcome.NOTHING_LEFT: f"nothing is left to quote after {record.emptied_by}",
        Outcome.FAILED: "the tick failed",
        Outcome.NO_TICK: "no tick has run yet",
        Outcome.PLACED: f"the last tick placed {counted(record.placed, 'order')}",
    }
    said = details[record.outcome]
    if record.outcome is Outcome.NOTHING_LEFT and record.context is not None:
        stage, after = next((entry for entry in record.trail if entry[1].is_empty), record.trail[-1])
        said += f": {reason(stage, after, record.context)}"
    return said

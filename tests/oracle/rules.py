"""Where our strategy may differ from the reference: rules over a scenario and both traces, never names.

A rule excuses a first difference only where all of this holds:

* the reference's trace shows the moment of the defect, and the states before the difference are equal;
* our trace shows, at that moment, what is right instead (``refusal`` of the rule);
* our trace is sound in itself: no errors, balances that follow from the fills, ... (``tests.oracle.sound``);
* with the reference's defects built in, our strategy plays the reference's whole trace, so that nothing else differs
  behind the first difference (``tests.oracle.reenactment``);
* our whole trace is that of a second strategy, written from the description alone (``tests.oracle.model``), where that
  knows all that the scenario sets;
* from where the reference throws on, only this binds: while it throws for want of a price, ours has nothing resting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.oracle.model import play_model
from tests.oracle.probes import disturbed_by_hanging_fills
from tests.oracle.reenactment import Reenactment, reenact
from tests.oracle.scenario import exact, first_difference
from tests.oracle.sound import unsound
from tests.oracle.traces import (
    SIDES,
    Pairs,
    Row,
    Scenario,
    Settings,
    Trace,
    births,
    fills,
    hanging,
    hangs,
    on_market,
    orders,
    side_of,
    steps,
)

KNOWN_ERRORS = ("InvalidOperation", "NaN")


@dataclass
class Case:
    """Both traces of one scenario with exact numbers; ``index`` is the first state that differs."""

    scenario: Scenario
    ours: Trace
    theirs: Trace
    index: int

    @cached_property
    def reenactment(self) -> Reenactment:
        return reenact(self.scenario, self.theirs)

    @cached_property
    def unsound(self) -> str | None:
        return unsound(self.scenario, self.ours)


@dataclass(frozen=True)
class Rule:
    """Where and why a difference is right.

    ``since`` returns the first state from which on the reference's trace no longer binds, ``None`` where the rule does
    not apply. ``refusal`` says what our trace does not show, ``None`` where it shows what is right.
    """

    name: str
    reason: str
    since: Callable[[Scenario, Trace], int | None]
    refusal: Callable[[Case], str | None] = field(compare=False)


# -- the reference threw


def reference_threw(scenario: Scenario, theirs: Trace) -> int | None:
    return next((index for index, state in enumerate(theirs) if state.get("errors")), None)


def elsewhere_than_thrown(case: Case) -> str | None:
    if case.index != reference_threw(case.scenario, case.theirs):
        return "the traces differ elsewhere than where it first threw"
    return None


def not_withdrawn(case: Case) -> str | None:
    """Theirs must throw for want of a price, and as long as it does ours must have nothing on the market.

    Balances stay equal until an order that theirs left there fills.
    """
    since = reference_threw(case.scenario, case.theirs)
    left_to_fill = False
    depth = Settings(case.scenario, "order_optimization_enabled", False)
    for index, (mine, its) in enumerate(zip(case.ours, case.theirs, strict=False)):
        errors = its.get("errors") or []
        strange = [error for error in errors if not any(known in error for known in KNOWN_ERRORS)]
        if strange:
            return f"t={its['t']}: it threw {strange[0]!r}, which has nothing to do with a missing price"
        # A book thinner than the depth is no missing price: then what hangs may go on.
        kept = hanging(mine) if depth[index] else set()
        resting = sorted((set(orders(mine)) | set(on_market(mine))) - kept)
        if errors and resting:
            return f"t={its['t']}: it threw, and ours still has the orders {resting}"
        left_to_fill |= since is not None and index >= since and bool(fills(its))
        if case.index == since and not left_to_fill and mine["balances"] != its["balances"]:
            return f"t={its['t']}: the balances differ, though nothing filled since it threw"
    return None


# -- a hanging order filled


def hanging_order_fills(trace: Trace) -> Iterator[tuple[int, list[int]]]:
    """Every state in which hanging orders are gone while something filled, and these orders."""
    for index, before, state in steps(trace):
        gone = sorted(hanging(before) - set(orders(state)))
        if gone and fills(state):
            yield index, gone


def hanging_order_filled(scenario: Scenario, theirs: Trace) -> int | None:
    return next((index for index, _ in hanging_order_fills(theirs)), None)


def not_accounted(case: Case) -> str | None:
    """The fills must be the same in both, and in ours must neither delay quotes nor count as a quote's fill."""
    for index, gone in hanging_order_fills(case.theirs):
        if index > case.index:
            break
        mine, its = case.ours[index], case.theirs[index]
        left = [alias for alias in gone if alias in orders(mine) or alias in on_market(mine)]
        if left:
            return f"t={its['t']}: order {left[0]}, gone in theirs, still rests in ours"
        if sorted(fills(mine), key=repr) != sorted(fills(its), key=repr):
            return f"t={its['t']}: the fills are not the same"
        if mine["balances"] != its["balances"]:
            return f"t={its['t']}: the same fills left other balances"
    if case.reenactment.difference is None and not case.reenactment.took_chances:
        return "the difference does not come from such a fill"
    disturbed = disturbed_by_hanging_fills(case.scenario)
    return f"in ours {disturbed[0]}" if disturbed else None


# -- a renewal was lost


def lost_renewals(scenario: Scenario, trace: Trace) -> Iterator[tuple[int, list[int]]]:
    """Every tick in which hanging orders over age are gone, and these orders."""
    born, limits = births(trace), Settings(scenario, "max_order_age", 1800.0)
    for index, before, state in steps(trace):
        gone = sorted(hanging(before) - set(orders(state)))
        old = [alias for alias in gone if state["t"] - born[alias] > float(limits[index])]
        if old and "after" not in state:
            yield index, old


def renewal_lost(scenario: Scenario, theirs: Trace) -> int | None:
    return next((index for index, _ in lost_renewals(scenario, theirs)), None)


def not_renewed(case: Case) -> str | None:
    """In the tick of the loss ours must have the order again, at its price and amount, and be equal in all else."""
    lost = dict(lost_renewals(case.scenario, case.theirs)).get(case.index)
    if lost is None:
        return "no hanging order passed its maximum age where the traces first differ"
    before, mine, its = case.ours[case.index - 1], case.ours[case.index], case.theirs[case.index]
    renewed: set[int] = set()
    for alias in lost:
        if alias in orders(mine):
            return f"order {alias} is over age and was not cancelled in ours"
        side = side_of(before, alias)
        row, resting = orders(before)[alias], on_market(before)[alias]
        again = [
            new[0]
            for new in mine[side]
            if new[0] not in orders(before) and new[0] not in renewed and new[1:] == row[1:]
            if on_market(mine).get(new[0], [None])[1:] == resting[1:]
        ]
        if not again:
            return f"no order hangs again in ours at the price and amount of order {alias}"
        renewed.add(again[0])
    for key in (*SIDES, "market_orders"):
        rest = [row for row in mine[key] if row[0] not in renewed]
        if _relabelled(rest, before) != _relabelled(its[key], before):
            return f"beside the renewed orders {sorted(renewed)} other {key} differ"
    return next((f"beside the renewal {key} differ" for key in ("events", "balances") if mine[key] != its[key]), None)


def _relabelled(rows: list[Row], before: Any) -> list[Row]:
    """Rows with the aliases of the orders that were there before, and none for those that are new."""
    known = orders(before)
    return [[row[0] if row[0] in known else None, *row[1:]] for row in rows]


# -- pairs were attached to stale ones


def paired_with_stale_pairs(scenario: Scenario, theirs: Trace) -> int | None:
    """The reference clears its pairs only when it replaces resting quotes, not when all had gone before that."""
    enabled, limits = Settings(scenario, "hanging_orders_enabled", False), Settings(scenario, "max_order_age", 1800.0)
    born = births(theirs)
    stale = bool(theirs and enabled[0] and theirs[0]["buys"] and theirs[0]["sells"])
    for index, before, state in steps(theirs):
        after = orders(state)
        quotes = {alias for alias, row in orders(before).items() if not hangs(row)}
        ticked = "after" not in state
        over_age = ticked and any(state["t"] - born[alias] > float(limits[index]) for alias in quotes - set(after))
        cancelled = ticked and quotes - set(after) and ["OrderCancelled"] in state["events"]
        if (cancelled and not over_age) or any(hangs(after[alias]) for alias in quotes & set(after)):
            stale = False
        new = {alias for alias in after if born[alias] == state["t"]} - set(orders(before))
        if enabled[index] and all(any(row[0] in new for row in state[side]) for side in SIDES):
            if stale:
                return index
            stale = True
    return None


def not_paired(case: Case) -> str | None:
    """Where they first differ, ours must let those orders hang whose partner filled, and no others."""
    since = paired_with_stale_pairs(case.scenario, case.theirs)
    pairs = Pairs(case.ours)
    mine, its = case.ours[case.index], case.theirs[case.index]
    marks = hanging(mine) ^ hanging(its)
    for alias in sorted(marks):
        if since is None or pairs.born.get(alias, -1) < since:
            return f"order {alias} was placed before any pair was attached to a stale one"
        if (alias in hanging(mine)) is not pairs.should_hang(alias, case.index):
            return f"order {alias} {'hangs' if alias in hanging(mine) else 'does not hang'} in ours, which is not right"
        if alias in hanging(mine) and on_market(mine).get(alias) != on_market(case.ours[case.index - 1]).get(alias):
            return f"order {alias} hangs in ours, but not as it was placed"
    waiting = [alias for alias in orders(mine) if pairs.should_hang(alias, case.index)]
    if not marks and not any(since is not None and pairs.born[alias] >= since for alias in waiting):
        return "no order of such a pair hangs in ours, or will"
    for alias in set(orders(case.ours[case.index - 1])) - marks:
        if orders(mine).get(alias) != orders(its).get(alias):
            return f"order {alias} differs as well, which is not of such a pair"
    if fills(mine) != fills(its) or mine["balances"] != its["balances"]:
        return "the fills differ as well"
    return None


RULES = (
    Rule(
        "the reference threw",
        "without a reference price, or with a depth beyond the book, it throws on every tick and leaves its orders "
        "resting; ours quotes nothing and cancels",
        reference_threw,
        elsewhere_than_thrown,
    ),
    Rule(
        "a hanging order filled",
        "the reference's listeners hear of it in no defined order, so whether it delays the next quotes, counts for "
        "ping-pong, and which of two fills at one price comes first, is left to chance",
        hanging_order_filled,
        not_accounted,
    ),
    Rule(
        "a hanging order passed its maximum age",
        "the reference loses the renewal; ours places the order again at the same price and amount",
        renewal_lost,
        not_renewed,
    ),
    Rule(
        "orders were placed after a max-age cancel, or after all quotes had gone",
        "the reference attaches them to the pairs of before, so that they never hang; ours pairs them as always",
        paired_with_stale_pairs,
        not_paired,
    ),
)


@dataclass(frozen=True)
class Verdict:
    """The rule that excuses a difference, or why those that might do not."""

    rule: Rule | None
    refusals: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.rule.name if self.rule is not None else "; ".join(("NO RULE", *self.refusals))


def excuse(scenario: Scenario, ours: Trace, theirs: Trace) -> Verdict | None:
    """Return what is to be said of the first difference, ``None`` where there is none."""
    ours, theirs = exact(ours), exact(theirs)
    difference = first_difference(ours, theirs)
    if difference is None:
        return None
    index = difference[0]
    if index >= min(len(ours), len(theirs)):
        return Verdict(None, ("a trace of another length is excused by nothing",))
    case = Case(scenario, ours, theirs, index)
    starts = [(since, rule) for rule in RULES if (since := rule.since(scenario, theirs)) is not None]
    refusals = []
    for since, rule in sorted(starts, key=lambda pair: pair[0]):
        if since > index:
            continue
        refusal = rule.refusal(case) or not_withdrawn(case) or case.unsound or _more_than_the_defects(rule, case)
        refusal = refusal or _unlike_the_model(case)
        if refusal is None:
            return Verdict(rule)
        refusals.append(f"{rule.name}, but {refusal}")
    return Verdict(None, tuple(refusals))


def _more_than_the_defects(rule: Rule, case: Case) -> str | None:
    if rule.since is reference_threw or case.reenactment.difference is None:
        return None
    return f"also with the reference's defects built in it differs: {case.reenactment.difference[1]}"


def _unlike_the_model(case: Case) -> str | None:
    model = play_model(case.scenario)
    difference = None if model is None else first_difference(case.ours, model)
    return f"ours is not what the description says: {difference[1]}" if difference is not None else None

"""Where our strategy may differ from the reference: rules over a scenario and the reference's trace, never names.

Each rule says from which state on a trace no longer binds; a difference before that state is a failure all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

State = Mapping[str, Any]
Trace = list[dict[str, Any]]
SIDES = ("buys", "sells")


@dataclass(frozen=True)
class Rule:
    """``since`` returns the index of the first state that may differ, ``None`` where the rule does not apply."""

    name: str
    reason: str
    since: Callable[[Mapping[str, Any], Trace], int | None]


def orders(state: State) -> dict[int, list[Any]]:
    return {row[0]: row for row in (*state["buys"], *state["sells"])}


def hangs(row: list[Any]) -> bool:
    return row[-1] == "hang"


def steps(trace: Trace) -> Iterator[tuple[int, State, State]]:
    """Every state but the first, with the one before it."""
    for index in range(1, len(trace)):
        yield index, trace[index - 1], trace[index]


def births(trace: Trace) -> dict[int, float]:
    """When each alias was first seen, which is the tick in which the order was placed."""
    first: dict[int, float] = {}
    for state in trace:
        for alias in orders(state):
            first.setdefault(alias, state["t"])
    return first


def max_age(scenario: Mapping[str, Any]) -> float:
    return float(scenario["config"].get("max_order_age", 1800.0))


def reference_threw(scenario: Mapping[str, Any], trace: Trace) -> int | None:
    return next((index for index, state in enumerate(trace) if state.get("errors")), None)


def hanging_order_filled(scenario: Mapping[str, Any], trace: Trace) -> int | None:
    for index, before, state in steps(trace):
        gone = [row for alias, row in orders(before).items() if hangs(row) and alias not in orders(state)]
        if gone and any(event[0] == "OrderFilled" for event in state["events"]):
            return index
    return None


def renewal_lost(scenario: Mapping[str, Any], trace: Trace) -> int | None:
    born = births(trace)
    for index, before, state in steps(trace):
        for alias, row in orders(before).items():
            old = state["t"] - born[alias] > max_age(scenario)
            if hangs(row) and old and alias not in orders(state) and "after" not in state:
                return index
    return None


def paired_with_stale_pairs(scenario: Mapping[str, Any], trace: Trace) -> int | None:
    """The reference clears its pairs only when it replaces resting quotes, not when all had gone before that."""
    if not scenario["config"].get("hanging_orders_enabled"):
        return None
    born = births(trace)
    stale = bool(trace and trace[0]["buys"] and trace[0]["sells"])
    for index, before, state in steps(trace):
        after = orders(state)
        quotes = {alias for alias, row in orders(before).items() if not hangs(row)}
        ticked = "after" not in state
        over_age = ticked and any(state["t"] - born[alias] > max_age(scenario) for alias in quotes - set(after))
        cancelled = ticked and quotes - set(after) and ["OrderCancelled"] in state["events"]
        if (cancelled and not over_age) or any(hangs(after[alias]) for alias in quotes & set(after)):
            stale = False
        new = {alias for alias in after if born[alias] == state["t"]} - set(orders(before))
        if all(any(row[0] in new for row in state[side]) for side in SIDES):
            if stale:
                return index
            stale = True
    return None


RULES = (
    Rule(
        "the reference threw",
        "without a reference price, or with a depth beyond the book, it throws on every tick and leaves its orders "
        "resting; ours quotes nothing and cancels",
        reference_threw,
    ),
    Rule(
        "a hanging order filled",
        "the reference's listeners hear of it in no defined order, so whether it delays the next quotes, counts for "
        "ping-pong, and which of two fills at one price comes first, is left to chance",
        hanging_order_filled,
    ),
    Rule(
        "a hanging order passed its maximum age",
        "the reference loses the renewal; ours places the order again at the same price and amount",
        renewal_lost,
    ),
    Rule(
        "orders were placed after a max-age cancel, or after all quotes had gone",
        "the reference attaches them to the pairs of before, so that they never hang; ours pairs them as always",
        paired_with_stale_pairs,
    ),
)


def excuse(scenario: Mapping[str, Any], trace: Trace, index: int) -> Rule | None:
    """Return the rule that lets state ``index`` differ: of several the one that applies earliest."""
    starts = [(rule.since(scenario, trace), rule) for rule in RULES]
    allowed = [(since, rule) for since, rule in starts if since is not None and since <= index]
    return min(allowed, key=lambda pair: pair[0])[1] if allowed else None

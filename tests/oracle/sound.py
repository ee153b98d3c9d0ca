"""What every trace of ours must show, whatever the reference does: the checks behind an excused difference."""

from __future__ import annotations

from decimal import Decimal

from tests.oracle.parameters import number
from tests.oracle.scenario import DEFAULT_PAIR
from tests.oracle.traces import (
    SIDES,
    Pairs,
    Scenario,
    State,
    Trace,
    fills,
    hangs,
    on_market,
    orders,
    played_steps,
    steps,
)


def unsound(scenario: Scenario, ours: Trace) -> str | None:
    """Return what is wrong with a trace in itself, ``None`` where nothing is. Numbers must be decimals."""
    for problem in (_errors(ours), _lost_orders(ours), _balances(scenario, ours), _marks(ours)):
        if problem is not None:
            return problem
    return None


def _at(state: State) -> str:
    return f"t={state['t']}" + (f" after {state['after']}" if "after" in state else "")


def _errors(ours: Trace) -> str | None:
    return next((f"{_at(state)}: ours threw: {state['errors']}" for state in ours if state.get("errors")), None)


def _lost_orders(ours: Trace) -> str | None:
    for state in ours:
        known, resting = set(orders(state)), set(on_market(state))
        if known != resting:
            return f"{_at(state)}: ours knows the orders {sorted(known)}, the exchange has {sorted(resting)}"
    return None


def _balances(scenario: Scenario, ours: Trace) -> str | None:
    """Balances move by fills and by ``balance`` steps, and by nothing else."""
    base, quote = (scenario.get("pair") or DEFAULT_PAIR).split("-")
    fee = number((scenario.get("fee") or (0, 0))[0])
    played = played_steps(scenario)
    for index, before, state in steps(ours):
        expected = dict(before["balances"])
        for _, price, amount, side in fills(state):
            (paid, cost), (got, gain) = (quote, price * amount), (base, amount)
            if side == "SELL":
                (paid, cost), (got, gain) = (base, amount), (quote, price * amount)
            expected[paid] = expected.get(paid, Decimal(0)) - cost
            expected[got] = expected.get(got, Decimal(0)) + gain * (1 - fee)
        if index < len(played) and played[index][0] == "balance":
            expected[played[index][1]] = number(played[index][2])
        if expected != state["balances"]:
            return f"{_at(state)}: the balances do not follow from the fills: {_shown(state)} instead of {expected}"
    return None


def _shown(state: State) -> dict[str, str]:
    return {asset: str(amount) for asset, amount in state["balances"].items()}


def _marks(ours: Trace) -> str | None:
    """An order hangs only when its partner filled before, or when it takes the place of one that hung."""
    pairs = Pairs(ours)
    marked: set[int] = set()
    for index, state in enumerate(ours):
        for side in SIDES:
            for row in state[side]:
                alias = row[0]
                if not hangs(row) or alias in marked:
                    continue
                renews = pairs.born[alias] == index and index > 0 and _renews(ours[index - 1], state, side, row)
                if not renews and not pairs.should_hang(alias, index):
                    return f"{_at(state)}: order {alias} of ours hangs, though its partner did not fill"
                marked.add(alias)
    return None


def _renews(before: State, state: State, side: str, row: list[object]) -> bool:
    gone = set(orders(before)) - set(orders(state))
    return any(old[0] in gone and old[1:] == row[1:] for old in before[side])

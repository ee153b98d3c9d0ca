"""Reading a trace: orders by alias, which step a state belongs to, what each order's partner is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

State = Mapping[str, Any]
Trace = list[dict[str, Any]]
Scenario = Mapping[str, Any]
Row = list[Any]
SIDES = ("buys", "sells")


def orders(state: State) -> dict[int, Row]:
    """The strategy's active orders by alias."""
    return {row[0]: row for side in SIDES for row in state[side]}


def on_market(state: State) -> dict[int, Row]:
    """The exchange's open orders by alias."""
    return {row[0]: row for row in state["market_orders"]}


def hangs(row: Row) -> bool:
    return bool(row[-1] == "hang")


def hanging(state: State) -> set[int]:
    return {alias for alias, row in orders(state).items() if hangs(row)}


def fills(state: State) -> list[list[Any]]:
    return [event for event in state["events"] if event[0] == "OrderFilled"]


def side_of(state: State, alias: int) -> str:
    return next(side for side in SIDES if any(row[0] == alias for row in state[side]))


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


def played_steps(scenario: Scenario) -> list[list[Any]]:
    """The step that each recorded state belongs to."""
    played: list[list[Any]] = []
    time = 0
    for step in scenario.get("steps", ()):
        if step[0] == "til":
            played += [step] * max(int(step[1]) - time, 0)
            time = max(time, int(step[1]))
        else:
            played.append(step)
    return played


class Settings:
    """A parameter of the reference at every state of a trace, which ``set`` steps may change."""

    def __init__(self, scenario: Scenario, name: str, default: Any) -> None:
        value = scenario["config"].get(name, default)
        self._values = [value]
        for step in played_steps(scenario):
            if step[0] == "set" and step[1] == name:
                value = step[2]
            self._values.append(value)

    def __getitem__(self, index: int) -> Any:
        return self._values[min(index + 1, len(self._values) - 1)]


def filled(before: State, state: State, alias: int) -> bool:
    """Whether an order that is gone filled: there is an event with its price, amount and side on the exchange."""
    row = on_market(before).get(alias)
    if row is None or alias in orders(state):
        return False
    side = "BUY" if side_of(before, alias) == "buys" else "SELL"
    return ["OrderFilled", row[1], row[2], side] in state["events"]


class Pairs:
    """Buy i and sell i of one placement, as they should be paired, and when each order filled."""

    def __init__(self, trace: Trace) -> None:
        self.partner: dict[int, int] = {}
        self.born: dict[int, int] = {}
        self.filled_at: dict[int, int] = {}
        seen: set[int] = set()
        for index, state in enumerate(trace):
            new = {side: [row[0] for row in state[side] if row[0] not in seen and not hangs(row)] for side in SIDES}
            for buy, sell in zip(new["buys"], new["sells"], strict=False):
                self.partner.update({buy: sell, sell: buy})
            for alias in set(orders(state)) - seen:
                self.born[alias] = index
            seen |= set(orders(state))
            if index:
                gone = set(orders(trace[index - 1])) - set(orders(state))
                self.filled_at.update(dict.fromkeys((a for a in gone if filled(trace[index - 1], state, a)), index))

    def should_hang(self, alias: int, index: int) -> bool:
        """Whether an order's partner had filled by a state."""
        partner = self.partner.get(alias)
        return partner is not None and self.filled_at.get(partner, index + 1) <= index

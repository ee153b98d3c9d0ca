"""Our strategy with the reference's defects built in: what shows that a difference has no other cause.

Two of its defects always strike: a renewal of a hanging order is lost, and orders placed on stale pairs are attached
to these. What it leaves to chance is searched for: whether the strategy hears of a hanging order's fill before the
order stopped to hang or after (then the fill delays the next quotes and counts for ping-pong), and which of two orders
at one price fills first. A trace of the reference that is right in all else is equal to one such play.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.strategy.hanging_orders import HangingOrders
from kit.strategy.own_orders import OwnOrder
from kit.types.orders import OrderState
from tests.oracle.scenario import Player, first_difference
from tests.oracle.traces import Scenario, Trace
from tests.support.mock_market import MockMarket, MockOrder

MAX_PLAYS = 300


@dataclass
class AttachedPair:
    """As in the reference: the sell order may be replaced, and that the earlier one filled is not forgotten."""

    buy: OwnOrder
    sell: OwnOrder | None = None
    sell_filled: bool = False

    def attach(self, sell: OwnOrder) -> None:
        self.sell_filled = self.has_sold
        self.sell = sell

    @property
    def has_sold(self) -> bool:
        return self.sell_filled or (self.sell is not None and self.sell.state is OrderState.FILLED)

    @property
    def has_bought(self) -> bool:
        return self.buy.state is OrderState.FILLED

    @property
    def candidate(self) -> OwnOrder | None:
        """The one that is left where the other filled."""
        if self.has_bought is self.has_sold:
            return None
        order = self.sell if self.has_bought else self.buy
        return order if order is not None and order.ended_at is None else None


class DefectiveHangingOrders(HangingOrders):
    """Loses renewals, attaches to stale pairs, and treats the fills in ``heard_late`` as those of ordinary orders."""

    def __init__(self, heard_late: Sequence[bool], states: list[dict[str, Any]]) -> None:
        super().__init__()
        self._attached: list[AttachedPair] = []
        self._lost: set[tuple[Any, ...]] = set()
        self._heard_late = heard_late
        self._states = states
        self.asked: list[int] = []
        """The state in which each fill of a hanging order came."""

    def __bool__(self) -> bool:
        return bool(super().__bool__() or self._attached)

    def release(self) -> None:
        super().release()
        self._attached.clear()

    def pair(self, buys: Sequence[OwnOrder], sells: Sequence[OwnOrder]) -> None:
        """New pairs go to the end, the sell orders to those at the beginning: one list, unless it was stale."""
        count = min(len(buys), len(sells))
        self._attached += [AttachedPair(buy) for buy in buys[:count]]
        for pair, sell in zip(self._attached, sells[:count], strict=False):
            pair.attach(sell)

    @property
    def candidates(self) -> tuple[OwnOrder, ...]:
        return tuple(order for pair in self._attached if (order := pair.candidate) is not None)

    def convert(self) -> None:
        super().convert()
        self._attached.clear()

    def over_age(self, now: float, limit: float | None) -> list[OwnOrder]:
        """One at the price and amount of a lost renewal is taken for it: it seems to be on its way, and never ages."""
        return [order for order in super().over_age(now, limit) if _key(order) not in self._lost]

    def take_renewals(self) -> list[OwnOrder]:
        self._lost.update(_key(order) for order in super().take_renewals())
        return []

    def holds(self, order: OwnOrder) -> bool:
        if not super().holds(order):
            return False
        nth = len(self.asked)
        self.asked.append(len(self._states))
        return not (nth < len(self._heard_late) and self._heard_late[nth])


def _key(order: OwnOrder) -> tuple[Any, ...]:
    return order.is_buy, order.price, order.quantity


class LatestFirstMarket(MockMarket):
    """Of orders at one price the one that was placed last fills first."""

    def _by_priority(self) -> list[MockOrder]:
        placed = list(self.orders.values())
        placed.reverse()  # sorting keeps this order at one price
        return sorted(placed, key=lambda order: (not order.is_buy, -order.price if order.is_buy else order.price))


class LatestFirstPlayer(Player):
    market_type = LatestFirstMarket


@dataclass
class Reenactment:
    """``difference`` is the first one that is left, of the play that is equal for longest."""

    difference: tuple[int, str] | None
    heard_late: tuple[bool, ...] = ()
    latest_first: bool = False
    plays: int = field(default=0, compare=False)

    @property
    def took_chances(self) -> bool:
        return self.latest_first or any(self.heard_late)


def reenact(scenario: Scenario, theirs: Trace) -> Reenactment:
    """Look for a play with the reference's defects that is equal to its trace, up to where the reference threw."""
    best: Reenactment | None = None
    for player_type in (Player, LatestFirstPlayer):
        search = _Search(scenario, theirs, player_type)
        found = search.from_(())
        if found.difference is None:
            return found
        if best is None or best.difference is None or found.difference[0] > best.difference[0]:
            best = found
    assert best is not None
    return best


class _Search:
    def __init__(self, scenario: Scenario, theirs: Trace, player_type: type[Player]) -> None:
        self.scenario = scenario
        threw = next((index for index, state in enumerate(theirs) if state.get("errors")), None)
        self.theirs = theirs[:threw]
        self.whole = threw is None
        self.player_type = player_type
        self.plays = 0

    def from_(self, heard_late: tuple[bool, ...]) -> Reenactment:
        """Try this choice, then those that change one of the fills which came before the difference that is left."""
        best, asked = self._play(heard_late)
        if best.difference is None:
            return best
        reach = best.difference[0]
        for nth in range(len(heard_late), len(asked)):
            if asked[nth] > reach or self.plays >= MAX_PLAYS:
                break
            found = self.from_((*heard_late, *[False] * (nth - len(heard_late)), True))
            if found.difference is None:
                return found
            if best.difference is not None and found.difference[0] > best.difference[0]:
                best = found
        return best

    def _play(self, heard_late: tuple[bool, ...]) -> tuple[Reenactment, list[int]]:
        self.plays += 1
        ours, asked = play_with_defects(self.scenario, heard_late, self.player_type)
        if not self.whole:
            ours = ours[: len(self.theirs)]
        latest_first = self.player_type is LatestFirstPlayer
        return Reenactment(first_difference(ours, self.theirs), heard_late, latest_first, self.plays), asked


def play_with_defects(
    scenario: Scenario, heard_late: Sequence[bool] = (), player_type: type[Player] = Player
) -> tuple[Trace, list[int]]:
    """Return the trace, and in which state each fill of a hanging order came."""
    player = player_type(scenario)
    tracker = DefectiveHangingOrders(heard_late, player.states)
    vars(player.strategy)["_hanging"] = tracker  # before the first tick, as long as nothing is in it
    return player.play(scenario["steps"]), tracker.asked

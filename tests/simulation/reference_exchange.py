"""The rules of the engine once more, slow and plain: two books, dicts, no compiled code, no undo log."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, inf, isinf, isnan, log, nan

BID, ASK = 0, 1


def better(side: int, tick: int, other: int | None) -> bool:
    return other is None or (tick > other if side == BID else tick < other)


class Book:
    def __init__(self) -> None:
        self.levels: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self.best: list[int | None] = [None, None]

    def amount(self, side: int, tick: int) -> float:
        return self.levels[side].get(tick, 0.0)

    def beyond(self, side: int, tick: int) -> int | None:
        """The best tick of the side that is strictly worse than ``tick``."""
        ticks = [t for t in self.levels[side] if better(side, tick, t) and t != tick]
        return (max(ticks) if side == BID else min(ticks)) if ticks else None

    def set(self, side: int, tick: int, qty: float) -> bool:
        """Set a level; True if the best of the side improved."""
        if qty:
            self.levels[side][tick] = qty
        else:
            self.levels[side].pop(tick, None)
        if not qty:
            if tick == self.best[side]:
                self.best[side] = self.beyond(side, tick)
            return False
        if not better(side, tick, self.best[side]):
            return False
        self.best[side] = tick
        other = self.best[1 - side]
        if other is not None and (tick >= other if side == BID else tick <= other):
            self.best[1 - side] = self.beyond(1 - side, tick)
        return True

    def clear(self, side: int) -> None:
        self.levels[side].clear()
        self.best[side] = None

    def shown(self, side: int) -> list[tuple[int, float]]:
        best = self.best[side]
        if best is None:
            return []
        ticks = [t for t in self.levels[side] if not better(side, t, best)]
        return [(t, self.levels[side][t]) for t in sorted(ticks, reverse=side == BID)]


@dataclass
class Order:
    id: int
    side: int
    tick: int
    lots: int
    front: float
    traded: float = 0.0


def probability(name: str, n: float, f: float, b: float) -> float:
    def power(x: float) -> float:
        return nan if x < 0 and n != int(n) else x**n

    def ln(x: float) -> float:
        return nan if x < 0 or isnan(x) else (-inf if x == 0 else log(x))

    def divide(x: float, y: float) -> float:
        if y == 0:
            return nan if x == 0 or isnan(x) else inf
        return x / y

    if name == "PowerProb":
        return divide(power(b), power(b) + power(f))
    if name == "LogProb":
        return divide(ln(1 + b), ln(1 + b) + ln(1 + f))
    if name == "PowerProb2":
        return divide(power(b), power(b + f))
    if name == "LogProb2":
        return divide(ln(1 + b), ln(1 + b + f))
    return 1 - power(divide(f, f + b))


def least(x: float, y: float) -> float:
    return y if isnan(x) else min(x, y)


@dataclass
class Exchange:
    model: str
    n: float
    partial: bool
    prevention: str
    lot: float
    book: Book = field(default_factory=Book)
    orders: list[Order] = field(default_factory=list)
    fills: list[tuple[int, int, int, int, str, int]] = field(default_factory=list)
    known: bool = True
    taken: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)

    def left(self, side: int, tick: int, qty: float) -> int:
        """The lots of a level that our takers have left, as long as it shows the amount that they saw."""
        seen, lots = self.taken.get((side, tick), (0.0, 0))
        return max(floor(qty / self.lot + 1e-9) - (lots if seen == qty else 0), 0)

    def unknown(self, side: int, tick: int) -> bool:
        """Whether a tick lies behind all known levels."""
        best = self.book.best[side]
        behind = best is not None and tick != best and better(side, best, tick)
        return behind and self.book.amount(side, tick) == 0 and self.book.beyond(side, tick) is None

    def fill(self, order: Order, ts: int, tick: int, lots: int, kind: str) -> None:
        order.lots -= lots
        self.fills.append((order.id, ts, tick, lots, kind, order.lots))

    def sweep(self) -> None:
        self.orders = [order for order in self.orders if order.lots > 0]

    def level(self, ts: int, side: int, tick: int, qty: float) -> None:
        before = self.book.amount(side, tick)
        improved = self.book.set(side, tick, qty)
        if not self.known:
            return
        for order in self.orders:
            if order.side == side and order.tick == tick:
                self.requeue(order, before, qty)
        if improved:
            for order in self.orders:
                if order.side != side and (order.tick <= tick if side == BID else order.tick >= tick):
                    self.fill(order, ts, order.tick, order.lots, "maker")
            self.sweep()

    def requeue(self, order: Order, before: float, after: float) -> None:
        traded, order.traded = order.traded, 0.0
        if after == 0 and self.unknown(order.side, order.tick):
            order.front = inf
            return
        if order.front == inf:
            order.front = after
            return
        if self.model == "RiskAverse":
            order.front = min(order.front, after)
            return
        change = before - after - traded
        if change < 0:
            order.front = min(order.front, after)
            return
        back = before - order.front
        p = probability(self.model, self.n, order.front, back)
        p = 1.0 if isinf(p) else p
        spare = back - p * change
        order.front = least(order.front - (1 - p) * change + (spare if spare < 0 else 0.0), after)

    def trade(self, ts: int, side: int, tick: int, qty: float) -> None:
        """A trade that hits ``side``."""
        if not self.known:
            return
        left = qty
        for order in self.orders:
            if order.side != side:
                continue
            if order.tick != tick:
                if better(side, order.tick, tick):
                    self.fill(order, ts, order.tick, order.lots, "maker")
                continue
            if order.front == inf:
                order.front = self.book.amount(side, tick)
            order.front -= left
            order.traded += qty
            reached = floor(-order.front / self.lot + 0.5) if -order.front / self.lot >= 0.5 else 0
            if reached > 0:
                order.front = 0.0
                lots = min(reached, order.lots) if self.partial else order.lots
                self.fill(order, ts, order.tick, lots, "maker")
                if self.partial:
                    left = max(left - lots * self.lot, 0.0)
        self.sweep()

    def row(self, ts: int, kind: str, side: int, tick: int, qty: float) -> None:
        if kind in ("clear", "gap"):
            for each in (BID, ASK) if side < 0 else (side,):
                self.book.clear(each)
                self.taken = {place: what for place, what in self.taken.items() if place[0] != each}
            self.known = kind == "clear"
        elif kind == "trade":
            self.trade(ts, side, tick, qty)
        else:
            self.known = self.known or kind == "snapshot"
            self.level(ts, side, tick, qty)

    def submit(self, ts: int, id_: int, side: int, tick: int, lots: int, kind: str, force: str) -> str:
        other = 1 - side

        def reaches(price: int) -> bool:
            return kind == "market" or (price <= tick if side == BID else price >= tick)

        def own_in_the_way() -> Order | None:
            found = None
            for order in self.orders:
                if (
                    order.side == other
                    and reaches(order.tick)
                    and (found is None or better(other, order.tick, found.tick))
                ):
                    found = order
            return found if self.prevention != "none" else None

        best = self.book.best[other]
        crosses = (best is not None and reaches(best)) or own_in_the_way() is not None
        if kind == "post_only" and crosses:
            return "rejected"
        order = Order(id_, side, tick, lots, inf if self.unknown(side, tick) else self.book.amount(side, tick))
        if crosses:
            self.taken = {place: what for place, what in self.taken.items() if self.book.amount(*place) == what[0]}
        ended = False
        if crosses and not self.partial:
            assert best is not None
            self.fill(order, ts, best, lots, "taker")
        elif crosses:
            met = own_in_the_way()
            stop = met.tick if met and self.prevention in ("taker", "both") else None
            shown = [
                (t, self.left(other, t, q))
                for t, q in self.book.shown(other)
                if reaches(t) and (stop is None or (better(other, t, stop) and t != stop))
            ]
            if force == "FOK" and sum(n for _, n in shown) < lots:
                ended = True
            else:
                ended = self.take(order, ts, other, reaches, own_in_the_way)
        if order.lots == 0:
            self.sweep()
            return "filled"
        self.sweep()
        if ended or kind == "market" or force != "GTC":
            return "expired"
        self.orders.append(order)
        return "rests"

    def take(self, order, ts, other, reaches, own_in_the_way) -> bool:  # type: ignore[no-untyped-def]
        for tick, qty in [*self.book.shown(other), (None, 0.0)]:
            while order.lots and (met := own_in_the_way()):
                if tick is not None and better(other, tick, met.tick) and tick != met.tick:
                    break
                if self.prevention in ("maker", "both"):
                    self.fills.append((met.id, ts, met.tick, 0, "expired", met.lots))
                    met.lots = 0
                    self.sweep()
                if self.prevention != "maker":
                    return True
            if tick is None or not order.lots or not reaches(tick):
                if tick is None or not order.lots:
                    break
                continue
            lots = min(order.lots, self.left(other, tick, qty))
            if lots:
                self.taken[other, tick] = (qty, self.taken.get((other, tick), (qty, 0))[1] + lots)
                self.fill(order, ts, tick, lots, "taker")
        return False

    def cancel(self, id_: int) -> int | None:
        for order in self.orders:
            if order.id == id_:
                self.orders.remove(order)
                return order.lots
        return None

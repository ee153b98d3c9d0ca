"""One side of an order book as price levels with a queue each.

Levels lie in a dict under a *key* that grows towards the best price (the price for bids, its negative for asks), and
the keys in one sorted list whose last item is the best. Inserting near the best moves almost nothing, the best is the
last item, and both sides run through the same code. Within a level the orders are an intrusive doubly linked list:
appending, cancelling in the middle and taking from the front are all O(1), however long the queue.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any, Generic, TypeVar


class Resting:
    """What the ladder needs of an order: a price in ticks and open lots.

    ``standing_in`` (its level) and ``before``/``after`` (its neighbours in the queue) belong to the ladder.
    """

    __slots__ = ("after", "before", "open_lots", "price_ticks", "standing_in")

    def __init__(self, price_ticks: int, open_lots: int) -> None:
        self.price_ticks = price_ticks
        self.open_lots = open_lots
        self.standing_in: Level[Any] | None = None
        self.after: Any = None
        self.before: Any = None

    @property
    def resting(self) -> bool:
        """Tell whether the order stands in a queue now."""
        return self.standing_in is not None


OrderT = TypeVar("OrderT", bound=Resting)


class Level(Generic[OrderT]):
    """A price with its queue: ``lots`` is the sum of the open lots of its ``count`` orders, ``head`` the oldest."""

    __slots__ = ("count", "head", "key", "lots", "price_ticks", "tail")

    def __init__(self, price_ticks: int, key: int) -> None:
        self.price_ticks = price_ticks
        self.key = key
        self.lots = 0
        self.count = 0
        self.head: OrderT | None = None
        self.tail: OrderT | None = None


class Ladder(Generic[OrderT]):
    """One side of a book, best price first, oldest order first.

    ``sign`` is 1 for bids and -1 for asks; ``best`` is the best level or ``None``. ``changed`` collects the prices
    whose lots changed; whoever publishes the book empties it.
    """

    __slots__ = ("_keys", "_levels", "best", "changed", "sign")

    def __init__(self, *, is_bids: bool) -> None:
        self.sign = 1 if is_bids else -1
        self.best: Level[OrderT] | None = None
        self.changed: dict[int, None] = {}
        self._levels: dict[int, Level[OrderT]] = {}
        self._keys: list[int] = []

    def append(self, order: OrderT) -> None:
        """Put an order at the end of the queue of its price."""
        key = self.sign * order.price_ticks
        level = self._levels.get(key)
        if level is None:
            level = self._add_level(order.price_ticks, key)
        order.standing_in = level
        tail = level.tail
        if tail is None:
            level.head = order
        else:
            tail.after = order
            order.before = tail
        level.tail = order
        level.lots += order.open_lots
        level.count += 1
        self.changed[level.price_ticks] = None

    def remove(self, order: OrderT) -> None:
        """Take an order out of its queue, with whatever lots it still has open."""
        level: Level[OrderT] | None = order.standing_in
        if level is None:
            return
        before, after = order.before, order.after
        if before is None:
            level.head = after
        else:
            before.after = after
        if after is None:
            level.tail = before
        else:
            after.before = before
        order.standing_in = order.after = order.before = None
        level.lots -= order.open_lots
        level.count -= 1
        self.changed[level.price_ticks] = None
        if level.head is None:
            self._drop_level(level)

    def take(self, order: OrderT, lots: int) -> None:
        """Lower a resting order's open lots, keeping its place; at zero it leaves its queue."""
        level = order.standing_in
        if level is None:
            return
        order.open_lots -= lots
        level.lots -= lots
        self.changed[level.price_ticks] = None
        if not order.open_lots:
            self.remove(order)

    def lots_at(self, price_ticks: int) -> int:
        """Return the lots that rest at a price, zero when there is no such level."""
        level = self._levels.get(self.sign * price_ticks)
        return 0 if level is None else level.lots

    def level(self, price_ticks: int) -> Level[OrderT] | None:
        """Return the level of a price, ``None`` when nothing rests there."""
        return self._levels.get(self.sign * price_ticks)

    def levels(self) -> Iterator[Level[OrderT]]:
        """Iterate over the levels, best first; the book must not change meanwhile."""
        levels = self._levels
        return (levels[key] for key in reversed(self._keys))

    def depth(self, limit: int) -> list[tuple[int, int]]:
        """Return up to ``limit`` levels as (price in ticks, lots), best first."""
        levels = self._levels
        keys = self._keys[-limit:] if limit > 0 else []
        keys.reverse()
        sign = self.sign
        return [(sign * key, levels[key].lots) for key in keys]

    def __len__(self) -> int:
        """Return the number of levels."""
        return len(self._keys)

    def _add_level(self, price_ticks: int, key: int) -> Level[OrderT]:
        level = self._levels[key] = Level(price_ticks, key)
        if self.best is None or key > self.best.key:
            self._keys.append(key)
            self.best = level
        else:
            insort(self._keys, key)
        return level

    def _drop_level(self, level: Level[OrderT]) -> None:
        keys = self._keys
        del self._levels[level.key]
        if level is not self.best:
            del keys[bisect_left(keys, level.key)]
            return
        keys.pop()
        self.best = self._levels[keys[-1]] if keys else None


def queue(level: Level[OrderT]) -> Iterator[OrderT]:
    """Iterate over a level's orders, oldest first; the level must not change meanwhile."""
    order = level.head
    while order is not None:
        yield order
        order = order.after

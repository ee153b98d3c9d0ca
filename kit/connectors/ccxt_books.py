"""Order books that remember what ccxt did to them, so that the kit gets snapshots and diffs from every exchange.

Every ccxt.pro exchange builds its books through three factory methods and changes them through ``store``,
``storeArray`` and ``reset``. Recording books log those calls; when ccxt resolves a book to its watchers, ``BookTap``
drains the log and emits an ``OrderBookSnapshot`` (after a reset or for a new book) or an ``OrderBookDiff``.

``ThinBook`` only logs: the kit keeps the book itself, so ccxt's sorted copy is work for nothing where ccxt never reads
it. Other exchanges get ``full_books``, ccxt's own books plus the log; levels that ccxt trims there count as removed.
Sequence numbers come from the raw frame, where the exchange has them, since ccxt keeps only the last one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

from kit.types.market import Level, MarketMessage, OrderBookDiff, OrderBookSnapshot

Levels: TypeAlias = tuple[Level, ...]


class Sequence(NamedTuple):
    """The update ids a frame covers: first, last, and the last one of the frame before (``None``: not told)."""

    first: int | None
    last: int | None
    previous: int | None


SequenceReader: TypeAlias = Callable[[Any], Sequence | None]


class _Log:
    """The changed levels of one side of a book."""

    __slots__ = ()
    changes: dict[float, float]

    def drain(self) -> Levels:
        """Return the logged levels and forget them."""
        levels = tuple(self.changes.items())
        self.changes.clear()
        return levels


class ThinSide(_Log, list):  # type: ignore[type-arg]  # stands in for ccxt's list of levels and stays empty
    """One side of a book that logs its changed levels and holds none."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        super().__init__()
        self.changes = {}

    def store(self, price: float, size: float) -> None:
        """Log a level; size 0 removes it."""
        self.changes[price] = size

    def storeArray(self, delta: list[float]) -> None:  # noqa: N802  # ccxt's name
        """Log a level given as ``[price, size]``."""
        self.changes[delta[0]] = delta[1]

    store_array = storeArray

    def record(self, deltas: Iterable[Any]) -> None:
        """Log levels given as pairs of strings, as JSON carries them."""
        self.changes.update([(float(delta[0]), float(delta[1])) for delta in deltas])

    def limit(self) -> None:
        """Trim nothing: there is nothing to trim."""

    def levels(self) -> Levels:
        """Return the logged levels that exist, for the snapshot that a reset began, and forget them."""
        return tuple(level for level in self.drain() if level[1])


class Recorder:
    """What ``BookTap`` needs of a book, mixed into each kind."""

    fresh: bool = True  # a snapshot is due
    tapped: tuple[Any, ...] = ()  # the sequence told last

    def sides(self) -> tuple[Any, Any]:
        """Return the bids and the asks."""
        return self["bids"], self["asks"]  # type: ignore[index]  # always mixed into a dict

    def drain(self) -> tuple[bool, Levels, Levels]:
        """Return whether a snapshot is due, and the levels (of the snapshot, or changed) of bids and asks."""
        bids, asks = self.sides()
        fresh, self.fresh = self.fresh, False
        if not (hasattr(bids, "drain") and hasattr(asks, "drain")):  # an exchange put plain lists in their place
            return True, _plain(bids), _plain(asks)
        if fresh:
            return True, bids.levels(), asks.levels()
        return False, bids.drain(), asks.drain()


class ThinBook(Recorder, dict):  # type: ignore[type-arg]  # ccxt's books are dicts
    """A book that only logs; it has the interface that ccxt's handlers use."""

    def __init__(self, snapshot: Mapping[str, Any] | None = None, depth: int | None = None) -> None:
        del depth
        fields = {"timestamp": None, "datetime": None, "nonce": None, "symbol": None}
        super().__init__(fields, bids=ThinSide(), asks=ThinSide())
        self.cache: list[Any] = []
        if snapshot:
            self.reset(snapshot)

    def reset(self, snapshot: Mapping[str, Any] | None = None) -> None:
        """Begin anew from ``snapshot``, whose sides are lists of levels."""
        snapshot = snapshot or {}
        for key in ("bids", "asks"):
            side = self[key]
            side.changes.clear()
            side.record(snapshot.get(key) or ())
        for key in ("nonce", "timestamp", "datetime", "symbol"):
            self[key] = snapshot.get(key)
        self.fresh = True

    def update(self, snapshot: Mapping[str, Any]) -> None:  # type: ignore[override]  # ccxt's meaning of the name
        """Begin anew from ``snapshot`` unless it is older than what the book holds."""
        nonce = snapshot.get("nonce")
        if nonce is None or self["nonce"] is None or nonce >= self["nonce"]:
            self.reset(snapshot)

    def limit(self) -> ThinBook:
        """Trim nothing."""
        return self


class _LoggingSide(_Log):
    """Logs the changes of one of ccxt's own sides, in front of which it is mixed."""

    _depth: int

    def __init__(self, deltas: Iterable[Any] = (), depth: int | None = None) -> None:
        self.changes = {}
        super().__init__(deltas, depth)  # type: ignore[call-arg]  # of ccxt's side

    def storeArray(self, delta: list[Any]) -> None:  # noqa: N802  # ccxt's name
        """Store a level and log it; a counted side removes one whose count is 0."""
        super().storeArray(delta)  # type: ignore[misc]
        size = delta[1] if len(delta) < 3 or delta[2] else 0
        self.changes[float(delta[0])] = float(size or 0)

    def limit(self) -> None:
        """Trim to the depth, logging what falls off."""
        if len(self) > self._depth:  # type: ignore[arg-type]
            for level in self[self._depth :]:  # type: ignore[index]
                self.changes[float(level[0])] = 0.0
            super().limit()  # type: ignore[misc]

    def levels(self) -> Levels:
        """Return all levels and forget the log."""
        self.changes.clear()
        return _plain(self)  # type: ignore[arg-type]


class _LoggingIndexedSide(_LoggingSide):
    """The same for sides whose entries are single orders: what is logged are the sums at the touched prices."""

    side: bool
    _index: list[float]
    _hashmap: dict[Any, float]

    def storeArray(self, delta: list[Any]) -> None:  # noqa: N802  # ccxt's name
        """Store an order and mark the prices that it came to and went from."""
        before = self._hashmap.get(delta[2])
        super(_LoggingSide, self).storeArray(delta)  # type: ignore[misc]
        for price in (before, delta[0]):
            if price is not None:
                self.changes[abs(float(price))] = 0.0

    def drain(self) -> Levels:
        """Return the sums at the touched prices and forget the marks."""
        levels = tuple((price, self._sum_at(price)) for price in self.changes)
        self.changes.clear()
        return levels

    def levels(self) -> Levels:
        """Return all prices with their sums and forget the marks."""
        self.changes = dict.fromkeys((float(order[0]) for order in self), 0.0)  # type: ignore[attr-defined]
        return self.drain()

    def _sum_at(self, price: float) -> float:
        key = -price if self.side else price
        total = 0.0
        index = bisect_left(self._index, key)
        while index < len(self._index) and self._index[index] == key:
            total += float(self[index][1])  # type: ignore[index]
            index += 1
        return total


class BookFactory(NamedTuple):
    """The three kinds of books an exchange may ask for."""

    plain: Callable[..., Any]
    counted: Callable[..., Any]
    indexed: Callable[..., Any]


def full_books(books: ModuleType, sides: ModuleType) -> BookFactory:
    """Return recording versions of ccxt's books, made from its modules ``ws.order_book`` and ``ws.order_book_side``."""
    return BookFactory(
        _recording(books.OrderBook, _logging(sides.Bids), _logging(sides.Asks)),
        _recording(books.OrderBook, _logging(sides.CountedBids), _logging(sides.CountedAsks)),
        _recording(
            books.OrderBook,
            _logging(sides.IndexedBids, _LoggingIndexedSide),
            _logging(sides.IndexedAsks, _LoggingIndexedSide),
        ),
    )


def _logging(side: type, mixin: type = _LoggingSide) -> type:
    return type(f"Recording{side.__name__}", (mixin, side), {})


def _recording(base: type, bids_class: type, asks_class: type) -> type:
    def __init__(self: Any, snapshot: Mapping[str, Any] | None = None, depth: int | None = None) -> None:  # noqa: N807
        given = dict(snapshot or {})
        given["bids"] = bids_class(given.get("bids") or (), depth)
        given["asks"] = asks_class(given.get("asks") or (), depth)
        base.__init__(self, given, depth)  # type: ignore[misc]

    def reset(self: Any, snapshot: Mapping[str, Any] | None = None) -> None:
        for side in self.sides():
            getattr(side, "_hashmap", {}).clear()  # ccxt forgets that, and fails on the second snapshot
        base.reset(self, snapshot or {})  # type: ignore[attr-defined]
        self.fresh = True

    return type(f"Recording{base.__name__}", (Recorder, base), {"__init__": __init__, "reset": reset})


def _plain(side: Iterable[Any]) -> Levels:
    return tuple((float(level[0]), float(level[1])) for level in side if level[1])


class BookTap:
    """Turns resolved recording books into market messages.

    ``read`` finds the sequence numbers in a raw frame; ``emit`` receives the messages.
    """

    def __init__(self, emit: Callable[[MarketMessage], None], read: SequenceReader | None = None) -> None:
        self._emit = emit
        self._read = read
        self.snapshots = 0
        self.diffs = 0

    def on_resolve(self, book: Any, frame: Any, symbol: str) -> None:
        """Emit what ``book`` recorded since it was resolved last; ``frame`` is the raw frame it happened in, if any."""
        sequence = self._read(frame) if self._read is not None and frame is not None else None
        nonce = book["nonce"]
        state = (nonce, sequence)
        fresh, bids, asks = book.drain()
        if not fresh and not bids and not asks and state == book.tapped:
            return  # resolved a second time, for another watcher
        book.tapped = state
        timestamp = (book["timestamp"] or 0) / 1000
        first, last, previous = sequence or (None, None, None)
        update_id = int(nonce if last is None else last) if (last is not None or nonce is not None) else 0
        if fresh:
            self.snapshots += 1
            if nonce is not None:
                update_id = int(nonce)
            self._emit(OrderBookSnapshot(symbol, update_id, timestamp, bids, asks))
        else:
            self.diffs += 1
            self._emit(OrderBookDiff(symbol, update_id, timestamp, bids, asks, first, previous))


def _number(value: Any) -> int | None:
    return int(value) if value is not None else None


def _inside(frame: Any, key: str) -> dict[str, Any]:
    """Return the object under ``key``, or the first of the list there; empty when there is none."""
    value = frame.get(key) if isinstance(frame, dict) else None
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}


def _binance_sequence(frame: Any) -> Sequence | None:
    body = frame if "u" in frame else _inside(frame, "data")
    return Sequence(_number(body.get("U")), _number(body.get("u")), _number(body.get("pu")))


def _bybit_sequence(frame: Any) -> Sequence | None:
    update_id = _number(_inside(frame, "data").get("u"))  # documented as consecutive, so each covers itself alone
    return Sequence(update_id, update_id, None)


def _okx_sequence(frame: Any) -> Sequence | None:
    data = _inside(frame, "data")
    previous = _number(data.get("prevSeqId"))
    return Sequence(None, _number(data.get("seqId")), None if previous == -1 else previous)


def _kucoin_sequence(frame: Any) -> Sequence | None:
    data = _inside(frame, "data") or _inside(frame, "d")  # the classic and the unified account's stream
    first = data.get("sequenceStart", data.get("O"))
    return Sequence(_number(first), _number(data.get("sequenceEnd", data.get("C"))), None)


def _gate_sequence(frame: Any) -> Sequence | None:
    result = _inside(frame, "result")
    return Sequence(_number(result.get("U")), _number(result.get("u")), None)


SEQUENCES: Mapping[str, SequenceReader] = {
    "binance": _binance_sequence,
    "binanceus": _binance_sequence,
    "binanceusdm": _binance_sequence,
    "binancecoinm": _binance_sequence,
    "bybit": _bybit_sequence,
    "okx": _okx_sequence,
    "kucoin": _kucoin_sequence,
    "gate": _gate_sequence,
}
"""Where exchanges put update ids in their frames; ccxt's ``nonce`` serves for the others."""

THIN_BOOKS = frozenset({"binance", "binanceus", "binanceusdm", "binancecoinm"})
"""Exchanges whose books ccxt never reads back, trims or sums: their handlers were read line by line."""

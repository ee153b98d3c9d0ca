"""Taps into a ccxt.pro exchange: every update in order of arrival, without anybody awaiting it.

What ``watch_*`` returns is a cache that ccxt changes in place; an update that nobody awaits is not delivered until the
next one comes; bursts beyond the cache's size are lost. So nothing here reads what ``watch_*`` returns. Caches whose
``append`` calls back stand in ccxt's place, and books record themselves (``ccxt_books``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from kit.connectors.ccxt_books import BookFactory, Recorder, ThinSide
from kit.connectors.ccxt_errors import ResponseFacts

ItemTap: TypeAlias = Callable[[Mapping[str, Any]], None]

CACHE_SIZE = 1000


@dataclass(slots=True)
class Flight:
    """A request under way; ``sent`` once it was handed to the network."""

    sent: bool = False


class Watcher(Protocol):
    """The pump on whose behalf ccxt opens or uses a connection."""

    authenticating: bool

    def bind(self, client: Any) -> None:
        """Note that the pump's stream runs over this connection."""
        ...


FLIGHT: ContextVar[Flight | None] = ContextVar("kit_flight", default=None)
"""The request that the present task makes; tells afterwards whether it left this process."""
ANSWER_EXPECTED: ContextVar[bool] = ContextVar("kit_answer_expected", default=False)
"""Whether an answer that holds nothing (no JSON, or an empty object) is a failure of the request."""
WATCHER: ContextVar[Watcher | None] = ContextVar("kit_watcher", default=None)
"""The pump that the present task runs; tells which connection it came to use."""


@dataclass(slots=True)
class ConnectionHealth:
    """What a connection has seen: ``last_data`` is the monotonic time of its last data frame (or of its opening)."""

    opened: float
    last_data: float
    frames: int = 0
    bad_frames: int = 0


@dataclass
class Taps:
    """Where a guarded exchange reports to; every call comes on the loop's thread, and ``None`` is not called.

    ``now_ms`` tells the exchange's time, ``monotonic`` the local one in seconds; ``network_error`` makes ccxt's error
    of that name. ``endpoint`` is the only ``host:port`` that may be talked to, ``None`` for any.
    """

    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    network_error: Callable[[str], Exception]
    endpoint: str | None = None
    throttle: Callable[[float | None], Awaitable[None]] | None = None
    on_book: Callable[[Any, Any, str], None] | None = None
    on_trade: ItemTap | None = None
    on_order: ItemTap | None = None
    on_fill: ItemTap | None = None
    on_balance: ItemTap | None = None
    on_lost: Callable[[Any, str], None] | None = None
    on_rejected: Callable[[], None] | None = None
    on_response: Callable[[Mapping[str, str]], None] | None = None
    on_refusal: Callable[[ResponseFacts], None] | None = None
    health: dict[int, ConnectionHealth] = field(default_factory=dict)
    connections: int = 0
    frames: int = 0
    bad_frames: int = 0
    last_bad_frame: str = ""
    last_data: float | None = None

    def trade(self, item: Mapping[str, Any]) -> None:
        """Report a public trade."""
        if self.on_trade is not None:
            self.on_trade(item)

    def order(self, item: Mapping[str, Any]) -> None:
        """Report an order event."""
        if self.on_order is not None:
            self.on_order(item)

    def fill(self, item: Mapping[str, Any]) -> None:
        """Report a fill of ours."""
        if self.on_fill is not None:
            self.on_fill(item)


class Caches:
    """ccxt's caches with a tap, made from its module ``ws.cache``."""

    def __init__(self, module: ModuleType) -> None:
        self._base: type = module.ArrayCache
        self._plain: type = _tapped(module.ArrayCache)
        self._by_id: type = _tapped(module.ArrayCacheBySymbolById)

    def adopt(self, value: Any, tap: ItemTap) -> Any:
        """Return ``value`` as a cache that hands every appended item to ``tap``, also those it holds already.

        ``None``, which is how exchanges say "to be made on demand", becomes a tapped cache of items by symbol and id;
        what is no cache of ccxt's is returned as it is.
        """
        if value is None:
            return self._make(self._by_id, tap)
        if not isinstance(value, self._base) or hasattr(value, "tap"):
            return value
        cache = self._make(self._plain if type(value) is self._base else self._by_id, tap)
        for item in value:  # type: ignore[attr-defined]  # ccxt's caches are lists
            cache.append(item)
        return cache

    def _make(self, kind: type, tap: ItemTap) -> Any:
        cache = kind(CACHE_SIZE)
        cache.tap = tap
        return cache


def _tapped(base: type) -> type:
    def append(self: Any, item: Any) -> None:
        # The tap runs first and converts at once: ccxt merges the item into an older one, or changes it, later.
        self.tap(item)
        base.append(self, item)  # type: ignore[attr-defined]

    return type(f"Tapped{base.__name__}", (base,), {"append": append, "tap": None})


class TradeCaches(dict):  # type: ignore[type-arg]  # ccxt's dict of caches by symbol
    """ccxt's ``trades`` by symbol, in which every cache is tapped, whoever put it there."""

    def __init__(self, caches: Caches, tap: ItemTap) -> None:
        super().__init__()
        self._caches, self._tap = caches, tap

    def __setitem__(self, symbol: str, cache: Any) -> None:
        super().__setitem__(symbol, self._caches.adopt(cache, self._tap))


class RecordingStreams:
    """Mixed in front of an exchange class: its books record themselves, its caches are tapped."""

    kit_taps: Taps
    kit_books: BookFactory
    kit_caches: Caches
    kit_frame: Any = None

    def handle_message(self, client: Any, message: Any) -> Any:
        """Handle a decoded frame, keeping it at hand for the taps."""
        self.kit_frame = message
        try:
            return super().handle_message(client, message)  # type: ignore[misc]
        finally:
            self.kit_frame = None

    def order_book(self, snapshot: Any = None, depth: Any = None) -> Any:
        """Make a recording book."""
        return self.kit_books.plain(snapshot, depth)

    def counted_order_book(self, snapshot: Any = None, depth: Any = None) -> Any:
        """Make a recording book of levels that count their orders."""
        return self.kit_books.counted(snapshot, depth)

    def indexed_order_book(self, snapshot: Any = None, depth: Any = None) -> Any:
        """Make a recording book of single orders."""
        return self.kit_books.indexed(snapshot, depth)

    @property
    def orders(self) -> Any:
        """Return the tapped cache of orders."""
        return self.__dict__.get("kit_orders")

    @orders.setter
    def orders(self, value: Any) -> None:
        self.__dict__["kit_orders"] = self.kit_caches.adopt(value, self.kit_taps.order)

    @property
    def myTrades(self) -> Any:  # noqa: N802  # ccxt's name
        """Return the tapped cache of our fills."""
        return self.__dict__.get("kit_fills")

    @myTrades.setter
    def myTrades(self, value: Any) -> None:  # noqa: N802
        self.__dict__["kit_fills"] = self.kit_caches.adopt(value, self.kit_taps.fill)

    def kit_tap(self, result: Any) -> None:
        """Report what ccxt resolves its watchers with, if it is a book or a balance."""
        taps = self.kit_taps
        if isinstance(result, Recorder):
            if taps.on_book is not None:
                taps.on_book(result, self.kit_frame, self._kit_symbol(result))
        elif taps.on_balance is not None and type(result) is dict and _is_balance(result):
            taps.on_balance(result)

    def _kit_symbol(self, book: Any) -> str:
        """Return whose book it is: many exchanges leave the symbol out of the book and only file it under it."""
        symbol = book["symbol"]
        if symbol is None:
            books = self.orderbooks  # type: ignore[attr-defined]
            symbol = next((name for name, held in books.items() if held is book), None)
        return str(symbol)


def _is_balance(result: Mapping[str, Any]) -> bool:
    return isinstance(result.get("total"), dict) and isinstance(result.get("free"), dict)


def record_deltas(self: Any, bookside: Any, deltas: Any) -> None:
    """Log a frame's levels in one go; stands in for ``handle_deltas`` where books are thin (3 times faster a level)."""
    del self
    if isinstance(bookside, ThinSide):
        bookside.record(deltas)
    else:  # a book that ccxt made for a single answer
        for delta in deltas:
            bookside.store(float(delta[0]), float(delta[1]))

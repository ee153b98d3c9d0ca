"""The public side of a backtest: an exchange whose books are read from the simulation's kernel, and its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NoReturn

from kit.core.time_source import Timer
from kit.errors import NotSupported, UnknownPair
from kit.market.order_book import OrderBook
from kit.market.tracked_book import BookCounts, BookStatus
from kit.types.market import MarketMessage, OrderBookDiff, OrderBookSnapshot, PublicTrade, TradingRule

NANOSECONDS: Final = 1_000_000_000

_INF: Final = float("inf")
_NAN: Final = float("nan")


class ReplayTime:
    """The local time of a backtest: moved by the replay alone, and nobody can wait for it.

    ``ns`` is the time in whole nanoseconds since the epoch, ``time()`` in seconds.
    """

    def __init__(self, ns: int = 0) -> None:
        self.ns = ns
        self._seconds = ns / NANOSECONDS

    def set(self, ns: int) -> None:
        """Move on to ``ns``."""
        self.ns = ns
        self._seconds = ns / NANOSECONDS

    def set_tick(self, ns: int, timestamp: float) -> None:
        """Move on to a tick, whose time in seconds is known to the last bit."""
        self.ns = ns
        self._seconds = timestamp

    def time(self) -> float:
        """Return the time, seconds since the epoch."""
        return self._seconds

    def monotonic(self) -> float:
        """Return the same: the time of a replay never goes back."""
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        """Refuse: raises ``NotSupported``."""
        _refuse(f"sleep({seconds:g})")

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Refuse: raises ``NotSupported``."""
        _refuse(f"call_later({seconds:g}, {callback!r})")


def _refuse(what: str) -> NoReturn:
    raise NotSupported(f"{what}: a backtest has no event loop to wait on; count ticks or compare times instead")


class ReplayBook(OrderBook):
    """An order book as it was known at the replay's local time, read from the kernel: nothing can be applied to it.

    ``bids`` and ``asks`` are the kernel's sides (``kit.simulation.book_sides``), ``last_trade`` tells the latest trade
    that was known. Each ``moved`` says that time has moved.
    """

    def __init__(
        self, trading_pair: str, bids: Any, asks: Any, last_trade: Callable[[], PublicTrade | None] = lambda: None
    ) -> None:
        super().__init__(trading_pair)
        self._bids, self._asks = bids, asks
        self._find_trade = last_trade

    def moved(self) -> float:
        """Note that the levels may be others now; return the mid price, NaN while a side is empty."""
        self._version += 1
        bid, ask = self._bids.top, self._asks.top
        return (bid + ask) / 2 if bid > 0.0 and ask < _INF else _NAN

    @property
    def last_trade(self) -> PublicTrade | None:
        """Return the last public trade that was known, ``None`` before the first."""
        return self._find_trade()

    @property
    def last_trade_price(self) -> float:
        """Return the price of the last trade, in quote; NaN before the first."""
        trade = self._find_trade()
        return _NAN if trade is None else trade.price

    def get_price(self, is_buy: bool) -> float:
        """Return the best price to buy at (the lowest ask) or to sell at (the highest bid), NaN if there is none."""
        # Asked several times a tick; one thread moves the kernel and reads it, so that no lock is needed.
        top: float = self._asks.top if is_buy else self._bids.top
        return top if 0.0 < top < _INF else _NAN

    def found(self) -> None:
        """Note that a snapshot was replayed: the levels can be relied on."""
        self.sync_error = None

    @property
    def heard(self) -> bool:
        """Tell whether anybody listens to the trades."""
        return bool(self._listeners)

    def apply_snapshot(self, snapshot: OrderBookSnapshot) -> None:
        """Refuse: raises ``NotSupported``."""
        raise NotSupported(f"the book of {snapshot.trading_pair} is replayed; nothing can be applied to it")

    def apply_diff(self, diff: OrderBookDiff) -> bool:
        """Refuse: raises ``NotSupported``."""
        raise NotSupported(f"the book of {diff.trading_pair} is replayed; nothing can be applied to it")


class ReplayBooks:
    """The books of one replayed exchange, with the surface of an ``OrderBookTracker``."""

    def __init__(self, books: Sequence[ReplayBook]) -> None:
        self._books: dict[str, OrderBook] = {book.trading_pair: book for book in books}
        self._all = tuple(books)

    @property
    def order_books(self) -> Mapping[str, OrderBook]:
        """Return the books by pair."""
        return self._books

    @property
    def ready(self) -> bool:
        """Tell whether every book had its snapshot and no gap since."""
        for book in self._all:  # noqa: SIM110  (asked every tick, and a generator costs as much as all the rest)
            if book.sync_error is not None:
                return False
        return True

    def is_ready(self, trading_pair: str) -> bool:
        """Tell whether the pair's book had its snapshot. Raises ``UnknownPair``."""
        return self._find(trading_pair).synced

    def status(self, trading_pair: str) -> BookStatus:
        """Return how the pair's book stands; a replay counts no messages. Raises ``UnknownPair``."""
        book = self._find(trading_pair)
        return BookStatus(
            trading_pair=book.trading_pair,
            ready=book.synced,
            synced=book.synced,
            stale=False,
            age=None,
            update_id=book.update_id,
            waiting=0,
            last_error=book.sync_error or "",
            **asdict(BookCounts()),
        )

    async def start(self, trading_pairs: Sequence[str] = ()) -> None:
        """Check that the pairs are replayed. Raises ``UnknownPair``."""
        for pair in trading_pairs:
            self._find(pair)

    async def stop(self) -> None:
        """Do nothing: the books stay as they are."""

    async def add_trading_pair(self, trading_pair: str) -> None:
        """Raise ``UnknownPair`` for a pair that is not replayed."""
        self._find(trading_pair)

    async def remove_trading_pair(self, trading_pair: str) -> None:
        """Do nothing: the pair is replayed all the same. Raises ``UnknownPair``."""
        self._find(trading_pair)

    def _find(self, trading_pair: str) -> OrderBook:
        book = self._books.get(trading_pair)
        if book is None:
            raise UnknownPair(f"{trading_pair!r} is not in the data; replayed are {', '.join(self._books)}")
        return book


class ReplayExchange:
    """The market data port of a replay: knows its rules and its time; the books come from the kernel."""

    def __init__(self, rules: Mapping[str, TradingRule], books: ReplayBooks, time: ReplayTime) -> None:
        self._rules = dict(rules)
        self._books = books
        self._time = time

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        """Do nothing: no messages come, the kernel has them."""

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        """Raise ``UnknownPair`` for a pair that is not replayed."""
        await self._books.start(trading_pairs)

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        """Do nothing."""

    def is_streaming(self, trading_pair: str) -> bool:
        """Tell whether the pair is replayed."""
        return trading_pair in self._rules

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        """Return the book as it is known now."""
        if trading_pair not in self._rules:
            raise UnknownPair(f"{trading_pair!r} is not in the data; replayed are {', '.join(self._rules)}")
        book = self._books.order_books[trading_pair]
        bids, asks = book.depth(1 << 30)
        return OrderBookSnapshot(trading_pair, 0, self._time.time(), tuple(bids), tuple(asks))

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        """Return the prices of the last trades replayed."""
        books = self._books.order_books
        return {pair: books[pair].last_trade_price for pair in trading_pairs if pair in books}

    async def fetch_trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rules of the replayed pairs."""
        return self._rules

    async def fetch_server_time(self) -> float:
        """Return the replay's time, seconds since the epoch."""
        return self._time.time()

    def status(self) -> Mapping[str, object]:
        """Return what there is to know: the time."""
        return {"replay_time": self._time.time()}

    async def close(self) -> None:
        """Do nothing."""

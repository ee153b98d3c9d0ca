"""The public streams of an exchange: books and trades of the subscribed pairs, kept up and watched for silence."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kit.connectors.ccxt_books import BookTap, SequenceReader
from kit.connectors.ccxt_convert import public_trade
from kit.connectors.ccxt_errors import scrub
from kit.connectors.ccxt_guard import close_client
from kit.connectors.ccxt_pumps import PumpFailure, StreamPump
from kit.core.clock import TimeSource
from kit.core.tasks import TaskSupervisor
from kit.types.market import MarketMessage, StreamLost

logger = logging.getLogger(__name__)

_TRADE_IDS_KEPT = 1000
_LONGEST_SILENCE = 600.0
_FIRST_ITEM_SHARE = 1 / 3
_UNWATCH_TIMEOUT = 3.0
_FAILURES_ALLOWED = 3
# Exchanges for which ccxt was seen to subscribe a broken book anew over the same connection.
_RESUBSCRIBES = frozenset({"binance", "binanceus", "binanceusdm", "binancecoinm"})


class _PairStreams:
    """The pumps of one pair, their tasks, and how long its book may be silent."""

    def __init__(self, book: StreamPump, trades: StreamPump, silence: float) -> None:
        self.book, self.trades = book, trades
        self.tasks: list[asyncio.Task[None]] = []
        self.silence = silence
        self._ids: set[str] = set()
        self._order: deque[str] = deque()

    def is_new(self, trade_id: str) -> bool:
        """Tell whether the trade was not seen before; some exchanges repeat recent trades when they are subscribed."""
        if trade_id in self._ids:
            return False
        self._ids.add(trade_id)
        self._order.append(trade_id)
        if len(self._order) > _TRADE_IDS_KEPT:
            self._ids.discard(self._order.popleft())
        return True


class MarketStreams:
    """Keeps books and trades of the subscribed pairs streaming from ``exchange``, a guarded ccxt instance.

    Messages go to ``emit`` in order of arrival. ``silence_after``: seconds without a book message after which a pair's
    connection is opened anew; doubled each time for a pair that stays silent, up to 10 minutes, since it may simply
    not trade.
    """

    def __init__(
        self,
        exchange: Any,
        supervisor: TaskSupervisor,
        emit: Callable[[MarketMessage], None],
        now: Callable[[], float],
        time_source: TimeSource,
        *,
        read_sequence: SequenceReader | None = None,
        silence_after: float = 30.0,
    ) -> None:
        self._exchange = exchange
        self._supervisor = supervisor
        self._emit = emit
        self._now = now
        self._time = time_source
        self._silence_after = silence_after
        self._pairs: dict[str, _PairStreams] = {}
        self.books = BookTap(emit, read_sequence)
        self.silent = 0
        self.reconnects = 0

    @property
    def pairs(self) -> tuple[str, ...]:
        """Return the pairs that are streamed."""
        return tuple(self._pairs)

    def start(self, pair: str) -> None:
        """Start streaming a pair; does nothing when it is streamed already."""
        if pair in self._pairs:
            return
        self._exchange.orderbooks.pop(pair, None)  # a book of an earlier subscription must not pass for a new one
        streams = _PairStreams(self._pump("book", pair), self._pump("trades", pair), self._silence_after)
        self._pairs[pair] = streams
        for pump in (streams.book, streams.trades):
            streams.tasks.append(self._supervisor.spawn(pump.run(), name=pump.state.name))

    async def stop(self, pair: str) -> None:
        """Stop streaming a pair; what still arrives of it is dropped."""
        streams = self._pairs.pop(pair, None)
        if streams is None:
            return
        clients = {id(pump.client): pump.client for pump in (streams.book, streams.trades) if pump.client is not None}
        for task in streams.tasks:
            await self._supervisor.cancel(task)
        if clients and not await self._unwatch(pair):
            await self._close_unused(clients.values())

    def is_up(self, pair: str) -> bool:
        """Tell whether the pair's book is streamed over a connection that stands."""
        streams = self._pairs.get(pair)
        return streams is not None and streams.book.state.up

    def on_book(self, book: Any, frame: Any, symbol: str) -> None:
        """Take a book that ccxt resolved."""
        streams = self._pairs.get(symbol)
        if streams is not None:
            streams.book.item()
            if streams.book.items_since_up > 1:  # more than the snapshot that every new connection begins with
                streams.silence = self._silence_after
            self.books.on_resolve(book, frame, symbol)

    def on_trade(self, item: Mapping[str, Any]) -> None:
        """Take a public trade."""
        streams = self._pairs.get(str(item.get("symbol")))
        if streams is None:
            return
        trade = public_trade(item)
        streams.trades.item()
        if streams.is_new(trade.trade_id):
            self._emit(trade)

    def on_lost(self, client: Any, reason: str) -> None:
        """Take the end of a connection."""
        logger.warning("%s: a market connection was lost: %s", self._exchange.id, reason)
        self.reconnects += 1
        for pump in self._pumps():
            pump.client_lost(client, reason)

    def on_rejected(self) -> None:
        """Wake the pumps: ccxt rejected something that one of them may not be awaiting."""
        for pump in self._pumps():
            pump.wake()

    def check_silence(self) -> None:
        """Open the connection of each book anew that has been silent for too long."""
        for pair, streams in list(self._pairs.items()):
            age, client = streams.book.age, streams.book.client
            # A stream that never began was not subscribed; waiting for it is pointless.
            patience = streams.silence if streams.book.items_since_up else streams.silence * _FIRST_ITEM_SHARE
            if age > patience and client is not None:
                self.silent += 1
                streams.silence = min(streams.silence * 2, _LONGEST_SILENCE)
                reason = f"the book of {pair} was silent for {age:.0f} s"
                client.on_error(self._exchange.kit_taps.network_error(reason))

    def status(self) -> dict[str, Any]:
        """Return the state of each stream by name."""
        return {pump.state.name: pump.status() for pump in self._pumps()}

    def _pumps(self) -> Iterable[StreamPump]:
        return [pump for streams in self._pairs.values() for pump in (streams.book, streams.trades)]

    def _pump(self, kind: str, pair: str) -> StreamPump:
        exchange, name = self._exchange, f"{kind} {pair}"
        on_failure = functools.partial(self._on_failure, name)
        if kind == "trades":
            return StreamPump(name, lambda: exchange.watch_trades(pair), self._time, on_failure=on_failure)
        return StreamPump(
            name,
            lambda: exchange.watch_order_book(pair),
            self._time,
            on_down=lambda reason: self._book_down(pair, reason),
            on_failure=on_failure,
        )

    def _on_failure(self, name: str, failure: PumpFailure) -> None:
        exchange, error, client = self._exchange, failure.error, failure.client
        logger.info("%s: stream %s: %s: %s", exchange.id, name, type(error).__name__, scrub(str(error)))
        stands = client is not None and client.error is None and exchange.clients.get(client.url) is client
        if stands and (failure.count >= _FAILURES_ALLOWED or exchange.id not in _RESUBSCRIBES):
            # Subscribed as far as ccxt knows, yet broken: only a new connection certainly begins with a snapshot.
            client.on_error(exchange.kit_taps.network_error(f"stream {name} broke: {type(error).__name__}"))

    def _book_down(self, pair: str, reason: str) -> None:
        self._exchange.orderbooks.pop(pair, None)  # what follows must begin with a snapshot
        if pair in self._pairs:
            self._emit(StreamLost(pair, self._now(), reason))

    async def _unwatch(self, pair: str) -> bool:
        """Ask the exchange to stop the pair's streams; tell whether ccxt and the exchange can do that."""
        exchange = self._exchange
        if not (exchange.has.get("unWatchOrderBook") and exchange.has.get("unWatchTrades")):
            return False
        try:
            async with asyncio.timeout(_UNWATCH_TIMEOUT):
                await exchange.un_watch_order_book(pair)
                await exchange.un_watch_trades(pair)
        except Exception as exc:  # noqa: BLE001  # the boundary: whatever failed, closing the connection serves as well
            logger.info("%s: unwatch %s: %s: %s", exchange.id, pair, type(exc).__name__, scrub(str(exc)))
            return False
        return True

    async def _close_unused(self, clients: Iterable[Any]) -> None:
        """Close the connections that no other stream runs over."""
        used = {id(pump.client) for pump in self._pumps()}
        for client in clients:
            if id(client) not in used:
                await close_client(self._exchange, client)

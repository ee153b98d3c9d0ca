"""One pair on one simulated exchange: the book, own orders in their queues, and the view that a trader has of it.

The exchange side is moved by exchange time (``advance``), the view by local time (``look``); ``step`` does both in one
call of the kernel. There is one book: while the exchange side is ahead of the view (answers are faster than the feed),
the changes in between are kept to be undone, and every read of the view is exactly what had been received by then.

How to go to local time T with requests and answers under way::

    while not there:
        due = time of the next answer, if before T, else T
        if a request arrives at exchange time A <= due:
            engine.advance(A, look_ns=due)    # all events up to A, also those of A itself, come before the request
            engine.submit(..., now_ns=A)      # or cancel
        else:
            engine.step(due)
        for fill in engine.take_fills(): plan its answer at fill.exch_ns + response latency

``advance`` and ``step`` stop early at the event of a fill (``stop_on_fill``): its answer may be due before ``due``.
``look_ns`` is a promise: the next look is there or later, or at a fill's time + ``response_floor_ns`` or later.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput, InvariantBroken
from kit.simulation import kernel
from kit.simulation import kernel_layout as layout
from kit.simulation.book_sides import KernelSide
from kit.simulation.exchange_models import ExchangeModel, PartialFill
from kit.simulation.feed import FeedColumns
from kit.simulation.kernel_state import DEFAULT_WINDOW, KernelState
from kit.simulation.queue_models import Fifo, LogProb2, QueueModel
from kit.types.market import TradeType
from kit.types.orders import OrderType, TimeInForce


class FillKind(IntEnum):
    """What a ``Fill`` tells."""

    TAKER = layout.TAKER
    MAKER = layout.MAKER
    EXPIRED = layout.EXPIRED
    """No fill: a resting order ended by self-trade prevention; ``lots`` is 0, ``leaves`` what expired."""


class Fill(NamedTuple):
    """One fill of an own order: exchange time in ns, price in ticks, quantity and remaining quantity in lots."""

    order_id: int
    exch_ns: int
    tick: int
    lots: int
    kind: int
    leaves: int


class Outcome(IntEnum):
    """What became of an order on arrival. Its fills, if any, wait in ``take_fills`` in every case."""

    RESTS = layout.RESTS
    FILLED = layout.TAKEN
    EXPIRED = layout.LAPSED
    """IOC, FOK, market or self-trade prevention: ``leaves`` lots lapsed, perhaps after fills."""
    REJECTED = layout.REFUSED
    """Post-only, and it would have taken."""


class Submission(NamedTuple):
    """The outcome of a submission and the lots that rest (RESTS) or lapsed (EXPIRED, REJECTED)."""

    outcome: Outcome
    leaves: int


class Trade(NamedTuple):
    """A public trade: exchange and local time in ns, price in ticks, amount in base, side of the taker."""

    exch_ns: int
    local_ns: int
    tick: int
    qty: float
    taker: TradeType


_TYPES = {OrderType.LIMIT: layout.LIMIT, OrderType.LIMIT_MAKER: layout.POST_ONLY, OrderType.MARKET: layout.MARKET}
_FORCES = {TimeInForce.GTC: layout.GTC, TimeInForce.IOC: layout.IOC, TimeInForce.FOK: layout.FOK}
_MOVE_EXCHANGE, _MOVE_VIEW = 1, 2


class MatchingEngine:
    """Match own orders of one account against the recorded or live market of one pair.

    Prices are ticks (int), own quantities lots (int), amounts of the market base (float). Times are ns. ``queue``
    defaults to ``LogProb2()``, ``exchange`` to ``PartialFill()``. ``window`` is the width in ticks of the dense part of
    a side's book; levels outside are kept in a table. ``response_floor_ns``: no answer is ever faster than this; the
    higher (and true) it is, the less has to be kept for the view. Not thread-safe.
    """

    def __init__(
        self,
        *,
        tick_size: Decimal | str,
        lot_size: Decimal | str,
        queue: QueueModel | None = None,
        exchange: ExchangeModel | None = None,
        response_floor_ns: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> None:
        self.tick_size, self.lot_size = Decimal(tick_size), Decimal(lot_size)
        if not (self.tick_size > 0 and self.lot_size > 0):
            raise InvalidInput(f"tick_size {tick_size} and lot_size {lot_size} must be above 0")
        if window < 64:
            raise InvalidInput(f"window is {window}; it must be 64 ticks or more (2**18 is the default)")
        self.queue = LogProb2() if queue is None else queue
        self.exchange = PartialFill() if exchange is None else exchange
        self._state = state = KernelState(window)
        self._words = words = state.words
        words[layout.QUEUE] = self.queue.code
        words[layout.P_MODEL] = self.queue.address
        words[layout.PARTIAL] = int(self.exchange.partial)
        words[layout.STP] = int(self.exchange.prevention)
        state.floats[layout.QUEUE_N] = self.queue.exponent
        state.floats[layout.LOT] = float(self.lot_size)
        self.response_floor_ns = response_floor_ns
        self.bids = KernelSide(state, 0, self.tick_size)
        self.asks = KernelSide(state, 1, self.tick_size)
        self._ids: set[int] = set()
        self._last_trade: Trade | None = None
        self._trade_rows: NDArray[np.int64] | None = None
        self._set_feed(FeedColumns.empty(self.tick_size, self.lot_size))

    # -- feed

    def load(self, feed: FeedColumns) -> None:
        """Take a whole replay, before anything was advanced. Raises ``InvalidInput`` for another tick or lot size."""
        self._check(feed)
        if self._words[layout.ROW]:
            raise InvalidInput("this engine has already run: make a new one for another replay, or use feed()")
        self._set_feed(feed)

    def feed(self, batch: FeedColumns) -> None:
        """Append a live batch, later than all before; then ``step(engine.last_local_ns)`` or later shows all of it."""
        self._check(batch)
        view = self._words[layout.VIEW]
        if view:
            self._last_trade = self.last_trade
            self._state.shift_rows(view)
        rest = self._feed.rows(view, len(self._feed))
        self._set_feed(FeedColumns.concat(rest, batch) if len(rest) else batch)

    @property
    def columns(self) -> FeedColumns:
        """Return the feed as far as it is held: all of a replay, of live batches what the view has not seen."""
        return self._feed

    @property
    def last_local_ns(self) -> int:
        """Return the local time of the last row held, 0 if there is none."""
        return int(self._feed.local_ts[-1]) if len(self._feed) else 0

    @property
    def exhausted(self) -> bool:
        """Tell whether exchange side and view have taken every row."""
        words = self._words
        return bool(words[layout.VIEW] == words[layout.ROW] == words[layout.ROWS])

    # -- time

    @property
    def response_floor_ns(self) -> int:
        """The smallest latency of any answer, in ns."""
        return self._words[layout.FLOOR]

    @response_floor_ns.setter
    def response_floor_ns(self, value: int) -> None:
        if value < 0:
            raise InvalidInput(f"response_floor_ns is {value}; an answer takes 0 ns or more")
        self._words[layout.FLOOR] = value

    def advance(self, exch_ns: int, look_ns: int | None = None, *, stop_on_fill: bool = True) -> int:
        """Apply all events with exchange time <= ``exch_ns``; the view stays. Returns the number of waiting fills.

        ``stop_on_fill``: stop after the event that filled an own order; call again to go on. ``look_ns``: see the
        module; ``None`` promises nothing and keeps every change.
        """
        words = self._words
        words[layout.MODE] = _MOVE_EXCHANGE
        words[layout.EXCH_UNTIL] = exch_ns
        words[layout.LOOK] = -1 if look_ns is None else look_ns
        words[layout.HALT] = stop_on_fill
        status = kernel.run(self._state.address)
        return self._go_on(status) if status else words[layout.FILLS]

    def look(self, local_ns: int) -> int:
        """Move the view to local time ``local_ns`` (never back); returns the number of waiting fills.

        The exchange side comes along as far as the view sees (fills on the way wait, and are due later). Raises
        ``InvariantBroken`` if the caller promised by ``look_ns`` to look later.
        """
        words = self._words
        words[layout.MODE] = _MOVE_VIEW
        words[layout.LOOK] = local_ns
        status = kernel.run(self._state.address)
        return self._go_on(status) if status else words[layout.FILLS]

    def step(self, local_ns: int, *, stop_on_fill: bool = True) -> int:
        """Move to local time ``local_ns``: all fills whose answer can be due by then, then the view.

        Returns the number of waiting fills. With ``stop_on_fill`` a fill at or before ``local_ns`` -
        ``response_floor_ns`` stops before the view has moved (``view_ns`` tells).
        """
        words = self._words
        words[layout.MODE] = _MOVE_EXCHANGE | _MOVE_VIEW
        words[layout.EXCH_UNTIL] = local_ns - words[layout.FLOOR]
        words[layout.LOOK] = local_ns
        words[layout.HALT] = stop_on_fill
        status = kernel.run(self._state.address)
        return self._go_on(status) if status else words[layout.FILLS]

    def _go_on(self, status: int) -> int:
        """Do what the kernel stopped for and call it again, until it is done or stopped at a fill."""
        words, state = self._words, self._state
        while status not in (layout.DONE, layout.FILLED):
            if status == layout.TOO_EARLY:
                raise InvariantBroken(
                    f"a look at local time {words[layout.LOOK]} ns, but changes after it were not kept: an earlier "
                    "call promised by look_ns (or response_floor_ns) that no look would come before"
                )
            state.serve(status)
            if words[layout.FILLS] and words[layout.HALT] and words[layout.MODE] & _MOVE_EXCHANGE:
                break
            status = kernel.run(state.address)
        return words[layout.FILLS]

    # -- own orders

    @property
    def waiting_fills(self) -> int:
        """Return the number of fills that ``take_fills`` would give."""
        return self._words[layout.FILLS]

    def take_fills(self) -> list[Fill]:
        """Return the fills since the last call, in the order in which they happened."""
        count = self._words[layout.FILLS]
        if not count:
            return []
        rows = self._state.table(layout.P_FILLS, layout.FILL_WORDS)[:count].tolist()
        self._words[layout.FILLS] = 0
        fills = [Fill(*row) for row in rows]
        for fill in fills:
            if fill.leaves == 0 or fill.kind == FillKind.EXPIRED:
                self._ids.discard(fill.order_id)
        return fills

    def submit(
        self,
        order_id: int,
        side: TradeType,
        tick: int,
        lots: int,
        order_type: OrderType = OrderType.LIMIT,
        time_in_force: TimeInForce = TimeInForce.GTC,
        *,
        now_ns: int,
    ) -> Submission:
        """Let an order arrive at exchange time ``now_ns``, after ``advance(now_ns)``. ``tick`` of a market order: any.

        Raises ``InvalidInput`` for a quantity below one lot, a price below one tick, or an id that is in use.
        """
        if lots < 1 or (tick < 1 and order_type is not OrderType.MARKET) or order_id in self._ids:
            raise InvalidInput(
                f"order {order_id}: {lots} lots at tick {tick}; both must be 1 or more, and the id not in use"
            )
        state, words = self._state, self._words
        state.ensure_orders()
        ask = int(side is TradeType.SELL)
        arguments = (order_id, ask, tick ^ -ask, lots, _TYPES[order_type], _FORCES[time_in_force], now_ns)
        while True:
            for word, value in enumerate(arguments, layout.ARG):
                words[word] = value
            kernel.act(state.address, layout.SUBMIT)
            if not words[layout.OUT + 2]:
                break
            state.serve(words[layout.OUT + 2])
        outcome = Outcome(words[layout.OUT])
        if outcome is Outcome.RESTS:
            self._ids.add(order_id)
        return Submission(outcome, words[layout.OUT + 1])

    def give_back(self, fills: Sequence[Fill], side: TradeType) -> None:
        """Undo the taking of a taker of ``side`` that was refused after all: others may take there."""
        other = int(side is TradeType.BUY)
        for fill in fills:
            self._state.give_back(other, fill.tick ^ -other, fill.lots)

    def cancel(self, order_id: int) -> int | None:
        """Take an order off the book; returns the lots that were left, ``None`` if no such order rests."""
        leaves = self._ask(layout.REMOVE, order_id)
        if leaves < 0:
            return None
        self._ids.discard(order_id)
        return leaves

    def leaves(self, order_id: int) -> int | None:
        """Return the lots of an order that still rest on the exchange, ``None`` if it does not rest."""
        leaves = self._ask(layout.POSITION, order_id)
        return None if leaves < 0 else leaves

    def queue_front(self, order_id: int) -> float | None:
        """Return the amount (base) that the model takes to stand ahead of an order, ``None`` if it does not rest.

        Infinite for an order behind all known levels, until its level is told: then all that is told there is ahead.
        """
        return None if self._ask(layout.POSITION, order_id) < 0 else self._state.floats[layout.OUT + 1]

    @property
    def resting(self) -> int:
        """Return the number of own orders that rest on the exchange."""
        return self._words[layout.RESTING]

    # -- view

    @property
    def last_trade(self) -> Trade | None:
        """Return the latest public trade that the view has seen."""
        place = int(np.searchsorted(self.trade_rows, self._words[layout.VIEW]))
        return self.trade(int(self.trade_rows[place - 1])) if place else self._last_trade

    @property
    def view_row(self) -> int:
        """Return the number of rows of ``columns`` that the view has seen."""
        return self._words[layout.VIEW]

    @property
    def trade_rows(self) -> NDArray[np.int64]:
        """Return the numbers of all rows of ``columns`` that are trades, ascending."""
        if self._trade_rows is None:
            self._trade_rows = np.flatnonzero(self._feed.code & 0xFE == layout.TRADE)
        return self._trade_rows

    def trade(self, row: int) -> Trade:
        """Return the trade in a row of ``columns``."""
        feed = self._feed
        taker = TradeType.SELL if feed.code[row] == layout.TRADE else TradeType.BUY
        return Trade(int(feed.exch_ts[row]), int(feed.local_ts[row]), int(feed.tick[row]), float(feed.qty[row]), taker)

    # -- inside

    def _ask(self, what: int, order_id: int) -> int:
        self._words[layout.ARG] = order_id
        kernel.act(self._state.address, what)
        return self._words[layout.OUT]

    def _check(self, feed: FeedColumns) -> None:
        if (feed.tick_size, feed.lot_size) != (self.tick_size, self.lot_size):
            raise InvalidInput(
                f"the feed was converted with tick size {feed.tick_size} and lot size {feed.lot_size}, this engine "
                f"has {self.tick_size} and {self.lot_size}: convert it with the engine's"
            )
        if isinstance(self.queue, Fifo) and len(feed) and feed.order_id is None:
            raise InvalidInput(
                "Fifo needs order-by-order data (event kinds ADD, CANCEL, MODIFY, FILL); this feed tells levels only: "
                "take a model that guesses, such as LogProb2() or RiskAverse()"
            )

    def _set_feed(self, feed: FeedColumns) -> None:
        words, state = self._words, self._state
        self._feed = feed
        self._trade_rows = None
        names = ("exch_ts", "local_ts", "code", "tick", "qty")
        for word, name in enumerate(names, layout.P_EXCH):
            state.place(word, np.ascontiguousarray(getattr(feed, name)))
        state.place(layout.P_ORDER_ID, np.zeros(0, np.int64) if feed.order_id is None else feed.order_id)
        words[layout.ROWS] = len(feed)


def warm_up() -> None:
    """Compile the kernel, or load it compiled: a few seconds the first time ever, else a fraction of one.

    May run in a thread; until it ends, the first engine waits.
    """
    engine = MatchingEngine(tick_size="1", lot_size="1", window=64)
    engine.step(0)

"""The nouns of a market: orders, trades, the book of one symbol, and an account's orders on it."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Literal, NamedTuple, TypeAlias

from kit.testnet.ladder import Ladder, Resting
from kit.testnet.ledger import Account, fee_units
from kit.testnet.symbols import Side, SymbolInfo
from kit.testnet.tape import Kline, Tape

Status: TypeAlias = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "REJECTED", "EXPIRED_IN_MATCH"]


class Order(Resting):
    """An order, in ints: ``price_ticks`` (0 for market orders), ``qty_lots`` ordered, ``open_lots`` still to fill,
    ``executed_lots``, ``cum_quote_units`` paid or received in ledger units before fees.

    ``quote_units`` is the budget of a market order by quote (0 otherwise); the ``qty_lots`` of such an order is what
    it executed. ``hold_per_lot`` is what each open lot keeps locked on the account. Times in ms; ``working_ms`` is
    when it was accepted. ``expiry_reason`` is Binance's, set when EXPIRED; ``cancel_id`` is the client id of the
    request that cancelled it. Orders of unlimited accounts keep no ``fills`` and are in no index.
    """  # noqa: D205 (one list of fields)

    __slots__ = (
        "account",
        "cancel_id",
        "client_order_id",
        "created_ms",
        "cum_quote_units",
        "executed_lots",
        "expiry_reason",
        "fills",
        "hold_per_lot",
        "is_buy",
        "market",
        "order_id",
        "preventions",
        "qty_lots",
        "quote_units",
        "side",
        "status",
        "stp_mode",
        "time_in_force",
        "type",
        "updated_ms",
    )

    def __init__(
        self,
        market: Market,
        account: Account,
        order_id: int,
        side: Side,
        price_ticks: int,
        qty_lots: int,
        now_ms: int,
        *,
        type: str = "LIMIT",  # noqa: A002 (Binance's name)
        time_in_force: str = "GTC",
        client_order_id: str = "",
        quote_units: int = 0,
        stp_mode: str = "NONE",
    ) -> None:
        self.price_ticks = price_ticks
        self.open_lots = self.qty_lots = qty_lots
        self.standing_in = self.before = self.after = None
        self.market = market
        self.account = account
        self.order_id = order_id
        self.side: Side = side
        self.is_buy = side == "BUY"
        self.type = type
        self.time_in_force = time_in_force
        self.client_order_id = client_order_id
        self.quote_units = quote_units
        self.stp_mode = stp_mode
        self.status: Status = "NEW"
        self.executed_lots = 0
        self.cum_quote_units = 0
        self.hold_per_lot = 0
        self.created_ms = self.updated_ms = now_ms
        self.fills: list[Trade] | None = None
        self.preventions: list[Prevention] | None = None
        self.expiry_reason = ""
        self.cancel_id = ""

    def __repr__(self) -> str:
        what = f"{self.side} {self.open_lots}/{self.qty_lots}@{self.price_ticks}"
        return f"Order({self.market.info.symbol} #{self.order_id} {what} {self.status})"

    @property
    def is_working(self) -> bool:
        """Tell whether the order rests in the book."""
        return self.standing_in is not None

    @property
    def working_ms(self) -> int:
        """When the order was accepted, in ms."""
        return self.created_ms

    @property
    def prevented_match_id(self) -> int:
        """The prevented match that expired the order, -1 when none did."""
        return self.preventions[-1].match_id if self.preventions and self.prevented_lots else -1

    @property
    def prevented_lots(self) -> int:
        """Lots that expired instead of trading with the own account; 0 unless the order is EXPIRED_IN_MATCH."""
        return self.open_lots if self.status == "EXPIRED_IN_MATCH" else 0

    @property
    def held_units(self) -> int:
        """Ledger units that the order keeps locked now, of quote for a buy and of base for a sell."""
        return self.open_lots * self.hold_per_lot if self.standing_in is not None else 0

    @property
    def hold_asset(self) -> str:
        """The asset that the order pays with."""
        return self.market.info.quote if self.is_buy else self.market.info.base


class Trade:
    """One match. ``maker_fee`` and ``taker_fee`` are ledger units of what each side received."""

    __slots__ = (
        "buyer_is_maker",
        "maker",
        "maker_fee",
        "market",
        "price_ticks",
        "qty_lots",
        "quote_units",
        "taker",
        "taker_fee",
        "time_ms",
        "trade_id",
    )

    def __init__(self, market: Market, trade_id: int, maker: Order, taker: Order, lots: int, now_ms: int) -> None:
        info = market.info
        self.market = market
        self.trade_id = trade_id
        self.maker = maker
        self.taker = taker
        self.price_ticks = price = maker.price_ticks
        self.qty_lots = lots
        self.quote_units = quote = price * lots * info.quote_units
        self.time_ms = now_ms
        self.buyer_is_maker = buyer_is_maker = maker.is_buy
        base = lots * info.lot_units
        self.maker_fee = fee_units(base if buyer_is_maker else quote, maker.account.rates(info)[0])
        self.taker_fee = fee_units(quote if buyer_is_maker else base, taker.account.rates(info)[1])

    def __repr__(self) -> str:
        return f"Trade({self.market.info.symbol} #{self.trade_id} {self.qty_lots}@{self.price_ticks})"

    @property
    def buyer(self) -> Order:
        """The order that bought."""
        return self.maker if self.buyer_is_maker else self.taker

    @property
    def seller(self) -> Order:
        """The order that sold."""
        return self.taker if self.buyer_is_maker else self.maker

    def commission(self, order: Order) -> tuple[int, str]:
        """Return what one of the two orders paid: (ledger units, asset)."""
        info = self.market.info
        return (self.maker_fee if order is self.maker else self.taker_fee), (info.base if order.is_buy else info.quote)


class Prevention(NamedTuple):
    """A match that did not happen because both orders are of one account.

    ``lots`` would have traded at ``price_ticks``; ``taker_lots`` and ``maker_lots`` is what expired of each, ``None``
    for an order that lives on. ``stp_mode`` is the taker's.
    """

    match_id: int
    taker: Order
    maker: Order
    stp_mode: str
    price_ticks: int
    lots: int
    taker_lots: int | None
    maker_lots: int | None
    time_ms: int

    @property
    def quote_units(self) -> int:
        """Ledger units of quote that would have changed hands."""
        return self.price_ticks * self.lots * self.taker.market.info.quote_units


class Fill(NamedTuple):
    """A trade seen from one of its orders: what ``myTrades`` lists."""

    trade: Trade
    order: Order

    @property
    def is_maker(self) -> bool:
        """Tell whether the order was the maker."""
        return self.order is self.trade.maker

    @property
    def commission_units(self) -> int:
        """The fee in ledger units."""
        return self.trade.commission(self.order)[0]

    @property
    def commission_asset(self) -> str:
        """The asset of the fee."""
        return self.trade.commission(self.order)[1]


class OrderIndex:
    """An account's orders and fills on one market: the open ones, all by id, and a bounded history of done ones.

    Times never go back, so that fills are sorted by id and by time at once.
    """

    def __init__(self, history: int = 50_000) -> None:
        self.open: dict[int, Order] = {}
        self.by_id: dict[int, Order] = {}
        self.by_client_id: dict[str, Order] = {}
        self._fills: list[Fill] = []
        self._done: deque[Order] = deque()
        self._history = history

    def add(self, order: Order) -> None:
        """Index a new order; a client id names the latest order that used it."""
        self.open[order.order_id] = order
        self.by_id[order.order_id] = order
        self.by_client_id[order.client_order_id] = order

    def close(self, order: Order) -> None:
        """Move an order from the open ones to the history."""
        if self.open.pop(order.order_id, None) is None:
            return
        self._done.append(order)
        if len(self._done) > self._history:
            oldest = self._done.popleft()
            del self.by_id[oldest.order_id]
            if self.by_client_id.get(oldest.client_order_id) is oldest:
                del self.by_client_id[oldest.client_order_id]

    def add_fill(self, fill: Fill) -> None:
        """Book a fill; fills come in order of trade id."""
        fills = self._fills
        fills.append(fill)
        if len(fills) > 2 * self._history:  # cut rarely: each cut moves the whole list
            del fills[: -self._history]

    def fills(self, *, order_id: int | None, from_id: int | None, start_ms: int, end_ms: int, limit: int) -> list[Fill]:
        """Return up to ``limit`` fills, oldest first: the first from ``from_id`` or ``start_ms`` on, else the last."""
        fills = self._fills
        begin = bisect_left(fills, from_id or 0, key=_trade_id)
        begin = bisect_left(fills, start_ms, lo=begin, key=_time_ms)
        end = bisect_left(fills, end_ms + 1, lo=begin, key=_time_ms)
        forward = bool(from_id is not None or start_ms)
        if order_id is None:
            return fills[begin : min(end, begin + limit)] if forward else fills[max(begin, end - limit) : end]
        found = [fill for fill in fills[begin:end] if fill.order.order_id == order_id]
        return found[:limit] if forward else found[-limit:]

    def orders(self, *, order_id: int | None, start_ms: int, end_ms: int, limit: int) -> list[Order]:
        """Return orders, oldest first: the first from ``order_id`` or ``start_ms`` on, else the last ``limit``."""
        first_id = order_id or 0
        found = [o for o in self.by_id.values() if o.order_id >= first_id and start_ms <= o.created_ms <= end_ms]
        return found[:limit] if order_id is not None or start_ms else found[-limit:]

    def find(self, order_id: int | None, client_order_id: str | None) -> Order | None:
        """Return the order with the ids given (both must fit), ``None`` when there is none."""
        order: Order | None = None
        if order_id is not None:
            order = self.by_id.get(order_id)
        elif client_order_id:
            order = self.by_client_id.get(client_order_id)
        if order is not None and client_order_id and order.client_order_id != client_order_id:
            return None
        return order


def _trade_id(fill: Fill) -> int:
    return fill.trade.trade_id


def _time_ms(fill: Fill) -> int:
    return fill.trade.time_ms


class BookChanges(NamedTuple):
    """Levels that changed since the last call: lots now by (side, price in ticks), 0 for a level that is gone.

    ``first_update_id`` and ``last_update_id`` are Binance's ``U`` and ``u``; no levels and ``first > last`` when
    nothing changed.
    """

    levels: dict[tuple[Side, int], int]
    first_update_id: int
    last_update_id: int

    @property
    def bids(self) -> list[tuple[int, int]]:
        """Changed bids as (price in ticks, lots)."""
        return [(price, lots) for (side, price), lots in self.levels.items() if side == "BUY"]

    @property
    def asks(self) -> list[tuple[int, int]]:
        """Changed asks as (price in ticks, lots)."""
        return [(price, lots) for (side, price), lots in self.levels.items() if side == "SELL"]


class Market:
    """The book and the tape of one symbol.

    ``bids``/``asks`` are ladders (``.best`` → level or ``None``, ``.depth(n)`` → [(ticks, lots)], ``.lots_at(ticks)``);
    ``last_update_id`` grows by one with every operation that changed a level; ``trades`` holds the latest trades,
    ``tape`` candles and the average price; ``orders`` the open orders of all accounts but the unlimited ones, by id.
    """

    def __init__(self, info: SymbolInfo) -> None:
        self.info = info
        self.bids: Ladder[Order] = Ladder(is_bids=True)
        self.asks: Ladder[Order] = Ladder(is_bids=False)
        self.tape: Tape[Trade] = Tape()
        self.orders: dict[int, Order] = {}
        self.last_update_id = 0
        self.last_order_id = 0
        self.last_trade_id = 0
        self.last_execution_id = 0
        self.prevented: deque[Prevention] = deque(maxlen=10_000)
        self.last_prevented_match_id = -1
        self._taken_update_id = 0
        self._indexes: dict[Account, OrderIndex] = {}

    def __repr__(self) -> str:
        return f"Market({self.info.symbol})"

    @property
    def symbol(self) -> str:
        """The exchange's name of the pair, such as BTCUSDT."""
        return self.info.symbol

    @property
    def trades(self) -> deque[Trade]:
        """The latest trades, oldest first (at most 50,000)."""
        return self.tape.trades

    def ladder(self, side: Side) -> Ladder[Order]:
        """Return the side where orders of ``side`` rest."""
        return self.bids if side == "BUY" else self.asks

    def index(self, account: Account) -> OrderIndex:
        """Return an account's orders on this market."""
        index = self._indexes.get(account)
        if index is None:
            index = self._indexes[account] = OrderIndex()
        return index

    def indexes(self) -> list[OrderIndex]:
        """Return every account's orders on this market."""
        return list(self._indexes.values())

    def open(self, order: Order) -> None:
        """Index a new order; orders of unlimited accounts are in no index."""
        if not order.account.unlimited:
            self.index(order.account).add(order)
            self.orders[order.order_id] = order

    def close(self, order: Order) -> None:
        """Move a done order to its account's history."""
        if not order.account.unlimited:
            self.index(order.account).close(order)
            self.orders.pop(order.order_id, None)

    def klines(self, interval_ms: int, *, start_ms: int = 0, end_ms: int = 1 << 62, limit: int = 500) -> list[Kline]:
        """Return candles of what traded here; see ``Tape.klines``."""
        return self.tape.klines(interval_ms, start_ms=start_ms, end_ms=end_ms, limit=limit)

    def take_changes(self) -> BookChanges:
        """Return what changed in the book since the last call, and start over."""
        first = self._taken_update_id + 1
        self._taken_update_id = self.last_update_id
        levels: dict[tuple[Side, int], int] = {}
        bids, asks = self.bids, self.asks
        for price in bids.changed:
            levels["BUY", price] = bids.lots_at(price)
        for price in asks.changed:
            levels["SELL", price] = asks.lots_at(price)
        bids.changed.clear()
        asks.changed.clear()
        return BookChanges(levels, first, self.last_update_id)

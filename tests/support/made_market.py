"""A made-up recorded market: a book that wanders, trades that hit it; and the naive way to know it at a local time."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from kit.storage.events import BUY, SELL, EventFlag, EventKind, MarketEvents

PAIR = "BTC/USDT"
START = 1_723_161_600
NS = 1_000_000_000
RULES = {
    PAIR: {
        "min_price_increment": "0.1",
        "min_base_amount_increment": "0.001",
        "min_order_size": "0.001",
        "min_notional_size": "5",
        "maker_fee": "0.0002",
        "taker_fee": "0.0005",
    }
}
BALANCES = {"BTC": 10, "USDT": 1_000_000}


def made_events(seconds=60, *, seed=1, exchange="binance", pair=PAIR, delay_ms=20, gap_at=None, offset=0.0):
    """A snapshot, then some 20 messages a second; local time is the exchange's and a delay that varies."""
    rng = np.random.default_rng(seed)
    rows = []
    mid = 600_000
    book = {BUY: set(), SELL: set()}

    def add(ns, kind, side, tick, amount, *, last=False, delay=0):
        flags = EventFlag.END if last else 0
        rows.append((ns, ns + delay, kind, side, tick / 10, round(amount, 3), 0, flags))

    def snapshot(ns, delay):
        add(ns, EventKind.CLEAR, 0, 0, 0.0, delay=delay)
        for side in (BUY, SELL):
            book[side] = {mid - side * (1 + level) for level in range(20)}
            for tick in sorted(book[side]):
                add(ns, EventKind.SNAPSHOT, side, tick, 1 + rng.random(), delay=delay)

    begin = START * NS + round(offset * NS) - NS // 2
    delays = delay_ms * 1_000_000
    snapshot(begin, delays)
    ns = begin
    last_local = 0
    while ns < begin + seconds * NS:
        ns += int(rng.exponential(50_000_000)) + 1
        delay = max(delays + int(rng.integers(0, 5_000_000)), last_local - ns)
        last_local = ns + delay
        if gap_at is not None and ns > begin + gap_at * NS:
            gap_at = None
            add(ns, EventKind.GAP, 0, 0, 0.0, delay=delay)
            ns += 5 * NS
            last_local = ns + delay
            snapshot(ns, delay)
            continue
        if rng.random() < 0.4:
            side = BUY if rng.random() < 0.5 else SELL
            best = min(book[SELL]) if side == BUY else max(book[BUY])
            add(ns, EventKind.TRADE, side, best, 0.01 + rng.random(), last=True, delay=delay)
            continue
        mid += int(rng.integers(-3, 4))
        changes = {}
        for side in (BUY, SELL):
            wanted = {mid - side * (1 + level) for level in range(20)}
            changes |= {(side, tick): 0.0 for tick in book[side] - wanted}
            changes |= {(side, tick): 1 + rng.random() for tick in wanted - book[side]}
            book[side] = wanted
        for (side, tick), amount in sorted(changes.items(), key=lambda item: item[1]):
            add(ns, EventKind.DEPTH, side, tick, amount, delay=delay)
    return MarketEvents.from_rows(exchange, pair, rows)


class KnownBook:
    """Bids and asks by price after every event received by a local time, the obvious way; times must rise."""

    def __init__(self, events: MarketEvents) -> None:
        columns = (events.local_ts, events.kind, events.side, events.price, events.amount)
        self._rows = list(zip(*(column.tolist() for column in columns), strict=True))
        self._next = 0
        self._sides: dict[int, dict[float, float]] = {BUY: {}, SELL: {}}

    def at(self, local_ns: int) -> tuple[dict[float, float], dict[float, float]]:
        while self._next < len(self._rows) and self._rows[self._next][0] <= local_ns:
            _, kind, side, price, amount = self._rows[self._next]
            self._next += 1
            if kind in (EventKind.CLEAR, EventKind.GAP):
                self._sides = {BUY: {}, SELL: {}}
            elif kind in (EventKind.DEPTH, EventKind.SNAPSHOT):
                self._sides[side].pop(price, None)
                if amount:
                    self._sides[side][price] = amount
        return self._sides[BUY], self._sides[SELL]


def last_trade_price(events: MarketEvents, local_ns: int) -> Decimal:
    rows = np.flatnonzero((events.kind == EventKind.TRADE) & (events.local_ts <= local_ns))
    return Decimal(repr(float(events.price[rows[-1]]))) if len(rows) else Decimal("NaN")

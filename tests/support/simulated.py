"""Small markets and a trader's ear for tests of the simulated venue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from kit.simulation.feed import FeedColumns
from kit.simulation.latency import ConstantLatency
from kit.simulation.timeline import Timeline
from kit.simulation.venue import SimulatedVenue
from kit.storage.events import BUY, SELL, EventKind, MarketEvents
from kit.types.market import TradeType, TradingRule
from kit.types.orders import AccountMessage, OrderRequest, OrderType, TimeInForce

PAIR, OTHER = "BTC/USDT", "ETH/USDT"
MS, SECOND = 10**6, 10**9
RULES = {
    pair: TradingRule(
        pair,
        pair[:3],
        "USDT",
        min_price_increment=Decimal("0.1"),
        min_base_amount_increment=Decimal("0.01"),
        min_order_size=Decimal("0.05"),
        max_order_size=Decimal(100),
        min_notional_size=Decimal(5),
        max_price=Decimal(1000),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.002"),
    )
    for pair in (PAIR, OTHER)
}
FEED_DELAY = 5 * MS


def book(ns: int = MS, bid: float = 100.0, ask: float = 101.0, size: float = 5.0, levels: int = 5) -> list[Any]:
    """Return rows of a snapshot: ``levels`` a side, a unit of price apart."""
    rows = [row(ns, EventKind.CLEAR, 0, 0.0, 0.0)]
    rows += [row(ns, EventKind.SNAPSHOT, BUY, bid - step, size) for step in range(levels)]
    return rows + [row(ns, EventKind.SNAPSHOT, SELL, ask + step, size) for step in range(levels)]


def row(ns: int, kind: EventKind, side: int, price: float, amount: float, delay: int = FEED_DELAY) -> Any:
    return (ns, ns + delay, kind, side, price, amount, 0, 0)


def trade(ns: int, side: int, price: float, amount: float = 1.0) -> Any:
    return row(ns, EventKind.TRADE, side, price, amount)


def depth(ns: int, side: int, price: float, amount: float) -> Any:
    return row(ns, EventKind.DEPTH, side, price, amount)


def feed(rows: Iterable[Any], pair: str = PAIR) -> FeedColumns:
    rule = RULES[pair]
    events = MarketEvents.from_rows("test", pair, rows)
    return FeedColumns.from_events(events, rule.min_price_increment, rule.min_base_amount_increment)


def limit(
    client_id: str,
    side: TradeType,
    price: str,
    amount: str = "1",
    kind: OrderType = OrderType.LIMIT,
    force: TimeInForce = TimeInForce.GTC,
    pair: str = PAIR,
) -> OrderRequest:
    return OrderRequest(client_id, pair, side, kind, Decimal(amount), Decimal(price), force)


def market(client_id: str, side: TradeType, amount: str = "1", pair: str = PAIR) -> OrderRequest:
    return OrderRequest(client_id, pair, side, OrderType.MARKET, Decimal(amount))


class Trader:
    """A venue and everything that its account heard, with the local time (ns) of each."""

    def __init__(
        self,
        feeds: Mapping[str, Iterable[Any]],
        balances: Mapping[str, object] | None = None,
        *,
        timeline: Timeline | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("latency", ConstantLatency(0.010, 0.020))
        money = {"USDT": 10_000, "BTC": 10, "ETH": 10} if balances is None else balances
        self.venue = SimulatedVenue(RULES, money, timeline=timeline, **options)
        self.timeline = self.venue.timeline
        self.heard: list[tuple[int, AccountMessage]] = []
        self.venue.attach_account_sink(lambda message: self.heard.append((self.timeline.now, message)))
        for pair, rows in feeds.items():
            self.venue.load(pair, feed(rows, pair))

    def to(self, ns: int) -> Trader:
        self.venue.advance(ns)
        return self

    def of(self, kind: type) -> list[Any]:
        return [message for _, message in self.heard if isinstance(message, kind)]

    def story(self, client_id: str | None = None) -> list[str]:
        """Return what was told of an order (of all), in few words."""
        return [
            _words(message)
            for _, message in self.heard
            if client_id is None or getattr(message, "client_order_id", None) == client_id
        ]


def _words(message: Any) -> str:
    name = type(message).__name__
    if name == "OrderUpdate":
        return f"{message.state.value} {message.error}".strip()
    if name == "TradeUpdate":
        return (
            f"{'maker' if message.is_maker else 'taker'} {message.amount.normalize():f} @ {message.price.normalize():f}"
        )
    if name == "BalanceUpdate":
        return f"{message.asset} {message.balance.total.normalize():f} {message.balance.available.normalize():f}"
    return "not found" if message.order_not_found else name

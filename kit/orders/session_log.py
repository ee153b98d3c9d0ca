"""What happened to orders in this session, kept for tables and statistics."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from kit.core.pubsub import PubSub
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import Event, MarketEvent, OrderFilledEvent
from kit.types.market import TradeType

if TYPE_CHECKING:
    import pandas as pd

_ZERO: Final = Decimal(0)
_ORDER_EVENTS: Final = (
    MarketEvent.BuyOrderCreated,
    MarketEvent.SellOrderCreated,
    MarketEvent.OrderFailure,
)


@dataclass(slots=True)
class PairTotals:
    """Sums over the fills of one pair: amounts in base and quote, fees included in the deltas."""

    trading_pair: str
    fills: int = 0
    bought: Decimal = _ZERO
    sold: Decimal = _ZERO
    base_delta: Decimal = _ZERO
    quote_delta: Decimal = _ZERO
    fees_quote: Decimal = _ZERO

    def add(self, fill: OrderFilledEvent) -> None:
        """Add one fill. A fee in the base asset is valued at the fill's price."""
        base, quote = fill.trading_pair.split(":")[0].split("/")
        sign = 1 if fill.trade_type is TradeType.BUY else -1
        base_fee, quote_fee = fill.trade_fee.amount_of(base), fill.trade_fee.amount_of(quote)
        self.fills += 1
        self.bought += fill.amount if sign > 0 else _ZERO
        self.sold += fill.amount if sign < 0 else _ZERO
        self.base_delta += sign * fill.amount - base_fee
        self.quote_delta += -sign * fill.amount * fill.price - quote_fee
        self.fees_quote += quote_fee + base_fee * fill.price

    def pnl(self, mark: Decimal) -> Decimal:
        """Return the profit in quote at a mark price: quote_delta + base_delta * mark (fees included)."""
        return self.quote_delta + (self.base_delta * mark if self.base_delta else _ZERO)


class SessionLog:
    """Keeps the orders and fills of one account of a connector for a session, newest ``limit`` of each.

    ``mode`` is the account's, "paper" or "live": the two never mix.

    Totals per pair run over all fills, whatever the limit.
    """

    def __init__(
        self,
        connector_name: str,
        tracker: ClientOrderTracker,
        pubsub: PubSub,
        *,
        mode: str = "",
        limit: int = 100_000,
    ) -> None:
        self.connector_name = connector_name
        self.mode = mode
        self.orders: deque[InFlightOrder] = deque(maxlen=limit)
        self.fills: deque[OrderFilledEvent] = deque(maxlen=limit)
        self.totals: dict[str, PairTotals] = {}
        self.counts: dict[MarketEvent, int] = dict.fromkeys(MarketEvent, 0)
        self.tracker = tracker
        self._logged: set[str] = set()
        for tag in MarketEvent:
            pubsub.add_listener(tag, functools.partial(self._on_event, tag))

    def _on_event(self, tag: MarketEvent, event: Event) -> None:
        self.counts[tag] += 1
        if isinstance(event, OrderFilledEvent):
            self.fills.append(event)
            self.totals.setdefault(event.trading_pair, PairTotals(event.trading_pair)).add(event)
        elif tag in _ORDER_EVENTS:
            order = self.tracker.fetch_order(client_order_id=getattr(event, "order_id", ""))
            if order is not None and order.client_order_id not in self._logged:
                if len(self.orders) == self.orders.maxlen:
                    self._logged.discard(self.orders[0].client_order_id)
                self._logged.add(order.client_order_id)
                self.orders.append(order)

    @property
    def orders_created(self) -> int:
        """Return how many orders the exchange has acknowledged."""
        return self.counts[MarketEvent.BuyOrderCreated] + self.counts[MarketEvent.SellOrderCreated]

    def all_orders(self) -> list[InFlightOrder]:
        """Return the session's orders, oldest first, with those in flight that no event has told of yet."""
        waiting = [order for key, order in self.tracker.active_orders.items() if key not in self._logged]
        return [*self.orders, *waiting]


def pnl_frame(rows: Iterable[tuple[str, str, PairTotals, Decimal]]) -> pd.DataFrame:
    """Build the PnL table from (connector, mode, totals, mark price): one row a pair, amounts as float64."""
    import pandas as pd

    texts = ["connector", "mode", "trading_pair"]
    columns = [*texts, "fills", "bought", "sold", "base_delta", "quote_delta", "fees_quote"]
    data = [
        [
            name,
            mode,
            totals.trading_pair,
            totals.fills,
            *map(float, (totals.bought, totals.sold, totals.base_delta, totals.quote_delta, totals.fees_quote)),
            float(mark),
            float(totals.pnl(mark)),
        ]
        for name, mode, totals, mark in rows
    ]
    frame = pd.DataFrame(data, columns=[*columns, "mark_price", "pnl_quote"])
    return frame.astype(dict.fromkeys(frame.columns[4:], "float64") | {"fills": "int64"})

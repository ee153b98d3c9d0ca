"""Where a market's prices went and what was filled there: kept for charts, in bounded memory."""

from __future__ import annotations

import math
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from kit.trading.series import Series
from kit.types.events import Event, MarketEvent, OrderFilledEvent

if TYPE_CHECKING:
    from kit.connectors.connector import Connector

INTERVAL: Final = 1.0
"""Seconds between two samples of a price, at least."""

FILLS: Final = 2000
"""Fills that are kept of a connector; the oldest go first."""


class Fill(NamedTuple):
    """An own fill: time in seconds since the epoch, price in quote, amount in base."""

    time: float
    trading_pair: str
    price: float
    amount: float
    is_buy: bool


class MarketTrack:
    """The mid prices and own fills of one connector over time. Fed by the core's ticks, and by panels that show it.

    Holds no reference to the connector, which keeps it alive through its events.
    """

    def __init__(self, connector: Connector) -> None:
        self._mids: dict[str, Series] = {}
        known = [
            Fill(fill.timestamp, order.trading_pair, float(fill.price), float(fill.amount), order.is_buy)
            for order in connector.order_tracker.all_fillable_orders.values()
            for fill in order.order_fills.values()
        ]
        self._fills: deque[Fill] = deque(sorted(known), maxlen=FILLS)
        self.version = 0
        connector.pubsub.add_listener(MarketEvent.OrderFilled, self._on_fill)

    def _on_fill(self, event: Event) -> None:
        if isinstance(event, OrderFilledEvent):
            is_buy = event.trade_type.value == "buy"
            self._fills.append(
                Fill(event.timestamp, event.trading_pair, float(event.price), float(event.amount), is_buy)
            )
            self.version += 1

    def mids(self, pair: str) -> Series:
        """Return the mid prices of a pair: time, price in quote."""
        return self._mids.setdefault(pair, Series(INTERVAL))

    def fills(self, pair: str) -> list[Fill]:
        """Return the last own fills on a pair, oldest first."""
        return [fill for fill in self._fills.copy() if fill.trading_pair == pair]

    def sample(self, connector: Connector, timestamp: float) -> None:
        """Take a sample of every pair that is due."""
        for pair in connector.trading_pairs:
            series = self.mids(pair)
            if series.is_due(timestamp):
                mid = float(connector.get_mid_price(pair))
                if math.isfinite(mid):
                    series.add(timestamp, mid)


_tracks: weakref.WeakKeyDictionary[Connector, MarketTrack] = weakref.WeakKeyDictionary()


def track_of(connector: Connector) -> MarketTrack:
    """Return the track of a connector; the first call begins it."""
    track = _tracks.get(connector)
    if track is None:
        track = _tracks[connector] = MarketTrack(connector)
    return track

"""The last trade's price of pairs that trade seldom, asked for instead of waited for."""

from __future__ import annotations

import logging

from kit.core.clock import TimeSource
from kit.errors import KitError
from kit.market.book_errors import BadMessage
from kit.market.book_registry import BookRegistry
from kit.market.book_source import BookSource
from kit.market.tracked_book import TrackedBook

logger = logging.getLogger(__name__)

# As in the reference, a pair counts as idle when no trade came for three minutes; it is then asked for twice a minute.
IDLE_AFTER = 180.0
REFRESH_EVERY = 30.0
LOOK_EVERY = 5.0


class LastPriceRefresh:
    """Keep ``book.last_trade_price`` right without trades: fetch it for pairs where none came for a while."""

    def __init__(self, source: BookSource, registry: BookRegistry, time_source: TimeSource) -> None:
        self._source = source
        self._time = time_source
        self._registry = registry
        self._asked_at: dict[str, float] = {}

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await self._refresh()
            await self._time.sleep(LOOK_EVERY)

    async def _refresh(self) -> None:
        now = self._time.monotonic()
        idle = {track.book.trading_pair: track for track in self._registry.tracks.values() if self._is_due(track, now)}
        if not idle:
            return
        self._asked_at.update(dict.fromkeys(idle, now))
        try:
            prices = await self._source.fetch_last_prices(tuple(idle))
        except KitError as error:
            logger.debug("last prices of %s could not be fetched: %s", ", ".join(idle), error)
            return
        for pair, track in idle.items():
            if pair in prices and track.last_trade_at < now:  # a trade that came meanwhile is newer
                _apply(track, prices[pair])

    def _is_due(self, track: TrackedBook, now: float) -> bool:
        asked = self._asked_at.get(track.book.trading_pair, -REFRESH_EVERY)
        return now - track.last_trade_at >= IDLE_AFTER and now - asked >= REFRESH_EVERY


def _apply(track: TrackedBook, price: float) -> None:
    try:
        track.book.apply_last_price(price)
    except BadMessage as error:
        track.counts.rejected += 1
        logger.warning("%s: %s", track.book.trading_pair, error)

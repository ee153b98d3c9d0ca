"""The public trades of one pair: the last one, and who wants to hear of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf, nan

from kit.core.redefined import replaces
from kit.market.book_errors import BadMessage
from kit.types.market import PublicTrade

logger = logging.getLogger(__name__)

TradeListener = Callable[[PublicTrade], None]


class TradeFeed:
    """Keep the last public trade and pass each on to the listeners, in order of subscription."""

    def __init__(self) -> None:
        self._last_trade: PublicTrade | None = None
        self._last_trade_price: float = nan
        self.trade_count = 0
        self.listener_errors = 0
        self._listeners: list[TradeListener] = []

    @property
    def last_trade(self) -> PublicTrade | None:
        """Return the last public trade, ``None`` before the first."""
        return self._last_trade

    @property
    def last_trade_price(self) -> float:
        """Return the price of the last trade, in quote; NaN before the first."""
        return self._last_trade_price

    def apply_trade(self, trade: PublicTrade) -> None:
        """Take a trade as the last one and tell the listeners; an error of one does not stop the others.

        Raises ``BadMessage`` when price or amount is not finite and above 0; nothing is changed then.
        """
        if not (0.0 < trade.price < inf and 0.0 < trade.amount < inf):
            raise BadMessage(
                f"trade {trade.trade_id!r} has price {trade.price!r} and amount {trade.amount!r}",
                "Both must be finite and above 0; the trade was ignored.",
            )
        self._last_trade = trade
        self._last_trade_price = trade.price
        self.trade_count += 1
        for listener in tuple(self._listeners):
            try:
                listener(trade)
            except Exception:  # listeners are foreign code: one must not cut off the others or the feed
                self.listener_errors += 1
                where = f"{getattr(listener, '__qualname__', repr(listener))} on a trade"
                logger.exception("%s of %s failed", where, trade.trading_pair, extra={"where": where})

    def apply_last_price(self, price: float) -> None:
        """Take the price of the last trade as the exchange states it, without a trade of its own.

        Raises ``BadMessage`` when it is not finite and above 0.
        """
        if not 0.0 < price < inf:
            raise BadMessage(f"the last price is stated as {price!r}", "It must be finite and above 0; it was ignored.")
        self._last_trade_price = price

    def add_trade_listener(self, listener: TradeListener) -> Callable[[], None]:
        """Call ``listener(trade)`` for every trade from now on; returns the function that ends it.

        Adding the same listener twice is adding it once, and a function that a notebook's cell defined again takes the
        place of its older self.
        """
        self._listeners[:] = [known for known in self._listeners if not replaces(listener, known)]
        if listener not in self._listeners:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

"""What the prices, the inventory and the profit of a core were over time, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from kit.core.clock import Clock
from kit.core.time_iterator import TimeIterator
from kit.trading.market_track import Fill, track_of
from kit.trading.series import Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    import pandas as pd

    from kit.connectors.connector import Connector
    from kit.orders.session_log import PairTotals, SessionLog

INTERVAL: Final = 1.0
"""Seconds between two samples, at least; ticks that are farther apart than that are sampled each."""

COLUMNS: Final = ("time", "connector", "mode", "trading_pair", "price", "inventory", "pnl", "fees", "fills")


class Market(NamedTuple):
    """What a series is of."""

    connector: str
    mode: str
    trading_pair: str


@dataclass(frozen=True, slots=True)
class PnlNow:
    """Sums of the session's fills on one market: ``inventory`` in base, ``pnl`` and ``fees`` in quote, at ``price``."""

    price: float
    inventory: float
    pnl: float
    fees: float
    fills: int


class PnlHistory(TimeIterator):
    """Samples price, inventory and profit of every pair, as a child of the clock that nobody waits for.

    Profits are those of this session's fills, fees included, at the mid price of the moment; while there is none the
    last one holds. Paper and live are apart. ``connectors`` returns those of now, ``logs`` the records of what happened
    to orders, also on connectors that were removed.
    """

    def __init__(
        self, connectors: Callable[[], Mapping[str, Connector]], logs: Callable[[], Sequence[SessionLog]]
    ) -> None:
        super().__init__("history")
        self._connectors = connectors
        self._logs = logs
        self._series: dict[Market, Series] = {}
        self._sampled = -math.inf

    def tick(self, timestamp: float) -> None:
        """Sample, once a second at most."""
        super().tick(timestamp)
        if not 0 <= timestamp - self._sampled < 0.9 * INTERVAL:
            self.sample(timestamp)

    def stop(self, clock: Clock) -> None:
        """Take the last sample; what ends the clock may come between two."""
        self.sample(clock.time())
        super().stop(clock)

    def sample(self, timestamp: float) -> None:
        """Take a sample of every market that is due."""
        self._sampled = timestamp
        for market, now in self.now().items():
            series = self._series.setdefault(market, Series(INTERVAL))
            if math.isfinite(now.price):
                series.add(timestamp, now.price, now.inventory, now.pnl, now.fees, now.fills)
        for connector in self._connectors().values():
            track_of(connector).sample(connector, timestamp)

    def now(self) -> dict[Market, PnlNow]:
        """Return how every market stands that orders can be placed on, or were."""
        totals: dict[Market, list[PairTotals]] = {
            Market(name, connector.mode, pair): []
            for name, connector in self._connectors().items()
            if connector.mode != "data"
            for pair in connector.trading_pairs
        }
        return {market: _valued(each, self._price(market)) for market, each in {**totals, **self._by_market()}.items()}

    def _by_market(self) -> dict[Market, list[PairTotals]]:
        found: dict[Market, list[PairTotals]] = {}
        for log in tuple(self._logs()):
            for totals in tuple(log.totals.values()):
                key = Market(log.connector_name, log.mode, totals.trading_pair)
                found.setdefault(key, []).append(totals)
        return found

    def _price(self, market: Market) -> float:
        """Return the mid price, the last one known where the connector is gone."""
        connector = self._connectors().get(market.connector)
        if connector is not None and market.trading_pair in connector:
            price = _mid(connector, market.trading_pair)
            if math.isfinite(price):
                return price
        last = self._series[market].last if market in self._series else None
        return last[1] if last is not None else math.nan

    def fills(self, market: Market, since: float = -math.inf) -> list[Fill]:
        """Return the own fills on a market from ``since`` on, oldest first."""
        found = [
            Fill(
                fill.timestamp, fill.trading_pair, float(fill.price), float(fill.amount), fill.trade_type.value == "buy"
            )
            for log in tuple(self._logs())
            if (log.connector_name, log.mode) == market[:2]
            for fill in log.fills.copy()
            if fill.trading_pair == market.trading_pair and fill.timestamp >= since
        ]
        return sorted(found)

    @property
    def markets(self) -> tuple[Market, ...]:
        """Return what was sampled."""
        return tuple(self._series)

    def series(self, market: Market) -> Series:
        """Return the samples of a market: time, price, inventory, pnl, fees, fills."""
        return self._series.get(market) or Series(INTERVAL)

    def rows(self) -> list[tuple[object, ...]]:
        """Return every sample, oldest first: time in seconds, connector, mode, pair, then the values."""
        found = [
            (sample[0], *market, *sample[1:]) for market, series in self._series.items() for sample in series.rows()
        ]
        return sorted(found)

    def frame(self) -> pd.DataFrame:
        """Return every sample as a table: see ``core.pnl_history``."""
        return history_table(self.rows())


def history_table(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """Build the table of ``PnlHistory.rows``; its columns have their types also where there are no rows."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    types = dict.fromkeys(("price", "inventory", "pnl", "fees"), "float64")
    texts = dict.fromkeys(("connector", "mode", "trading_pair"), "str")
    frame = frame.astype({**types, **texts, "fills": "int64"})
    return frame.assign(time=pd.to_datetime(frame["time"].astype("float64"), unit="s", utc=True))


def _valued(all_totals: Iterable[PairTotals], price: float) -> PnlNow:
    base = quote = fees = 0.0
    fills = 0
    for totals in all_totals:
        base += float(totals.base_delta)
        quote += float(totals.quote_delta)
        fees += float(totals.fees_quote)
        fills += totals.fills
    return PnlNow(price, base, quote + (base * price if base else 0.0), fees, fills)


def _mid(connector: Connector, pair: str) -> float:
    mid: Decimal = connector.get_mid_price(pair)
    return float(mid)

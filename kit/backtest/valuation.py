"""What an asset is worth in the run's quote asset, at every sample and at any moment between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from kit.backtest.run_record import Account, BacktestRun, Floats, Market
from kit.orders.exact import EXACT, QUOTIENT

ONE: Final = Decimal(1)


class Hop(NamedTuple):
    """One step of a route: through a market's mid price, or through its inverse (from quote to base)."""

    market: int
    inverse: bool


Route = tuple[Hop, ...]


class Valuation:
    """Values assets by mid prices: through the account's own exchange where a route exists there, else through any.

    A mid price that is missing at a sample is the last known one; before the first known one, that first one. An asset
    without a route of pairs to the quote asset, or with a pair that never had a price on it, is not valued: ``None``.
    """

    def __init__(self, run: BacktestRun, rows: Floats) -> None:
        self.quote_asset = run.quote_asset
        self.markets: Sequence[Market] = run.markets
        self.times: Floats = rows[:, 0]
        self.raw_mids: Floats = rows[:, 1 : 1 + len(run.markets)]
        self.mids: Floats = np.column_stack([filled(column) for column in self.raw_mids.T])
        self._priced = [bool(np.isfinite(column).any()) for column in self.raw_mids.T]
        self._routes: dict[Account, Route | None] = {}

    def route(self, account: Account) -> Route | None:
        """Return the hops from the asset to the quote asset, shortest first found; empty for the quote asset."""
        if account not in self._routes:
            own = [index for index, market in enumerate(self.markets) if market.connector == account.connector]
            found = self._search(account.asset, own)
            self._routes[account] = found if found is not None else self._search(account.asset, range(len(self.mids.T)))
        return self._routes[account]

    def _search(self, asset: str, markets: Iterable[int]) -> Route | None:
        usable = [index for index in markets if self._priced[index]]
        waiting: list[tuple[str, Route]] = [(asset, ())]
        seen = {asset}
        for name, route in waiting:
            if name == self.quote_asset:
                return route
            for index in usable:
                market = self.markets[index]
                for start, end, inverse in ((market.base, market.quote, False), (market.quote, market.base, True)):
                    if start == name and end not in seen:
                        seen.add(end)
                        waiting.append((end, (*route, Hop(index, inverse))))
        return None

    def path(self, account: Account) -> Floats | None:
        """Return the value of one unit at every sample, ``None`` where it cannot be told."""
        route = self.route(account)
        if route is None:
            return None
        values = np.ones(len(self.times))
        for hop in route:
            values = values / self.mids[:, hop.market] if hop.inverse else values * self.mids[:, hop.market]
        return values

    def index_at(self, timestamp: float) -> int:
        """Return the last sample at or before a time; 0 before the first."""
        return max(0, int(np.searchsorted(self.times, timestamp, side="right")) - 1)

    def mid_at(self, market: int, timestamp: float) -> float:
        """Return the mid price of the last sample at or before a time; NaN where the pair never had one."""
        return float(self.mids[self.index_at(timestamp), market]) if len(self.times) else float("nan")

    def value(self, account: Account, sample: int, known: Mapping[int, float] | None = None) -> Decimal | None:
        """Return the value of one unit at a sample, with ``known`` mid prices by market in the sample's place.

        A product of mid prices is exact; the inverse of one is cut after 34 digits.
        """
        route = self.route(account)
        if route is None:
            return None
        result = ONE
        for hop in route:
            mid = exact(known[hop.market] if known and hop.market in known else float(self.mids[sample, hop.market]))
            result = QUOTIENT.divide(result, mid) if hop.inverse else EXACT.multiply(result, mid)
        return result


def exact(value: float) -> Decimal:
    """Return the shortest decimal that reads back as this float: 0.1 is 0.1."""
    return Decimal(repr(float(value)))


def filled(column: Floats) -> Floats:
    """Return a copy with gaps (NaN) closed by the value before, at the start by the first value. All NaN stays."""
    known = np.isfinite(column)
    if not known.any():
        return column.copy()
    positions = np.where(known, np.arange(len(column)), -1)
    last = np.maximum.accumulate(positions)
    last[last < 0] = int(np.argmax(known))
    return column[last]

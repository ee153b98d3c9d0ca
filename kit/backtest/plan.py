"""Everything about a backtest that is decided, and checked, before it runs."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from kit.backtest.data import MarketData
from kit.backtest.moments import moment, seconds_of
from kit.connectors.replay_exchange import NANOSECONDS
from kit.core.clock import MIN_TICK_SIZE
from kit.errors import InsufficientBalance, InvalidInput
from kit.simulation import kernel_layout as layout
from kit.simulation.feed import FeedColumns
from kit.simulation.ledger import checked_balances
from kit.types.market import TradingRule

DEFAULT_QUOTE: Final = Decimal(100_000)
"""What an account begins with in each quote asset where no balances are given; in base it has the same value."""

_LOOK_FOR_PRICE: Final = 100_000
_LEVELS: Final = (layout.SNAPSHOT, layout.DEPTH, layout.BBO, layout.ADD)


@dataclass(frozen=True)
class Plan:
    """One run. ``start`` and ``end`` in seconds since the epoch; ``balances`` by exchange and asset."""

    markets: Sequence[MarketData]
    start: float
    end: float
    tick_size: float
    balances: Mapping[str, Mapping[str, Decimal]]
    balances_assumed: bool
    seed: int

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Return the names of the exchanges in the order of the data."""
        return tuple(dict.fromkeys(market.exchange for market in self.markets))

    def of(self, exchange: str) -> list[MarketData]:
        """Return the markets of one exchange."""
        return [market for market in self.markets if market.exchange == exchange]


def make_plan(markets: Sequence[MarketData], *, start: Any, end: Any, balances: Any, tick_size: Any, seed: Any) -> Plan:
    """Check how data, times and money fit together. Raises ``InvalidInput`` or ``InsufficientBalance``."""
    tick_size, seed = _tick_size(tick_size), _seed(seed)
    begin, finish = _span(markets, seconds_of("start", start), seconds_of("end", end))
    if finish - begin < tick_size:
        raise InvalidInput(
            f"from {_show(begin)} to {_show(finish)} there is no tick of {tick_size:g} s; give a longer span, more "
            "data or a smaller tick_size"
        )
    prices = {(market.exchange, market.trading_pair): first_price(market.feed) for market in markets}
    money = _balances(markets, balances, prices)
    for market in markets:
        check_affordable(
            market.exchange, market.rule, money[market.exchange], prices[market.exchange, market.trading_pair]
        )
    return Plan(markets, begin, finish, tick_size, money, balances is None, seed)


def _tick_size(given: Any) -> float:
    number = float(given) if isinstance(given, int | float | Decimal) and not isinstance(given, bool) else float("nan")
    if not MIN_TICK_SIZE <= number < float("inf"):
        raise InvalidInput(f"tick_size is {given!r}; it must be a finite number of seconds, at least {MIN_TICK_SIZE}")
    return number


def _seed(given: Any) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise InvalidInput(f"seed is {given!r}; it must be a whole number")
    return operator.index(given)


def _show(seconds: float) -> str:
    return moment(round(seconds * 1_000_000) * 1000)


def _span(markets: Sequence[MarketData], start: float | None, end: float | None) -> tuple[float, float]:
    late = max(markets, key=lambda market: market.span[0])
    early = min(markets, key=lambda market: market.span[1])
    # A float holds no nanoseconds: the begin is rounded up, so that the first event is known when the strategy starts.
    first, last = late.span[0] / NANOSECONDS, early.span[1] / NANOSECONDS
    if Decimal(first) * NANOSECONDS < late.span[0]:
        first = math.nextafter(first, math.inf)
    if len(markets) > 1 and first >= last:
        raise InvalidInput(
            f"the data have no time in common: {early} ends at {_show(last)}, {late} begins at {_show(first)}"
        )
    if start is not None and end is not None and start >= end:
        raise InvalidInput(f"start ({_show(start)}) must be before end ({_show(end)})")
    for name, value in (("start", start), ("end", end)):
        if value is not None and not first <= value <= last:
            raise InvalidInput(
                f"{name} is {_show(value)}, outside of the data, which go from {_show(first)} to {_show(last)} (UTC)"
            )
    return (first if start is None else start), (last if end is None else end)


def first_price(feed: FeedColumns) -> float:
    """Return about the price at which a feed begins, in quote: of the first trade, else the first book's middle.

    NaN where it begins with one side only.
    """
    code, tick, size = feed.code[:_LOOK_FOR_PRICE], feed.tick[:_LOOK_FOR_PRICE], float(feed.tick_size)
    trades = np.flatnonzero((code & 0xFE) == layout.TRADE)
    if len(trades):
        return float(tick[trades[0]]) * size
    levels = np.isin(code & 0xFE, _LEVELS) & (feed.qty[:_LOOK_FOR_PRICE] > 0)
    rows = np.flatnonzero(levels)
    asks = (code[rows] & 1).astype(bool)
    if not len(rows) or asks.all() or not asks.any():
        return float("nan")
    rows = rows[: max(int(np.argmax(asks)), int(np.argmin(asks))) + 1000]  # one side's levels may all come first
    asks = asks[: len(rows)]
    return float(tick[rows][~asks].max() + tick[rows][asks].min()) * size / 2


def _balances(
    markets: Sequence[MarketData], given: Any, prices: Mapping[tuple[str, str], float]
) -> dict[str, dict[str, Decimal]]:
    exchanges = list(dict.fromkeys(market.exchange for market in markets))
    if given is None:
        return _assumed(markets, prices)
    if not isinstance(given, Mapping):
        raise InvalidInput(f"balances is {given!r}; give amounts by asset, as in {{'BTC': 1, 'USDT': 50000}}")
    nested = [isinstance(value, Mapping) for value in given.values()]
    if not any(nested):
        if len(exchanges) > 1:
            raise InvalidInput(
                f"the data are of several exchanges ({', '.join(exchanges)}): give balances for each, as in "
                f"{{{exchanges[0]!r}: {dict(given)!r}, …}}"
            )
        given = {exchanges[0]: given}
    unknown = [name for name in given if name not in exchanges]
    if unknown:
        raise InvalidInput(f"balances name {unknown[0]!r}; the data are of {', '.join(exchanges)}")
    return {name: _with_assets(markets, name, checked_balances(given.get(name, {}))) for name in exchanges}


def _with_assets(markets: Sequence[MarketData], exchange: str, money: dict[str, Decimal]) -> dict[str, Decimal]:
    rules = [market.rule for market in markets if market.exchange == exchange]
    assets = {asset for rule in rules for asset in (rule.base_asset, rule.quote_asset)}
    strange = [asset for asset in money if asset not in assets]
    if strange:
        raise InvalidInput(
            f"balances name {strange[0]!r}, which no pair of {exchange} in the data trades; they trade "
            f"{', '.join(sorted(assets))}"
        )
    return dict.fromkeys(sorted(assets), Decimal(0)) | money


def _assumed(markets: Sequence[MarketData], prices: Mapping[tuple[str, str], float]) -> dict[str, dict[str, Decimal]]:
    money: dict[str, dict[str, Decimal]] = {}
    for market in markets:
        account, rule = money.setdefault(market.exchange, {}), market.rule
        account[rule.quote_asset] = DEFAULT_QUOTE
        price = prices[market.exchange, market.trading_pair]
        if not price > 0:
            raise InvalidInput(f"the book of {market} begins with one side only: give balances, as none can be assumed")
        worth = DEFAULT_QUOTE / Decimal(repr(price))
        step = rule.min_base_amount_increment
        account.setdefault(rule.base_asset, worth // step * step)
    return money


def check_affordable(
    exchange: str, rule: TradingRule, money: Mapping[str, Decimal], price: float, amount: Decimal | None = None
) -> None:
    """Check that the account can pay for one order on one side at least; ``amount`` in base, else the smallest order.

    Raises ``InsufficientBalance``.
    """
    if not price > 0:  # the book begins empty: nothing can be said
        return
    about = Decimal(repr(price))
    smallest = max(rule.min_order_size, rule.min_base_amount_increment, rule.min_notional_size / about)
    needed = smallest if amount is None else amount
    base, quote = money.get(rule.base_asset, Decimal(0)), money.get(rule.quote_asset, Decimal(0))
    if base < needed and quote < needed * about:
        what = "the smallest order" if amount is None else "one order"
        raise InsufficientBalance(
            f"the balances on {exchange} are too small for {what} of {rule.trading_pair}: it takes {needed:.8f} "
            f"{rule.base_asset} or {needed * about:.2f} {rule.quote_asset} (at about {price:g}), the account has "
            f"{base.normalize():f} {rule.base_asset} and {quote.normalize():f} {rule.quote_asset}"
        )

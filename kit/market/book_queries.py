"""What a book answers about volumes and prices: each query walks one side from its best level.

``is_buy`` is the side of the one who asks: a buyer walks the asks, a seller the bids. Volumes are in base unless the
name says quote. The semantics are the reference's; sums are plain floats, added up from the best level on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from math import inf, nan
from typing import NamedTuple

from kit.errors import InvalidInput
from kit.types.market import Level


class OrderBookQueryResult(NamedTuple):
    """What was asked (``query_*``, NaN for what was not) and what the book says (``result_*``)."""

    query_price: float
    query_volume: float
    result_price: float
    result_volume: float


Query = Callable[[Iterable[Level], float], OrderBookQueryResult]


def price_for_volume(levels: Iterable[Level], volume: float) -> OrderBookQueryResult:
    """Find the price of the level where the cumulated base volume reaches ``volume``."""
    total = 0.0
    for price, amount in levels:
        total += amount
        if total >= volume:
            return OrderBookQueryResult(nan, volume, price, volume)
    return OrderBookQueryResult(nan, volume, nan, total)


def price_for_quote_volume(levels: Iterable[Level], volume: float) -> OrderBookQueryResult:
    """Find the price of the level where the cumulated quote volume reaches ``volume``."""
    total = 0.0
    for price, amount in levels:
        total += price * amount
        if total >= volume:
            return OrderBookQueryResult(nan, volume, price, volume)
    return OrderBookQueryResult(nan, volume, nan, total)


def vwap_for_volume(levels: Iterable[Level], volume: float) -> OrderBookQueryResult:
    """Find the average price of taking ``volume`` base: sum(price x amount) / sum(amount)."""
    base = quote = 0.0
    for price, amount in levels:
        if base + amount >= volume:
            quote += (volume - base) * price
            return OrderBookQueryResult(nan, volume, quote / volume if volume else price, volume)
        base += amount
        quote += price * amount
    return OrderBookQueryResult(nan, volume, nan, base)


def vwap_for_quote_volume(levels: Iterable[Level], volume: float) -> OrderBookQueryResult:
    """Find the average price of taking as much base as ``volume`` quote pays for."""
    base = quote = 0.0
    for price, amount in levels:
        if quote + price * amount >= volume:
            base += (volume - quote) / price
            return OrderBookQueryResult(nan, volume, volume / base if volume else price, volume)
        base += amount
        quote += price * amount
    return OrderBookQueryResult(nan, volume, nan, quote)


def quote_volume_for_base_amount(levels: Iterable[Level], amount: float) -> OrderBookQueryResult:
    """Find the quote volume of taking ``amount`` base."""
    base = quote = 0.0
    for price, level_amount in levels:
        if base + level_amount >= amount:
            return OrderBookQueryResult(nan, amount, price, quote + (amount - base) * price)
        base += level_amount
        quote += price * level_amount
    return OrderBookQueryResult(nan, amount, nan, nan)


def volume_for_price(is_buy: bool, levels: Iterable[Level], price: float) -> OrderBookQueryResult:
    """Sum the base volume of the levels at ``price`` or better."""
    total, reached = 0.0, nan
    for level_price, amount in levels:
        if level_price > price if is_buy else level_price < price:
            break
        total, reached = total + amount, level_price
    return OrderBookQueryResult(price, nan, reached, total)


def quote_volume_for_price(is_buy: bool, levels: Iterable[Level], price: float) -> OrderBookQueryResult:
    """Sum the quote volume of the levels at ``price`` or better."""
    total, reached = 0.0, nan
    for level_price, amount in levels:
        if level_price > price if is_buy else level_price < price:
            break
        total, reached = total + level_price * amount, level_price
    return OrderBookQueryResult(price, nan, reached, total)


class BookQueries:
    """The queries as methods; a subclass says how a query reaches the levels of a side.

    Arguments may be Decimal, float or int; they must be finite and not below 0, else ``InvalidInput``.
    """

    def _run_query(self, query: Query, is_buy: bool, value: float) -> OrderBookQueryResult:
        raise NotImplementedError

    def get_price_for_volume(self, is_buy: bool, volume: Decimal | float) -> OrderBookQueryResult:
        """Return the worst price met when taking ``volume`` base.

        ``result_price`` is NaN when the book holds less; ``result_volume`` is then all that it holds.
        """
        return self._run_query(price_for_volume, is_buy, _number("volume", volume))

    def get_vwap_for_volume(self, is_buy: bool, volume: Decimal | float) -> OrderBookQueryResult:
        """Return the volume-weighted average price of taking ``volume`` base; NaN when the book holds less."""
        return self._run_query(vwap_for_volume, is_buy, _number("volume", volume))

    def get_price_for_quote_volume(self, is_buy: bool, volume: Decimal | float) -> OrderBookQueryResult:
        """Return the worst price met when taking base for ``volume`` quote; NaN when the book holds less."""
        return self._run_query(price_for_quote_volume, is_buy, _number("volume", volume))

    def get_vwap_for_quote_volume(self, is_buy: bool, volume: Decimal | float) -> OrderBookQueryResult:
        """Return the average price of taking base for ``volume`` quote; NaN when the book holds less."""
        return self._run_query(vwap_for_quote_volume, is_buy, _number("volume", volume))

    def get_quote_volume_for_base_amount(self, is_buy: bool, base_amount: Decimal | float) -> OrderBookQueryResult:
        """Return in ``result_volume`` the quote that ``base_amount`` base costs or brings.

        ``result_price`` is the worst price met. Both are NaN when the book holds less.
        """
        return self._run_query(quote_volume_for_base_amount, is_buy, _number("base_amount", base_amount))

    def get_volume_for_price(self, is_buy: bool, price: Decimal | float) -> OrderBookQueryResult:
        """Return in ``result_volume`` the base offered at ``price`` or better, 0.0 if none.

        ``result_price`` is the worst price among those levels, NaN if there is none.
        """
        return self._run_query(partial(volume_for_price, is_buy), is_buy, _number("price", price))

    def get_quote_volume_for_price(self, is_buy: bool, price: Decimal | float) -> OrderBookQueryResult:
        """Return in ``result_volume`` the quote value of what is offered at ``price`` or better, 0.0 if none."""
        return self._run_query(partial(quote_volume_for_price, is_buy), is_buy, _number("price", price))


def _number(name: str, value: Decimal | float) -> float:
    """Return a query's argument as a float, or say what it may be."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = nan
    if not 0.0 <= number < inf:
        raise InvalidInput(f"{name} is {value!r}; it must be a finite number, 0 or more (Decimal, float or int).")
    return number

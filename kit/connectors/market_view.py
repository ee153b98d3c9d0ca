"""The reading side of a connector: prices, volumes, rules and fees, in exact decimals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final

from kit.connectors.order_rules import floor_to
from kit.connectors.pairs import normalize_pair
from kit.core.naming import ByName, did_you_mean
from kit.errors import InvalidInput, NotReady, UnknownPair
from kit.market.books import Books
from kit.market.order_book import OrderBook
from kit.types.market import PriceType, TradingRule
from kit.types.orders import OrderType

NAN: Final = Decimal("NaN")


@lru_cache(maxsize=4096, typed=True)
def _exact(value: float) -> Decimal:
    # repr is the shortest text that gives the same float, which is the price as the exchange wrote it. The same prices
    # are asked for again and again, by several readers within a tick.
    return Decimal(repr(value)) if value == value else NAN  # noqa: PLR0124


class MarketView(ByName):
    """Prices, volumes, rules and fees of the pairs of one venue.

    Prices are ``Decimal`` in quote, volumes in base unless the name says quote. Where a side of the book is empty or
    too thin the answer is ``Decimal('NaN')``, never an exception. An unknown pair raises ``UnknownPair``.
    """

    def __init__(self, name: str, books: Books) -> None:
        self._venue = name
        self._books = books
        self._rules: Mapping[str, TradingRule] = {}

    @property
    def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rules of every pair that the exchange lists, by unified symbol."""
        return self._rules

    def set_trading_rules(self, rules: Mapping[str, TradingRule]) -> None:
        """Replace the rules as a whole."""
        self._rules = dict(rules)

    def rule(self, trading_pair: str) -> TradingRule:
        """Return the rule of one pair; raises ``UnknownPair`` or, before the rules were loaded, ``NotReady``."""
        rule = self._rules.get(trading_pair) or self._rules.get(normalize_pair(trading_pair))
        if rule is None:
            raise self._unknown(trading_pair)
        return rule

    def _unknown(self, trading_pair: str) -> Exception:
        if not self._rules:
            return NotReady(f"{self._venue} has not loaded its trading rules yet; await its readiness first")
        base = normalize_pair(trading_pair).split("/")[0]
        similar = sorted(pair for pair in self._rules if pair.split("/")[0] == base)[:5]
        guess = did_you_mean(normalize_pair(trading_pair), self._rules)
        hint = f"; with that base it lists {', '.join(similar)}" if similar else guess
        return UnknownPair(f"{self._venue} lists no pair {trading_pair!r} among its {len(self._rules)}{hint}")

    def get_order_book(self, trading_pair: str) -> OrderBook:
        """Return the live book of a pair that the connector streams."""
        books = self._books.order_books
        book = books.get(trading_pair) or books.get(normalize_pair(trading_pair))
        if book is None:
            raise UnknownPair(
                f"{self._venue} streams no book of {trading_pair!r}{did_you_mean(trading_pair, books)}; it streams "
                f"{', '.join(books) or 'none'}. Add it with add_trading_pair({trading_pair!r})"
            )
        return book

    def __getitem__(self, trading_pair: str) -> OrderBook:
        """Return the live book of a pair: ``market["BTC/USDT"]``; raises ``UnknownPair`` and ``InvalidInput``."""
        return self.get_order_book(trading_pair)

    def _names(self) -> Iterable[str]:
        return tuple(self._books.order_books)

    def __contains__(self, trading_pair: object) -> bool:
        try:
            return normalize_pair(trading_pair) in self._books.order_books  # type: ignore[arg-type]  # checked there
        except InvalidInput:
            return False

    def get_price(self, trading_pair: str, is_buy: bool) -> Decimal:
        """Return the price at which a taker buys (best ask) or sells (best bid)."""
        return _exact(self.get_order_book(trading_pair).get_price(is_buy))

    def get_mid_price(self, trading_pair: str) -> Decimal:
        """Return the mean of best bid and best ask."""
        get_price = self.get_order_book(trading_pair).get_price
        return (_exact(get_price(True)) + _exact(get_price(False))) / 2

    def get_price_by_type(self, trading_pair: str, price_type: PriceType) -> Decimal:
        """Return mid, best bid, best ask or last trade price; other types belong to a strategy (``InvalidInput``)."""
        if price_type is PriceType.MidPrice:
            return self.get_mid_price(trading_pair)
        if price_type is PriceType.BestBid:
            return self.get_price(trading_pair, False)
        if price_type is PriceType.BestAsk:
            return self.get_price(trading_pair, True)
        if price_type is PriceType.LastTrade:
            return _exact(self.get_order_book(trading_pair).last_trade_price)
        raise InvalidInput(
            f"a market has no price of type {price_type!r}; it has MidPrice, BestBid, BestAsk, LastTrade"
        )

    def get_price_for_volume(self, trading_pair: str, is_buy: bool, volume: Decimal) -> Decimal:
        """Return the worst price that a taker of ``volume`` base pays or gets."""
        return _exact(self.get_order_book(trading_pair).get_price_for_volume(is_buy, float(volume)).result_price)

    def get_vwap_for_volume(self, trading_pair: str, is_buy: bool, volume: Decimal) -> Decimal:
        """Return the volume-weighted mean price that a taker of ``volume`` base pays or gets."""
        return _exact(self.get_order_book(trading_pair).get_vwap_for_volume(is_buy, float(volume)).result_price)

    def get_volume_for_price(self, trading_pair: str, is_buy: bool, price: Decimal) -> Decimal:
        """Return the base volume that a taker finds up to ``price``."""
        return _exact(self.get_order_book(trading_pair).get_volume_for_price(is_buy, float(price)).result_volume)

    def quantize_order_price(self, trading_pair: str, price: Decimal) -> Decimal:
        """Round a price down to the pair's price step, for both sides alike; NaN passes."""
        return floor_to(price, self.rule(trading_pair).min_price_increment)

    def quantize_order_amount(self, trading_pair: str, amount: Decimal) -> Decimal:
        """Round a base amount down to the pair's amount step; below the minimum order size it is 0; NaN passes."""
        rule = self.rule(trading_pair)
        quantized = floor_to(amount, rule.min_base_amount_increment)
        return Decimal(0) if not quantized.is_nan() and quantized < rule.min_order_size else quantized

    def get_fee(self, trading_pair: str, order_type: OrderType = OrderType.LIMIT) -> Decimal:
        """Return the fee as a fraction: taker for market orders, maker for the others."""
        rule = self.rule(trading_pair)
        return rule.taker_fee if order_type is OrderType.MARKET else rule.maker_fee

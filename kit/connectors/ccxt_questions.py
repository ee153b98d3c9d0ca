"""Questions to an exchange by REST: books, prices, rules; balances, open orders, fills."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from kit.connectors.ccxt_convert import (
    BadItem,
    balances,
    client_id_in,
    is_tradable,
    order_update,
    public_trade,
    snapshot,
    trade_update,
    trading_rule,
)
from kit.connectors.ccxt_profiles import ClientIdCodec
from kit.connectors.ccxt_session import CcxtSession
from kit.core.throttler import Priority
from kit.errors import InvalidInput, NetworkUnavailable, NotSupported
from kit.types.market import OrderBookSnapshot, PublicTrade, TradingRule
from kit.types.orders import Balance, OrderUpdate, TradeUpdate

_MOST_PAGES = 50


class MarketQuestions:
    """What anybody may ask; raises the kit's errors only."""

    def __init__(self, session: CcxtSession) -> None:
        self._session = session

    async def order_book(self, pair: str) -> OrderBookSnapshot:
        """Fetch a book."""
        session, data = self._session, await self._session.load()
        session.market(pair)
        limit = session.profile.book_limit
        book = await session.ask(lambda: data.fetch_order_book(pair, limit), Priority.QUERY)
        if not isinstance(book, Mapping) or not (book.get("bids") or book.get("asks")):
            raise NetworkUnavailable(f"{session.exchange_id}: the book of {pair} came back empty; ask again")
        return snapshot(book, pair)

    async def last_prices(self, pairs: Sequence[str]) -> dict[str, float]:
        """Fetch the prices of the pairs' last trades; a pair without one is left out."""
        session, data = self._session, await self._session.load()
        for pair in pairs:
            session.market(pair)
        wanted = list(pairs)
        if data.has.get("fetchTickers") and len(wanted) > 1:
            tickers = await session.ask(lambda: data.fetch_tickers(wanted), Priority.POLL)
        else:
            tickers = {pair: await self._ticker(data, pair) for pair in wanted}
        found = {pair: (tickers.get(pair) or {}).get("last") for pair in wanted}
        return {pair: float(price) for pair, price in found.items() if price is not None}

    async def candles(self, pair: str, timeframe: str, since: int) -> list[list[float]]:
        """Fetch a page of candles that open at ``since`` (ms) or later: [ms, open, high, low, close, volume]."""
        session, data = self._session, await self._session.load()
        session.market(pair)
        if not data.has.get("fetchOHLCV"):
            raise NotSupported(f"{session.exchange_id}: ccxt cannot fetch candles of this exchange")
        known = data.timeframes or {}
        if timeframe not in known:
            raise InvalidInput(f"{session.exchange_id} has no candles of {timeframe!r}; it has {', '.join(known)}")
        limit = data.feature_value(pair, "fetchOHLCV", "limit")
        page = await session.ask(lambda: data.fetch_ohlcv(pair, timeframe, since, limit), Priority.POLL, answered=True)
        return [row for row in page if None not in row[:6]]

    async def public_trades(self, pair: str, since: int, from_id: str | None = None) -> list[PublicTrade]:
        """Fetch a page of public trades, oldest first: from a trade on where that can be asked, or ``since`` (ms)."""
        session, data = self._session, await self._session.load()
        session.market(pair)
        if not data.has.get("fetchTrades"):
            raise NotSupported(f"{session.exchange_id}: ccxt cannot fetch public trades of this exchange")
        limit, id_name = session.profile.trades_page, session.profile.trades_from_id
        by_id = from_id is not None and id_name is not None
        start, params = (None, {id_name: from_id}) if by_id else (since, {})
        page = await session.ask(lambda: data.fetch_trades(pair, start, limit, params), Priority.POLL, answered=True)
        return [public_trade(trade) for trade in page]

    async def trading_rules(self) -> dict[str, TradingRule]:
        """Fetch the rules of every pair that the kit can trade."""
        data = await self._session.load()
        mode = data.precisionMode
        return {pair: trading_rule(market, mode) for pair, market in data.markets.items() if is_tradable(market)}

    async def _ticker(self, data: Any, pair: str) -> Any:
        return await self._session.ask(lambda: data.fetch_ticker(pair), Priority.POLL)


class AccountQuestions:
    """What the owner of the credentials may ask; raises the kit's errors only."""

    def __init__(self, session: CcxtSession, codec: ClientIdCodec) -> None:
        self._session, self._codec = session, codec

    async def balances(self) -> dict[str, Balance]:
        """Fetch every balance that is not zero."""
        trade = await self._session.account()
        structure = await self._session.ask(trade.fetch_balance, answered=True)
        if not isinstance(structure, Mapping) or "total" not in structure:
            raise NetworkUnavailable(f"{self._session.exchange_id}: no balances in the answer; ask again")
        found = balances(structure)
        return {asset: balance for asset, balance in found.items() if balance is not None and balance.total}

    async def open_orders(self, pair: str) -> list[OrderUpdate]:
        """Fetch all open orders on a pair."""
        session, trade = self._session, await self._session.account()
        session.market(pair)
        orders = await session.ask(lambda: trade.fetch_open_orders(pair), answered=True)
        return [order_update(order, now=session.now(), decode_id=self._codec.decode, pair=pair) for order in orders]

    async def fills(self, pair: str, since: float) -> list[TradeUpdate]:
        """Fetch the fills on a pair from ``since`` (seconds) on, page by page, oldest first."""
        session, trade = self._session, await self._session.account()
        session.market(pair)
        if not trade.has.get("fetchMyTrades"):
            raise NotSupported(f"{session.exchange_id}: ccxt cannot list fills of this exchange")
        page_size, start = session.profile.fills_page, max(int(since * 1000), 1)
        seen: dict[str, Mapping[str, Any]] = {}
        for _ in range(_MOST_PAGES):
            page = await session.ask(functools.partial(trade.fetch_my_trades, pair, start, page_size), answered=True)
            fresh = {str(item["id"]): item for item in page if str(item.get("id")) not in seen}
            seen |= fresh
            if not fresh or (page_size is not None and len(page) < page_size):
                break
            start = max(start, *(item.get("timestamp") or 0 for item in fresh.values()))
        found = [self._fill(item, pair) for item in seen.values()]
        return sorted((fill for fill in found if fill.timestamp >= since), key=lambda fill: fill.timestamp)

    def _fill(self, item: Mapping[str, Any], pair: str) -> TradeUpdate:
        client_id = client_id_in(item.get("info"), self._session.profile.fill_id_keys)
        ours = self._codec.decode(client_id) if client_id else None
        try:
            return trade_update(item, now=self._session.now(), client_id=ours, pair=pair)
        except BadItem as error:
            raise NetworkUnavailable(f"{self._session.exchange_id}: {error}; the fills are asked for again") from None

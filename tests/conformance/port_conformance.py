"""What every exchange behind the three ports must do; subclass ``PortConformance`` and give it a ``venue`` fixture.

The venue must trade ``venue.pair`` with some depth on both sides and occasional trades, and hold an account with enough
of both assets for a few small orders.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.order_rules import floor_to
from kit.errors import StopTrading
from kit.market.order_book import OrderBook
from kit.types.market import MarketMessage, OrderBookDiff, OrderBookSnapshot, PublicTrade, TradeType, TradingRule
from kit.types.orders import (
    AccountMessage,
    BalanceUpdate,
    CancelFailed,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TimeInForce,
    TradeUpdate,
    UserStreamStatus,
)
from kit.types.ports import AccountPort, MarketDataPort, OrderPort

IDS = ClientOrderIds("conformance")


@dataclass
class Venue:
    """One venue under test, and everything that its ports have said so far."""

    market_data: MarketDataPort
    account: AccountPort
    orders: OrderPort
    pair: str
    market_messages: list[MarketMessage] = field(default_factory=list)
    account_messages: list[AccountMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.market_data.attach_market_sink(self.market_messages.append)
        self.account.attach_account_sink(self.account_messages.append)

    def of(self, kind: type, messages: list[Any] | None = None) -> list[Any]:
        source = self.account_messages + self.market_messages if messages is None else messages
        return [message for message in source if isinstance(message, kind)]

    def updates(self, client_order_id: str) -> list[OrderUpdate]:
        return [update for update in self.of(OrderUpdate) if update.client_order_id == client_order_id]

    def states(self, client_order_id: str) -> list[OrderState]:
        return [update.state for update in self.updates(client_order_id)]

    def fills(self, client_order_id: str) -> list[TradeUpdate]:
        exchange_ids = {update.exchange_order_id for update in self.updates(client_order_id)} - {None}
        fills = {
            fill.trade_id: fill
            for fill in self.of(TradeUpdate)
            if fill.client_order_id == client_order_id or fill.exchange_order_id in exchange_ids
        }
        return list(fills.values())


async def eventually(condition: Callable[[], Any], what: str, timeout: float = 60.0) -> Any:
    """Wait until ``condition()`` is true and return what it returned; fail with ``what`` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout} s: {what}")
        await asyncio.sleep(0.01)
    return value


class PortConformance:
    """The demands, one test each."""

    async def rule(self, venue: Venue) -> TradingRule:
        return (await venue.market_data.fetch_trading_rules())[venue.pair]

    async def far_price(self, venue: Venue, side: TradeType) -> Decimal:
        """Return a valid price 3 % away from the touch, where nothing trades."""
        book = await venue.market_data.fetch_order_book(venue.pair)
        if side is TradeType.BUY:
            price = Decimal(repr(max(price for price, _ in book.bids))) * Decimal("0.97")
        else:
            price = Decimal(repr(min(price for price, _ in book.asks))) * Decimal("1.03")
        return floor_to(price, (await self.rule(venue)).min_price_increment)

    async def amount(self, venue: Venue, price: Decimal) -> Decimal:
        """Return a small valid amount at a price: twice the minimum value or size."""
        rule = await self.rule(venue)
        wanted = max(rule.min_notional_size * 2 / price, rule.min_order_size * 2, rule.min_base_amount_increment * 10)
        return floor_to(wanted, rule.min_base_amount_increment) + rule.min_base_amount_increment

    async def request(
        self,
        venue: Venue,
        side: TradeType = TradeType.BUY,
        order_type: OrderType = OrderType.LIMIT,
        price: Decimal | None = None,
        amount: Decimal | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> OrderRequest:
        price = price or await self.far_price(venue, side)
        amount = amount or await self.amount(venue, price)
        limit = price if order_type.is_limit else None
        return OrderRequest(IDS.next(), venue.pair, side, order_type, amount, limit, time_in_force)

    async def rest(self, venue: Venue, side: TradeType = TradeType.BUY) -> OrderRequest:
        """Place a resting order and wait for its acknowledgement."""
        request = await self.request(venue, side)
        venue.orders.submit(request)
        await eventually(lambda: OrderState.OPEN in venue.states(request.client_order_id), "order acknowledged")
        return request

    # market data

    async def test_rules_are_usable(self, venue):
        rule = await self.rule(venue)
        assert rule.trading_pair == venue.pair
        assert rule.min_price_increment > 0
        assert rule.min_base_amount_increment > 0
        assert venue.pair.startswith(f"{rule.base_asset}/{rule.quote_asset}")
        assert all(isinstance(value, Decimal) for value in (rule.min_price_increment, rule.maker_fee, rule.taker_fee))

    async def test_the_exchanges_clock_is_told(self, venue):
        before = time.time()
        told = await venue.market_data.fetch_server_time()
        assert before - 1 < told < time.time() + 1

    async def test_the_stream_begins_with_a_snapshot_and_applies_without_a_gap(self, venue):
        await venue.market_data.subscribe([venue.pair])
        await eventually(lambda: len(venue.of(OrderBookDiff)) >= 10, "ten book updates")
        book = OrderBook(venue.pair)
        synced = False
        for message in list(venue.market_messages):
            if isinstance(message, OrderBookSnapshot):
                book.apply_snapshot(message)
                synced = True
            elif isinstance(message, OrderBookDiff) and synced:
                book.apply_diff(message)  # raises on a gap or a crossed book
        assert synced
        assert book.best_bid is not None
        assert book.best_ask is not None
        assert book.best_bid[0] < book.best_ask[0]

    async def test_public_trades_are_streamed(self, venue):
        await venue.market_data.subscribe([venue.pair])
        trade = (await eventually(lambda: venue.of(PublicTrade), "a public trade"))[0]
        assert trade.trading_pair == venue.pair
        assert trade.price > 0
        assert trade.amount > 0
        assert isinstance(trade.side, TradeType)
        ids = [one.trade_id for one in venue.of(PublicTrade)]
        assert len(ids) == len(set(ids))

    async def test_unsubscribing_ends_the_stream(self, venue):
        await venue.market_data.subscribe([venue.pair])
        await eventually(lambda: venue.of(OrderBookDiff), "a book update")
        await venue.market_data.unsubscribe([venue.pair])
        for _ in range(60):  # frames that were under way; a stream that goes on is never silent for so long
            venue.market_messages.clear()
            await asyncio.sleep(0.5)
            if not venue.of(OrderBookDiff, venue.market_messages):
                break
        assert venue.of(OrderBookDiff, venue.market_messages) == []
        await venue.market_data.subscribe([venue.pair])
        await eventually(lambda: venue.of(OrderBookSnapshot), "a fresh snapshot after subscribing again")

    async def test_last_prices(self, venue):
        prices = await venue.market_data.fetch_last_prices([venue.pair])
        assert prices[venue.pair] > 0

    # account and orders

    async def test_the_private_stream_says_that_it_is_up(self, venue):
        await venue.account.open_user_stream()
        await eventually(lambda: any(status.connected for status in venue.of(UserStreamStatus)), "stream up")

    async def test_balances(self, venue):
        balances = await venue.account.fetch_balances()
        rule = await self.rule(venue)
        for asset in (rule.base_asset, rule.quote_asset):
            assert 0 <= balances[asset].available <= balances[asset].total

    async def test_an_order_rests_is_found_and_is_cancelled(self, venue):
        await venue.account.open_user_stream()
        request = await self.rest(venue)
        update = venue.updates(request.client_order_id)[0]
        assert update.exchange_order_id
        open_ids = [one.client_order_id for one in await venue.account.fetch_open_orders(venue.pair)]
        assert request.client_order_id in open_ids
        found = await venue.orders.query(CancelRequest(request.client_order_id, venue.pair))
        assert found is not None
        assert (found.state, found.exchange_order_id) == (OrderState.OPEN, update.exchange_order_id)
        venue.orders.cancel(CancelRequest(request.client_order_id, venue.pair, update.exchange_order_id))
        await eventually(lambda: OrderState.CANCELED in venue.states(request.client_order_id), "order cancelled")
        open_ids = [one.client_order_id for one in await venue.account.fetch_open_orders(venue.pair)]
        assert request.client_order_id not in open_ids
        found = await venue.orders.query(CancelRequest(request.client_order_id, venue.pair))
        assert found is not None
        assert found.state is OrderState.CANCELED

    async def test_an_order_is_cancelled_by_its_client_id_alone(self, venue):
        await venue.account.open_user_stream()
        request = await self.rest(venue, TradeType.SELL)
        venue.orders.cancel(CancelRequest(request.client_order_id, venue.pair))
        await eventually(lambda: OrderState.CANCELED in venue.states(request.client_order_id), "order cancelled")

    @pytest.mark.parametrize("side", TradeType)
    async def test_a_market_order_fills_to_its_amount(self, venue, side):
        await venue.account.open_user_stream()
        request = await self.request(venue, side, OrderType.MARKET)
        since = time.time() - 60
        venue.orders.submit(request)
        await eventually(
            lambda: sum(fill.amount for fill in venue.fills(request.client_order_id)) == request.amount, "fills in full"
        )
        for fill in venue.fills(request.client_order_id):
            assert fill.price > 0
            assert math.isclose(fill.quote_amount, fill.price * fill.amount, rel_tol=1e-9)
        fetched = {fill.trade_id for fill in await venue.account.fetch_fills(venue.pair, since)}
        assert {fill.trade_id for fill in venue.fills(request.client_order_id)} <= fetched
        found = await venue.orders.query(CancelRequest(request.client_order_id, venue.pair))
        assert found is not None
        assert (found.state, found.filled) == (OrderState.FILLED, request.amount)

    async def test_a_fill_moves_the_balances(self, venue):
        await venue.account.open_user_stream()
        rule = await self.rule(venue)
        before = await venue.account.fetch_balances()
        request = await self.request(venue, TradeType.BUY, OrderType.MARKET)
        venue.orders.submit(request)
        await eventually(lambda: venue.fills(request.client_order_id), "a fill")
        await eventually(
            lambda: {update.asset for update in venue.of(BalanceUpdate)} >= {rule.base_asset, rule.quote_asset},
            "both balances told",
        )
        after = await venue.account.fetch_balances()
        assert after[rule.base_asset].total > before[rule.base_asset].total
        assert after[rule.quote_asset].total < before[rule.quote_asset].total

    async def test_a_limit_maker_order_that_would_take_fails(self, venue):
        await venue.account.open_user_stream()
        price = await self.far_price(venue, TradeType.SELL)  # a buy far above the ask
        request = await self.request(venue, TradeType.BUY, OrderType.LIMIT_MAKER, price)
        venue.orders.submit(request)
        await eventually(lambda: OrderState.FAILED in venue.states(request.client_order_id), "order refused")
        update = venue.updates(request.client_order_id)[-1]
        assert update.error == "PostOnlyRejected"
        assert update.reason

    async def test_an_order_beyond_the_balance_fails(self, venue):
        await venue.account.open_user_stream()
        rule = await self.rule(venue)
        price = await self.far_price(venue, TradeType.BUY)
        funds = (await venue.account.fetch_balances())[rule.quote_asset].total
        amount = floor_to(funds * 2 / price, rule.min_base_amount_increment)
        request = await self.request(venue, price=price, amount=amount)
        venue.orders.submit(request)
        await eventually(lambda: OrderState.FAILED in venue.states(request.client_order_id), "order refused")
        assert venue.updates(request.client_order_id)[-1].error == "InsufficientBalance"

    async def test_an_immediate_or_cancel_order_never_rests(self, venue):
        await venue.account.open_user_stream()
        request = await self.request(venue, time_in_force=TimeInForce.IOC)
        venue.orders.submit(request)
        ended = {OrderState.EXPIRED, OrderState.CANCELED}
        await eventually(lambda: ended & set(venue.states(request.client_order_id)), "order ended")
        open_ids = [one.client_order_id for one in await venue.account.fetch_open_orders(venue.pair)]
        assert request.client_order_id not in open_ids

    async def test_cancelling_what_is_not_there_says_so(self, venue):
        await venue.account.open_user_stream()
        request = CancelRequest(IDS.next(), venue.pair)
        venue.orders.cancel(request)
        failed = await eventually(
            lambda: [one for one in venue.of(CancelFailed) if one.client_order_id == request.client_order_id],
            "cancel refused",
        )
        assert failed[0].order_not_found
        assert not failed[0].ambiguous

    async def test_an_unknown_order_is_none_by_the_exchanges_own_word(self, venue):
        assert await venue.orders.query(CancelRequest(IDS.next(), venue.pair)) is None

    async def test_submit_returns_at_once_and_keeps_order(self, venue):
        await venue.account.open_user_stream()
        requests = [await self.request(venue) for _ in range(5)]
        before = len(venue.account_messages)
        for request in requests:
            assert venue.orders.submit(request) is None
        sent = {request.client_order_id for request in requests}
        await eventually(
            lambda: all(OrderState.OPEN in venue.states(client_id) for client_id in sent), "five orders acknowledged"
        )
        heard = itertools.islice(venue.account_messages, before, None)
        assert sent <= {one.client_order_id for one in heard if isinstance(one, OrderUpdate)}
        for request in requests:
            venue.orders.cancel(CancelRequest(request.client_order_id, venue.pair))
        await eventually(
            lambda: all(OrderState.CANCELED in venue.states(client_id) for client_id in sent), "five orders cancelled"
        )

    async def test_close_twice(self, venue):
        await venue.market_data.subscribe([venue.pair])
        await venue.account.open_user_stream()
        await venue.market_data.close()
        await venue.market_data.close()

    async def test_errors_that_stop_trading_are_told_apart(self, refused_account):
        with pytest.raises(StopTrading):
            await refused_account.open_user_stream()

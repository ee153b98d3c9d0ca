"""A venue behind the three ports whose every answer the test decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from kit.errors import NetworkUnavailable
from kit.types.market import Level, MarketMessage, OrderBookSnapshot, PublicTrade, TradeType, TradingRule
from kit.types.orders import (
    AccountMessage,
    Balance,
    BalanceUpdate,
    CancelFailed,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderUpdate,
    TradeUpdate,
    UserStreamStatus,
)

PAIR = "BTC/USDT"
RULES = {
    PAIR: TradingRule(
        PAIR,
        "BTC",
        "USDT",
        min_price_increment=Decimal("0.01"),
        min_base_amount_increment=Decimal("0.00001"),
        min_order_size=Decimal("0.0001"),
        max_order_size=Decimal(9000),
        min_notional_size=Decimal(5),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.002"),
    ),
    "ETH/USDT": TradingRule(
        "ETH/USDT", "ETH", "USDT", min_price_increment=Decimal("0.01"), min_base_amount_increment=Decimal("0.0001")
    ),
}


class FakeVenue:
    """Implements MarketDataPort, AccountPort and OrderPort in memory.

    ``auto`` answers submits with OPEN and cancels with CANCELED at once, inside the call, as a simulation does; with
    ``auto=False`` the test sends every message itself.
    """

    def __init__(self, *, auto: bool = True, bid: float = 100.0, ask: float = 101.0) -> None:
        self.auto = auto
        self.books: dict[str, tuple[Level, Level]] = dict.fromkeys(RULES, ((bid, 5.0), (ask, 5.0)))
        self.balances = {"BTC": Balance(Decimal(10), Decimal(10)), "USDT": Balance(Decimal(10_000), Decimal(10_000))}
        self.submitted: list[OrderRequest] = []
        self.cancelled: list[CancelRequest] = []
        self.open: dict[str, OrderUpdate] = {}
        self.fills: list[TradeUpdate] = []
        self.subscribed: set[str] = set()
        self.offline = False
        self.refuse: Exception | None = None
        self.closed = 0
        self._update_id = 1
        self._market_sink: Callable[[MarketMessage], None] = lambda _: None
        self._account_sink: Callable[[AccountMessage], None] = lambda _: None

    # market data

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        self._market_sink = sink

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        self._check_online()
        self.subscribed |= set(trading_pairs)
        for pair in trading_pairs:
            self.emit(await self.fetch_order_book(pair))

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        self.subscribed -= set(trading_pairs)

    def is_streaming(self, trading_pair: str) -> bool:
        return trading_pair in self.subscribed

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        self._check_online()
        self._update_id += 1
        bid, ask = self.books[trading_pair]
        return OrderBookSnapshot(trading_pair, self._update_id, 0.0, (bid,), (ask,))

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        return dict.fromkeys(trading_pairs, 100.5)

    async def fetch_trading_rules(self) -> Mapping[str, TradingRule]:
        self._check_online()
        return RULES

    async def fetch_server_time(self) -> float:
        self._check_online()
        return 0.0

    def status(self) -> Mapping[str, object]:
        return {"fake": True}

    async def close(self) -> None:
        self.closed += 1

    def emit(self, message: MarketMessage) -> None:
        self._market_sink(message)

    def trade(self, price: float, amount: float = 1.0, side: TradeType = TradeType.BUY, pair: str = PAIR) -> None:
        self.emit(PublicTrade(pair, str(self._update_id), 0.0, side, price, amount))

    # account

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        self._account_sink = sink

    async def open_user_stream(self) -> None:
        if self.refuse is not None:
            raise self.refuse
        self._check_online()
        self.send(UserStreamStatus(True, 0.0))

    async def close_user_stream(self) -> None:
        pass

    async def fetch_balances(self) -> Mapping[str, Balance]:
        self._check_online()
        return dict(self.balances)

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        self._check_online()
        return [update for update in self.open.values() if update.trading_pair == trading_pair]

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        self._check_online()
        return [fill for fill in self.fills if fill.trading_pair == trading_pair and fill.timestamp >= since]

    def send(self, message: AccountMessage) -> None:
        self._account_sink(message)

    # orders

    def submit(self, request: OrderRequest) -> None:
        self.submitted.append(request)
        if self.auto:
            self.accept(request)

    def accept(self, request: OrderRequest) -> None:
        update = OrderUpdate(
            request.trading_pair,
            OrderState.OPEN,
            0.0,
            client_order_id=request.client_order_id,
            exchange_order_id=f"E{request.client_order_id}",
            filled=Decimal(0),
            trade_type=request.trade_type,
            order_type=request.order_type,
            amount=request.amount,
            price=request.price,
        )
        self.open[request.client_order_id] = update
        self.send(update)

    def cancel(self, request: CancelRequest) -> None:
        self.cancelled.append(request)
        if self.auto:
            self.confirm_cancel(request)

    def confirm_cancel(self, request: CancelRequest) -> None:
        if self.open.pop(request.client_order_id, None) is None:
            self.send(
                CancelFailed(request.client_order_id, request.trading_pair, 0.0, "unknown order", order_not_found=True)
            )
            return
        self.send(
            OrderUpdate(
                request.trading_pair,
                OrderState.CANCELED,
                0.0,
                client_order_id=request.client_order_id,
                filled=Decimal(0),
            )
        )

    def fill(self, client_order_id: str, amount: str, price: str, trade_id: str = "1", timestamp: float = 0.0) -> None:
        base = Decimal(amount)
        trade = TradeUpdate(
            trade_id, PAIR, timestamp, Decimal(price), base, base * Decimal(price), client_order_id=client_order_id
        )
        self.fills.append(trade)
        self.send(trade)

    def report_balance(self, asset: str, total: str, available: str) -> None:
        self.balances[asset] = Balance(Decimal(total), Decimal(available))
        self.send(BalanceUpdate(asset, self.balances[asset], 0.0))

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        self._check_online()
        return self.open.get(request.client_order_id)

    def _check_online(self) -> None:
        if self.offline:
            raise NetworkUnavailable("the fake venue is offline")


__all__ = ["PAIR", "RULES", "FakeVenue"]

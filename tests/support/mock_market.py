"""A small synchronous market for strategy tests: orders rest, fill whole, and tell of it within the same call.

Its rules are those of the mock exchange that the reference's pure market making was traced on: it is ticked before
the strategy, quantises by significant digits, fills a resting order whole at its own price when a public trade prints
strictly through it or when, at its tick, the opposite best price has reached it; balances move by fills alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from kit.core.pubsub import PubSub
from kit.core.time_iterator import TimeIterator
from kit.types.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    MarketEvent,
    OrderCancelledEvent,
    OrderFilledEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)
from kit.types.market import PriceType, TradeType, TradingRule
from kit.types.orders import OrderType, TimeInForce

D = Decimal
NAN = D("NaN")
SMALLEST = D("0.000001")
BUY_CREATED = (MarketEvent.BuyOrderCreated, BuyOrderCreatedEvent)
SELL_CREATED = (MarketEvent.SellOrderCreated, SellOrderCreatedEvent)


@cache
def _steps(adjusted: int, digits: int) -> tuple[Decimal, Decimal, Decimal]:
    """A power of ten, the step of a value that is exactly this power, and of those between it and the next."""
    exact, above = (max(SMALLEST, D(1).scaleb(adjusted + more - digits)) for more in (0, 1))
    return D(1).scaleb(adjusted), exact, above


def quantum(value: Decimal, digits: int = 6) -> Decimal:
    """10^(ceil(log10 value) - digits), at least 1e-6."""
    if value <= 0:
        return SMALLEST
    power, exact, above = _steps(value.adjusted(), digits)
    return exact if value == power else above


def floor_digits(value: Decimal, digits: int = 6) -> Decimal:
    # quantum() written out: real markets know their step without a call, and this one is timed.
    power, exact, above = _steps(value.adjusted(), digits)
    step = exact if value == power else above
    return value // step * step


@dataclass(slots=True, eq=False)
class MockOrder:
    order_id: str
    is_buy: bool
    amount: Decimal
    price: Decimal
    order_type: OrderType
    trading_pair: str = "HBOT/ETH"
    creation_timestamp: float = 0.0
    executed_amount_base: Decimal = Decimal(0)

    @property
    def is_open(self) -> bool:
        return True

    @property
    def client_order_id(self) -> str:
        return self.order_id

    @property
    def exchange_order_id(self) -> str:
        return "x" + self.order_id

    @property
    def trade_type(self) -> TradeType:
        return TradeType.BUY if self.is_buy else TradeType.SELL


class Side(dict[Decimal, tuple[Decimal, int]]):
    """Levels as {price: (amount, update id)} of one side; their order is remembered until a level changes."""

    def __init__(self, is_bids: bool) -> None:
        super().__init__()
        self._is_bids = is_bids
        self._ladder: list[Decimal] | None = None

    @property
    def ladder(self) -> list[Decimal]:
        """The prices, best first."""
        if self._ladder is None:
            self._ladder = sorted(self, reverse=self._is_bids)
        return self._ladder

    @property
    def best(self) -> Decimal:
        ladder = self.ladder
        return ladder[0] if ladder else NAN

    def __setitem__(self, price: Decimal, level: tuple[Decimal, int]) -> None:
        super().__setitem__(price, level)
        self._ladder = None

    def __delitem__(self, price: Decimal) -> None:
        super().__delitem__(price)
        self._ladder = None

    def walk(self, volume: Decimal) -> Decimal:
        """The price of the level at which the amounts from the best on add up to ``volume``."""
        total = D(0)
        for price in self.ladder:
            total += self[price][0]
            if total >= volume:
                return price
        return NAN


class MockBook:
    """Where levels cross, the older goes, on a tie the bid."""

    def __init__(self) -> None:
        self.bids = Side(is_bids=True)
        self.asks = Side(is_bids=False)
        self.update_id = 0

    @classmethod
    def balanced(cls, mid: Decimal, low: Decimal, high: Decimal, step: Decimal, volume: Decimal) -> MockBook:
        if step <= 0:
            raise ValueError(f"the step between the levels of a book is {step}; it must be above 0")
        book = cls()
        price, amount = mid - step / 2, volume
        while price >= low:
            book.bids[price] = (amount, 0)
            price, amount = price - step, amount + volume
        price, amount = mid + step / 2, volume
        while price <= high:
            book.asks[price] = (amount, 0)
            price, amount = price + step, amount + volume
        return book

    def clear(self, is_asks: bool) -> Side:
        """Empty a side and return what it was."""
        if is_asks:
            old, self.asks = self.asks, Side(is_bids=False)
        else:
            old, self.bids = self.bids, Side(is_bids=True)
        return old

    def apply(self, bids: list[tuple[Decimal, Decimal]], asks: list[tuple[Decimal, Decimal]]) -> None:
        self.update_id += 1
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            for price, amount in changes:
                if price in side:
                    del side[price]
                if amount > 0:
                    side[price] = (amount, self.update_id)
        while self.bids and self.asks and self.best_bid >= self.best_ask:
            bid, ask = self.best_bid, self.best_ask
            if self.bids[bid][1] > self.asks[ask][1]:
                del self.asks[ask]
            else:
                del self.bids[bid]

    @property
    def best_bid(self) -> Decimal:
        return self.bids.best

    @property
    def best_ask(self) -> Decimal:
        return self.asks.best


class MockMarket(TimeIterator):
    """One pair; see the module. ``rule=None`` quantises by significant digits, a rule by its steps."""

    def __init__(
        self,
        trading_pair: str = "HBOT/ETH",
        balances: Mapping[str, Decimal] | None = None,
        *,
        book: MockBook | None = None,
        fee: tuple[Decimal, Decimal] = (D(0), D(0)),
        rule: TradingRule | None = None,
        digits: tuple[int, int] = (6, 6),
        name: str = "mock",
    ) -> None:
        super().__init__(name)
        self.pubsub = PubSub()
        self.ready = True
        self.pair = trading_pair
        self.trading_pairs: tuple[str, ...] = (trading_pair,)
        self.base, self.quote = trading_pair.split("/")
        self.balances = dict(balances or {self.base: D(500), self.quote: D(5000)})
        self.book = book or MockBook.balanced(D(100), D(1), D(200), D(1), D(10))
        self.fee = fee
        self.rule = rule
        self.price_digits, self.amount_digits = digits
        self.orders: dict[str, MockOrder] = {}
        self._held: dict[str, Decimal] | None = None
        self.last_trade_price = NAN
        self.hold_cancels = False
        self.sent_cancels: list[str] = []
        self._ids = itertools.count(1)

    # -- what a strategy reads

    @property
    def trading_rules(self) -> Mapping[str, TradingRule]:
        return {} if self.rule is None else {self.pair: self.rule}

    @property
    def in_flight_orders(self) -> Mapping[str, MockOrder]:
        return self.orders

    def get_price(self, trading_pair: str, is_buy: bool) -> Decimal:
        price = (self.book.asks if is_buy else self.book.bids).best
        return price if price.is_nan() else self.quantize_order_price(trading_pair, price)

    def get_price_by_type(self, trading_pair: str, price_type: PriceType) -> Decimal:
        if price_type is PriceType.MidPrice:
            return self.get_mid_price(trading_pair)
        if price_type is PriceType.LastTrade:
            return self.last_trade_price
        assert price_type in (PriceType.BestBid, PriceType.BestAsk)
        return self.get_price(trading_pair, price_type is PriceType.BestAsk)

    def get_price_for_volume(self, trading_pair: str, is_buy: bool, volume: Decimal) -> Decimal:
        return (self.book.asks if is_buy else self.book.bids).walk(volume)

    def get_order_price_quantum(self, trading_pair: str, price: Decimal) -> Decimal:
        return quantum(price, self.price_digits) if self.rule is None else self.rule.min_price_increment

    def get_mid_price(self, trading_pair: str) -> Decimal:
        return (self.get_price(trading_pair, True) + self.get_price(trading_pair, False)) / 2

    def get_balance(self, asset: str) -> Decimal:
        return self.balances.get(asset, D(0))

    def get_available_balance(self, asset: str) -> Decimal:
        if self._held is None:
            orders = self.orders.values()
            self._held = {
                self.base: sum([order.amount for order in orders if not order.is_buy], D(0)),
                self.quote: sum([order.amount * order.price for order in orders if order.is_buy], D(0)),
            }
        return self.get_balance(asset) - self._held[asset]

    def get_fee(self, trading_pair: str, order_type: OrderType) -> Decimal:
        return self.fee[1] if order_type is OrderType.MARKET else self.fee[0]

    def quantize_order_price(self, trading_pair: str, price: Decimal) -> Decimal:
        if self.rule is None:
            return floor_digits(price, self.price_digits)
        return (price // self.rule.min_price_increment) * self.rule.min_price_increment

    def quantize_order_amount(self, trading_pair: str, amount: Decimal) -> Decimal:
        if self.rule is None:
            return floor_digits(amount, self.amount_digits)
        floored = (amount // self.rule.min_base_amount_increment) * self.rule.min_base_amount_increment
        return floored if floored >= self.rule.min_order_size else D(0)

    # -- what a strategy does

    def buy(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType = OrderType.LIMIT,
        price: Decimal | None = None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> str:
        return self._place(True, trading_pair, amount, order_type, price)

    def sell(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType = OrderType.LIMIT,
        price: Decimal | None = None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> str:
        return self._place(False, trading_pair, amount, order_type, price)

    def _place(self, is_buy: bool, pair: str, amount: Decimal, order_type: OrderType, price: Decimal | None) -> str:
        assert pair == self.pair
        assert price is not None
        if self.rule is None:
            amount, price = floor_digits(amount, self.amount_digits), floor_digits(price, self.price_digits)
        else:
            amount, price = self.quantize_order_amount(pair, amount), self.quantize_order_price(pair, price)
        order = MockOrder(f"order-{next(self._ids)}", is_buy, amount, price, order_type, pair, self.current_timestamp)
        self.orders[order.order_id] = order
        self._held = None
        self.tell_created(order)
        return order.order_id

    def drop(self, order_id: str) -> MockOrder | None:
        """Take an order off the market without a word."""
        self._held = None
        return self.orders.pop(order_id, None)

    def tell_created(self, order: MockOrder) -> None:
        tag, kind = BUY_CREATED if order.is_buy else SELL_CREATED
        now, order_id = self.current_timestamp, order.order_id
        self.pubsub.trigger_event(
            tag, kind(now, order.order_type, self.pair, order.amount, order.price, order_id, now, "x" + order_id)
        )

    def cancel(self, trading_pair: str, client_order_id: str) -> None:
        self.sent_cancels.append(client_order_id)
        if not self.hold_cancels:
            self.confirm_cancel(client_order_id)

    def confirm_cancel(self, client_order_id: str) -> None:
        self._held = None
        if self.orders.pop(client_order_id, None) is not None:
            self.pubsub.trigger_event(
                MarketEvent.OrderCancelled, OrderCancelledEvent(self.current_timestamp, client_order_id)
            )

    # -- what the world does

    def tick(self, timestamp: float) -> None:
        super().tick(timestamp)
        bid, ask = self.book.best_bid, self.book.best_ask
        for order in self._by_priority():
            opposite = ask if order.is_buy else bid
            if not opposite.is_nan() and (opposite <= order.price if order.is_buy else opposite >= order.price):
                self.fill(order.order_id)

    def trade(self, side: TradeType, price: Decimal) -> None:
        """A public trade by a taker of ``side``."""
        self.last_trade_price = price
        for order in self._by_priority():
            through = price < order.price if order.is_buy else price > order.price
            if order.is_buy is (side is TradeType.SELL) and through:
                self.fill(order.order_id)

    def _by_priority(self) -> list[MockOrder]:
        return sorted(
            self.orders.values(), key=lambda order: (not order.is_buy, -order.price if order.is_buy else order.price)
        )

    def fill(self, order_id: str) -> None:
        """Fill an order whole at its price, or cancel it where the balance cannot pay."""
        order = self.orders.get(order_id)
        if order is None:
            return
        worth = order.amount * order.price
        paid, cost = (self.quote, worth) if order.is_buy else (self.base, order.amount)
        if self.get_balance(paid) < cost:
            self.confirm_cancel(order_id)
            return
        self.drop(order_id)
        self.balances[paid] -= cost
        got, gain = (self.base, order.amount) if order.is_buy else (self.quote, worth)
        self.balances[got] = self.get_balance(got) + gain * (1 - self.fee[0])
        self.tell_filled(order, order.amount)
        kind = BuyOrderCompletedEvent if order.is_buy else SellOrderCompletedEvent
        tag = MarketEvent.BuyOrderCompleted if order.is_buy else MarketEvent.SellOrderCompleted
        self.pubsub.trigger_event(
            tag,
            kind(self.current_timestamp, order_id, self.base, self.quote, order.amount, worth, order.order_type),
        )

    def tell_filled(self, order: MockOrder, amount: Decimal) -> None:
        self.pubsub.trigger_event(
            MarketEvent.OrderFilled,
            OrderFilledEvent(
                self.current_timestamp,
                order.order_id,
                self.pair,
                TradeType.BUY if order.is_buy else TradeType.SELL,
                order.order_type,
                order.price,
                amount,
            ),
        )

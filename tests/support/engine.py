"""Helpers for tests of the test exchange's engine: a venue with two traders, and a naive matcher to compare with."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kit.testnet.symbols import BTCUSDT, SymbolInfo
from kit.testnet.venue import Account, ExecutionReport, Market, NewOrder, Order, Trade, Venue

D = Decimal


class Desk:
    """A venue with a hand-driven clock, funded traders and everything its taps told."""

    def __init__(self, info: SymbolInfo = BTCUSDT, *, traders: tuple[str, ...] = ("ann", "bob")) -> None:
        self.now = 1_700_000_000_000
        self.info = info
        self.venue = Venue([info], now_ms=lambda: self.now)
        self.market: Market = self.venue.markets[info.symbol]
        self.reports: list[ExecutionReport] = []
        self.trades: list[Trade] = []
        self.balances: list[tuple[Account, tuple[str, ...]]] = []
        self.told: list[str] = []
        self.venue.on_execution.append(self._on_execution)
        self.venue.on_trade.append(self._on_trade)
        self.venue.on_balance.append(self._on_balance)
        self.crowd = self.venue.create_account("crowd", unlimited=True, fee_free=True)
        for name in traders:
            account = self.venue.create_account(name)
            self.venue.deposit(account, info.base, D(100))
            self.venue.deposit(account, info.quote, D(10_000_000))
        self.forget()

    def account(self, name: str) -> Account:
        return self.venue.accounts[name]

    def forget(self) -> None:
        for told in (self.reports, self.trades, self.balances, self.told):
            told.clear()

    def place(self, name: str, side: str, qty: Any = None, price: Any = None, **more: Any) -> Order:
        new = NewOrder(
            self.info.symbol,
            side,  # type: ignore[arg-type]
            qty=None if qty is None else D(str(qty)),
            price=None if price is None else D(str(price)),
            **more,
        )
        return self.venue.place(self.account(name), new)

    def crowd_order(self, side: str, price: Any, qty: Any, **more: Any) -> Order:
        ticks = 0 if price is None else self.info.ticks(D(str(price)))
        lots = self.info.lots(D(str(qty)))
        assert ticks is not None
        assert lots is not None
        return self.venue.place_fast(self.market, self.crowd, side, ticks, lots, **more)  # type: ignore[arg-type]

    def free(self, name: str, asset: str) -> Decimal:
        return D(self.account(name).free.get(asset, 0)).scaleb(-8)

    def locked(self, name: str, asset: str) -> Decimal:
        return D(self.account(name).locked.get(asset, 0)).scaleb(-8)

    def kinds(self, order: Order) -> list[tuple[str, str]]:
        return [(r.execution_type, r.status) for r in self.reports if r.order is order]

    def _on_execution(self, report: ExecutionReport) -> None:
        self.reports.append(report)
        self.told.append(f"execution {report.execution_type} #{report.order.order_id}")

    def _on_trade(self, market: Market, trade: Trade) -> None:
        assert trade.market is market
        self.trades.append(trade)
        self.told.append(f"trade #{trade.trade_id}")

    def _on_balance(self, account: Account, assets: tuple[str, ...]) -> None:
        self.balances.append((account, assets))
        self.told.append(f"balance {account.name}")


@dataclass
class NaiveOrder:
    """An order of the naive matcher; ``price`` 0 takes any price, ``budget`` is set for orders by quote."""

    number: int
    owner: str
    is_buy: bool
    price: int
    lots: int
    kind: str
    tif: str
    stp: str
    budget: int = 0
    executed: int = 0
    quote: int = 0
    status: str = "NEW"

    @property
    def open(self) -> int:
        return self.lots - self.executed


@dataclass
class NaiveExchange:
    """Price-time priority written the slow and obvious way: sort everything, every time, and count money in a table.

    ``unit`` is the quote units of a lot at a tick, ``lot`` the base units of a lot, ``maker`` and ``taker`` fee rates
    in 1e-8. Accounts not in ``money`` are unlimited.
    """

    unit: int
    lot: int
    maker: int
    taker: int
    money: dict[str, dict[str, int]]
    book: list[NaiveOrder] = field(default_factory=list)
    trades: list[tuple[int, int, int, int]] = field(default_factory=list)  # price, lots, maker number, taker number
    fees: dict[str, int] = field(default_factory=lambda: {"base": 0, "quote": 0})

    def facing(self, order: NaiveOrder) -> list[NaiveOrder]:
        makers = [m for m in self.book if m.is_buy != order.is_buy and self._fits(order, m)]
        return sorted(makers, key=lambda m: (m.price if order.is_buy else -m.price, m.number))

    @staticmethod
    def _fits(order: NaiveOrder, maker: NaiveOrder) -> bool:
        if not order.price:
            return True
        return maker.price <= order.price if order.is_buy else maker.price >= order.price

    def held(self, owner: str, asset: str) -> int:
        mine = [o for o in self.book if o.owner == owner]
        if asset == "quote":
            return sum(o.open * o.price * self.unit for o in mine if o.is_buy)
        return sum(o.open * self.lot for o in mine if not o.is_buy)

    def free(self, owner: str, asset: str) -> int:
        return self.money[owner][asset] - self.held(owner, asset)

    def dry_run(self, order: NaiveOrder) -> tuple[int, int]:
        lots = quote = 0
        for maker in self.facing(order):
            if maker.owner == order.owner and order.stp != "NONE":
                if order.stp == "EXPIRE_MAKER":
                    continue
                break
            unit = maker.price * self.unit
            wanted = (order.budget - quote) // unit if order.budget else order.lots - lots
            take = min(wanted, maker.open)
            lots, quote = lots + take, quote + take * unit
            if take == wanted:
                break
        return lots, quote

    def affordable(self, order: NaiveOrder) -> bool:
        if order.owner not in self.money:
            return True
        lots, quote = self.dry_run(order)
        if order.is_buy:
            need = order.price * order.lots * self.unit if order.price else (order.budget or quote)
            return self.free(order.owner, "quote") >= need
        return self.free(order.owner, "base") >= (lots if order.budget else order.lots) * self.lot

    def place(self, order: NaiveOrder) -> str:
        """Return the order's status afterwards, REJECTED when the exchange would refuse it."""
        if order.kind == "LIMIT_MAKER" and self.facing(order):
            return "REJECTED"
        if order.budget and not self.facing(order):
            return "REJECTED"
        if not self.affordable(order):
            return "REJECTED"
        if order.tif == "FOK" and self.dry_run(order)[0] < order.lots:
            order.status = "EXPIRED"
            return order.status
        self._match(order)
        if order.status in {"NEW", "PARTIALLY_FILLED"}:
            if order.price and order.tif == "GTC":
                self.book.append(order)
            else:
                order.status = "EXPIRED"
        return order.status

    def cancel(self, number: int) -> bool:
        before = len(self.book)
        self.book = [o for o in self.book if o.number != number]
        return len(self.book) < before

    def _match(self, order: NaiveOrder) -> None:
        while True:
            makers = self.facing(order)
            if not makers:
                return
            maker = makers[0]
            unit = maker.price * self.unit
            wanted = (order.budget - order.quote) // unit if order.budget else order.open
            if not wanted:
                return
            if maker.owner == order.owner and order.stp != "NONE":
                if order.stp in {"EXPIRE_MAKER", "EXPIRE_BOTH"}:
                    maker.status = "EXPIRED_IN_MATCH"
                    self.book.remove(maker)
                if order.stp in {"EXPIRE_TAKER", "EXPIRE_BOTH"}:
                    order.status = "EXPIRED_IN_MATCH"
                    return
                continue
            self._trade(maker, order, min(wanted, maker.open))
            if order.status == "FILLED":
                return

    def _trade(self, maker: NaiveOrder, taker: NaiveOrder, lots: int) -> None:
        quote = maker.price * lots * self.unit
        self.trades.append((maker.price, lots, maker.number, taker.number))
        for order, rate in ((maker, self.maker), (taker, self.taker)):
            self._book(order, lots * self.lot, quote, rate)
            order.executed += lots
            order.quote += quote
            order.status = "PARTIALLY_FILLED" if order.open else "FILLED"
        if not maker.open:
            self.book.remove(maker)
        if taker.budget:
            rest = taker.budget - taker.quote
            others = [m for m in self.book if m.is_buy != taker.is_buy]
            best = (
                min((m.price for m in others), default=0) if taker.is_buy else max((m.price for m in others), default=0)
            )
            taker.status = "FILLED" if not rest or (best and rest < best * self.unit) else "PARTIALLY_FILLED"

    def _book(self, order: NaiveOrder, base: int, quote: int, rate: int) -> None:
        if order.owner not in self.money:
            return
        money = self.money[order.owner]
        got = base if order.is_buy else quote
        fee = got * rate // 10**8
        money["base"] += base - fee if order.is_buy else -base
        money["quote"] += -quote if order.is_buy else quote - fee
        self.fees["base" if order.is_buy else "quote"] += fee

"""The engine and the naive matcher side by side: every step goes into both, and ``check`` compares everything."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import pytest

from kit.testnet.audit import audit
from kit.testnet.ladder import queue
from kit.testnet.symbols import SymbolInfo
from kit.testnet.venue import Order, VenueReject
from tests.support.engine import D, Desk, NaiveExchange, NaiveOrder

PAIR_SYMBOL = SymbolInfo(
    symbol="ABCXYZ",
    base="ABC",
    quote="XYZ",
    tick_size=D("0.01"),
    step_size=D("0.001"),
    min_qty=D("0.001"),
    max_qty=D(1000),
    min_notional=D(0),
    max_num_orders=10_000,
    percent_price_up=D(1000),
    percent_price_down=D(0),
    maker_fee=D("0.00075"),
    taker_fee=D("0.00123457"),
)


class EnginePair:
    """Two traders, one with little money, and a crowd on a symbol with uneven fees; prices are in ticks."""

    TRADERS = ("ann", "bob")
    TRADER_KINDS = ("GTC", "GTC", "GTC", "IOC", "FOK", "LIMIT_MAKER", "MARKET", "BY_QUOTE")
    CROWD_KINDS = ("GTC", "GTC", "IOC", "LIMIT_MAKER", "MARKET")
    STP = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
    FUNDS: ClassVar = {"ann": ("0.025", "0.03"), "bob": ("0.080", "5")}

    def __init__(self) -> None:
        self.info = info = PAIR_SYMBOL
        self.desk = Desk(info, traders=())
        money: dict[str, dict[str, int]] = {}
        for name, (base, quote) in self.FUNDS.items():
            account = self.desk.venue.create_account(name)
            self.desk.venue.deposit(account, info.base, D(base))
            self.desk.venue.deposit(account, info.quote, D(quote))
            money[name] = {"base": account.free[info.base], "quote": account.free[info.quote]}
        maker, taker = self.desk.account("ann").rates(info)
        self.naive = NaiveExchange(info.quote_units, info.lot_units, maker, taker, money)
        self.pairs: dict[int, tuple[Order, NaiveOrder]] = {}
        self.published: dict[tuple[str, int], int] = {}
        self.last_update_id = 0
        self._reports_checked = 0
        self._last_report: dict[int, Any] = {}

    # steps

    def trader_order(self, owner: str, side: str, kind: str, price: int, lots: int, stp: str) -> str:
        """Place a trader's order in both; return its status, REJECTED when it was refused."""
        is_market, by_quote = kind in {"MARKET", "BY_QUOTE"}, kind == "BY_QUOTE"
        type_ = "MARKET" if is_market else "LIMIT_MAKER" if kind == "LIMIT_MAKER" else "LIMIT"
        tif = kind if kind in {"IOC", "FOK"} else "GTC"
        budget = price * lots * self.info.quote_units + 123 if by_quote else 0
        number = self.desk.market.last_order_id + 1
        naive = NaiveOrder(
            number, owner, side == "BUY", 0 if is_market else price, 0 if budget else lots, type_, tif, stp, budget
        )
        expected = self.naive.place(naive)
        with _rejected(-2010, expected == "REJECTED"):
            order = self.desk.place(
                owner,
                side,
                None if budget else self.info.qty(lots),
                None if is_market else self.info.price(price),
                type=type_,
                time_in_force=tif,
                stp_mode=stp,
                quote_qty=D(budget).scaleb(-8) if budget else None,
            )
        if expected != "REJECTED":
            assert (order.status, order.order_id) == (expected, number)
            self.pairs[number] = (order, naive)
        return expected

    def crowd_order(self, side: str, kind: str, price: int, lots: int) -> None:
        """Place an order of the crowd in both."""
        type_ = kind if kind in {"LIMIT_MAKER", "MARKET"} else "LIMIT"
        tif = "IOC" if kind == "IOC" else "GTC"
        price = 0 if kind == "MARKET" else price
        number = self.desk.market.last_order_id + 1
        naive = NaiveOrder(number, "crowd", side == "BUY", price, lots, type_, tif, "NONE")
        naive.status = self.naive.place(naive)
        order = self.desk.venue.place_fast(self.desk.market, self.desk.crowd, side, price, lots, type_, tif)  # type: ignore[arg-type]
        assert order.order_id == number
        self.pairs[number] = (order, naive)

    def cancel(self, pick: int) -> None:
        """Cancel any order there ever was in both; those that are done must be refused."""
        if not self.pairs:
            return
        order, naive = self._pick(pick)
        was_open = self.naive.cancel(naive.number)
        if was_open:
            naive.status = "CANCELED"
        if order.account is self.desk.crowd:
            assert self.desk.venue.cancel_fast(order) == was_open
            return
        with _rejected(-2011, not was_open):
            self.desk.venue.cancel(order.account, self.info.symbol, order.order_id)

    def reduce(self, pick: int, lots: int) -> None:
        """Lower a resting order in both."""
        if not self.pairs:
            return
        order, naive = self._pick(pick)
        if not order.is_working:
            return
        self.desk.venue.reduce(order, lots)
        if lots >= naive.open:
            self.naive.cancel(naive.number)
            naive.status = "CANCELED"
        else:
            naive.lots -= lots

    def publish(self) -> None:
        """Take the book's changes and rebuild the book from them alone, as a client of the depth stream does."""
        market = self.desk.market
        levels, first, last = market.take_changes()
        assert first == self.last_update_id + 1
        assert (last >= first) == bool(levels)
        self.last_update_id = last
        self.published.update(levels)
        book = {("BUY", price): lots for price, lots in market.bids.depth(1000)}
        book |= {("SELL", price): lots for price, lots in market.asks.depth(1000)}
        assert {key: lots for key, lots in self.published.items() if lots} == book

    # what must hold

    def check(self) -> None:
        """Compare books, trades, statuses, money, fees and reports; audit the engine."""
        assert audit(self.desk.venue) == []
        assert self.desk.venue.taps.errors == 0
        self._check_books()
        self._check_orders()
        self._check_money()
        self._check_reports()

    def _check_books(self) -> None:
        for is_buy, ladder in ((True, self.desk.market.bids), (False, self.desk.market.asks)):
            rested = sorted(
                (o for o in self.naive.book if o.is_buy == is_buy),
                key=lambda o: (-o.price if o.is_buy else o.price, o.number),
            )
            resting = [(o.order_id, o.price_ticks, o.open_lots) for level in ladder.levels() for o in queue(level)]
            assert resting == [(o.number, o.price, o.open) for o in rested]

    def _check_orders(self) -> None:
        trades = [(t.price_ticks, t.qty_lots, t.maker.order_id, t.taker.order_id) for t in self.desk.trades]
        assert trades == self.naive.trades
        assert [t.trade_id for t in self.desk.trades] == list(range(1, len(trades) + 1))
        for order, naive in self.pairs.values():
            got = (order.status, order.executed_lots, order.cum_quote_units)
            assert got == (naive.status, naive.executed, naive.quote)

    def _check_money(self) -> None:
        info = self.info
        for name, money in self.naive.money.items():
            account = self.desk.account(name)
            for asset, kind in ((info.base, "base"), (info.quote, "quote")):
                assert account.total(asset) == money[kind]
                assert account.locked.get(asset, 0) == self.naive.held(name, kind)
        fees = self.desk.venue.ledger.fees.free
        assert (fees.get(info.base, 0), fees.get(info.quote, 0)) == (self.naive.fees["base"], self.naive.fees["quote"])

    def _check_reports(self) -> None:
        """An order's reports begin with NEW or REJECTED, add up, and nothing follows a final one."""
        for report in self.desk.reports[self._reports_checked :]:
            number = report.order.order_id
            before = self._last_report.get(number)
            assert (before is None) == (report.execution_type in {"NEW", "REJECTED"})
            assert before is None or before.status in {"NEW", "PARTIALLY_FILLED"}
            assert report.executed_lots == (before.executed_lots if before else 0) + report.last_lots
            self._last_report[number] = report
        self._reports_checked = len(self.desk.reports)
        for number, report in self._last_report.items():
            if number in self.pairs:
                assert report.status == self.pairs[number][0].status

    def _pick(self, pick: int) -> tuple[Order, NaiveOrder]:
        return self.pairs[list(self.pairs)[pick % len(self.pairs)]]


def _rejected(code: int, expected: bool) -> AbstractContextManager[Any]:
    return pytest.raises(VenueReject, match=f"^{code} ") if expected else nullcontext()

"""Matching: examples of every order type, time in force and self-trade mode, and a machine against a naive matcher."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.testnet.audit import audit
from kit.testnet.symbols import BTCUSDT, UNITS, SymbolInfo
from kit.testnet.venue import Order, VenueReject
from tests.support.engine import D, Desk, NaiveExchange, NaiveOrder


@pytest.fixture
def desk() -> Desk:
    return Desk()


def prices_and_lots(order: Order) -> list[tuple[int, int]]:
    return [(trade.price_ticks, trade.qty_lots) for trade in order.fills or ()]


# price-time priority


def test_better_prices_first_then_older_orders(desk: Desk) -> None:
    late = desk.crowd_order("SELL", 60001, 1)
    first = desk.crowd_order("SELL", 60000, 1)
    second = desk.crowd_order("SELL", 60000, 1)
    taker = desk.place("ann", "BUY", "2.5", 60001)
    assert [trade.maker for trade in taker.fills or ()] == [first, second, late]
    assert prices_and_lots(taker) == [(6_000_000, 100_000), (6_000_000, 100_000), (6_000_100, 50_000)]
    assert taker.status == "FILLED"
    assert (late.open_lots, late.status) == (50_000, "PARTIALLY_FILLED")


def test_a_trader_queues_behind_what_rested_before(desk: Desk) -> None:
    desk.crowd_order("BUY", 60000, 2)
    own = desk.place("ann", "BUY", "1", 60000)
    desk.crowd_order("SELL", 60000, "1.5")
    assert own.status == "NEW"
    desk.crowd_order("SELL", 60000, 1)
    assert (own.status, own.executed_lots) == ("PARTIALLY_FILLED", 50_000)


def test_reducing_keeps_the_place_and_a_new_order_goes_to_the_end(desk: Desk) -> None:
    first = desk.crowd_order("BUY", 60000, 2)
    own = desk.place("ann", "BUY", "1", 60000)
    desk.venue.reduce(first, 100_000)
    assert (first.open_lots, first.qty_lots) == (100_000, 100_000)
    desk.crowd_order("SELL", 60000, 1)
    assert (first.status, own.status) == ("FILLED", "NEW")


def test_the_maker_sets_the_price(desk: Desk) -> None:
    desk.crowd_order("BUY", 60000, 1)
    taker = desk.place("ann", "SELL", "1", 59000)
    assert prices_and_lots(taker) == [(6_000_000, 100_000)]
    assert desk.trades[0].buyer_is_maker
    assert (desk.trades[0].buyer, desk.trades[0].seller) == (desk.trades[0].maker, taker)


# types and times in force


def test_limit_gtc_rests_with_its_remainder(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    order = desk.place("ann", "BUY", "3", 60000)
    assert (order.status, order.executed_lots, order.open_lots) == ("PARTIALLY_FILLED", 100_000, 200_000)
    assert order.is_working
    assert desk.market.bids.depth(1) == [(6_000_000, 200_000)]
    assert desk.kinds(order) == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED")]
    assert order.cum_quote_units == 60_000 * UNITS


def test_limit_ioc_expires_its_remainder(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    order = desk.place("ann", "BUY", "3", 60000, time_in_force="IOC")
    assert (order.status, order.executed_lots) == ("EXPIRED", 100_000)
    assert order.expiry_reason == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert desk.kinds(order)[-1] == ("EXPIRED", "EXPIRED")
    assert desk.market.bids.best is None
    assert desk.locked("ann", "USDT") == 0


def test_limit_fok_fills_whole_or_not_at_all(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    desk.crowd_order("SELL", 60001, 1)
    short = desk.place("ann", "BUY", "2", 60000, time_in_force="FOK")
    assert (short.status, short.executed_lots, short.fills) == ("EXPIRED", 0, None)
    assert short.expiry_reason == "UNFILLED_FOK_ORDER_EXPIRED"
    assert desk.kinds(short) == [("NEW", "NEW"), ("EXPIRED", "EXPIRED")]
    assert desk.locked("ann", "USDT") == 0
    whole = desk.place("ann", "BUY", "2", 60001, time_in_force="FOK")
    assert (whole.status, len(prices_and_lots(whole))) == ("FILLED", 2)


def test_limit_maker_rests_or_is_refused(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    with pytest.raises(VenueReject, match=r"-2010 Order would immediately match and take\."):
        desk.place("ann", "BUY", "1", 60000, type="LIMIT_MAKER")
    assert [(r.execution_type, r.status, r.reject_reason) for r in desk.reports] == [
        ("REJECTED", "REJECTED", "WOULD_MATCH_IMMEDIATELY")
    ]
    order = desk.place("ann", "BUY", "1", "59999.99", type="LIMIT_MAKER")
    assert (order.status, order.type) == ("NEW", "LIMIT_MAKER")
    assert audit(desk.venue) == []


def test_market_by_base(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    desk.crowd_order("SELL", 60010, 1)
    order = desk.place("ann", "BUY", "1.5", type="MARKET")
    assert (order.status, order.cum_quote_units) == ("FILLED", (60_000 + 30_005) * UNITS)
    assert (order.price_ticks, order.time_in_force) == (0, "GTC")


def test_market_takes_what_there_is_and_expires(desk: Desk) -> None:
    desk.crowd_order("BUY", 60000, 1)
    order = desk.place("ann", "SELL", "3", type="MARKET")
    assert (order.status, order.executed_lots, order.qty_lots) == ("EXPIRED", 100_000, 300_000)
    assert order.expiry_reason == "INSUFFICIENT_LIQUIDITY"
    assert desk.kinds(order) == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("EXPIRED", "EXPIRED")]


def test_market_on_an_empty_book_expires(desk: Desk) -> None:
    assert desk.place("ann", "SELL", "3", type="MARKET").status == "EXPIRED"


def test_market_by_quote_buys_whole_lots_within_its_budget(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, "0.00100")
    desk.crowd_order("SELL", 61000, 1)
    order = desk.place("ann", "BUY", type="MARKET", quote_qty=D(100))
    # 60 USDT buy 0.001 at 60,000; 40 USDT buy 65 lots of 0.61 USDT at 61,000: 39.65
    assert prices_and_lots(order) == [(6_000_000, 100), (6_100_000, 65)]
    assert (order.status, order.qty_lots) == ("FILLED", 165)
    assert D(order.cum_quote_units).scaleb(-8) == D("99.65")
    assert desk.kinds(order) == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("TRADE", "FILLED")]


def test_market_by_quote_sells_for_at_most_the_amount(desk: Desk) -> None:
    desk.crowd_order("BUY", 60000, 1)
    order = desk.place("ann", "SELL", type="MARKET", quote_qty=D(100))
    assert (order.status, order.executed_lots) == ("FILLED", 166)
    assert desk.free("ann", "USDT") == 10_000_000 + D("99.6") - D("0.0996")


def test_market_by_quote_expires_when_the_book_ends(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, "0.00100")
    order = desk.place("ann", "BUY", type="MARKET", quote_qty=D(100))
    assert (order.status, order.executed_lots, order.qty_lots) == ("EXPIRED", 100, 100)
    assert audit(desk.venue) == []


def test_market_by_quote_needs_a_book(desk: Desk) -> None:
    with pytest.raises(VenueReject, match="-2010 Order book liquidity is less than symbol minimum quantity"):
        desk.place("ann", "BUY", type="MARKET", quote_qty=D(100))


# funds


@pytest.mark.parametrize(
    ("side", "qty", "price", "more"),
    [
        ("BUY", "149", 60000, {}),
        ("SELL", "100.00001", 60000, {}),
        ("BUY", "170", None, {"type": "MARKET"}),
        ("SELL", "101", None, {"type": "MARKET"}),
        ("BUY", None, None, {"type": "MARKET", "quote_qty": D(10_000_001)}),
        ("SELL", None, None, {"type": "MARKET", "quote_qty": D(7_000_000)}),
    ],
)
def test_orders_beyond_the_balance_are_refused(desk: Desk, side: str, qty: Any, price: Any, more: Any) -> None:
    desk.crowd_order("SELL", 60000, 500)
    desk.crowd_order("BUY", 59999, 500)
    resting = desk.place("ann", "BUY", "50", 50000)
    desk.forget()
    with pytest.raises(VenueReject, match=r"-2010 Account has insufficient balance for requested action\."):
        desk.place("ann", side, qty, price, **more)
    assert [(r.execution_type, r.reject_reason) for r in desk.reports] == [("REJECTED", "INSUFFICIENT_BALANCES")]
    assert desk.venue.open_orders(desk.account("ann")) == [resting]
    assert desk.trades == []
    assert audit(desk.venue) == []


def test_the_whole_balance_can_be_used(desk: Desk) -> None:
    desk.venue.deposit(desk.account("ann"), "USDT", D(-4_000_000))
    desk.crowd_order("SELL", 100000, 100)
    assert desk.place("ann", "BUY", "60", 100000).status == "FILLED"
    assert desk.free("ann", "USDT") == 0


# self-trade prevention (scenarios A to F of Binance's STP FAQ)


def test_stp_none_lets_an_account_trade_with_itself(desk: Desk) -> None:
    maker = desk.place("ann", "BUY", "1", 60000, stp_mode="NONE")
    taker = desk.place("ann", "SELL", "1", 60000, stp_mode="NONE")
    assert (maker.status, taker.status) == ("FILLED", "FILLED")
    assert desk.free("ann", "BTC") == D("99.999")
    assert len(desk.venue.account_trades(desk.account("ann"), "BTCUSDT")) == 2
    assert audit(desk.venue) == []


def test_stp_expire_maker_clears_the_way(desk: Desk) -> None:
    makers = [desk.place("ann", "BUY", qty, price) for qty, price in (("1.2", 62000), ("1.3", 61000), ("8.1", 60000))]
    taker = desk.place("ann", "SELL", "3", 60000, stp_mode="EXPIRE_MAKER")
    assert [m.status for m in makers] == ["EXPIRED_IN_MATCH"] * 3
    assert [m.prevented_match_id for m in makers] == [0, 1, 2]
    assert [m.prevented_lots for m in makers] == [120_000, 130_000, 810_000]
    assert (taker.status, taker.is_working, taker.prevented_match_id) == ("NEW", True, -1)
    assert [(p.match_id, p.maker_lots, p.taker_lots) for p in taker.preventions or ()] == [
        (0, 120_000, None),
        (1, 130_000, None),
        (2, 810_000, None),
    ]
    assert desk.locked("ann", "USDT") == 0
    assert desk.trades == []
    assert audit(desk.venue) == []


def test_stp_expire_taker_leaves_the_book(desk: Desk) -> None:
    better = desk.crowd_order("BUY", 62000, 1)
    maker = desk.place("ann", "BUY", "1", 61000)
    taker = desk.place("ann", "SELL", "3", 60000, stp_mode="EXPIRE_TAKER")
    assert better.status == "FILLED"
    assert (maker.status, maker.open_lots) == ("NEW", 100_000)
    assert (taker.status, taker.executed_lots, taker.prevented_lots) == ("EXPIRED_IN_MATCH", 100_000, 200_000)
    assert desk.kinds(taker) == [
        ("NEW", "NEW"),
        ("TRADE", "PARTIALLY_FILLED"),
        ("TRADE_PREVENTION", "EXPIRED_IN_MATCH"),
    ]
    assert desk.reports[-1].counter_order_id == maker.order_id
    assert desk.locked("ann", "BTC") == 0
    assert desk.venue.open_orders(desk.account("ann")) == [maker]
    assert audit(desk.venue) == []


def test_stp_expire_both(desk: Desk) -> None:
    maker = desk.place("ann", "BUY", "1", 60000, stp_mode="NONE")
    taker = desk.place("ann", "SELL", "3", 60000, stp_mode="EXPIRE_BOTH")
    assert (maker.status, taker.status) == ("EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH")
    assert (maker.prevented_lots, taker.prevented_lots) == (100_000, 300_000)
    assert [r.order for r in desk.reports if r.execution_type == "TRADE_PREVENTION"] == [maker, taker]
    prevention = desk.market.prevented[0]
    assert (prevention.lots, prevention.price_ticks, prevention.quote_units) == (100_000, 6_000_000, 60_000 * UNITS)
    assert desk.venue.open_orders(desk.account("ann")) == []
    assert audit(desk.venue) == []


def test_stp_of_the_taker_decides(desk: Desk) -> None:
    maker = desk.place("ann", "BUY", "1", 60000, stp_mode="EXPIRE_MAKER")
    taker = desk.place("ann", "SELL", "1", 60000, stp_mode="EXPIRE_TAKER")
    assert (maker.status, taker.status) == ("NEW", "EXPIRED_IN_MATCH")


def test_stp_with_a_market_order_that_finds_nothing_else(desk: Desk) -> None:
    maker = desk.place("ann", "BUY", "1", 60000)
    taker = desk.place("ann", "SELL", "1", type="MARKET", stp_mode="EXPIRE_MAKER")
    assert (maker.status, taker.status) == ("EXPIRED_IN_MATCH", "EXPIRED")


def test_stp_does_not_come_between_two_accounts(desk: Desk) -> None:
    desk.place("ann", "BUY", "1", 60000)
    assert desk.place("bob", "SELL", "1", 60000, stp_mode="EXPIRE_BOTH").status == "FILLED"


def test_fok_does_not_count_own_orders_that_would_expire(desk: Desk) -> None:
    desk.place("ann", "SELL", "1", 60000)
    desk.crowd_order("SELL", 60000, 1)
    order = desk.place("ann", "BUY", "2", 60000, time_in_force="FOK", stp_mode="EXPIRE_MAKER")
    assert (order.status, order.executed_lots) == ("EXPIRED", 0)


# the fast path


def test_fast_orders_are_in_no_index_and_reported_to_nobody(desk: Desk) -> None:
    order = desk.crowd_order("BUY", 60000, 1)
    assert desk.venue.open_orders(desk.crowd) == []
    assert desk.market.orders == {}
    assert desk.told == []
    assert desk.venue.cancel_fast(order)
    assert not desk.venue.cancel_fast(order)
    assert order.status == "CANCELED"


def test_fast_limit_maker_that_would_match_changes_nothing(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    desk.market.take_changes()
    order = desk.crowd_order("BUY", 60000, 1, type="LIMIT_MAKER")
    assert (order.status, order.is_working) == ("REJECTED", False)
    assert desk.market.take_changes().levels == {}


def test_fast_market_and_fok_orders(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    assert desk.crowd_order("BUY", 60000, 2, time_in_force="FOK").status == "EXPIRED"
    assert desk.crowd_order("BUY", None, 2, type="MARKET").executed_lots == 100_000
    assert desk.market.asks.best is None


def test_cancelling_a_traders_order_at_hand_releases_its_hold_and_tells(desk: Desk) -> None:
    order = desk.place("ann", "BUY", "1", 60000)
    desk.venue.reduce(order, 40_000)
    assert desk.locked("ann", "USDT") == 36_000
    assert desk.venue.cancel_fast(order)
    assert desk.locked("ann", "USDT") == 0
    assert desk.kinds(order)[-1] == ("CANCELED", "CANCELED")
    assert audit(desk.venue) == []


def test_a_crossing_fast_order_fills_traders(desk: Desk) -> None:
    own = desk.place("ann", "SELL", "1", 60000)
    desk.crowd_order("BUY", 60005, 3)
    assert own.status == "FILLED"
    assert desk.market.bids.depth(1) == [(6_000_500, 200_000)]
    assert [r.is_maker for r in desk.reports if r.trade] == [True]


# against the naive matcher

MACHINE_SYMBOL = SymbolInfo(
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

KINDS = st.sampled_from(["GTC", "GTC", "GTC", "IOC", "FOK", "LIMIT_MAKER", "MARKET", "BY_QUOTE"])
STP = st.sampled_from(["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"])
SIDES = st.sampled_from(["BUY", "SELL"])
PRICES = st.integers(95, 105)
LOTS = st.integers(1, 12)


class Machine(RuleBasedStateMachine):
    """Random orders into the engine and into the naive matcher; both must agree on everything after each step."""

    @initialize()
    def begin(self) -> None:
        self.desk = Desk(MACHINE_SYMBOL, traders=())
        venue = self.desk.venue
        info = MACHINE_SYMBOL
        money: dict[str, dict[str, int]] = {}
        for name, base, quote in (("ann", "0.025", "0.02"), ("bob", "0.040", "5")):
            account = venue.create_account(name)
            venue.deposit(account, info.base, D(base))
            venue.deposit(account, info.quote, D(quote))
            money[name] = {"base": account.free[info.base], "quote": account.free[info.quote]}
        maker, taker = self.desk.account("ann").rates(info)
        self.naive = NaiveExchange(info.quote_units, info.lot_units, maker, taker, money)
        self.pairs: dict[int, tuple[Order, NaiveOrder]] = {}
        self.changes_seen: dict[tuple[str, int], int] = {}
        self.last_update_id = 0

    @rule(owner=st.sampled_from(["ann", "bob"]), side=SIDES, kind=KINDS, price=PRICES, lots=LOTS, stp=STP)
    def trader_order(self, owner: str, side: str, kind: str, price: int, lots: int, stp: str) -> None:
        info = MACHINE_SYMBOL
        is_market = kind in {"MARKET", "BY_QUOTE"}
        type_ = "MARKET" if is_market else "LIMIT_MAKER" if kind == "LIMIT_MAKER" else "LIMIT"
        tif = kind if kind in {"GTC", "IOC", "FOK"} else "GTC"
        budget = price * lots * info.quote_units + 123 if kind == "BY_QUOTE" else 0
        naive = NaiveOrder(
            self.desk.market.last_order_id + 1,
            owner,
            side == "BUY",
            0 if is_market else price,
            0 if budget else lots,
            type_,
            tif,
            stp,
            budget,
        )
        expected = self.naive.place(naive)
        with self._rejected(-2010, expected == "REJECTED"):
            order = self.desk.place(
                owner,
                side,
                None if budget else info.qty(lots),
                None if is_market else info.price(price),
                type=type_,
                time_in_force=tif,
                stp_mode=stp,
                quote_qty=D(budget).scaleb(-8) if budget else None,
            )
        if expected == "REJECTED":
            return
        assert order.status == expected
        assert order.order_id == naive.number
        self.pairs[order.order_id] = (order, naive)

    @rule(side=SIDES, price=PRICES, lots=LOTS, kind=st.sampled_from(["GTC", "GTC", "IOC", "LIMIT_MAKER", "MARKET"]))
    def crowd_order(self, side: str, price: int, lots: int, kind: str) -> None:
        type_ = kind if kind in {"LIMIT_MAKER", "MARKET"} else "LIMIT"
        tif = "IOC" if kind == "IOC" else "GTC"
        price = 0 if kind == "MARKET" else price
        naive = NaiveOrder(self.desk.market.last_order_id + 1, "crowd", side == "BUY", price, lots, type_, tif, "NONE")
        expected = self.naive.place(naive)
        order = self.desk.venue.place_fast(
            self.desk.market,
            self.desk.crowd,
            side,
            price,
            lots,
            type_,
            tif,  # type: ignore[arg-type]
        )
        assert order.status == expected
        naive.status = expected
        self.pairs[order.order_id] = (order, naive)

    @precondition(lambda self: self.pairs)
    @rule(pick=st.integers(0, 10_000))
    def cancel(self, pick: int) -> None:
        order, naive = self.pairs[list(self.pairs)[pick % len(self.pairs)]]
        was_open = self.naive.cancel(naive.number)
        if was_open:
            naive.status = "CANCELED"
        if order.account is self.desk.crowd:
            assert self.desk.venue.cancel_fast(order) == was_open
            return
        with self._rejected(-2011, not was_open):
            self.desk.venue.cancel(order.account, "ABCXYZ", order.order_id)

    @staticmethod
    def _rejected(code: int, expected: bool) -> AbstractContextManager[Any]:
        return pytest.raises(VenueReject, match=f"^{code} ") if expected else nullcontext()

    @precondition(lambda self: self.pairs)
    @rule(pick=st.integers(0, 10_000), lots=st.integers(1, 5))
    def reduce(self, pick: int, lots: int) -> None:
        order, naive = self.pairs[list(self.pairs)[pick % len(self.pairs)]]
        if not order.is_working:
            return
        self.desk.venue.reduce(order, lots)
        if lots >= naive.open:
            self.naive.cancel(naive.number)
            naive.status = "CANCELED"
        else:
            naive.lots -= lots

    @rule()
    def publish(self) -> None:
        """Rebuild the book from the published changes alone, as a client of the depth stream does."""
        levels, first, last = self.desk.market.take_changes()
        assert first == self.last_update_id + 1
        assert (last >= first) == bool(levels)
        self.last_update_id = last
        self.changes_seen.update(levels)
        seen = {key: lots for key, lots in self.changes_seen.items() if lots}
        market = self.desk.market
        book = {("BUY", price): lots for price, lots in market.bids.depth(1000)}
        book |= {("SELL", price): lots for price, lots in market.asks.depth(1000)}
        assert seen == book

    @invariant()
    def same_book_in_the_same_order(self) -> None:
        if not hasattr(self, "naive"):
            return
        market = self.desk.market
        for is_buy, ladder in ((True, market.bids), (False, market.asks)):
            rested = sorted(
                (o for o in self.naive.book if o.is_buy == is_buy),
                key=lambda o: (-o.price if is_buy else o.price, o.number),
            )
            queue = []
            for level in ladder.levels():
                order = level.head
                while order is not None:
                    queue.append((order.order_id, order.price_ticks, order.open_lots))
                    order = order.after
            assert queue == [(o.number, o.price, o.open) for o in rested]

    @invariant()
    def same_trades_and_statuses(self) -> None:
        if not hasattr(self, "naive"):
            return
        trades = [(t.price_ticks, t.qty_lots, t.maker.order_id, t.taker.order_id) for t in self.desk.trades]
        assert trades == self.naive.trades
        assert [t.trade_id for t in self.desk.trades] == list(range(1, len(trades) + 1))
        for order, naive in self.pairs.values():
            assert (order.status, order.executed_lots, order.cum_quote_units) == (
                naive.status,
                naive.executed,
                naive.quote,
            )

    @invariant()
    def same_money_and_nothing_lost(self) -> None:
        if not hasattr(self, "naive"):
            return
        assert audit(self.desk.venue) == []
        info = MACHINE_SYMBOL
        for name, money in self.naive.money.items():
            account = self.desk.account(name)
            for asset, kind in ((info.base, "base"), (info.quote, "quote")):
                assert account.total(asset) == money[kind]
                assert account.locked.get(asset, 0) == self.naive.held(name, kind)
        fees = self.desk.venue.ledger.fees.free
        assert (fees.get(info.base, 0), fees.get(info.quote, 0)) == (self.naive.fees["base"], self.naive.fees["quote"])

    @invariant()
    def reports_tell_each_order_whole(self) -> None:
        """Replaying an order's reports gives its state; nothing follows a final report."""
        if not hasattr(self, "naive"):
            return
        assert self.desk.venue.taps.errors == 0
        last: dict[int, Any] = {}
        executed: dict[int, int] = {}
        for report in self.desk.reports:
            number = report.order.order_id
            before = last.get(number)
            assert before is None or before.status in {"NEW", "PARTIALLY_FILLED"}
            assert (before is None) == (report.execution_type in {"NEW", "REJECTED"})
            executed[number] = executed.get(number, 0) + report.last_lots
            assert report.executed_lots == executed[number]
            last[number] = report
        for number, report in last.items():
            if number in self.pairs:
                assert report.status == self.pairs[number][0].status


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_default_symbols_make_whole_factors() -> None:
    assert (BTCUSDT.tick_units, BTCUSDT.lot_units, BTCUSDT.quote_units) == (1_000_000, 1_000, 10)

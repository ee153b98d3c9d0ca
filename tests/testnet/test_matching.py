"""Matching: examples of every order type, time in force and self-trade mode, and a machine against a naive matcher."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.testnet.audit import audit
from kit.testnet.symbols import BTCUSDT, UNITS
from kit.testnet.venue import Order, VenueReject
from tests.support.engine import D, Desk
from tests.support.engine_pair import EnginePair


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

KINDS = st.sampled_from(EnginePair.TRADER_KINDS)
STP = st.sampled_from(EnginePair.STP)
SIDES = st.sampled_from(["BUY", "SELL"])
PRICES = st.integers(97, 103)
LOTS = st.integers(1, 12)


class Machine(RuleBasedStateMachine):
    """Random orders into the engine and into the naive matcher; both must agree on everything after each step."""

    @initialize()
    def begin(self) -> None:
        self.pair = EnginePair()

    @rule(owner=st.sampled_from(EnginePair.TRADERS), side=SIDES, kind=KINDS, price=PRICES, lots=LOTS, stp=STP)
    def trader_order(self, owner: str, side: str, kind: str, price: int, lots: int, stp: str) -> None:
        self.pair.trader_order(owner, side, kind, price, lots, stp)

    @rule(side=SIDES, price=PRICES, lots=LOTS, kind=st.sampled_from(EnginePair.CROWD_KINDS))
    def crowd_order(self, side: str, price: int, lots: int, kind: str) -> None:
        self.pair.crowd_order(side, kind, price, lots)

    @precondition(lambda self: self.pair.pairs)
    @rule(pick=st.integers(0, 10_000))
    def cancel(self, pick: int) -> None:
        self.pair.cancel(pick)

    @precondition(lambda self: self.pair.pairs)
    @rule(pick=st.integers(0, 10_000), lots=st.integers(1, 5))
    def reduce(self, pick: int, lots: int) -> None:
        self.pair.reduce(pick, lots)

    @rule()
    def publish(self) -> None:
        self.pair.publish()

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "pair"):
            self.pair.check()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=60)


@pytest.mark.parametrize("seed", range(8))
def test_engine_equals_the_naive_matcher_over_a_long_run(seed: int) -> None:
    """The machine's steps from a seeded generator: longer than hypothesis goes, with deeper books."""
    rng = random.Random(seed)
    pair = EnginePair()
    seen = set()
    for _ in range(700):
        dice, side, price, lots = (
            rng.random(),
            rng.choice(["BUY", "SELL"]),
            rng.randrange(95, 106),
            rng.randrange(1, 13),
        )
        if dice < 0.5:
            owner, kind, stp = rng.choice(pair.TRADERS), rng.choice(pair.TRADER_KINDS), rng.choice(pair.STP)
            seen.add(pair.trader_order(owner, side, kind, price, lots, stp))
        elif dice < 0.8:
            pair.crowd_order(side, rng.choice(pair.CROWD_KINDS), price, lots)
        elif dice < 0.9:
            pair.cancel(rng.randrange(10_000))
        else:
            pair.reduce(rng.randrange(10_000), rng.randrange(1, 6))
        pair.publish()
        pair.check()
    assert seen == {"NEW", "PARTIALLY_FILLED", "FILLED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"}


def test_default_symbols_make_whole_factors() -> None:
    assert (BTCUSDT.tick_units, BTCUSDT.lot_units, BTCUSDT.quote_units) == (1_000_000, 1_000, 10)

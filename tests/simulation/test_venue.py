"""The simulated venue says what a live exchange would have said, when it would have said it."""

import itertools
import random
from decimal import Decimal as D

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.errors import InvalidInput, UnknownPair
from kit.simulation.exchange_models import NoPartialFill, PartialFill, SelfTradePrevention
from kit.simulation.fees import Fees
from kit.simulation.latency import ConstantLatency, NoLatency, RecordedLatency
from kit.simulation.queue_models import RiskAverse
from kit.simulation.venue import SimulatedVenue
from kit.storage.events import BUY, SELL, EventKind
from kit.types.market import TradeType
from kit.types.orders import (
    Balance,
    BalanceUpdate,
    CancelFailed,
    CancelRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TimeInForce,
    TradeUpdate,
)
from tests.support.counted import calls
from tests.support.simulated import MS, OTHER, PAIR, RULES, SECOND, Trader, book, limit, market, row, trade

LONG, SHORT = TradeType.BUY, TradeType.SELL


async def test_an_order_is_answered_after_both_ways_and_its_money_is_held():
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.submit(limit("a", LONG, "99.5"))
    trader.to(SECOND + 29 * MS)
    assert trader.heard == []
    assert await trader.venue.query(CancelRequest("a", PAIR)) is None  # nobody has told us of it
    trader.to(SECOND + 30 * MS)
    assert trader.story() == ["open", "USDT 10000 9900.5"]
    assert [ns for ns, _ in trader.heard] == [SECOND + 30 * MS] * 2
    told = trader.of(OrderUpdate)[0]
    assert told.timestamp == pytest.approx(1.010)
    assert (told.filled, told.amount, told.price) == (0, 1, D("99.5"))
    assert told.exchange_order_id
    assert await trader.venue.query(CancelRequest("a", PAIR)) == told
    assert await trader.venue.query(CancelRequest("", PAIR, told.exchange_order_id)) == told
    assert await trader.venue.fetch_open_orders(PAIR) == [told]
    assert await trader.venue.fetch_open_orders(OTHER) == []
    assert (await trader.venue.fetch_balances())["USDT"] == Balance(D(10_000), D("9900.5"))


async def test_a_cancel_gives_the_money_back():
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.submit(limit("a", SHORT, "102", "2"))
    trader.to(2 * SECOND)
    trader.venue.cancel(CancelRequest("a", PAIR))
    trader.to(3 * SECOND)
    assert trader.story() == ["open", "BTC 10 8", "canceled", "BTC 10 10"]
    found = await trader.venue.query(CancelRequest("a", PAIR))
    assert found is not None
    assert found.state is OrderState.CANCELED
    assert await trader.venue.fetch_open_orders(PAIR) == []


async def test_a_resting_order_is_filled_by_trades_beyond_its_queue_with_a_makers_fee():
    rows = [*book(), trade(2 * SECOND, SELL, 100.0, 5.4), trade(3 * SECOND, SELL, 99.9, 0.1)]
    trader = Trader({PAIR: rows}, queue=RiskAverse()).to(SECOND)
    trader.venue.submit(limit("a", LONG, "100"))
    trader.to(4 * SECOND)
    assert trader.story("a") == ["open", "maker 0.4 @ 100", "partially_filled", "maker 0.6 @ 100", "filled"]
    first, second = trader.of(TradeUpdate)
    assert (first.timestamp, second.timestamp) == (2.0, 3.0)
    assert first.trade_id != second.trade_id
    assert first.quote_amount == 40
    assert first.fee.amount_of("BTC") == D("0.0004")
    assert [ns for ns, message in trader.heard if isinstance(message, TradeUpdate)] == [
        2 * SECOND + 20 * MS,
        3 * SECOND + 20 * MS,
    ]
    assert trader.of(BalanceUpdate)[-1].balance == Balance(D(9900), D(9900))
    assert trader.venue.ledger.balance("BTC") == Balance(D("10.999"), D("10.999"))
    assert await trader.venue.fetch_fills(PAIR, 2.5) == [second]


def test_a_taker_walks_the_book_and_pays_the_takers_fee():
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.submit(limit("a", LONG, "102", "7"))
    trader.venue.submit(market("b", SHORT, "6"))
    trader.to(2 * SECOND)
    assert trader.story("a") == ["open", "taker 5 @ 101", "taker 2 @ 102", "filled"]
    assert trader.story("b") == ["open", "taker 5 @ 100", "taker 1 @ 99", "filled"]
    ledger = trader.venue.ledger
    assert ledger.fees == {"BTC": D("0.014"), "USDT": D("1.198")}
    assert ledger.balance("USDT") == Balance(D(10000) - 709 + 599 - D("1.198"), D(10000) - 709 + 599 - D("1.198"))
    assert not any(ledger.imbalances().values())


@pytest.mark.parametrize(
    ("request_", "states"),
    [
        (limit("a", LONG, "100", force=TimeInForce.IOC), ["open", "expired"]),
        (limit("a", LONG, "101", "7", force=TimeInForce.IOC), ["open", "taker 5 @ 101", "expired"]),
        (limit("a", LONG, "101", "7", force=TimeInForce.FOK), ["open", "expired"]),
        (limit("a", LONG, "101", "7"), ["open", "taker 5 @ 101", "partially_filled"]),
        (limit("a", LONG, "101", kind=OrderType.LIMIT_MAKER), ["failed PostOnlyRejected"]),
        (limit("a", LONG, "101", "100"), ["failed InsufficientBalance"]),
        (limit("a", SHORT, "101", "10.01"), ["failed InsufficientBalance"]),
        (market("a", LONG, "25"), ["open", *(f"taker 5 @ {price}" for price in range(101, 106)), "filled"]),
        (market("a", SHORT, "11"), ["failed InsufficientBalance"]),
        (limit("a", LONG, "100.05"), ["failed InvalidOrder"]),
        (limit("a", LONG, "100", "1.001"), ["failed InvalidOrder"]),
        (limit("a", LONG, "100", "0.04"), ["failed InvalidOrder"]),
        (limit("a", LONG, "100", "100.01"), ["failed InvalidOrder"]),
        (limit("a", LONG, "10", "0.4"), ["failed InvalidOrder"]),
        (limit("a", LONG, "1000.1", "0.1"), ["failed InvalidOrder"]),
        (limit("a", LONG, "0", "0.1"), ["failed InvalidOrder"]),
        (limit("a", LONG, "100", pair="XRP/USDT"), ["failed UnknownPair"]),
    ],
)
def test_orders_end_as_live(request_, states):
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.submit(request_)
    trader.to(2 * SECOND)
    assert trader.story("a") == states
    assert not any(trader.venue.ledger.imbalances().values())
    failed = [update for update in trader.of(OrderUpdate) if update.state is OrderState.FAILED]
    for update in failed:
        assert update.reason
        assert trader.venue.ledger.balance("USDT") == Balance(D(10_000), D(10_000))


def test_a_market_order_that_finds_less_than_it_wants_expires_with_the_rest():
    trader = Trader({PAIR: book()}, {"BTC": 100}).to(SECOND)
    trader.venue.submit(market("a", SHORT, "30"))
    trader.to(2 * SECOND)
    assert trader.story("a")[-1] == "expired"
    assert trader.venue.ledger.balance("BTC") == Balance(D(75), D(75))


def test_a_market_order_that_the_account_cannot_pay_leaves_no_trace():
    trader = Trader({PAIR: book()}, {"USDT": 1000}).to(SECOND)
    trader.venue.submit(market("a", LONG, "10"))
    trader.venue.submit(market("b", LONG, "5"))
    trader.to(2 * SECOND)
    assert trader.story("a") == ["failed InsufficientBalance"]
    assert trader.story("b") == ["open", "taker 5 @ 101", "filled"]


def test_market_orders_have_a_least_value():
    trader = Trader({PAIR: book(bid=10.0, ask=11.0)}).to(SECOND)
    trader.venue.submit(market("a", LONG, "0.4"))
    trader.to(2 * SECOND)
    assert trader.story() == ["failed InvalidOrder"]


def test_cancelling_what_is_not_there_says_so():
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.cancel(CancelRequest("nothing", PAIR))
    trader.venue.cancel(CancelRequest("nothing", "XRP/USDT", "17"))
    trader.to(2 * SECOND)
    assert trader.story() == ["not found", "not found"]
    assert [failed.ambiguous for failed in trader.of(CancelFailed)] == [False, False]


def test_a_cancel_that_is_overtaken_by_the_fill_finds_nothing():
    rows = [*book(), trade(SECOND + 105 * MS, SELL, 99.0)]
    trader = Trader({PAIR: rows}).to(SECOND)
    trader.venue.submit(limit("a", LONG, "100"))
    trader.to(SECOND + 100 * MS)
    trader.venue.cancel(CancelRequest("a", PAIR))
    trader.to(2 * SECOND)
    assert trader.story("a") == ["open", "maker 1 @ 100", "filled", "not found"]


def test_the_same_id_twice_is_the_first_order():
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.submit(limit("a", LONG, "99"))
    trader.venue.submit(limit("a", LONG, "98"))
    trader.to(2 * SECOND)
    first, second = trader.of(OrderUpdate)
    assert (first.exchange_order_id, first.price) == (second.exchange_order_id, second.price)
    assert len(trader.venue._pits[PAIR].orders) == 1


def test_there_is_room_for_so_many_open_orders():
    trader = Trader({PAIR: book()}, max_open_orders=3).to(SECOND)
    for number in range(4):
        trader.venue.submit(limit(f"{number}", LONG, "90"))
    trader.to(2 * SECOND)
    assert trader.story("3") == ["failed InvalidOrder"]
    assert "3 at a time" in trader.of(OrderUpdate)[-1].reason


def test_fees_can_be_paid_in_quote_on_top_of_a_buy_and_be_rebates():
    fees = Fees(D("-0.0001"), D("0.01"))
    trader = Trader({PAIR: [*book(), trade(2 * SECOND, SELL, 99.0)]}, fees=fees, fee_in="quote").to(SECOND)
    trader.venue.submit(limit("a", LONG, "100"))
    trader.to(SECOND + 500 * MS)
    assert trader.venue.ledger.available("USDT") == D(10_000) - 101
    trader.to(3 * SECOND)
    assert trader.of(TradeUpdate)[0].fee.amount_of("USDT") == D("-0.01")
    assert trader.venue.ledger.balance("USDT") == Balance(D("9900.01"), D("9900.01"))
    trader.venue.submit(market("b", SHORT, "1"))
    trader.to(4 * SECOND)
    assert trader.venue.ledger.total("USDT") == D("9900.01") + 100 - 1
    assert not any(trader.venue.ledger.imbalances().values())


def test_nothing_is_left_for_the_fee_when_all_money_buys():
    trader = Trader({PAIR: [*book(), trade(2 * SECOND, SELL, 99.0)]}, {"USDT": 100}, fee_in="quote").to(SECOND)
    trader.venue.submit(limit("a", LONG, "100"))
    trader.to(3 * SECOND)
    assert trader.story("a") == ["failed InsufficientBalance"]


def test_self_trades_are_prevented_and_told():
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.submit(limit("a", LONG, "100.5"))
    trader.to(2 * SECOND)
    trader.venue.submit(limit("b", SHORT, "100.5"))
    trader.to(3 * SECOND)
    assert trader.story("b") == ["open", "expired"]
    assert trader.story("a") == ["open"]


def test_a_resting_order_can_end_by_self_trade_prevention():
    model = PartialFill(SelfTradePrevention.EXPIRE_MAKER)
    trader = Trader({PAIR: book()}, exchange=model).to(SECOND)
    trader.venue.submit(limit("a", LONG, "100.5"))
    trader.to(2 * SECOND)
    trader.venue.submit(limit("b", SHORT, "100.5"))
    trader.to(3 * SECOND)
    assert trader.story("a") == ["open", "expired"]
    assert trader.story("b") == ["open"]
    assert trader.venue.ledger.balance("USDT") == Balance(D(10_000), D(10_000))


def test_a_lost_request_is_told_after_its_time():
    rows = [(0, 0, 30 * MS), (2 * SECOND, 0, 2 * SECOND + 30 * MS), (5 * SECOND, 5 * SECOND + MS, 5 * SECOND + 2 * MS)]
    trader = Trader({PAIR: book()}, latency=RecordedLatency(rows)).to(SECOND)
    trader.venue.submit(limit("a", LONG, "99"))
    trader.venue.cancel(CancelRequest("b", PAIR))
    trader.to(2 * SECOND)
    assert trader.story() == ["failed NetworkUnavailable", "CancelFailed"]
    assert [ns for ns, _ in trader.heard] == [SECOND + 30 * MS] * 2


def test_while_a_book_is_unknown_orders_are_refused_and_cancels_work():
    trader = Trader({PAIR: book()}).to(SECOND)
    trader.venue.submit(limit("a", LONG, "99"))
    trader.to(2 * SECOND)
    trader.venue.set_known(PAIR, False)
    trader.venue.submit(limit("b", LONG, "99"))
    trader.venue.cancel(CancelRequest("a", PAIR))
    trader.to(3 * SECOND)
    assert trader.story("a") == ["open", "canceled"]
    assert trader.story("b") == ["failed NotReady"]


def test_bad_balances_teach():
    for bad, words in [
        ({"USDT": "much"}, "USDT.*much.*no number"),
        ({"USDT": float("nan")}, "USDT"),
        ({"USDT": -1}, "USDT.*-1.*0 to"),
        ({"USDT": "1e30"}, "10\\^18"),
        ({"USDT": True}, "no number"),
        ({1: 1}, "names an asset 1"),
        ([("USDT", 1)], "give a dict"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            SimulatedVenue(RULES, bad)


def test_a_pair_without_a_rule_is_refused():
    with pytest.raises(UnknownPair, match="no trading rule of 'XRP/USDT'"):
        Trader({}).venue.open_pair("XRP/USDT")


def test_fees_are_paid_in_one_of_two_ways():
    with pytest.raises(InvalidInput, match="'received' or 'quote'"):
        SimulatedVenue(RULES, {}, fee_in="base")


# -- in one time order -------------------------------------------------------------------------------------------------

# Dense on purpose: many trades at few prices, requests among them, so that every order of things comes about.
seeds = st.integers(0, 10**9)


def scenario(seed):
    rng = random.Random(seed)
    delay = rng.choice([1, 5, 40])
    rows, now = {PAIR: book(), OTHER: book()}, 100 * MS
    for _ in range(rng.randrange(20, 200)):
        now += rng.randrange(1, 10 * MS)
        side, away = rng.choice([BUY, SELL]), rng.choice([0.0, 0.0, 0.5, 1.0])
        if rng.random() < 0.6:
            event = row(now, EventKind.TRADE, side, 100.5 + side * away, rng.choice([0.3, 2.0, 6.0]), delay * MS)
        else:
            event = row(
                now, EventKind.DEPTH, side, 100.5 - side * (0.5 + away), rng.choice([0.0, 1.0, 7.0]), delay * MS
            )
        rows[rng.choice([PAIR, OTHER])].append(event)
    plan = []
    for number in range(rng.randrange(1, 15)):
        kind, force = rng.choice([*OrderType, OrderType.LIMIT]), rng.choice([*TimeInForce, TimeInForce.GTC])
        side, pair, amount = rng.choice([LONG, SHORT]), rng.choice([PAIR, OTHER]), str(D(rng.randrange(5, 300)) / 100)
        price = str(D("100.5") + D("0.5") * rng.randrange(-2, 3))
        request = (
            market(f"p{number}", side, amount, pair)
            if kind is OrderType.MARKET
            else limit(f"p{number}", side, price, amount, kind, force, pair)
        )
        plan.append((rng.randrange(80, 700) * MS, request))
    return rows, sorted(plan, key=lambda one: one[0])


latencies = st.sampled_from([ConstantLatency(0.010, 0.020), ConstantLatency(0.003, 0.0), ConstantLatency(0, 0.002)])


class Reactive(Trader):
    """Sends the plan, and reacts to every fill at once: on the other pair, and by cancelling what rests."""

    def __init__(self, rows, plan, **options):
        super().__init__(rows, **options)
        self.numbers = itertools.count()
        self.plan = plan
        self.venue.attach_account_sink(self.hear)

    def hear(self, message):
        self.heard.append((self.timeline.now, message))
        views = [side.first(3) for pair in (PAIR, OTHER) for side in self.sides(pair)]
        self.heard.append((self.timeline.now, views))
        if isinstance(message, TradeUpdate) and next(self.numbers) < 50:
            other = OTHER if message.trading_pair == PAIR else PAIR
            self.venue.submit(limit(f"r{message.trade_id}", message.trade_type, "100.5", "0.3", pair=other))
            for update in self.venue._heard.open_orders(other)[:1]:
                self.venue.cancel(CancelRequest(update.client_order_id or "", other))

    def sides(self, pair):
        engine = self.venue.engines[pair]
        return engine.bids, engine.asks

    def run(self, step):
        waiting = list(self.plan)
        for moment in range(0, 2 * SECOND + 1, step):
            while waiting and waiting[0][0] <= moment:
                ns, request = waiting.pop(0)
                self.to(ns)
                self.venue.submit(request)
            self.to(moment)
        return self


@settings(max_examples=60)
@given(seed=seeds, latency=latencies)
@example(seed=25202870, latency=ConstantLatency(0.01, 0.02))
def test_the_length_of_the_steps_changes_nothing_and_no_money_is_made(seed, latency):
    rows, plan = scenario(seed)
    coarse = Reactive(rows, plan, latency=latency).run(SECOND)
    fine = Reactive(rows, plan, latency=latency).run(5 * MS)
    assert coarse.heard == fine.heard
    times = [ns for ns, _ in coarse.heard]
    assert times == sorted(times)
    ledger = coarse.venue.ledger
    assert not any(ledger.imbalances().values())
    for asset in ledger.assets:
        assert 0 <= ledger.available(asset) <= ledger.total(asset)
    held = sum(order.held * (order.request.amount - order.filled) for order in _resting(coarse) if order.is_buy)
    assert ledger.total("USDT") - ledger.available("USDT") == held


def _resting(trader):
    return [order for pit in trader.venue._pits.values() for order in pit.orders.values()]


@settings(max_examples=30)
@given(seed=seeds, partial=st.booleans(), in_quote=st.booleans())
def test_without_latency_no_money_is_made_either(seed, partial, in_quote):
    rows, plan = scenario(seed)
    model = PartialFill() if partial else NoPartialFill()
    options = {"exchange": model, "fee_in": "quote" if in_quote else "received", "fees": Fees(D("-0.001"), D("0.003"))}
    trader = Reactive(rows, plan, latency=NoLatency(), **options).run(SECOND)
    assert not any(trader.venue.ledger.imbalances().values())
    told: dict[str, Balance] = {}
    for message in trader.of(BalanceUpdate):
        assert 0 <= message.balance.available <= message.balance.total
        told[message.asset] = message.balance
    for asset, balance in told.items():
        assert balance == trader.venue.ledger.balance(asset)


def test_two_exchanges_share_one_time_order():
    first = Trader({PAIR: [*book(), trade(2 * SECOND, SELL, 99.0)]}, name="first")
    second = Trader(
        {PAIR: [*book(), trade(2 * SECOND + 15 * MS, SELL, 99.0)]},
        timeline=first.timeline,
        name="second",
        latency=ConstantLatency(0.001, 0.001),
    )
    order = []
    for name, trader in (("first", first), ("second", second)):
        trader.venue.attach_account_sink(lambda message, name=name: order.append((first.timeline.now, name)))
        trader.venue.submit(limit("a", LONG, "100"))
    first.timeline.advance(SECOND)
    order.clear()
    first.timeline.advance(3 * SECOND)
    # The second exchange's fill is later, but heard of earlier.
    assert [name for _, name in order] == ["second"] * 4 + ["first"] * 4
    assert order == sorted(order, key=lambda one: one[0])


def test_an_idle_step_and_a_whole_order_are_cheap():
    """Counted in calls, however many rows are due; the seconds are in the benchmarks."""
    rows = [*book(), *(trade(SECOND + index * MS, SELL, 100.0) for index in range(20_000))]
    trader = Trader({PAIR: rows}, {"USDT": 10**9}).to(SECOND)
    trader.venue.attach_account_sink(lambda _: None)
    numbers = itertools.count()

    def idle():
        trader.to(trader.timeline.now + 200 * MS)

    def whole_life():
        now = trader.timeline.now
        request = limit(f"{next(numbers)}", LONG, "97")
        trader.venue.submit(request)
        trader.to(now + 100 * MS)
        trader.venue.cancel(CancelRequest(request.client_order_id, PAIR))
        trader.to(now + 200 * MS)

    for act, most in ((idle, 25), (whole_life, 400)):
        act()  # what is done once is not counted
        assert calls(lambda act=act: [act() for _ in range(40)]) / 40 < most

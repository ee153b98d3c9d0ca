"""What holds for every parameter set, book and inventory: of one proposal, and of whole runs."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.clock import Clock, ClockMode
from kit.strategy.inventory_skew import skew_ratios
from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.market_making_stages import STAGES
from kit.strategy.ping_pong import PingPong
from kit.strategy.proposal import EMPTY, Proposal
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.market import TradeType, TradingRule
from tests.support.mock_market import MockBook, MockMarket

D = Decimal
TICK, STEP = D("0.01"), D("0.001")
RULE = TradingRule("HBOT/ETH", "HBOT", "ETH", TICK, STEP, D("0.01"), D(400), D(1), maker_fee=D("0.001"))


def decimals(low, high, places=4):
    return st.decimals(min_value=low, max_value=high, places=places)


def floor_to(step: Decimal, value: Decimal) -> Decimal:
    return (value // step) * step


spreads = decimals("0.0005", "0.2")
fractions = decimals("0", "1", 2)


@st.composite
def features(draw, with_time=False):
    """Valid parameters with any mix of features, but for overrides and negative spreads."""
    side = st.none() | st.lists(spreads, min_size=1, max_size=4).map(sorted)
    values = {
        "bid_spread": draw(spreads),
        "ask_spread": draw(spreads),
        "order_amount": draw(decimals("0.01", "100", 3)),
        "order_levels": draw(st.integers(1, 5)),
        "order_level_spread": draw(decimals("0", "0.1")),
        "order_level_amount": draw(decimals("-1", "5", 2)),
        "bid_order_level_spreads": draw(side),
        "ask_order_level_spreads": draw(side),
        "price_ceiling": draw(st.none() | decimals("100", "120", 1)),
        "price_floor": draw(st.none() | decimals("80", "100", 1)),
        "moving_price_band_enabled": draw(st.booleans()),
        "ping_pong_enabled": draw(st.booleans()),
        "inventory_skew_enabled": draw(st.booleans()),
        "inventory_target_base_pct": draw(fractions),
        "inventory_range_multiplier": draw(decimals("0.1", "50", 1)),
        "order_optimization_enabled": draw(st.booleans()),
        "bid_order_optimization_depth": draw(decimals("0", "40", 1)),
        "ask_order_optimization_depth": draw(decimals("0", "40", 1)),
        "add_transaction_costs": draw(st.booleans()),
    }
    if with_time:
        values |= {
            "order_refresh_time": draw(st.sampled_from([0.5, 1, 3, 7])),
            "order_refresh_tolerance": draw(st.none() | decimals("0", "0.01")),
            "filled_order_delay": draw(st.sampled_from([0, 1, 4])),
            "max_order_age": draw(st.sampled_from([None, 4, 9])),
            "minimum_spread": draw(st.none() | decimals("0", "0.01")),
            "hanging_orders_enabled": draw(st.booleans()),
            "should_wait_order_cancel_confirmation": draw(st.booleans()),
            "price_type": draw(st.sampled_from(["mid_price", "best_bid", "best_ask", "last_own_trade_price"])),
        }
    return values


@st.composite
def contexts(draw):
    reference = draw(decimals("1", "10000", 2))
    gap = draw(decimals("0.01", "0.5", 2))
    base, quote = draw(decimals("-1", "1000", 4)), draw(decimals("-1", "100000", 4))
    depth = st.none() | decimals("0.5", "12000", 2)
    return MarketMakingContext(
        timestamp=1.0,
        trading_pair="HBOT/ETH",
        params=PureMarketMakingParams(**draw(features())),
        buy_reference=reference,
        sell_reference=draw(st.sampled_from([reference, reference * 2, None])),
        quantize_price=partial(floor_to, TICK),
        quantize_amount=partial(floor_to, STEP),
        price_step=lambda price: TICK,
        base_budget=base,
        quote_budget=quote,
        base_total=base + draw(decimals("0", "10")),
        quote_total=quote + draw(decimals("0", "100")),
        best_bid=draw(st.sampled_from([None, reference - gap])),
        best_ask=draw(st.sampled_from([None, reference + gap])),
        deep_bid=draw(depth),
        deep_ask=draw(depth),
        band_floor=draw(st.none() | decimals("1", "9000", 1)),
        band_ceiling=draw(st.none() | decimals("1", "9000", 1)),
        filled_buys=draw(st.integers(0, 3)),
        filled_sells=draw(st.integers(0, 3)),
        maker_fee=draw(decimals("-0.001", "0.01")),
        rule=draw(st.sampled_from([None, RULE])),
    )


def quote(seen: MarketMakingContext) -> list[Proposal]:
    proposals = [EMPTY]
    for stage in STAGES:
        proposals.append(stage(proposals[-1], seen))
    return proposals[1:]


@given(contexts())
def test_the_budget_is_never_exceeded(seen):
    last = quote(seen)[-1]
    assert sum((entry.price * entry.size * (1 + seen.maker_fee) for entry in last.buys), D(0)) <= max(
        seen.quote_budget, 0
    )
    assert sum((entry.size for entry in last.sells), D(0)) <= max(seen.base_budget, 0)


@given(contexts())
def test_what_is_proposed_obeys_the_rules(seen):
    last = quote(seen)[-1]
    # Optimization leaves the further levels unrounded, as the reference does; the market rounds them when it is sent.
    rounded = not seen.params.order_optimization_enabled or seen.params.add_transaction_costs
    for entry in (*last.buys, *last.sells):
        assert entry.price > 0
        assert entry.size > 0
        assert entry.size % STEP == 0
        assert entry.price % TICK == 0 or not rounded
        if seen.rule is not None:
            assert RULE.min_order_size <= entry.size <= RULE.max_order_size
            assert entry.size * entry.price >= RULE.min_notional_size


@given(contexts())
def test_no_own_bid_reaches_an_own_ask(seen):
    last = quote(seen)[-1]
    highest = max((entry.price for entry in last.buys), default=None)
    lowest = min((entry.price for entry in last.sells), default=None)
    if seen.best_ask is not None and highest is not None:
        assert highest < seen.best_ask
    if seen.best_bid is not None and lowest is not None:
        assert lowest > seen.best_bid
    nearest = min(level.factor for level in seen.params.sell_levels) - max(
        level.factor for level in seen.params.buy_levels
    )
    # Rounded down to a tick both may come out alike where the spreads are narrower; a rebate narrows them, too.
    wide = seen.buy_reference * nearest > 3 * TICK and seen.maker_fee >= 0
    if highest is not None and lowest is not None and wide:
        assert highest < lowest


@given(contexts())
def test_stages_are_pure_and_only_the_first_adds(seen):
    proposals = quote(seen)
    assert proposals == quote(seen)
    for before, after in pairwise(proposals):
        assert len(after.buys) <= len(before.buys)
        assert len(after.sells) <= len(before.sells)
        assert {entry.level for entry in after.buys} <= {entry.level for entry in before.buys}


amounts = st.floats(0, 1e9, allow_nan=False)


@given(amounts, amounts, st.floats(1e-6, 1e6), st.floats(0, 1), st.floats(0, 1e9))
def test_skew_ratios_lie_within_0_and_2_and_sum_to_2(base, quote_amount, price, target, reach):
    bid, ask = skew_ratios(base, quote_amount, price, target, reach)
    assert 0 <= bid <= 2
    assert 0 <= ask <= 2
    assert bid + ask == 2 or (bid == ask == 0 and (reach == 0 or base * price + quote_amount == 0))


@given(st.lists(st.booleans()))
def test_ping_pong_counts_what_is_not_even(fills):
    counts, buys, sells = PingPong(), 0, 0
    for is_buy in fills:
        counts.filled(is_buy)
        buys, sells = buys + is_buy, sells + (not is_buy)
        counts.settle()
        assert counts.filled_buys - counts.filled_sells == buys - sells
        assert (counts.filled_buys == counts.filled_sells) is (counts.filled_buys == 0 and counts.filled_sells == 0)


# -- whole runs

happenings = st.lists(
    st.one_of(
        st.tuples(st.just("til"), st.integers(1, 6)),
        st.tuples(st.just("trade"), st.sampled_from(TradeType), decimals("90", "110", 2)),
        st.tuples(st.just("book"), decimals("90", "110", 1)),
        st.tuples(st.just("empty"), st.booleans()),
        st.tuples(st.just("balance"), st.sampled_from(["HBOT", "ETH"]), decimals("0", "2000", 2)),
        st.tuples(st.just("hold"), st.booleans()),
        st.tuples(st.just("ready"), st.booleans()),
    ),
    max_size=12,
)


class Run:
    def __init__(self, parameters):
        self.market = MockMarket(rule=RULE, fee=(D("0.001"), D("0.001")))
        self.strategy = PureMarketMaking(self.market, **parameters)
        self.clock = Clock(ClockMode.BACKTEST)
        self.clock.add_iterator(self.market)
        self.clock.add_iterator(self.strategy)
        self.time = 0
        self.seen = []

    def play(self, steps):
        for name, *args in steps:
            getattr(self, name)(*args)
        self.til(2)
        return self.seen

    def til(self, seconds):
        for _ in range(seconds):
            self.time += 1
            self.clock.backtest_til(self.time)
            self.check()
            self.seen.append([(order.client_order_id, order.price) for order in self.strategy.active_orders])

    def trade(self, side, price):
        self.market.trade(side, price)

    def book(self, mid):
        self.market.book = MockBook.balanced(mid, D(1), D(200), D(1), D(10))

    def empty(self, is_asks):
        self.market.book.clear(is_asks)

    def balance(self, asset, amount):
        self.market.balances[asset] = amount

    def hold(self, on):
        self.market.hold_cancels = on
        if not on:
            for order in self.strategy.active_orders:
                if order.is_cancelling:
                    self.market.confirm_cancel(order.client_order_id)

    def ready(self, on):
        self.market.ready = on

    def check(self):
        strategy, market = self.strategy, self.market
        assert strategy.health.total_errors == 0, strategy.last_error
        ids = {order.client_order_id for order in strategy.active_orders}
        assert ids == set(market.orders), "the strategy knows every order of its own"
        for order in strategy.hanging_orders:
            assert order.client_order_id in ids
        counts = strategy._inputs.ping_pong
        assert strategy.params.ping_pong_enabled or (counts.filled_buys, counts.filled_sells) == (0, 0)
        assert strategy.explain().verdict
        if not market.ready and not market.hold_cancels:
            assert not ids


@settings(max_examples=60)
@given(features(with_time=True), happenings)
def test_a_run_never_fails_and_is_the_same_again(parameters, steps):
    first = Run(parameters).play(steps)
    assert first == Run(parameters).play(steps)

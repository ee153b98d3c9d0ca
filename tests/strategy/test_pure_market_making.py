from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from kit.errors import InvalidInput, InvalidOrder
from kit.strategy.proposal import Proposal
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.market import TradeType, TradingRule
from kit.types.orders import OrderType
from tests.support.kit_logs import kit_records
from tests.support.mock_market import MockBook, MockMarket

D = Decimal
SETTINGS = {
    "bid_spread": "0.01",
    "ask_spread": "0.01",
    "order_amount": 1,
    "order_refresh_time": 5,
    "filled_order_delay": 5,
}


@pytest.fixture
def run(market, bench):
    def build(kind=PureMarketMaking, **changes):
        return bench(market, kind(market, "HBOT-ETH", **{**SETTINGS, **changes}))

    return build


def ids(b):
    return [order.client_order_id for order in b.strategy.active_orders]


def test_orders_are_placed_cancelled_and_replaced_with_a_tick_between(run):
    b = run()
    b.til(1)
    assert b.prices == (["99"], ["101"])
    first = ids(b)
    b.til(5)
    assert ids(b) == first
    b.til(6)
    assert ids(b) == []
    b.til(7)
    assert b.prices == (["99"], ["101"])
    b.til(11)
    assert len(ids(b)) == 2
    b.til(12)
    assert ids(b) == []


def test_buys_come_before_sells_nearest_first(run):
    b = run(order_levels=3)
    b.til(1)
    assert [(order.is_buy, order.level) for order in b.strategy.active_orders] == [
        (True, 0), (True, 1), (True, 2), (False, 0), (False, 1), (False, 2),
    ]  # fmt: skip
    assert b.prices == (["99", "98", "97"], ["101", "102", "103"])


def test_a_fill_in_a_tick_delays_from_the_tick_before(run):
    b = run(order_refresh_time=100)
    b.til(9)
    b.market.book.apply([], [(D(99), D(5))])  # the best ask reaches the buy order
    b.til(10)
    assert b.prices == ([], ["101"])
    b.market.book = MockBook.balanced(D(100), D(1), D(200), D(1), D(10))
    b.til(13)
    assert b.prices == ([], ["101"])
    b.til(14)
    assert b.prices == ([], [])
    b.til(15)
    assert b.prices == (["99"], ["101"])


def test_a_fill_that_completes_an_order_between_ticks(run):
    b = run()
    b.til(8)
    b.market.trade(TradeType.SELL, D("98.9"))
    assert b.prices == ([], ["101"])
    b.til(12)
    assert b.prices == ([], [])
    b.til(13)
    assert b.prices == ([], [])
    b.til(14)
    assert b.prices == (["99"], ["101"])


def test_a_partial_fill_delays_nothing_and_its_rest_is_replaced(run):
    b = run()
    b.til(1)
    buy = b.strategy.active_buys[0]
    b.market.tell_filled(b.market.orders[buy.client_order_id], D("0.4"))
    assert b.strategy.active_buys[0].remaining == D("0.6")
    context = b.strategy.context(D(100), 1.0)
    assert context.quote_budget == 5000 - 99 + D("59.4")
    b.til(7)
    assert b.prices == (["99"], ["101"])


def test_orders_within_the_tolerance_stay_and_are_compared_every_tick(run):
    b = run(order_refresh_tolerance="0.005")
    b.til(8)
    assert ids(b) == ["order-1", "order-2"]
    b.market.book.apply([(D("99.75"), D(5))], [])
    b.til(10)
    assert ids(b) == ["order-1", "order-2"]
    b.market.book.apply([(price, D(0)) for price in (D("99.75"), D("99.5"), D("98.5"), D("97.5"))], [])
    b.til(11)
    assert b.prices == (["97.515"], ["99.485"]), "cancelled and replaced within one tick: the timers are long over"


def test_changed_parameters_replace_orders_within_the_tolerance_once(run):
    b = run(order_refresh_tolerance="0.005")
    b.til(8)
    b.market.hold_cancels = True
    b.strategy.params.order_amount = 2
    b.til(10)
    assert b.market.sent_cancels == ["order-1", "order-2"]
    b.market.hold_cancels = False
    for order_id in ("order-1", "order-2"):
        b.market.confirm_cancel(order_id)
    b.til(30)
    assert ids(b) == ["order-3", "order-4"]
    assert [order.quantity for order in b.strategy.active_orders] == [2, 2]


def test_zero_tolerance_keeps_equal_prices_and_none_keeps_nothing(run, market, bench):
    b = run(order_refresh_tolerance=0)
    b.til(8)
    assert ids(b) == ["order-1", "order-2"]


def test_an_order_over_age_takes_all_down(run):
    b = run(order_refresh_tolerance="0.1", max_order_age=7)
    b.til(8)
    assert ids(b) == ["order-1", "order-2"]
    b.til(9)
    assert ids(b) == ["order-3", "order-4"]


def test_no_age_limit(run):
    b = run(order_refresh_tolerance="0.1", max_order_age=None)
    b.til(4000)
    assert ids(b) == ["order-1", "order-2"]


def test_new_orders_wait_for_the_word_on_cancelled_ones(run):
    b = run()
    b.market.hold_cancels = True
    b.til(9)
    assert all(order.is_cancelling for order in b.strategy.active_orders)
    assert b.market.sent_cancels == ["order-1", "order-2"]
    for order in b.strategy.active_orders:
        b.market.confirm_cancel(order.client_order_id)
    b.til(10)
    assert ids(b) == ["order-3", "order-4"]


def test_balances_bound_the_orders(run):
    b = run(order_levels=3, order_level_amount=1)
    b.market.balances = {"HBOT": D("2.5"), "ETH": D(150)}
    b.til(1)
    assert [(order.price, order.quantity) for order in b.strategy.active_orders] == [
        (99, 1), (98, D("0.520408")), (101, 1), (102, D("1.5")),
    ]  # fmt: skip


def test_own_resting_orders_are_part_of_the_budget(run):
    b = run(order_refresh_tolerance="0.01")
    b.market.balances = {"HBOT": D(1), "ETH": D(99)}
    b.til(20)
    assert ids(b) == ["order-1", "order-2"], "all is locked in our own orders, and yet the proposal stays the same"


def test_no_reference_price_withdraws_with_one_warning_and_comes_back(run, caplog):
    b = run(order_refresh_time=30)
    b.til(3)
    asks = b.market.book.clear(is_asks=True)
    with caplog.at_level(logging.WARNING):
        b.til(9)
    assert b.prices == ([], [])
    assert len(kit_records(caplog)) == 1
    assert "no reference price for HBOT/ETH" in caplog.text
    assert b.strategy.health.total_errors == 0
    b.market.book.asks = asks
    b.til(10)
    assert b.prices == (["99"], ["101"])
    b.market.book.clear(is_asks=False)
    b.til(12)
    assert len(kit_records(caplog)) == 2, "a new loss is told anew"


def test_a_market_that_is_not_ready_is_left(run, caplog):
    b = run(order_refresh_time=30)
    b.til(3)
    b.market.ready = False
    b.til(4)
    assert b.prices == ([], [])
    b.market.ready = True
    b.til(5)
    assert b.prices == (["99"], ["101"])


def test_a_fill_delay_outlasts_a_lost_price(run):
    b = run(order_refresh_time=30, filled_order_delay=10)
    b.til(2)
    b.market.trade(TradeType.SELL, D("98.9"))
    asks = b.market.book.clear(is_asks=True)
    b.til(4)
    b.market.book.asks = asks
    b.til(12)
    assert b.prices == ([], [])
    b.til(13)
    assert b.prices == (["99"], ["101"])


def test_orders_are_post_only_where_the_market_can(run, market, bench):
    b = run()
    b.til(1)
    assert {order.order_type for order in b.market.orders.values()} == {OrderType.LIMIT_MAKER}
    rule = TradingRule("HBOT/ETH", "HBOT", "ETH", D("0.01"), D("0.01"), supports_limit_maker_orders=False)
    plain = MockMarket(rule=rule)
    other = bench(plain, PureMarketMaking(plain, **SETTINGS))
    other.til(1)
    assert {order.order_type for order in plain.orders.values()} == {OrderType.LIMIT}


def test_sizes_below_the_minimum_are_not_sent_and_it_is_told_once(rule, bench, caplog):
    market = MockMarket(rule=rule)
    b = bench(market, PureMarketMaking(market, **{**SETTINGS, "order_amount": "0.05"}))
    with caplog.at_level(logging.WARNING):
        b.til(20)
    assert b.strategy.health.total_errors == 0
    assert [record.message for record in kit_records(caplog)] == [
        "PureMarketMaking: nothing to quote; the stage that left nothing over is trading_rules"
    ]
    b.strategy.params.order_amount = 1
    b.til(21)
    assert b.prices == (["99"], ["101"])


def test_a_late_fill_event_after_the_completion_delays_nothing_more(run):
    b = run(filled_order_delay=5, order_refresh_time=100)
    b.til(1)
    buy = b.strategy.active_buys[0]
    resting = b.market.orders[buy.client_order_id]
    b.market.fill(buy.client_order_id)
    b.til(4)
    b.market.tell_filled(resting, D("0.1"))
    b.til(7)
    assert b.prices == (["99"], ["101"])


def test_the_trail_shows_each_stage(run):
    b = run()
    b.market.balances = {"HBOT": D(0), "ETH": D(5000)}
    b.til(1)
    assert [name for name, _ in b.strategy.trail] == [
        "base_levels", "price_band", "moving_price_band", "ping_pong", "order_optimization", "transaction_costs",
        "inventory_skew", "budget_constraint", "trading_rules", "filter_takers",
    ]  # fmt: skip
    assert len(b.strategy.trail[6][1].sells) == 1
    assert len(b.strategy.trail[7][1].sells) == 0
    assert b.strategy.trail_context.best_ask == D("100.5")


def test_stages_can_be_replaced_in_a_subclass(run):
    def no_sells(proposal, context):
        return Proposal(proposal.buys, ())

    class BuyOnly(PureMarketMaking):
        stages = (*PureMarketMaking.stages, no_sells)

    b = run(BuyOnly)
    b.til(1)
    assert b.prices == (["99"], [])


def test_the_fill_delay_holds_in_a_subclass_that_overrides_hooks(run):
    class Mine(PureMarketMaking):
        def did_complete_buy_order(self, event):
            """Without super()."""

    b = run(Mine, filled_order_delay=50, order_refresh_time=3)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(50)
    assert b.prices == ([], [])


def test_a_refused_order_leaves_the_timers_of_the_others_right(run):
    b = run()
    sell = b.market.sell

    def refuse(*args, **more):
        raise InvalidOrder("too small")

    b.market.sell = refuse
    b.til(1)
    assert (b.prices, b.strategy.consecutive_errors) == ((["99"], []), 1)
    b.market.sell = sell
    b.til(5)
    assert (b.prices, b.strategy.consecutive_errors) == ((["99"], []), 0)
    b.til(7)
    assert b.prices == (["99"], ["101"])


def test_parameters_change_while_it_runs(run):
    b = run()
    b.til(1)
    b.strategy.params.update(bid_spread="0.02", order_levels=2)
    b.til(7)
    assert b.prices == (["98", "97"], ["101", "102"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bid_spread": 1}, "bid_spread = 1 is out of range; allowed: above -1 and below 1"),
        ({"bid_spread": "-0.1"}, "bid_spread = -0.1 is not above 0"),
        ({"order_amount": 0}, "order_amount = 0 is out of range; allowed: above 0"),
        ({"order_levels": 100}, "farthest buy order"),
        ({"order_refresh_time": 0}, "order_refresh_time"),
        ({"bid_spred": 1}, "did you mean 'bid_spread'"),
    ],
)
def test_bad_parameters_are_named(market, changes, words):
    with pytest.raises(InvalidInput, match="PureMarketMaking: ") as caught:
        PureMarketMaking(market, **{**SETTINGS, **changes})
    assert words in str(caught.value)


def test_required_parameters_are_asked_for(market):
    with pytest.raises(InvalidInput) as caught:
        PureMarketMaking(market)
    for name in ("bid_spread", "ask_spread", "order_amount"):
        assert f"{name} is missing" in str(caught.value)


def test_a_restart_begins_anew(run):
    b = run(order_refresh_time=100)
    b.til(3)
    b.stop()
    for order_id in list(b.market.orders):
        b.market.drop(order_id)
    b.til(1)
    assert len(b.market.orders) == 2


def test_two_runs_are_alike(bench):
    def play():
        market = MockMarket()
        b = bench(market, PureMarketMaking(market, **{**SETTINGS, "order_levels": 2}))
        states = []
        for second in range(1, 40):
            b.til(second)
            if second % 7 == 0:
                market.trade(TradeType.SELL, D("98.9"))
            states.append((b.prices, dict(market.balances), ids(b)))
        return states

    assert play() == play()

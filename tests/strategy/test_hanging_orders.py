from __future__ import annotations

from decimal import Decimal

import pytest

from kit.errors import InsufficientBalance, InvalidOrder, NotReady, PostOnlyRejected
from kit.strategy.hanging_orders import HangingOrders
from kit.strategy.own_orders import OwnOrder
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.events import MarketEvent, MarketOrderFailureEvent
from kit.types.market import TradeType
from kit.types.orders import OrderState, OrderType
from tests.support.kit_logs import kit_records
from tests.support.mock_market import MockBook, MockOrder

D = Decimal
SETTINGS = {
    "bid_spread": "0.01", "ask_spread": "0.01", "order_amount": 1, "order_refresh_time": 4, "filled_order_delay": 8,
    "hanging_orders_enabled": True, "hanging_orders_cancel_pct": "0.05",
}  # fmt: skip


@pytest.fixture
def run(market, bench):
    def build(**changes):
        return bench(market, PureMarketMaking(market, **{**SETTINGS, **changes}))

    return build


def hanging(b):
    return [order.client_order_id for order in b.strategy.hanging_orders]


def test_the_other_side_of_a_filled_pair_hangs_until_it_is_too_far(run):
    b = run()
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(4)
    assert hanging(b) == []
    b.til(5)
    assert hanging(b) == ["order-2"]
    b.til(10)
    assert b.prices == (["99"], ["101", "101"])
    b.market.book = MockBook.balanced(D(97), D(1), D(200), D(1), D(10))
    b.til(11)
    assert hanging(b) == ["order-2"], "4.1 % away"
    b.market.book = MockBook.balanced(D(95), D(1), D(200), D(1), D(10))
    b.til(12)
    assert "order-2" not in hanging(b)


def test_a_hanging_fill_neither_delays_nor_counts(run):
    b = run(ping_pong_enabled=True, filled_order_delay=3)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(5)
    assert hanging(b) == ["order-2"]
    timers = (b.strategy._timers.create_at, b.strategy._timers.cancel_at)
    b.market.fill("order-2")
    assert (b.strategy._timers.create_at, b.strategy._timers.cancel_at) == timers
    assert b.strategy._inputs.ping_pong.filled_sells == 0


def test_renewal_keeps_price_and_amount_and_waits_for_the_cancel(run):
    b = run(max_order_age=6)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(6)
    b.market.hold_cancels = True
    b.til(8)
    assert hanging(b) == ["order-2"]
    assert b.market.sent_cancels == ["order-2"]
    b.market.confirm_cancel("order-2")
    b.market.hold_cancels = False
    b.til(9)
    (again,) = b.strategy.hanging_orders
    assert (again.client_order_id, again.price, again.quantity) == ("order-3", 101, 1)


def test_a_refused_renewal_is_tried_again_and_does_not_keep_the_others(run, monkeypatch, caplog):
    b = run(max_order_age=6, order_levels=2)
    b.til(1)
    b.market.trade(TradeType.SELL, D("97"))
    b.market.hold_cancels = True
    b.til(8)
    assert b.market.sent_cancels == ["order-3", "order-4"]
    for order_id in ("order-3", "order-4"):
        b.market.confirm_cancel(order_id)
    sell, refusals = b.market.sell, iter([NotReady("wait"), None, InsufficientBalance("short")])

    def refuse(*given, **more):
        error = next(refusals, None)
        if error is not None:
            raise error
        return sell(*given, **more)

    monkeypatch.setattr(b.market, "sell", refuse)
    b.til(9)
    assert [order.price for order in b.strategy.hanging_orders] == [102]
    b.til(10)
    assert [order.price for order in b.strategy.hanging_orders] == [102]
    assert len(kit_records(caplog)) == 1
    assert "101" in caplog.text
    assert "wait" in caplog.text
    b.til(11)
    assert sorted(order.price for order in b.strategy.hanging_orders) == [101, 102]
    assert not b.strategy._hanging._renewals
    assert b.strategy.health.total_errors == 0


def test_a_renewal_that_the_market_can_never_take_is_given_up(run, monkeypatch, caplog):
    b = run(max_order_age=6)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.market.hold_cancels = True
    b.til(8)
    b.market.confirm_cancel("order-2")
    sell, asked = b.market.sell, []

    def refuse(pair, amount, order_type, price, **more):
        asked.append(price)
        if price == 101 and len(asked) == 1:
            raise InvalidOrder("0.1 is below the minimum of 0.2")
        return sell(pair, amount, order_type, price, **more)

    monkeypatch.setattr(b.market, "sell", refuse)
    b.til(9)
    assert asked == [101]
    assert not b.strategy._hanging._renewals
    b.til(12)
    words = "the renewal of order-2 (sell 1 at 101) was given up: 0.1 is below the minimum of 0.2"
    assert [record.message for record in kit_records(caplog)] == [f"PureMarketMaking: {words}"]
    found = b.strategy.explain()
    assert f"{words[0].upper()}{words[1:]}." in found.verdict
    assert list(found.frame[found.frame.step == "renewal"].why) == [words]
    assert b.strategy.health.total_errors == 0
    b.strategy.params.hanging_orders_enabled = False
    b.til(13)
    assert "given up" not in b.strategy.explain().verdict


def test_a_renewal_that_the_exchange_rejects_is_told(run):
    b = run(max_order_age=6)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(9)
    (again,) = b.strategy.hanging_orders
    b.market.drop(again.client_order_id)
    failure = MarketOrderFailureEvent(9.0, again.client_order_id, OrderType.LIMIT, "too small")
    b.market.pubsub.trigger_event(MarketEvent.OrderFailure, failure)
    b.til(10)
    words = f"The hanging order {again.client_order_id} (sell 1 at 101) was rejected: too small."
    assert words in b.strategy.explain().verdict


def test_a_post_only_renewal_that_would_cross_is_tried_again(run, monkeypatch):
    b = run(max_order_age=6)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.market.hold_cancels = True
    b.til(8)
    b.market.confirm_cancel("order-2")
    sell, refusals = b.market.sell, iter([PostOnlyRejected("would cross")])

    def refuse(*given, **more):
        error = next(refusals, None)
        if error is not None:
            raise error
        return sell(*given, **more)

    monkeypatch.setattr(b.market, "sell", refuse)
    b.til(10)
    assert [order.price for order in b.strategy.hanging_orders] == [101]


def test_a_renewed_order_that_fills_instead_is_not_placed_again(run):
    b = run(max_order_age=6)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.market.hold_cancels = True
    b.til(8)
    b.market.fill("order-2")
    b.til(9)
    assert hanging(b) == []


def test_orders_found_at_start_are_adopted(run, market):
    resting = market.buy("HBOT/ETH", D(1), OrderType.LIMIT, D(97))
    b = run()
    b.til(1)
    (order,) = b.strategy.hanging_orders
    assert (order.client_order_id, order.price, order.state) == (resting, 97, OrderState.OPEN)
    assert b.prices == (["97", "99"], ["101"])
    b.market.fill(resting)
    assert hanging(b) == []


def test_orders_of_another_running_strategy_are_not_adopted(run, market, bench):
    other = bench(market, PureMarketMaking(market, **{**SETTINGS, "bid_spread": "0.03", "ask_spread": "0.03"}))
    other.til(1)
    assert len(market.orders) == 2
    b = run()
    b.til(1)
    assert b.strategy.hanging_orders == ()
    assert b.prices == (["99"], ["101"])
    for strategy in (b.strategy, other.strategy):
        strategy.cancel_all()
    other.stop()
    left = market.buy("HBOT/ETH", D(1), OrderType.LIMIT, D(95))
    other.strategy._orders.adopt(market, "HBOT/ETH", 1.0)
    c = run()
    c.til(1)
    assert hanging(c) == [left], "the strategy that had it runs no more"


def test_orders_that_are_being_cancelled_are_not_adopted(run, market):
    resting = market.buy("HBOT/ETH", D(1), OrderType.LIMIT, D(97))

    class Cancelling(MockOrder):
        cancel_requested = True

    known = market.orders[resting]
    market.orders[resting] = Cancelling(known.order_id, True, known.amount, known.price, known.order_type)
    b = run()
    b.til(1)
    assert b.strategy.hanging_orders == ()


def test_without_hanging_orders_nothing_is_adopted(run, market):
    market.buy("HBOT/ETH", D(1), OrderType.LIMIT, D(97))
    b = run(hanging_orders_enabled=False)
    b.til(1)
    assert b.prices == (["99"], ["101"])


def test_switched_off_hanging_orders_become_quotes(run):
    b = run()
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(5)
    assert hanging(b) == ["order-2"]
    b.strategy.params.hanging_orders_enabled = False
    b.til(6)
    assert b.prices == ([], [])


def test_hanging_funds_are_no_budget(run):
    b = run()
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(5)
    context = b.strategy.context(D(100), 5.0)
    assert context.base_total - context.base_budget == 1


def order(market, order_id, is_buy=True):
    return OwnOrder(order_id, market, "HBOT/ETH", is_buy, D(99), D(1), OrderType.LIMIT, 0.0)


def test_pairs(market):
    known = HangingOrders()
    buys, sells = [order(market, "b1"), order(market, "b2")], [order(market, "s1", False)]
    known.pair(buys, sells)
    assert known.candidates == ()
    buys[0].state, buys[0].ended_at = OrderState.FILLED, 1.0
    assert known.candidates == (sells[0],)
    known.convert()
    assert known.orders == (sells[0],)
    assert known.others((*buys, *sells)) == tuple(buys)
    sells[0].state, sells[0].ended_at = OrderState.FILLED, 2.0
    assert known.holds(sells[0])
    known.prune()
    assert not known

"""Orders pass from a strategy to its successor between two ticks."""

import sys
from decimal import Decimal

import pytest

import kit
from kit.strategy.handover import hand_over
from kit.strategy.pure_market_making import PureMarketMaking
from kit.strategy.same_strategy import same_strategy
from kit.types.market import TradeType
from tests.support.mock_market import MockBook, MockMarket

D = Decimal
SETTINGS = {
    "bid_spread": "0.01", "ask_spread": "0.01", "order_amount": 1, "order_refresh_time": 5, "filled_order_delay": 5,
}  # fmt: skip


@pytest.fixture
def make(market):
    return lambda **changes: PureMarketMaking(market, "HBOT-ETH", **{**SETTINGS, **changes})


def swap(b, successor):
    """What a core does between two ticks."""
    given = hand_over(b.strategy, successor)
    b.clock.remove_iterator(b.strategy)
    b.clock.add_iterator(successor)
    b.strategy = successor
    return [order.client_order_id for order in given]


def ids(b):
    return [order.client_order_id for order in b.strategy.active_orders]


def test_adopted_quotes_keep_their_levels_and_rest_for_their_time(market, bench, make):
    b = bench(market, make(order_levels=2))
    b.til(3)
    before = [(order.client_order_id, order.is_buy, order.level) for order in b.strategy.active_orders]
    old = b.strategy
    assert len(swap(b, make(order_levels=2))) == 4
    assert old.active_orders == ()
    b.til(5)
    assert [(order.client_order_id, order.is_buy, order.level) for order in b.strategy.active_orders] == before
    assert market.sent_cancels == []
    b.til(6)  # placed at 1, due at 6
    assert ids(b) == []
    b.til(7)
    assert len(ids(b)) == 4


def test_the_successor_hears_of_their_fills(market, bench, make):
    b = bench(market, make())
    b.til(1)
    swap(b, make())
    b.til(2)
    market.trade(TradeType.SELL, D("98.9"))
    b.til(3)
    assert b.prices == ([], ["101"])
    b.til(6)
    assert b.prices == ([], [])  # the fill's delay holds for it, too


def test_other_parameters_replace_adopted_quotes_when_they_are_due(market, bench, make):
    tolerant = {"order_refresh_tolerance": "0.01"}
    b = bench(market, make(**tolerant))
    b.til(3)
    swap(b, make(**tolerant))
    b.til(8)
    assert ids(b) == ["order-1", "order-2"]  # the same quotes: within the tolerance they stay
    swap(b, make(**tolerant, order_amount=2))
    b.til(9)
    b.til(11)
    assert [order.quantity for order in b.strategy.active_orders] == [2, 2]


def test_what_hung_hangs_on(market, bench, make):
    hanging = {"hanging_orders_enabled": True, "hanging_orders_cancel_pct": "0.05", "order_refresh_time": 4}
    b = bench(market, make(**hanging, filled_order_delay=8))
    b.til(1)
    market.trade(TradeType.SELL, D("98.9"))
    b.til(5)
    assert [order.client_order_id for order in b.strategy.hanging_orders] == ["order-2"]
    swap(b, make(**hanging, filled_order_delay=8))
    b.til(6)
    assert [order.client_order_id for order in b.strategy.hanging_orders] == ["order-2"]
    market.book = MockBook.balanced(D(95), D(1), D(200), D(1), D(10))
    b.til(8)
    assert ids(b).count("order-2") == 0


def test_pairs_are_known_by_their_levels(market, bench, make):
    hanging = {"hanging_orders_enabled": True, "hanging_orders_cancel_pct": "0.05", "order_refresh_time": 4}
    b = bench(market, make(**hanging))
    b.til(1)
    swap(b, make(**hanging))
    b.til(2)
    assert b.strategy.hanging_orders == ()  # quotes are no hanging orders
    market.trade(TradeType.SELL, D("98.9"))
    b.til(7)
    assert [order.client_order_id for order in b.strategy.hanging_orders] == ["order-2"]


def test_what_the_successor_does_not_trade_stays(market, bench, make):
    b = bench(market, make())
    b.til(1)
    assert hand_over(b.strategy, PureMarketMaking(MockMarket("A/B"), **SETTINGS)) == ()
    assert hand_over(b.strategy, kit.Strategy()) == ()
    b.strategy.cancel(ids(b)[0])
    assert len(hand_over(b.strategy, kit.Strategy(market))) == 1  # the other one is being cancelled
    assert len(ids(b)) <= 1


# -- the same strategy ---------------------------------------------------------------------------------------------


def test_the_same_arguments_make_the_same_strategy(market, make):
    assert same_strategy(make(), make())
    assert not same_strategy(make(), make(order_amount=2))
    assert not same_strategy(make(), make(name="another"))
    assert not same_strategy(make(), PureMarketMaking(MockMarket(), **SETTINGS))
    assert not same_strategy(make(), None)
    assert not same_strategy(make(), kit.Strategy(market))


def test_parameters_that_were_changed_since_make_it_another(make):
    running, again = make(), make()
    running.params.update(order_amount=3)
    assert not same_strategy(running, again)


def test_arguments_that_cannot_be_compared_count_as_different(make):
    assert not same_strategy(make(price_source=lambda: 1), make(price_source=lambda: 1))


def test_arguments_of_a_users_own_count(monkeypatch, market):
    source = (
        "import kit\nclass Own(kit.Strategy):\n    def __init__(self, market, size):\n        super().__init__(market)"
    )

    def run():
        space = {"__name__": "__main__"}
        exec(compile(source, "<cell>", "exec"), space)
        monkeypatch.setattr(sys.modules["__main__"], "Own", space["Own"], raising=False)
        return space["Own"]

    first = run()(market, 1)
    again = run()
    assert same_strategy(first, again(market, 1))
    assert not same_strategy(first, again(market, 2))

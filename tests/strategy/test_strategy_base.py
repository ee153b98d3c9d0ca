from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from kit.errors import InvalidInput, NotReady, StrategyError, UnknownPair
from kit.strategy.params import Params, param
from kit.strategy.strategy_base import StrategyBase
from kit.types.events import MarketEvent, MarketOrderFailureEvent, OrderExpiredEvent
from kit.types.orders import OrderState, OrderType
from tests.support.kit_logs import kit_records
from tests.support.mock_market import MockMarket

D = Decimal
HOOKS = (
    "did_create_buy_order",
    "did_create_sell_order",
    "did_fill_order",
    "did_cancel_order",
    "did_fail_order",
    "did_expire_order",
    "did_complete_buy_order",
    "did_complete_sell_order",
)


class Recorder(StrategyBase):
    """Does on each tick what its script says, and writes down what it hears."""

    class Params(Params):
        size: Decimal = param("1", gt=0)

    def __init__(self, *args, script=None, **more):
        self.heard = []
        self.script = script or {}
        self.active_in_hook = []
        super().__init__(*args, **more)

    def on_start(self, timestamp):
        self.heard.append(("start", timestamp))

    def on_stop(self):
        self.heard.append(("stop",))

    def on_tick(self, timestamp):
        action = self.script.get(timestamp)
        if action:
            action(self)

    def on_params_changed(self, old, new):
        self.heard.append(("params", old.size, new.size))


def _listen(hook):
    def did(self, event):
        self.heard.append((hook, event.order_id))
        self.active_in_hook.append(len(self.active_orders))

    return did


for _hook in HOOKS:
    setattr(Recorder, _hook, _listen(_hook))


@pytest.fixture
def run(market, bench):
    def build(script=None, **more):
        return bench(market, Recorder(market, script=script, **more))

    return build


def heard(bench):
    return [entry for entry in bench.strategy.heard if entry[0].startswith("did")]


def test_an_order_is_known_before_its_hooks_run(run):
    ids = []
    b = run({1: lambda s: ids.append(s.buy("1", "90")), 2: lambda s: ids.append(s.sell(D(2), D(110), level=3))})
    b.til(2)
    assert heard(b) == [("did_create_buy_order", ids[0]), ("did_create_sell_order", ids[1])]
    assert b.strategy.active_in_hook == [1, 2]
    buy, sell = b.strategy.active_orders
    assert (b.strategy.active_buys, b.strategy.active_sells) == ((buy,), (sell,))
    assert (buy.client_order_id, buy.price, buy.quantity, buy.state, buy.level) == (
        ids[0],
        90,
        1,
        OrderState.OPEN,
        None,
    )
    assert (sell.is_buy, sell.level, sell.exchange_order_id) == (False, 3, "x" + ids[1])


def test_prices_and_sizes_may_be_written_as_text_int_or_float(run):
    b = run({1: lambda s: (s.buy(1, 90.1), s.buy("2", D("80")))})
    b.til(1)
    assert [(order.quantity, order.price) for order in b.strategy.active_buys] == [(1, D("90.1")), (2, 80)]


@pytest.mark.parametrize("amount", ["many", None])
def test_an_amount_that_is_no_number_is_named(run, amount):
    b = run({1: lambda s: s.buy(amount, 90)})
    b.til(1)
    assert "amount is" in str(b.strategy.last_error)
    assert not b.market.orders


def test_a_fill_is_heard_in_order_and_ends_the_order(run):
    b = run({1: lambda s: s.buy(1, 90)})
    b.til(1)
    order = b.strategy.active_orders[0]
    b.market.fill(order.client_order_id)
    assert [entry[0] for entry in heard(b)] == ["did_create_buy_order", "did_fill_order", "did_complete_buy_order"]
    assert (order.state, order.remaining, b.strategy.active_orders) == (OrderState.FILLED, 0, ())
    assert b.strategy.active_in_hook == [1, 1, 0], "the list is up to date within the hook"


def test_events_of_foreign_orders_do_not_reach_the_hooks(run):
    b = run()
    b.til(1)
    foreign = b.market.buy("HBOT/ETH", D(1), OrderType.LIMIT, D(90))
    b.market.fill(foreign)
    assert heard(b) == []


def test_a_foreign_fill_within_the_placing_call_is_not_ours(run):
    b = run()
    b.til(1)
    foreign = b.market.sell("HBOT/ETH", D(1), OrderType.LIMIT, D(110))
    buy = b.market.buy

    def buy_and_take(*args, **more):
        b.market.fill(foreign)
        return buy(*args, **more)

    b.market.buy = buy_and_take
    own = b.strategy.buy(1, 110)
    assert heard(b) == [("did_create_buy_order", own)]
    assert b.strategy.active_orders[0].filled_quantity == 0


def test_two_strategies_on_one_market_hear_only_of_their_own(market, bench):
    b = bench(market, Recorder(market, script={1: lambda s: s.buy(1, 90)}))
    other = Recorder(market, script={1: lambda s: s.sell(1, 110)}, name="other")
    b.clock.add_iterator(other)
    b.til(1)
    assert [entry[0] for entry in heard(b)] == ["did_create_buy_order"]
    assert [entry[0] for entry in other.heard if entry[0] != "start"] == ["did_create_sell_order"]


def test_cancel_is_sent_once_until_it_is_overdue(run):
    b = run({1: lambda s: s.buy(1, 90)})
    b.market.hold_cancels = True
    b.til(1)
    order = b.strategy.active_orders[0]
    assert b.strategy.cancel(order.client_order_id)
    assert not b.strategy.cancel(order.client_order_id)
    assert order.is_cancelling
    b.til(10)
    assert not b.strategy.cancel(order.client_order_id)
    b.til(11)
    assert b.strategy.cancel_all() == 1
    assert b.market.sent_cancels == [order.client_order_id] * 2
    b.market.confirm_cancel(order.client_order_id)
    assert (order.state, order.is_cancelling) == (OrderState.CANCELED, False)
    assert not b.strategy.cancel(order.client_order_id)


def test_cancelling_a_foreign_order_is_refused(run):
    b = run()
    b.til(1)
    with pytest.raises(InvalidInput, match="'abc' is no order of Recorder"):
        b.strategy.cancel("abc")


@pytest.mark.parametrize(
    ("tag", "event", "hook", "state"),
    [
        (MarketEvent.OrderExpired, OrderExpiredEvent, "did_expire_order", OrderState.EXPIRED),
        (MarketEvent.OrderFailure, MarketOrderFailureEvent, "did_fail_order", OrderState.FAILED),
    ],
)
def test_other_endings(run, tag, event, hook, state):
    b = run({1: lambda s: s.buy(1, 90)})
    b.til(1)
    order = b.strategy.active_orders[0]
    more = (OrderType.LIMIT,) if event is MarketOrderFailureEvent else ()
    b.market.pubsub.trigger_event(tag, event(1.0, order.client_order_id, *more))
    assert heard(b)[-1] == (hook, order.client_order_id)
    assert (order.state, b.strategy.active_orders) == (state, ())


def test_an_order_given_up_for_lost_that_turns_out_to_live_is_active_again(run):
    b = run({1: lambda s: s.buy(1, 90)})
    b.til(1)
    order = b.strategy.active_orders[0]
    b.market.pubsub.trigger_event(
        MarketEvent.OrderFailure, MarketOrderFailureEvent(1.0, order.client_order_id, OrderType.LIMIT)
    )
    assert b.strategy.active_orders == ()
    b.market.tell_filled(b.market.orders[order.client_order_id], D("0.25"))
    assert b.strategy.active_orders == (order,)
    assert (order.state, order.remaining) == (OrderState.PARTIALLY_FILLED, D("0.75"))


def test_late_fills_are_heard_for_180_seconds(run):
    b = run({1: lambda s: s.buy(1, 90)})
    b.til(1)
    order = b.strategy.active_orders[0]
    known = b.market.orders[order.client_order_id]
    b.strategy.cancel(order.client_order_id)
    b.til(181)
    b.market.tell_filled(known, D("0.5"))
    assert heard(b)[-1] == ("did_fill_order", order.client_order_id)
    assert (order.filled_quantity, order.state, b.strategy.active_orders) == (D("0.5"), OrderState.CANCELED, ())
    b.til(182)
    b.market.tell_filled(known, D("0.5"))
    assert order.filled_quantity == D("0.5")
    assert b.strategy.order(order.client_order_id) is None


def test_order_age_is_in_seconds(run):
    b = run({2: lambda s: s.buy(1, 90)})
    b.til(5)
    assert b.strategy.order_age(b.strategy.active_orders[0]) == 3


def test_nothing_is_heard_after_the_stop_and_a_restart_catches_up(run):
    b = run({1: lambda s: (s.buy(1, 90), s.buy(1, 89), s.buy(1, 88))})
    b.til(2)
    first, second, third = b.strategy.active_orders
    b.stop()
    count = len(heard(b))
    b.market.confirm_cancel(first.client_order_id)
    b.market.orders[second.client_order_id].executed_amount_base = D("0.3")
    assert len(heard(b)) == count
    b.til(2)
    assert b.strategy.active_orders[:2] == (second, third)
    assert second.remaining == D("0.7")
    assert b.strategy.heard[-1] != ("stop",)
    b.market.fill(third.client_order_id)
    assert heard(b)[-1] == ("did_complete_buy_order", third.client_order_id)


def test_its_text_counts_the_orders_that_rest_also_after_the_stop(run):
    b = run({1: lambda s: (s.buy(1, 90), s.buy(1, 89))})
    b.til(1)
    first, second = b.strategy.active_orders
    assert repr(b.strategy).endswith(" running, 2 orders>")
    b.stop()
    b.market.confirm_cancel(first.client_order_id)  # as core.stop() does, which the strategy does not hear of any more
    assert repr(b.strategy).endswith(" stopped, 1 order>")
    b.market.confirm_cancel(second.client_order_id)
    assert repr(b.strategy).endswith(" stopped, 0 orders>")


def test_on_stop_may_still_cancel_and_hears_of_it(run):
    b = run({1: lambda s: s.buy(1, 90)})
    b.strategy.on_stop = b.strategy.cancel_all
    b.til(1)
    b.stop()
    assert heard(b)[-1][0] == "did_cancel_order"
    assert b.strategy.clock is None


def test_placing_while_stopped_is_refused(market):
    with pytest.raises(NotReady, match="does not run"):
        Recorder(market).buy(1, 90)


def test_a_start_that_fails_leaves_no_listener(market, bench):
    b = bench(market, Recorder(market))

    def fail(timestamp):
        raise RuntimeError("no")

    b.strategy.on_start = fail
    b.til(1)
    assert market.pubsub.listeners(MarketEvent.OrderFilled) == ()
    assert b.strategy.clock is None


# -- readiness, parameters, errors


def test_ticks_wait_for_the_market_with_one_warning(run, caplog):
    b = run({5: lambda s: s.buy(1, 90), 1000: lambda s: s.buy(1, 91)})
    waits = []
    b.strategy.on_not_ready = waits.append
    b.market.ready = False
    with caplog.at_level(logging.WARNING):
        b.til(899)
        assert [record.message for record in kit_records(caplog)] == [
            "Recorder waits: not ready: mock; see the status of the market for what is missing"
        ]
        b.til(999)
    assert len(kit_records(caplog)) == 2
    assert waits == list(range(1, 1000))
    b.market.ready = True
    b.til(1000)
    assert [order.price for order in b.strategy.active_orders] == [91]


def test_parameters_apply_at_the_begin_of_the_next_tick(run):
    seen = []
    b = run(
        {1: lambda s: (s.params.update(size=2), seen.append(s.params.size)), 2: lambda s: seen.append(s.params.size)}
    )
    b.til(1)
    assert b.strategy.params.pending == {"size": 2}
    b.til(2)
    assert seen == [1, 2]
    assert ("params", 1, 2) in b.strategy.heard


def test_parameters_apply_while_paused(run):
    b = run({2: lambda s: s.buy(1, 90)})
    b.til(1)
    b.strategy.pause("by hand")
    b.strategy.params.size = 3
    b.til(2)
    assert (b.strategy.params.size, b.strategy.active_orders) == (3, ())
    assert "paused: by hand" in repr(b.strategy)
    b.strategy.resume()
    assert not b.strategy.paused


def test_failing_ticks_are_counted_in_a_row(run):
    def fail(strategy):
        raise ZeroDivisionError("oh")

    b = run({1: fail, 2: fail, 4: fail})
    calls = []
    b.strategy.health.on_failed_tick = lambda error: calls.append(b.strategy.consecutive_errors)
    b.til(2)
    assert b.strategy.consecutive_errors == 2
    error = b.strategy.last_error
    assert isinstance(error, StrategyError)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert error.timestamp == 2
    assert "Recorder threw ZeroDivisionError: oh" in str(error)
    b.til(3)
    assert b.strategy.consecutive_errors == 0
    b.til(4)
    assert calls == [1, 2, 1]
    assert b.strategy.health.total_errors == 3


def test_a_failing_hook_is_counted_and_its_tick_counts_as_failed(run, caplog):
    b = run({1: lambda s: s.buy(1, 90), 2: lambda s: s.buy(1, 80)})

    def fail(event):
        raise KeyError("inventory")

    b.strategy.did_create_buy_order = fail
    b.til(1)
    assert (b.strategy.health.total_errors, b.strategy.consecutive_errors) == (1, 1)
    assert len(b.strategy.active_orders) == 1, "the placing itself went through"
    assert any(record.exc_info for record in kit_records(caplog))
    b.til(2)
    assert b.strategy.consecutive_errors == 2
    b.til(3)
    assert b.strategy.consecutive_errors == 0


def test_a_failing_hook_outside_a_tick_is_counted_by_the_pubsub_too(run):
    b = run({1: lambda s: s.buy(1, 90)})
    b.til(1)

    def fail(event):
        raise KeyError("inventory")

    b.strategy.did_fill_order = fail
    b.market.fill(b.strategy.active_orders[0].client_order_id)
    assert b.market.pubsub.error_count == 1
    assert b.strategy.active_orders == ()
    b.til(2)
    assert b.strategy.consecutive_errors == 1


def test_a_stray_stop_iteration_is_an_error_and_does_not_end_the_run(run):
    def stray(strategy):
        next(iter(()))

    b = run({2: stray})
    b.til(10)
    assert b.clock.current_timestamp == 10
    assert isinstance(b.strategy.last_error.__cause__, StopIteration)


def test_the_pair_may_be_left_out_where_there_is_one(market):
    assert Recorder(market).trading_pair == "HBOT/ETH"
    assert Recorder(market, "HBOT-ETH").trading_pair == "HBOT/ETH"
    market.trading_pairs = ("HBOT/ETH", "X/Y")
    with pytest.raises(InvalidInput, match=r"several: HBOT/ETH, X/Y; give one: Recorder\(market, 'HBOT/ETH'\)"):
        _ = Recorder(market).trading_pair
    with pytest.raises(UnknownPair, match=r"BTC/USDT.*HBOT/ETH, X/Y"):
        Recorder(market, "BTC/USDT")


@pytest.mark.parametrize("wrong", ["binance", object(), {"binance": None}])
def test_what_is_no_market_is_refused(wrong):
    with pytest.raises(InvalidInput, match=r"is no market; give .* await core\.add_connector"):
        Recorder(wrong, "BTC/USDT")


async def test_a_market_that_was_not_awaited_is_refused_without_a_warning():
    async def add_connector():
        raise AssertionError

    with pytest.raises(InvalidInput, match=r"is no market; give .* await core\.add_connector"):
        Recorder(add_connector(), "BTC/USDT")


def test_a_strategy_without_a_market_says_so():
    strategy = Recorder()
    with pytest.raises(InvalidInput, match="has no market"):
        _ = strategy.market


def test_a_second_market_is_heard_too(market, bench):
    second = MockMarket("A/B", {"A": D(10), "B": D(1000)}, name="second")
    b = bench(market, Recorder(market, script={1: lambda s: s.sell(1, 110, market=second, trading_pair="A-B")}))
    b.strategy.add_market(second, "A/B")
    b.til(1)
    assert heard(b) == [("did_create_sell_order", "order-1")]
    assert len(second.orders) == 1
    third = MockMarket("C/D", name="third")
    with pytest.raises(InvalidInput, match="does not listen to third"):
        b.strategy.buy(1, 1, market=third)
    b.strategy.add_market(third)
    b.strategy.buy(1, 1, market=third, trading_pair="C/D")
    assert heard(b)[-1][0] == "did_create_buy_order"
    b.strategy.add_market(third)
    assert len(b.strategy.markets) == 3


def test_parameters_may_come_as_keywords_mapping_or_model(market):
    assert Recorder(market, size="2").params.size == 2
    assert Recorder(market, params={"size": 2}).params.size == 2
    assert Recorder(market, params=Recorder.Params(size=2)).params.size == 2
    assert Recorder(market, params=Recorder.Params(size=2), size=3).params.size == 3

    class Other(Params):
        pass

    with pytest.raises(InvalidInput, match="Recorder takes"):
        Recorder(market, params=Other())
    with pytest.raises(InvalidInput, match="did you mean 'size'"):
        Recorder(market, sise=1)


def test_params_must_extend_those_of_the_class_above():
    with pytest.raises(InvalidInput, match=r"class Params\(kit.Params\)"):

        class Wrong(StrategyBase):
            class Params:
                pass

    class More(Recorder):
        class Params(Recorder.Params):
            extra: int = param(1)

    assert (More(extra=2).params.extra, More().params.size) == (2, 1)
    with pytest.raises(InvalidInput, match="must extend"):

        class Lost(Recorder):
            class Params(Params):
                extra: int = param(1)


def test_orders_can_be_cancelled_after_the_strategy_was_taken_off_the_clock(run):
    b = run({1: lambda s: s.buy(1, 90)})
    b.til(1)
    b.clock.remove_iterator(b.strategy)
    assert b.strategy.cancel_all() == 1
    assert not b.market.orders
    b.clock.add_iterator(b.strategy)
    assert b.strategy.active_orders == ()


def test_a_name_is_given_or_the_class(market):
    assert Recorder(market).name == "Recorder"
    assert Recorder(market, name="mine").name == "mine"


def test_a_hook_that_cannot_be_called_is_refused_where_it_is_defined():
    with pytest.raises(
        InvalidInput, match=r"Forgetful\.on_start cannot be called .*'def on_start\(self, timestamp\):'"
    ):

        class Forgetful(StrategyBase):
            def on_start(self):
                pass

    with pytest.raises(InvalidInput, match=r"Wordy\.on_stop cannot be called .*'def on_stop\(self\):'"):

        class Wordy(StrategyBase):
            def on_stop(self, timestamp):
                pass

    with pytest.raises(InvalidInput, match=r"Patient\.on_tick is a coroutine .*'def on_tick\(self, timestamp\):'"):

        class Patient(StrategyBase):
            async def on_tick(self, timestamp):
                pass


def test_hooks_may_name_their_arguments_as_they_like():
    class Free(StrategyBase):
        def on_start(self, now, more=1):
            pass

        def on_tick(self, *args, **more):
            pass

        @staticmethod
        def did_fill_order(event):
            pass

        on_stop = print

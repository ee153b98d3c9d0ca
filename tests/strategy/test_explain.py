"""The question "why is it not quoting?", and the status, in every situation."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal

import pytest

from kit.core.clock import Clock, ClockMode
from kit.errors import InvalidInput, InvalidOrder
from kit.strategy.proposal import Proposal
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.events import MarketEvent, MarketOrderFailureEvent
from kit.types.market import TradeType
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
        return bench(market, kind(market, **{**SETTINGS, **changes}))

    return build


def why(b) -> str:
    return b.strategy.explain().verdict


def row(b, step):
    frame = b.strategy.explain().frame
    return frame[frame.step == step].iloc[0]


def test_before_it_runs(market):
    found = PureMarketMaking(market, **SETTINGS).explain()
    assert found.verdict == "Not quoting. The strategy does not run; start the core."
    assert found.proposed_at is None


def test_while_orders_rest(run):
    b = run()
    b.til(1)
    assert why(b) == "Quoting: 1 buy and 1 sell orders rest. The last tick placed 2 orders."
    b.til(3)
    assert "due for replacement in 3 s (order_refresh_time)" in why(b)
    found = b.strategy.explain()
    assert (found.timestamp, found.proposed_at) == (3, 1)
    b.til(6)
    assert why(b) == "Not quoting. Placing is due from the next tick on."
    assert row(b, "cancelled").why == "due for replacement"


def test_paused(run):
    b = run()
    b.til(6)
    b.strategy.pause("lunch")
    b.til(9)
    assert why(b) == "Not quoting. The strategy is paused: lunch; resume() goes on."


def test_a_market_that_is_not_ready(run):
    b = run()
    b.market.ready = False
    b.til(2)
    assert "Not quoting. Not ready: mock; the market's status" in why(b)
    assert b.strategy.status.assets.empty


def test_no_reference_price(run):
    b = run()
    b.market.book.clear(is_asks=True)
    b.til(1)
    assert why(b) == "Not quoting. There is no reference price: a side of its book is empty."
    assert b.strategy.status.markets.reference_price[0] is None


def test_the_pause_after_a_fill(run):
    b = run(order_refresh_time=2)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(3)
    assert why(b) == "Not quoting. An order was filled; the pause (filled_order_delay) ends in 3 s."


def test_cancels_without_an_answer(run):
    b = run()
    b.market.hold_cancels = True
    b.til(8)
    assert "had not confirmed every cancel" in why(b)
    assert set(b.strategy.status.orders.state) == {"cancelling"}


def test_the_tolerance_keeps_orders(run):
    b = run(order_refresh_tolerance="0.1")
    b.til(9)
    assert "within order_refresh_tolerance" in why(b)


@pytest.mark.parametrize(
    ("changes", "step", "side", "words"),
    [
        ({"price_ceiling": 99}, "price_band", "buys", "100 is at or above price_ceiling 99"),
        ({"price_floor": 101}, "price_band", "sells", "100 is at or below price_floor 101"),
        (
            {"moving_price_band_enabled": True, "price_ceiling_pct": 0},
            "moving_price_band",
            "buys",
            "at or above the moving ceiling 100",
        ),
        (
            {"inventory_skew_enabled": True, "inventory_target_base_pct": "0.1"},
            "inventory_skew",
            "buys",
            "buys x 0, sells x 2: base is 90.9 % of the value, target 10 %",
        ),
        ({"bid_spread": "0.0001", "bid": 97}, "filter_takers", "buys", "best ask 97.5"),
    ],
)
def test_what_a_stage_removed_from_one_side(run, changes, step, side, words):
    bid = changes.pop("bid", None)
    b = run(**changes, **({"price_source": lambda: 100} if bid else {}))
    if bid:
        b.market.book = MockBook.balanced(D(bid), D(1), D(200), D(1), D(10))
    b.til(1)
    assert f" No {side} after {step}: " in why(b)
    assert words in why(b)
    assert row(b, step).change.startswith(f"removed 1 {side[:-1]}")
    assert words in row(b, step).why


def test_too_little_money(bench):
    market = MockMarket(balances={"HBOT": D(0), "ETH": D(0)})
    b = bench(market, PureMarketMaking(market, **SETTINGS))
    b.til(1)
    assert why(b) == (
        "Not quoting. Nothing is left to quote after budget_constraint: 0 ETH and 0 HBOT are free for orders "
        "(maker fee 0 %)."
    )


def test_ping_pong(run):
    b = run(ping_pong_enabled=True, filled_order_delay=0)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(2)
    assert "No buys after ping_pong: 1 buy and 0 sells filled" in why(b)


def test_optimization_beyond_the_book(run):
    b = run(order_optimization_enabled=True, bid_order_optimization_depth="1e9")
    b.til(1)
    assert "after order_optimization: the book is thinner than the optimization depth" in why(b)


def test_rules_and_costs(rule, bench):
    market = MockMarket(rule=rule, fee=(D("0.001"), D("0.002")))
    b = bench(market, PureMarketMaking(market, **{**SETTINGS, "order_amount": "0.05", "add_transaction_costs": True}))
    b.til(1)
    assert "after trading_rules: the exchange takes: size at least 0.01, value at least 10" in why(b)
    assert row(b, "transaction_costs").why == "wider by the maker fee of 0.1 %"
    assert row(b, "transaction_costs").change == "moved buys, moved sells"


@pytest.mark.parametrize("made", [None, [(), ()], "float"])
def test_a_user_s_stage_that_returns_nonsense_is_named(run, made):
    def mine(proposal, context):
        if made == "float":
            return Proposal(tuple(entry._replace(size=0.5) for entry in proposal.buys), proposal.sells)
        return made

    class Mine(PureMarketMaking):
        stages = (PureMarketMaking.stages[0], mine, *PureMarketMaking.stages[1:])

    b = run(Mine)
    b.til(1)
    assert "The last tick failed: Mine threw InvalidInput: stage mine " in why(b)
    assert not b.strategy.active_orders
    assert why(b) in repr(b.strategy.status)


def test_a_stage_may_be_any_callable(run):
    @dataclass
    class Shift:
        """Move buys down."""

        step: Decimal

        def __call__(self, proposal, context):
            return Proposal([entry._replace(price=entry.price - self.step) for entry in proposal.buys], ())

    class Mine(PureMarketMaking):
        stages = (*PureMarketMaking.stages, Shift(D(1)))

    b = run(Mine)
    b.til(1)
    assert [order.price for order in b.strategy.active_orders] == [98]
    assert "Move buys down." in repr(b.strategy.explain())


def test_a_stage_that_cannot_be_called_is_refused(run):
    class Mine(PureMarketMaking):
        stages = (*PureMarketMaking.stages, "no_sells")

    with pytest.raises(InvalidInput, match="'no_sells' among the stages of Mine cannot be called"):
        run(Mine)


def test_a_user_s_stage_is_explained_by_its_first_line(run):
    def no_sells(proposal, context):
        """Sell nothing on Sundays.

        More.
        """
        return Proposal(proposal.buys, ())

    class Mine(PureMarketMaking):
        stages = (*PureMarketMaking.stages, no_sells)

    b = run(Mine)
    b.til(1)
    assert "No sells after no_sells: Sell nothing on Sundays." in why(b)


def test_a_failing_stage_is_told(run):
    def broken(proposal, context):
        raise ZeroDivisionError("no")

    class Mine(PureMarketMaking):
        stages = (broken,)

    b = run(Mine)
    b.til(1)
    assert "The last tick failed" in why(b)
    assert "ZeroDivisionError: no" in why(b)


def reject(b, order, message="margin is insufficient"):
    b.market.drop(order.client_order_id)
    b.market.pubsub.trigger_event(
        MarketEvent.OrderFailure,
        MarketOrderFailureEvent(b.clock.current_timestamp, order.client_order_id, order.order_type, message),
    )


def test_orders_that_the_exchange_rejected(run):
    b = run(order_refresh_time=3600)
    b.til(1)
    for order in b.strategy.active_orders:
        reject(b, order)
    assert why(b) == (
        "Not quoting. The last tick placed 2 orders. The last buy order was rejected 0 s ago: margin is insufficient. "
        "The last sell order was rejected 0 s ago: margin is insufficient."
    )
    b.til(300)  # longer than ended orders are kept
    assert why(b) == (
        "Not quoting. The next placing is due in 3301 s (order_refresh_time). "
        "The last buy order was rejected 299 s ago: margin is insufficient. "
        "The last sell order was rejected 299 s ago: margin is insufficient."
    )


def test_one_level_that_the_exchange_rejected(run):
    b = run(order_refresh_time=3600, order_levels=2)
    b.til(1)
    reject(b, b.strategy.active_buys[1], "")
    b.til(2)
    assert why(b) == (
        "Quoting: 1 buy and 2 sell orders rest. Placed orders are due for replacement in 3599 s (order_refresh_time). "
        "The last buy order was rejected 1 s ago."
    )


def test_orders_that_grew_too_old(run):
    b = run(order_refresh_time=3600, max_order_age=10)
    b.til(13)
    assert why(b) == (
        "Not quoting. The next placing is due in 3588 s (order_refresh_time). "
        "The last buy order was cancelled 1 s ago: older than max_order_age. "
        "The last sell order was cancelled 1 s ago: older than max_order_age."
    )


def test_a_side_that_came_too_near(run):
    b = run(order_refresh_time=3600, minimum_spread="0.005")
    b.til(2)
    b.market.book = MockBook.balanced(D("98.6"), D(1), D(300), D(1), D(10))
    b.til(5)
    assert "Quoting: 0 buy and 1 sell orders rest." in why(b)
    assert "The last buy order was cancelled 2 s ago: nearer to the price than minimum_spread." in why(b)
    assert "sell order was" not in why(b)


def test_a_minimum_spread_that_takes_back_every_quote_is_told(run, caplog):
    b = run(bid_spread="0.001", minimum_spread="0.05")
    told = (
        "inimum_spread 5 % takes back 2 of 2 proposed quotes on the tick after they were placed, as they are nearer to "
        "the price; lower it or widen the spreads"
    )
    b.til(2)
    assert why(b).endswith(f"{told}.")
    assert row(b, "minimum_spread").why == f"m{told}"
    b.til(20)
    assert caplog.text.count(told) == 1  # once, not at every proposal
    b.strategy.params.minimum_spread = "0.002"
    b.til(40)
    assert "inimum_spread 0.2 % takes back 1 of 2 proposed quotes" in why(b)
    b.strategy.params.minimum_spread = None
    b.til(60)
    assert "minimum_spread" not in why(b)
    assert "minimum_spread" not in list(b.strategy.explain().frame.step)


def test_orders_that_the_user_or_somebody_else_cancelled(run):
    b = run(order_refresh_time=3600)
    b.til(2)
    b.market.confirm_cancel(b.strategy.active_buys[0].client_order_id)
    b.strategy.cancel_all()
    b.til(3)
    assert "The last buy order was cancelled 1 s ago, not by the strategy." in why(b)
    assert "The last sell order was cancelled 1 s ago: asked for by cancel() or cancel_all()." in why(b)


def test_a_fill_is_named_where_no_pause_says_so(run):
    b = run(order_refresh_time=3600, filled_order_delay=0)
    b.til(2)
    b.market.hold_cancels = True
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(3)
    assert "The last buy order was filled 1 s ago." in why(b)


def test_a_placing_that_broke_off(run, monkeypatch):
    b = run(order_refresh_time=3600)

    def refuse(*given, **more):
        raise InvalidOrder("too small a sell")

    monkeypatch.setattr(b.market, "sell", refuse)
    b.til(3)
    assert why(b) == (
        "Quoting: 1 buy and 0 sell orders rest. Placed orders are due for replacement in 3598 s (order_refresh_time). "
        "The last placing broke off: too small a sell."
    )


@pytest.mark.parametrize("lost", ["price", "readiness"])
def test_without_a_price_or_a_market_no_old_stage_is_blamed(run, lost):
    b = run(price_ceiling=99)
    b.til(1)
    assert "No buys after price_band" in why(b)
    if lost == "price":
        b.market.book.clear(is_asks=True)
    else:
        b.market.ready = False
    b.til(2)
    assert "price_band" not in why(b)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order_amount": "0.0009"}, "order_amount 0.0009 rounds to 0, step 0.001, least size 0.01"),
        ({"order_amount": "0.0099"}, "order_amount 0.0099 rounds to 0, step 0.001, least size 0.01"),
        (
            {"order_levels": 2, "order_amount": 1, "order_level_amount": "-0.9999"},
            "order_amount + 1 x order_level_amount = 0.0001 rounds to 0, step 0.001, least size 0.01",
        ),
        (
            {"order_levels": 2, "order_amount": 1, "order_level_amount": "-2"},
            "order_amount + 1 x order_level_amount = -1 is not above 0",
        ),
        ({"order_override": {"a": ["buy", "0.01", "0.0001"]}}, "an amount of order_override 0.0001 rounds to 0"),
        (
            {"bid_order_level_spreads": ["0.01"], "bid_order_level_amounts": ["0.0001"]},
            "an amount of bid_order_level_amounts 0.0001 rounds to 0",
        ),
        ({"bid_spread": "0.99999"}, "a price of 0.001 rounds to 0, step 0.01"),
        ({"bid_order_level_spreads": []}, "bid_order_level_spreads is empty"),
        ({"bid_order_level_spreads": [], "ask_order_level_spreads": []}, "ask_order_level_spreads is empty"),
        ({"order_override": {"a": ["buy", "0.01", 1]}}, "order_override has no sells"),
    ],
)
def test_a_level_that_is_not_proposed(rule, bench, changes, words):
    market = MockMarket(rule=rule)
    b = bench(market, PureMarketMaking(market, **{**SETTINGS, **changes}))
    b.til(1)
    assert words in row(b, "base_levels").why
    if len({order.is_buy for order in b.strategy.active_orders}) < 2:
        assert words in why(b)


def test_a_strategy_that_another_one_replaced(run):
    b = run()
    b.til(2)
    b.market.hold_cancels = True
    b.clock.remove_iterator(b.strategy)
    b.strategy.cancel_all()
    assert why(b) == (
        "Not quoting. The strategy was stopped, or another one took its place: core.strategy is the one that runs. "
        "2 of its orders still rest on the exchange."
    )
    assert len(b.strategy.status.orders) == 2
    for order_id in list(b.market.orders):
        b.market.confirm_cancel(order_id)
    assert why(b) == (
        "Not quoting. The strategy was stopped, or another one took its place: core.strategy is the one that runs."
    )
    assert b.strategy.status.orders.empty


def test_a_strategy_whose_start_failed(market):
    class Broken(PureMarketMaking):
        def on_start(self, timestamp):
            raise ZeroDivisionError("oh")

    strategy = Broken(market, **SETTINGS)
    with pytest.raises(ZeroDivisionError):
        strategy.start(Clock(ClockMode.BACKTEST), 0.0)
    assert strategy.explain().verdict == (
        "Not quoting. The strategy does not run: on_start failed: ZeroDivisionError: oh."
    )


def test_one_is_one(run):
    b = run(order_override={"a": ["buy", "0.01", 1]})
    b.til(1)
    assert row(b, "base_levels").change == "added 1 buy"
    assert "The last tick placed 1 order." in why(b)
    assert row(b, "placed").change == "1 order"
    b.strategy.params.order_override = None
    b.til(6)
    assert row(b, "cancelled").change == "1 order"


def test_it_reads_well_as_text_and_html(run):
    b = run()
    b.til(1)
    found = b.strategy.explain()
    assert repr(found).splitlines()[0] == found.verdict
    assert "base_levels" in repr(found)
    html = found._repr_html_()
    assert "<table>" in html
    assert "around 100 (mid_price)" in html


def test_the_status(run):
    b = run(inventory_skew_enabled=True, inventory_range_multiplier=500, order_levels=2)
    b.til(4)
    status = b.strategy.status
    orders = status.orders
    assert list(orders.side) == ["sell", "sell", "buy", "buy"]
    assert list(orders.level) == [1, 0, 0, 1]
    assert list(orders.spread) == [D("0.02"), D("0.01"), D("0.01"), D("0.02")]
    assert set(orders.age) == {3}
    assert not orders.hanging.any()
    assert status.assets.set_index("asset").total["HBOT"] == 500
    assert status.skew.target_share[0] == D("0.5")
    assert status.skew.buy_factor[0] + status.skew.sell_factor[0] == 2
    assert status.markets.reference_price[0] == 100
    assert "2 %" in repr(status)
    assert "<th>buy factor</th>" in status._repr_html_()


def test_looking_changes_nothing(run):
    b = run(moving_price_band_enabled=True, ping_pong_enabled=True, price_source=lambda: 100)
    b.til(1)
    before = (b.strategy._inputs.band.floor, b.strategy._inputs.band._set_at)
    b.clock.backtest_til(3)
    b.strategy.status, b.strategy.explain()
    assert (b.strategy._inputs.band.floor, b.strategy._inputs.band._set_at) == before


def test_pandas_and_ipython_load_only_when_looked_at():
    code = (
        "import sys, kit.strategy.pure_market_making; "
        "print([name for name in ('pandas', 'IPython', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Features of pure market making, each on its own, on the mock market."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kit.errors import InvalidInput
from kit.strategy.inventory_cost import InventoryCost
from kit.strategy.inventory_skew import skew_ratios, total_order_size
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.moving_price_band import MovingPriceBand
from kit.strategy.ping_pong import PingPong
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.events import MarketEvent, OrderFilledEvent
from kit.types.market import PriceType, TradeType
from kit.types.orders import OrderType, TokenAmount, TradeFee
from tests.support.mock_market import MockBook

D = Decimal
SETTINGS = {"bid_spread": "0.01", "ask_spread": "0.01", "order_amount": 1, "order_refresh_time": 0.5}


@pytest.fixture
def run(market, bench):
    def build(**changes):
        return bench(market, PureMarketMaking(market, **{**SETTINGS, **changes}))

    return build


def book(mid):
    return MockBook.balanced(D(mid), D(1), D(300), D(1), D(10))


def test_split_levels_and_their_amounts(run):
    b = run(bid_order_level_spreads=["0.01", "0.05"], bid_order_level_amounts=[2, 3], ask_order_level_spreads=["0.02"])
    b.til(1)
    assert b.prices == (["99", "95"], ["102"])
    assert [order.quantity for order in b.strategy.active_orders] == [2, 3, 1]


def test_split_levels_under_optimization_keep_their_proportions(run):
    b = run(bid_order_level_spreads=["0.01", "0.05"], ask_order_level_spreads=["0.01"], order_optimization_enabled=True)
    b.market.book.apply([(D("99.5"), D(0)), (D("98.5"), D(0))], [])
    b.til(1)  # the mid is 99; the best bid is now 97.5
    first = D("97.5001")
    assert b.strategy.active_buys[0].price == first
    assert b.strategy.active_buys[1].price == first * D("0.95") / D("0.99")


def test_an_override_replaces_all_levels(run):
    b = run(order_levels=3, order_override={"a": ["buy", 0.005, 0.7], "b": ["sell", "0.011", 2]})
    b.til(1)
    assert b.prices == (["99.5"], ["101.1"])
    b.strategy.params.order_override = None
    b.til(3)
    assert len(b.strategy.active_orders) == 6


def test_ceiling_and_floor_by_the_reference_price(run):
    b = run(price_ceiling=105, price_floor=95, filled_order_delay=0)
    for mid, sides in ((100, (1, 1)), (105, (0, 1)), (95, (1, 0))):
        b.market.book = book(mid)
        b.til(b.clock.current_timestamp + 4 if b.clock.current_timestamp > 0 else 1)
        assert (len(b.strategy.active_buys), len(b.strategy.active_sells)) == sides


def test_a_moving_band_stays_for_its_time():
    band, params = MovingPriceBand(), PureMarketMakingParams(**SETTINGS, price_band_refresh_time=10)
    band.update(1.0, D(100), params)
    assert (band.floor, band.ceiling) == (99, 101)
    band.update(10.9, D(200), params)
    assert band.floor == 99
    band.update(11.0, D(200), params)
    assert (band.floor, band.ceiling) == (198, 202)
    band.update(12.0, D(300), params.evolve(price_ceiling_pct="0.1", price_floor_pct=None))
    assert (band.floor, band.ceiling) == (None, 220), "other distances from the price at which it was set"
    band.reset()
    band.update(12.0, D(100), params.evolve(price_ceiling_pct=None))
    assert (band.floor, band.ceiling) == (99, None)


def test_ping_pong_counts_from_its_switching_on(run):
    b = run(filled_order_delay=0)
    b.til(1)
    b.market.trade(TradeType.SELL, D("98.9"))
    b.strategy.params.ping_pong_enabled = True
    b.til(3)
    assert b.prices == (["99"], ["101"])
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(6)
    assert b.prices == ([], ["101"])
    b.market.trade(TradeType.BUY, D("101.1"))
    b.til(8)
    assert b.prices == (["99"], ["101"])


def test_ping_pong_settles_when_even():
    counts = PingPong()
    counts.filled(True)
    counts.settle()
    assert counts.filled_buys == 1
    counts.filled(False)
    counts.settle()
    assert (counts.filled_buys, counts.filled_sells) == (0, 0)


@pytest.mark.parametrize(
    ("base", "quote", "bid", "ask"),
    [
        (50, 5000, 1, 1),  # at target
        (60, 4000, 0, 2),  # a whole range above
        (40, 6000, 2, 0),
        (55, 4500, 0.5, 1.5),
        (45, 5500, 1.5, 0.5),
        (0, 0, 0, 0),
    ],
)
def test_skew(base, quote, bid, ask):
    found = skew_ratios(base, quote, 100, 0.5, 10)
    assert found == pytest.approx((bid, ask))


def test_minimum_spread_cancels_what_is_too_near(run):
    b = run(minimum_spread="0.005", order_refresh_time=30)
    b.til(2)
    b.market.book = book("98.6")
    b.til(3)
    assert b.prices == ([], ["101"])


def test_crossing_orders_are_sent_only_where_asked_for(run):
    with pytest.raises(InvalidInput, match="take_if_crossed"):
        run(bid_spread="-0.01")
    b = run(bid_spread="-0.01", take_if_crossed=True)
    b.til(1)
    assert b.prices == (["101"], ["101"])
    assert {order.order_type for order in b.strategy.active_orders} == {OrderType.LIMIT}


def test_not_waiting_places_beside_orders_whose_cancel_is_under_way(run):
    b = run(should_wait_order_cancel_confirmation=False)
    b.market.hold_cancels = True
    b.til(2)
    assert [order.is_cancelling for order in b.strategy.active_orders] == [True, True, False, False]
    assert b.strategy.context(D(100), 2.0).base_budget == 499, "the old sell still holds its base"


@pytest.mark.parametrize(
    ("kind", "prices"),
    [("best_bid", ["98.505"]), ("best_ask", ["99.495"]), ("last_price", ["97.02"])],
)
def test_price_types(run, kind, prices):
    b = run(price_type=kind)
    b.market.last_trade_price = D(98)
    b.til(1)
    assert b.prices[0] == prices


def test_last_own_trade_begins_with_the_mid(run):
    b = run(price_type="last_own_trade_price", filled_order_delay=1)
    b.til(1)
    assert b.prices == (["99"], ["101"])
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(4)
    assert b.prices[0] == ["98.01"]


def test_sells_stay_above_the_inventory_s_cost(run):
    b = run(price_type=PriceType.InventoryCost, inventory_price=120)
    b.til(1)
    assert b.prices == (["99"], ["121.2"])


def test_without_a_known_cost_nothing_is_sold(run):
    b = run(price_type="inventory_cost", filled_order_delay=1)
    b.til(1)
    assert b.prices == (["99"], [])
    assert "set inventory_price" in b.strategy.explain().verdict
    b.market.trade(TradeType.SELL, D("98.9"))
    b.til(4)
    assert b.prices == (["99"], ["101"])


def fill(side, price, amount, *fees):
    fee = TradeFee(tuple(TokenAmount(token, D(cost)) for token, cost in fees))
    return OrderFilledEvent(0.0, "x", "B/Q", side, OrderType.LIMIT, D(price), D(amount), fee)


def test_what_another_account_has_paid_is_forgotten(run):
    b = run(price_type="inventory_cost", inventory_price=120)
    b.til(1)
    cost = b.strategy._inputs.prices.cost
    cost.seed(D(1), D(200))
    b.strategy.account_changed(b.market)
    assert cost.price is None
    b.til(7)
    assert cost.price == 120


def test_an_inventory_price_given_while_it_runs_counts_from_the_next_tick_on(run):
    b = run(price_type="inventory_cost", inventory_price=120)
    b.til(1)
    assert b.prices[1] == ["121.2"]
    b.strategy.params.inventory_price = 150
    b.til(4)
    assert b.prices[1] == ["151.5"]
    b.strategy.params.order_levels = 1
    b.strategy._inputs.prices.cost.seed(D(1), D(130))
    b.til(7)
    assert b.prices[1] == ["131.3"], "what own trades taught stays, where the price was not given anew"


def test_inventory_cost():
    cost = InventoryCost()
    assert cost.price is None
    cost.fill(fill(TradeType.SELL, 10, 1), "B", "Q")
    assert cost.price is None
    cost.seed(D(1), D(100))
    cost.fill(fill(TradeType.BUY, 200, 1), "B", "Q")
    assert cost.price == 150
    cost.fill(fill(TradeType.SELL, 999, 1), "B", "Q")
    assert cost.price == 150
    cost.fill(fill(TradeType.BUY, 150, 1, ("Q", "2"), ("B", "0.5")), "B", "Q")
    assert cost.price == D(302) / D("1.5")
    cost.fill(fill(TradeType.SELL, 1, 10), "B", "Q")
    assert cost.price is None


def test_a_fee_in_a_third_asset_counts_at_its_price():
    cost = InventoryCost()
    prices = {"X": D(5)}
    assert cost.fill(fill(TradeType.BUY, 100, 1, ("X", "2")), "B", "Q", prices.get) == ()
    assert cost.price == 110
    assert cost.fill(fill(TradeType.BUY, 110, 1, ("Y", "2"), ("Q", "4")), "B", "Q", prices.get) == ("Y",)
    assert cost.price == 112
    assert cost.fill(fill(TradeType.SELL, 110, 1, ("X", "2"), ("Y", "1")), "B", "Q", prices.get) == ()
    assert cost.price == 112, "what a sale costs does not make the rest dearer"


@pytest.mark.parametrize(
    ("pair", "cost", "warns"), [("X/ETH", 198, False), ("ETH/X", 99 + D("2") / 99, False), ("X/Y", 99, True)]
)
def test_a_fee_in_a_third_asset_is_priced_where_the_market_streams_its_pair(
    run, caplog, pair, cost, warns, monkeypatch
):
    b = run(price_type="inventory_cost", filled_order_delay=1)
    b.til(1)
    b.market.trading_pairs = ("HBOT/ETH", pair)
    mid = {"HBOT/ETH": D(100), "X/ETH": D("49.5"), "ETH/X": D(99)}
    monkeypatch.setattr(b.market, "get_mid_price", mid.__getitem__)
    bid = b.strategy.active_buys[0]
    for _ in range(2):
        event = OrderFilledEvent(
            1.0,
            bid.client_order_id,
            "HBOT/ETH",
            TradeType.BUY,
            OrderType.LIMIT,
            D(99),
            D("0.5"),
            TradeFee((TokenAmount("X", D(1)),)),
        )
        b.market.pubsub.trigger_event(MarketEvent.OrderFilled, event)
    assert b.strategy._inputs.prices.cost.price == cost
    told = [record.message for record in caplog.records if "fee" in record.message]
    assert len(told) == warns
    assert all("X/ETH" in line for line in told)


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        "buy",
        {"a": 5},
        {"a": "buy"},
        {"a": ["buy", "0.01"]},
        {"a": ["buy", "0.01", 1, 2]},
        {"a": ["buy", "near", 1]},
        {"a": ["hold", "0.01", 1]},
        ["buy", "0.01", 1],
        {"a": {"side": "buy", "spread": "0.01", "amount": 1}},
        {"a": None},
    ],
)
def test_an_override_of_a_wrong_shape_is_taught(run, wrong):
    with pytest.raises(InvalidInput) as caught:
        run(order_override=wrong)
    assert "order_override" in str(caught.value)
    assert "{'near': ['buy', '0.01', 1]}" in str(caught.value)


def test_a_list_of_a_wrong_shape_is_taught(run):
    with pytest.raises(InvalidInput, match="allowed: a list of numbers, each above -1 and below 1"):
        run(bid_order_level_spreads="0.01,0.02")
    with pytest.raises(InvalidInput, match="allowed: a list of OrderOverride, or None for off; orders that replace"):
        run(order_override="buy")


@pytest.mark.parametrize("right", [{"a": ("buy", "0.01", 1)}, [["buy", 0.01, "1"]], (("buy", D("0.01"), 1),)])
def test_an_override_may_be_written_in_several_ways(run, right):
    b = run(order_override=right)
    b.til(1)
    assert b.prices == (["99"], [])


def test_skew_measures_the_orders_that_are_set(run):
    set_up = {"order_levels": 3, "order_amount": 2, "order_level_amount": 1}
    assert total_order_size(PureMarketMakingParams(**{**SETTINGS, **set_up})) == 2 * (3 * 2 + 3 * 1)
    split = {"bid_order_level_spreads": ["0.01", "0.02"], "bid_order_level_amounts": [5, 6]}
    assert total_order_size(PureMarketMakingParams(**{**SETTINGS, **set_up, **split})) == 11 + 9
    override = {"order_override": {"a": ["buy", "0.01", 4]}}
    assert total_order_size(PureMarketMakingParams(**{**SETTINGS, **set_up, **override})) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"price_ceiling": 90, "price_floor": 95}, ["price_ceiling 90 is below price_floor 95"]),
        ({"price_ceiling_pct": "-0.02"}, ["price_ceiling_pct", "price_floor_pct"]),
        ({"bid_order_level_amounts": [1]}, ["bid_order_level_amounts", "bid_order_level_spreads"]),
        ({"ask_order_level_spreads": ["0.1"], "ask_order_level_amounts": [1, 2]}, ["has 2 entries", "has 1"]),
        ({"bid_order_level_spreads": ["0.1", "1.5"]}, ["bid_order_level_spreads"]),
        ({"order_override": {"a": ["buy", 2, 1]}}, ["order_override"]),
        ({"order_override": {"a": ["hold", "0.1", 1]}}, ["order_override"]),
        ({"price_type": "median"}, ["price_type"]),
        ({"price_source_interval": "0.1"}, ["price_source_interval", "at least 0.5"]),
        ({"price_source_stale_after": 5}, ["price_source_interval 5", "price_source_stale_after 5"]),
    ],
)
def test_wrong_sets_are_refused_naming_what_is_wrong(market, changes, words):
    with pytest.raises(InvalidInput) as caught:
        PureMarketMaking(market, **{**SETTINGS, **changes})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_wrong_set_changes_nothing_while_it_runs(run):
    b = run(price_floor=95)
    b.til(1)
    with pytest.raises(InvalidInput, match="price_ceiling 90 is below price_floor 95"):
        b.strategy.params.update(price_ceiling=90, bid_spread="0.02")
    assert b.strategy.params.pending == {}


def test_every_parameter_has_words_a_unit_or_a_choice_and_a_row_in_the_table():
    table = PureMarketMakingParams.__doc__
    for field in PureMarketMakingParams.describe():
        assert field.doc, field.name
        assert field.unit or field.kind in ("bool", "choice", "int", "other") or "multiplier" in field.name, field.name
        stem = field.name.removeprefix("bid_").removeprefix("ask_")
        assert stem in table or field.name in table, field.name

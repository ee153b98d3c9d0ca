"""ccxt's dictionaries as values of the kit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.connectors.ccxt_convert import (
    DECIMAL_PLACES,
    SIGNIFICANT_DIGITS,
    BadItem,
    balances,
    client_id_in,
    is_tradable,
    order_update,
    plain,
    public_trade,
    snapshot,
    to_decimal,
    trade_update,
    trading_rule,
)
from kit.types.market import OrderBookSnapshot, TradeType
from kit.types.orders import Balance, OrderState, OrderType
from tests.support.ccxt_frames import PAIR, market

ORDER = {
    "id": "7",
    "clientOrderId": "ours",
    "symbol": PAIR,
    "status": "open",
    "side": "buy",
    "type": "limit",
    "amount": "2",
    "price": "100.5",
    "filled": "0",
    "cost": "0",
    "timestamp": 1_700_000_000_000,
}
TRADE = {"id": "1", "order": "7", "symbol": PAIR, "side": "sell", "price": "100.5", "amount": "2", "timestamp": 1500}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15))
def test_decimals_survive_as_text(number):
    assert to_decimal(plain(number)) == number
    assert "E" not in plain(number)


@given(st.integers(1, 10**15), st.integers(0, 8))
def test_floats_of_what_exchanges_send_are_exact(units, places):
    number = Decimal(units).scaleb(-places)
    assert to_decimal(float(number)) == number


@pytest.mark.parametrize("value", [None, True, "", "abc", "NaN", float("inf"), "Infinity", []])
def test_what_is_no_number_is_none(value):
    assert to_decimal(value) is None


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("open", "0", OrderState.OPEN),
        ("open", "0.5", OrderState.PARTIALLY_FILLED),
        (None, "0", OrderState.OPEN),
        ("closed", "2", OrderState.FILLED),
        ("canceled", "0.5", OrderState.CANCELED),
        ("canceling", "0", OrderState.PENDING_CANCEL),
        ("expired", "0", OrderState.EXPIRED),
        ("rejected", "0", OrderState.FAILED),
    ],
)
def test_states(status, filled, state):
    assert order_update(ORDER | {"status": status, "filled": filled}, now=0.0).state is state


def test_an_order():
    update = order_update(ORDER, now=5.0, decode_id=str.upper)
    assert (update.trading_pair, update.client_order_id, update.exchange_order_id) == (PAIR, "OURS", "7")
    assert (update.trade_type, update.order_type) == (TradeType.BUY, OrderType.LIMIT)
    assert (update.amount, update.price, update.timestamp) == (Decimal(2), Decimal("100.5"), 1_700_000_000.0)
    later = order_update(ORDER | {"lastUpdateTimestamp": 1_700_000_001_500}, now=5.0)
    assert later.timestamp == 1_700_000_001.5


def test_an_order_of_which_little_is_known():
    update = order_update({"id": "7"}, now=5.0, pair=PAIR)
    assert (update.timestamp, update.filled, update.amount, update.price) == (5.0, None, None, None)
    assert (update.trade_type, update.order_type, update.client_order_id) == (None, None, None)


@pytest.mark.parametrize("order", [{}, {"symbol": PAIR}, {"id": "7"}, {"id": "", "clientOrderId": "", "symbol": PAIR}])
def test_what_is_no_order(order):
    with pytest.raises(BadItem):
        order_update(order, now=0.0)


def test_kinds_of_orders():
    def kind(**changes):
        return order_update(ORDER | changes, now=0.0)

    assert kind(postOnly=True).order_type is OrderType.LIMIT_MAKER
    assert kind(type="limit_maker").order_type is OrderType.LIMIT_MAKER
    assert kind(type="stop_loss").order_type is None
    market_order = kind(type="market", price="100.5")
    assert (market_order.order_type, market_order.price) == (OrderType.MARKET, None)


def test_a_fill():
    fees = [{"cost": "0.1", "currency": "USDT"}, {"cost": "0.2", "currency": "USDT"}, {"cost": None, "currency": "X"}]
    fill = trade_update(TRADE | {"fees": fees, "takerOrMaker": "maker"}, now=0.0, client_id="ours")
    assert (fill.price, fill.amount, fill.quote_amount) == (Decimal("100.5"), Decimal(2), Decimal(201))
    assert (fill.fee.amount_of("USDT"), fill.is_maker, fill.trade_type) == (Decimal("0.3"), True, TradeType.SELL)
    assert (fill.client_order_id, fill.exchange_order_id, fill.timestamp) == ("ours", "7", 1.5)
    rebate = trade_update(TRADE | {"fee": {"cost": "-0.1", "currency": "USDT"}, "cost": "201.01"}, now=0.0)
    assert rebate.fee.amount_of("USDT") == Decimal("-0.1")
    assert (rebate.quote_amount, rebate.is_maker) == (Decimal("201.01"), None)


def test_a_fill_without_an_id_has_one_that_stays_the_same():
    without = TRADE | {"id": None}
    assert trade_update(without, now=1.0).trade_id == trade_update(without, now=2.0).trade_id
    assert trade_update(without | {"timestamp": 1501}, now=1.0).trade_id != trade_update(without, now=1.0).trade_id


@pytest.mark.parametrize("missing", ["symbol", "order", "price", "amount"])
def test_what_is_no_fill(missing):
    with pytest.raises(BadItem):
        trade_update(TRADE | {missing: None}, now=0.0)


def test_an_embedded_fill_borrows_from_its_order():
    fill = trade_update(
        TRADE | {"symbol": None, "order": None, "timestamp": None}, now=9.0, client_id="c", exchange_id="7", pair=PAIR
    )
    assert (fill.trading_pair, fill.exchange_order_id, fill.timestamp) == (PAIR, "7", 9.0)


def test_client_ids_in_raw_fills():
    assert client_id_in({"c": "ours"}, ("c",)) == "ours"
    assert client_id_in({"c": ""}, ("c",)) is None
    assert client_id_in([], ("c",)) is None


def test_public_trades():
    trade = public_trade({"symbol": PAIR, "id": None, "price": 1.5, "amount": 2.0, "timestamp": 1500, "side": None})
    assert (trade.price, trade.amount, trade.timestamp, trade.side) == (1.5, 2.0, 1.5, TradeType.BUY)
    assert trade.trade_id == "1500-1.5-2.0"


def test_balances():
    structure = {
        "BTC": {"free": "1", "used": "0.5", "total": "1.5"},
        "ETH": {"free": "1", "used": None, "total": None},
        "total": {"BTC": "1.5", "ETH": None},
        "free": {},
    }
    assert balances(structure) == {"BTC": Balance(Decimal("1.5"), Decimal(1)), "ETH": None}
    assert balances({}) == {}


def test_books():
    book = {"bids": [[99.0, 1.0], [98.0, 0.0]], "asks": [["101", "2", "x"]], "nonce": 7, "timestamp": 1500}
    assert snapshot(book, PAIR) == OrderBookSnapshot(PAIR, 7, 1.5, ((99.0, 1.0),), ((101.0, 2.0),))
    assert snapshot({"bids": [], "asks": [], "nonce": None, "timestamp": None}, PAIR).update_id == 0


def test_rules():
    rule = trading_rule(market(maker=0.001, taker=-0.0001))
    assert (rule.base_asset, rule.quote_asset, rule.exchange_symbol) == ("BTC", "USDT", "BTCUSDT")
    assert (rule.min_price_increment, rule.min_base_amount_increment) == (Decimal("0.01"), Decimal("0.00001"))
    assert (rule.min_order_size, rule.max_order_size, rule.min_notional_size) == (
        Decimal("0.00001"),
        Decimal(9000),
        Decimal(5),
    )
    assert (rule.min_price, rule.max_price) == (Decimal("0.01"), None)
    assert (rule.maker_fee, rule.taker_fee) == (Decimal("0.001"), Decimal("-0.0001"))


@pytest.mark.parametrize(
    ("precision", "mode", "increment"),
    [
        (0.01, 4, "0.01"),
        (1e-8, 4, "1e-8"),
        ("0.5", 4, "0.5"),
        (3, DECIMAL_PLACES, "0.001"),
        (0, DECIMAL_PLACES, "1"),
        (5, SIGNIFICANT_DIGITS, "1e-8"),
        (None, 4, "1e-8"),
    ],
)
def test_increments(precision, mode, increment):
    rule = trading_rule(market(precision={"price": precision, "amount": precision}), mode)
    assert rule.min_price_increment == rule.min_base_amount_increment == Decimal(increment)


def test_what_an_exchange_does_not_state_is_allowed():
    rule = trading_rule(market(limits={}, info={}))
    assert (rule.min_order_size, rule.max_order_size, rule.min_notional_size) == (0, None, 0)
    assert rule.supports_limit_maker_orders
    assert rule.supports_market_orders
    assert not trading_rule(market(info={"orderTypes": ["LIMIT"]})).supports_market_orders


def test_what_can_be_traded():
    assert is_tradable(market())
    assert not is_tradable(market(active=False))
    assert is_tradable(market(active=None))
    swap = {"spot": False, "swap": True, "contract": True}
    assert is_tradable(market(linear=True, contractSize=1, **swap))
    assert not is_tradable(market(linear=True, contractSize=0.01, **swap)), "its amounts are contracts, not base"
    assert not is_tradable(market(linear=False, inverse=True, contractSize=1, **swap))
    assert not is_tradable(market(spot=False, option=True))

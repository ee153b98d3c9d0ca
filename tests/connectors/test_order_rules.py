from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.connectors import order_rules
from kit.errors import InvalidOrder, NotSupported
from kit.types.market import TradingRule
from kit.types.orders import OrderType, TimeInForce

RULE = TradingRule(
    "BTC/USDT",
    "BTC",
    "USDT",
    min_price_increment=Decimal("0.01"),
    min_base_amount_increment=Decimal("0.00001"),
    min_order_size=Decimal("0.0001"),
    max_order_size=Decimal(9000),
    min_notional_size=Decimal(5),
    min_price=Decimal("0.01"),
    max_price=Decimal(1_000_000),
)

decimals = st.decimals(min_value="0.00000001", max_value="100000000", allow_nan=False, allow_infinity=False)
steps = st.sampled_from([Decimal(text) for text in ("0.00000001", "0.01", "0.05", "0.25", "1", "5")])


@given(decimals, steps)
def test_floor_is_the_largest_multiple_not_above(value, step):
    floored = order_rules.floor_to(value, step)
    assert floored <= value < floored + step
    assert floored % step == 0


def test_floor_passes_nan_and_no_increment():
    assert order_rules.floor_to(Decimal("NaN"), Decimal("0.01")).is_nan()
    assert order_rules.floor_to(Decimal("1.23"), Decimal(0)) == Decimal("1.23")


@pytest.mark.parametrize(("value", "exact"), [(0.1, "0.1"), ("0.10", "0.10"), (3, "3"), (Decimal("1e-8"), "1E-8")])
def test_numbers_are_taken_as_they_are_written(value, exact):
    assert str(order_rules.to_decimal("amount", value)) == exact


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), "lots", None, [], object])
def test_no_number_is_refused(value):
    with pytest.raises(InvalidOrder, match="amount is"):
        order_rules.to_decimal("amount", value)


@pytest.mark.parametrize(
    ("amount", "words"),
    [("-1", "must be above 0"), ("0", "must be above 0"), ("0.00009", "start at 0.0001"), ("9001", "above 9000")],
)
def test_amounts_out_of_range_name_value_and_range(amount, words):
    asked = Decimal(amount)
    with pytest.raises(InvalidOrder, match=words) as caught:
        order_rules.check_amount(RULE, order_rules.floor_to(asked, RULE.min_base_amount_increment), asked)
    assert amount in str(caught.value)


@pytest.mark.parametrize(("price", "words"), [("0", "start at 0.01"), ("-5", "too low"), ("1000001", "above 1000000")])
def test_prices_out_of_range(price, words):
    with pytest.raises(InvalidOrder, match=words):
        order_rules.check_price(RULE, Decimal(price))


def test_notional_below_the_minimum_says_how_much_is_needed():
    with pytest.raises(InvalidOrder, match=r"below the minimum of 5 .* at least 0\.00010000"):
        order_rules.check_notional(RULE, Decimal("0.00009"), Decimal(50_000))
    order_rules.check_notional(RULE, Decimal("0.0001"), Decimal(50_000))
    order_rules.check_notional(RULE, Decimal("0.0001"), Decimal("NaN"))


def test_order_types():
    with pytest.raises(InvalidOrder, match="must be one of"):
        order_rules.check_type(RULE, "limit", TimeInForce.GTC)
    with pytest.raises(InvalidOrder, match="IOC goes with LIMIT"):
        order_rules.check_type(RULE, OrderType.LIMIT_MAKER, TimeInForce.IOC)
    no_market = TradingRule("X/Y", "X", "Y", Decimal("0.01"), Decimal("0.01"), supports_market_orders=False)
    with pytest.raises(NotSupported, match="it takes LIMIT, LIMIT_MAKER"):
        order_rules.check_type(no_market, OrderType.MARKET, TimeInForce.GTC)

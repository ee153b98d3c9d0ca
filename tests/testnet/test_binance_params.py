from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.testnet.binance_errors import ApiError
from kit.testnet.binance_params import SYMBOL_RANGE, Params


def code_of(call, *arguments, **named):
    with pytest.raises(ApiError) as caught:
        call(*arguments, **named)
    return caught.value.code


def test_absent_parameters_are_none_and_mandatory_ones_refused():
    params = Params({"empty": ""})
    assert params.text("x") is None
    assert params.integer("x") is None
    assert params.decimal("x") is None
    assert code_of(params.required, "x") == -1102
    assert code_of(params.required, "empty") == -1102
    assert code_of(params.text, "empty") == -1105


@pytest.mark.parametrize(
    ("value", "code"),
    [
        *((text, -1100) for text in ("abc", "-1", "1.", ".5", "1e5", "1" * 21, "NaN", "1\n", "1,5", " 1")),
        ("0.123456789", -1111),
    ],
)
def test_malformed_decimals(value, code):
    assert code_of(Params({"price": value}).decimal, "price") == code


def test_zeros_after_the_eighth_digit_are_no_precision():
    assert Params({"price": "1.12345678000"}).decimal("price") == Decimal("1.12345678")


@given(st.decimals(min_value=0, max_value=10**12, places=8))
def test_decimals_read_back_exactly(value):
    assert Params({"price": f"{value:f}"}).decimal("price") == value


@pytest.mark.parametrize("value", ["btcusdt", "BTC/USDT", "B" * 21, "BTC USDT", "BTC\n"])
def test_malformed_symbols(value):
    assert code_of(Params({"symbol": value}).required, "symbol", SYMBOL_RANGE) == -1100


@pytest.mark.parametrize("value", ["a" * 37, "a b", "a,b", "ü"])
def test_malformed_client_ids(value):
    assert code_of(Params({"id": value}).client_id, "id") == -1100


def test_a_client_id_may_have_36_characters():
    assert Params({"id": "aZ09-_" * 6}).client_id("id") == "aZ09-_" * 6


@pytest.mark.parametrize(("value", "result"), [("1", 1), ("1000", 1000), ("1001", 1000), (None, 500)])
def test_limits_are_cut(value, result):
    assert Params({} if value is None else {"limit": value}).limit() == result


def test_a_limit_of_zero_is_refused():
    assert code_of(Params({"limit": "0"}).limit) == -1130


def test_words_and_flags():
    params = Params({"mode": "FAST", "flag": "true", "bad": "yes"})
    assert params.choice("mode", ("FAST",)) == "FAST"
    assert code_of(params.choice, "mode", ("SLOW",)) == -1130
    assert code_of(params.choice, "mode", ("SLOW",), -1117, "no") == -1117
    assert params.flag("flag")
    assert not params.flag("absent")
    assert code_of(params.flag, "bad") == -1130


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"symbol": "A", "symbols": '["B"]'}, -1128),
        ({"symbols": "B"}, -1135),
        ({"symbols": "[]"}, -1135),
        ({"symbols": "[1]"}, -1135),
        ({"symbols": '["B","B"]'}, -1151),
    ],
)
def test_bad_lists_of_symbols(values, code):
    assert code_of(Params(values).symbols) == code


def test_lists_of_symbols():
    assert Params({}).symbols() is None
    assert Params({"symbol": "A"}).symbols() == ["A"]
    assert Params({"symbols": '["A","B"]'}).symbols() == ["A", "B"]


def test_what_nobody_read_is_refused():
    params = Params({"a": "1", "b": "2", "c": "3"})
    params.text("a")
    params.ignore("c", "never sent")
    with pytest.raises(ApiError) as caught:
        params.finish()
    assert caught.value.code == -1104
    assert "read '2' parameter(s) but was sent '3'" in caught.value.message
    params.text("b")
    params.finish()

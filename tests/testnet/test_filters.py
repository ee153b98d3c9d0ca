"""Filters: each bound with Binance's code and text, and exactly on the bound accepted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.testnet.filters import describe
from kit.testnet.symbols import BTCUSDT, ETHUSDT, UNITS, to_units, units_text
from kit.testnet.venue import NewOrder, VenueReject
from tests.support.engine import D, Desk


@pytest.fixture
def desk() -> Desk:
    """A market whose average price is 50,000."""
    desk = Desk()
    desk.crowd_order("SELL", 50000, 1)
    desk.crowd_order("BUY", 50000, 1)
    return desk


def refusal(desk: Desk, side: str, qty: Any = None, price: Any = None, **more: Any) -> tuple[int, str] | None:
    try:
        desk.place("ann", side, qty, price, **more)
    except VenueReject as reject:
        return reject.code, reject.message
    return None


@pytest.mark.parametrize(
    ("side", "qty", "price", "name"),
    [
        ("BUY", 1, "49999.999", "PRICE_FILTER"),
        ("BUY", 1, "0", "PRICE_FILTER"),
        ("BUY", 1, "-5", "PRICE_FILTER"),
        ("SELL", 1, "1000000.01", "PRICE_FILTER"),
        ("BUY", "0.000015", 50000, "LOT_SIZE"),
        ("BUY", "0", 50000, "LOT_SIZE"),
        ("BUY", "-1", 50000, "LOT_SIZE"),
        ("BUY", "9000.00001", 50000, "LOT_SIZE"),
        ("BUY", "0.00009", 50000, "NOTIONAL"),
        ("SELL", "181", 50000, "NOTIONAL"),
        ("BUY", "1", "250000.01", "PERCENT_PRICE_BY_SIDE"),
        ("SELL", "1", "250000.01", "PERCENT_PRICE_BY_SIDE"),
        ("BUY", "1", "9999.99", "PERCENT_PRICE_BY_SIDE"),
        ("SELL", "1", "9999.99", "PERCENT_PRICE_BY_SIDE"),
    ],
)
def test_limit_orders_outside_a_filter(desk: Desk, side: str, qty: Any, price: Any, name: str) -> None:
    assert refusal(desk, side, qty, price) == (-1013, f"Filter failure: {name}")
    assert desk.venue.open_orders(desk.account("ann")) == []
    assert desk.reports == []


@pytest.mark.parametrize(
    ("side", "qty", "price"),
    [
        ("BUY", "0.00010", 50000),
        ("BUY", "0.00010", "50000.01"),
        ("BUY", "1.0000000000", "50000.000000000"),
        ("SELL", "36", "249999.99"),
        ("SELL", "36", "250000"),
        ("BUY", "1", "10000"),
    ],
)
def test_limit_orders_exactly_on_a_bound(desk: Desk, side: str, qty: Any, price: Any) -> None:
    assert refusal(desk, side, qty, price) is None


def test_market_orders_have_size_filters_too(desk: Desk) -> None:
    lot, notional = (-1013, "Filter failure: LOT_SIZE"), (-1013, "Filter failure: NOTIONAL")
    assert refusal(desk, "BUY", "0.000001", type="MARKET") == lot
    assert refusal(desk, "BUY", "9001", type="MARKET") == lot
    assert refusal(desk, "BUY", "0.00009", type="MARKET") == notional
    assert refusal(desk, "BUY", type="MARKET", quote_qty=D("4.99")) == notional
    desk.crowd_order("SELL", 50000, 1)
    assert refusal(desk, "BUY", type="MARKET", quote_qty=D(5)) is None


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"side": "LONG"}, -1117, "Invalid side"),
        ({"type": "STOP_LOSS"}, -1116, "Invalid orderType"),
        ({"time_in_force": "GTX"}, -1115, "Invalid timeInForce"),
        ({"stp_mode": "DECREMENT"}, -1013, "self-trade prevention mode"),
        ({"price": None}, -1102, "'price'"),
        ({"qty": None}, -1102, "'quantity'"),
        ({"quote_qty": D(10)}, -1106, "'quoteOrderQty'"),
        ({"type": "MARKET"}, -1106, "'price'"),
        ({"type": "MARKET", "price": None, "quote_qty": D(10)}, -1128, "Combination"),
        ({"type": "MARKET", "price": None, "qty": None}, -1102, "'quantity'"),
        ({"price": D("40000.0000000000000000000000000000001")}, -1111, "too much precision"),
        ({"price": D("NaN")}, -1100, "'price'"),
        ({"qty": D("Infinity")}, -1100, "'quantity'"),
        ({"qty": D("0.000000001")}, -1111, "too much precision"),
        ({"symbol": "NOPE"}, -1121, "Invalid symbol"),
    ],
)
def test_malformed_orders(desk: Desk, more: dict[str, Any], code: int, text: str) -> None:
    good: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "qty": D(1), "price": D(40000)}
    with pytest.raises(VenueReject, match=text) as caught:
        desk.venue.place(desk.account("ann"), NewOrder(**(good | more)))
    assert caught.value.code == code


def test_price_bounds_wait_for_a_first_trade() -> None:
    assert refusal(Desk(), "BUY", "1", "0.01") == (-1013, "Filter failure: NOTIONAL")
    assert refusal(Desk(), "SELL", "1", "900000") is None


def test_price_bounds_follow_the_average_of_five_minutes(desk: Desk) -> None:
    desk.now += 301_000
    desk.crowd_order("SELL", 10000, 3)
    desk.crowd_order("BUY", 10000, 3)
    desk.now += 1_000
    desk.crowd_order("SELL", 20000, 1)
    desk.crowd_order("BUY", 20000, 1)
    desk.now += 1_000  # average: (3 * 10,000 + 20,000) / 4 = 12,500
    assert refusal(desk, "SELL", "1", "62500") is None
    assert refusal(desk, "SELL", "1", "62500.01") == (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
    assert refusal(desk, "BUY", "1", "2500") is None
    assert refusal(desk, "BUY", "1", "2499.99") == (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")


def test_max_num_orders_counts_what_may_rest() -> None:
    desk = Desk(replace(BTCUSDT, max_num_orders=3))
    for price in (40000, 40001, 40002):
        desk.place("ann", "BUY", "0.001", price)
    failure = (-1013, "Filter failure: MAX_NUM_ORDERS")
    assert refusal(desk, "BUY", "0.001", 40003) == failure
    assert refusal(desk, "BUY", "0.001", 40003, type="LIMIT_MAKER") == failure
    assert refusal(desk, "BUY", "0.001", 40003, time_in_force="IOC") is None
    desk.place("bob", "BUY", "0.001", 40000)  # another account's orders do not count
    desk.venue.cancel_all(desk.account("ann"), "BTCUSDT")
    assert refusal(desk, "BUY", "0.001", 40003) is None


def test_filters_are_described_as_exchange_info_lists_them() -> None:
    filters = {str(item["filterType"]): item for item in describe(BTCUSDT)}
    assert list(filters) == ["PRICE_FILTER", "LOT_SIZE", "PERCENT_PRICE_BY_SIDE", "NOTIONAL", "MAX_NUM_ORDERS"]
    assert filters["PRICE_FILTER"] == {
        "filterType": "PRICE_FILTER",
        "minPrice": "0.01000000",
        "maxPrice": "1000000.00000000",
        "tickSize": "0.01000000",
    }
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert filters["PERCENT_PRICE_BY_SIDE"]["bidMultiplierDown"] == "0.2"
    assert filters["MAX_NUM_ORDERS"]["maxNumOrders"] == 200


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tick_size": D("0.000000001")}, "not a whole number of 1e-8"),
        ({"tick_size": D("0.00001"), "step_size": D("0.00001")}, "tick_size times step_size"),
        ({"step_size": D(0)}, "must be above zero"),
        ({"tick_size": D("NaN")}, "must be above zero"),
    ],
)
def test_symbols_whose_factors_are_not_whole_are_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        replace(BTCUSDT, **change)


@given(st.integers(-(10**20), 10**20))
def test_units_survive_their_text(units: int) -> None:
    assert to_units(D(units_text(units))) == units


@pytest.mark.parametrize(
    "bad", ["NaN", "-Infinity", "1E-9", "1E-999999", "1E+999999", "1.0000000000000000000000000000000000000001"]
)
def test_amounts_that_are_not_units(bad: str) -> None:
    assert to_units(D(bad)) is None


def test_units_are_exact_beyond_the_decimal_context() -> None:
    assert to_units(D("1234567890123456789012345678.12345678")) == 123456789012345678901234567812345678
    assert to_units(D("-0E-999999")) == 0


@given(st.sampled_from([BTCUSDT, ETHUSDT]), st.integers(1, 10**9), st.integers(1, 10**9))
def test_ticks_and_lots_survive_their_decimals(info: Any, ticks: int, lots: int) -> None:
    assert info.ticks(info.price(ticks)) == ticks
    assert info.lots(info.qty(lots)) == lots
    assert D(info.price_text(ticks)) == info.price(ticks)
    assert D(info.qty_text(lots)) == info.qty(lots)
    assert info.price(ticks) * info.qty(lots) * UNITS == ticks * lots * info.quote_units
    assert info.ticks(info.price(ticks) + info.tick_size / 2) is None

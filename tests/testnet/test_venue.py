"""The venue: requests and their errors, what the taps tell and when, book changes, queries, candles, determinism."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from typing import Any

import pytest

from kit.errors import InvalidInput
from kit.testnet.audit import audit
from kit.testnet.market import OrderIndex
from kit.testnet.symbols import BTCUSDT, UNITS
from kit.testnet.venue import CancelReplaceReject, NewOrder, Order, Venue, VenueReject
from tests.support.engine import D, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def cancel(desk: Desk, *args: Any, **more: Any) -> Order:
    return desk.venue.cancel(desk.account("ann"), "BTCUSDT", *args, **more)


# accounts


def test_account_names_are_unique(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="'ann' already"):
        desk.venue.create_account("ann")


def test_a_deposit_is_told(desk: Desk) -> None:
    desk.venue.deposit(desk.account("ann"), "BTC", D(1))
    assert desk.balances == [(desk.account("ann"), ("BTC",))]


# what the taps tell


def test_a_fill_is_told_in_order_and_balances_come_last(desk: Desk) -> None:
    maker = desk.place("ann", "SELL", "1", 60000, client_order_id="mine")
    desk.forget()
    taker = desk.place("bob", "BUY", "2", 60001)
    assert desk.told == [
        f"execution NEW #{taker.order_id}",
        "trade #1",
        f"execution TRADE #{maker.order_id}",
        f"execution TRADE #{taker.order_id}",
        "balance bob",
        "balance ann",
    ]
    assert {account.name: set(assets) for account, assets in desk.balances} == {
        "ann": {"BTC", "USDT"},
        "bob": {"BTC", "USDT"},
    }
    new, made, took = desk.reports
    assert (new.status, new.is_working, new.trade) == ("NEW", True, None)
    assert (made.is_maker, made.client_order_id, made.commission_units, made.commission_asset) == (
        True,
        "mine",
        60 * UNITS,
        "USDT",
    )
    assert (took.is_maker, took.last_lots, took.last_price_ticks) == (False, 100_000, 6_000_000)
    assert (took.commission_units, took.commission_asset) == (100_000, "BTC")
    assert took.last_quote_units == 60_000 * UNITS
    assert [r.execution_id for r in desk.reports] == [2, 3, 4]


def test_reports_keep_their_numbers_while_the_order_moves_on(desk: Desk) -> None:
    desk.crowd_order("SELL", 60000, 1)
    desk.crowd_order("SELL", 60001, 1)
    order = desk.place("ann", "BUY", "2", 60001)
    assert [(r.status, r.executed_lots, r.cum_quote_units // UNITS) for r in desk.reports] == [
        ("NEW", 0, 0),
        ("PARTIALLY_FILLED", 100_000, 60_000),
        ("FILLED", 200_000, 120_001),
    ]
    assert order.executed_lots == 200_000


def test_a_tap_may_call_the_venue_and_everybody_hears_all_in_order(desk: Desk) -> None:
    heard: list[tuple[str, int]] = []

    def answer(report: Any) -> None:
        heard.append((report.execution_type, report.order.order_id))
        if report.order.order_id == 1 and report.execution_type == "NEW":
            desk.place("bob", "SELL", "1", 60000)

    desk.venue.on_execution.insert(0, answer)
    desk.place("ann", "BUY", "1", 60000)
    assert heard == [("NEW", 1), ("NEW", 2), ("TRADE", 1), ("TRADE", 2)]
    assert [(r.execution_type, r.order.order_id) for r in desk.reports] == heard
    assert desk.venue.taps.errors == 0


def test_a_tap_that_raises_hurts_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def broken(report: Any) -> None:
        raise RuntimeError("planted")

    desk.venue.on_execution.insert(0, broken)
    with caplog.at_level(logging.ERROR):
        order = desk.place("ann", "BUY", "1", 60000)
    assert order.is_working
    assert desk.kinds(order) == [("NEW", "NEW")]
    assert desk.venue.taps.errors == 1
    assert "planted" in caplog.text


# client ids, cancel


def test_a_client_id_is_unique_among_open_orders(desk: Desk) -> None:
    first = desk.place("ann", "BUY", "1", 60000, client_order_id="a")
    desk.forget()
    with pytest.raises(VenueReject, match=r"-2010 Duplicate order sent\."):
        desk.place("ann", "BUY", "1", 59000, client_order_id="a")
    assert desk.reports == []  # Binance reports no REJECTED for it; that would tell of the living order's id
    desk.place("bob", "BUY", "1", 60000, client_order_id="a")
    cancel(desk, first.order_id)
    second = desk.place("ann", "BUY", "1", 59000, client_order_id="a")
    assert desk.venue.order(desk.account("ann"), "BTCUSDT", client_order_id="a") is second
    assert desk.venue.order(desk.account("ann"), "BTCUSDT", first.order_id) is first


def test_orders_without_a_client_id_get_one(desk: Desk) -> None:
    order = desk.place("ann", "BUY", "1", 60000)
    assert order.client_order_id == "auto000000000000000001"
    assert desk.venue.order(desk.account("ann"), "BTCUSDT", client_order_id=order.client_order_id) is order


def test_cancel_by_either_id(desk: Desk) -> None:
    one = desk.place("ann", "BUY", "1", 60000, client_order_id="one")
    two = desk.place("ann", "BUY", "1", 60000, client_order_id="two")
    assert cancel(desk, one.order_id, new_client_order_id="because") is one
    assert cancel(desk, client_order_id="two") is two
    report = next(r for r in desk.reports if r.order is one and r.execution_type == "CANCELED")
    assert (report.client_order_id, report.orig_client_order_id, one.cancel_id) == ("because", "one", "because")
    assert (one.status, one.client_order_id, two.status) == ("CANCELED", "one", "CANCELED")
    assert two.cancel_id.startswith("cancel")


def test_cancels_that_find_nothing(desk: Desk) -> None:
    order = desk.place("ann", "BUY", "1", 60000, client_order_id="one")
    theirs = desk.place("bob", "BUY", "1", 60000)
    unknown = r"^-2011 Unknown order sent\.$"
    for ids in ({"order_id": 99}, {"client_order_id": "x"}, {"order_id": theirs.order_id}, {}):
        with pytest.raises(VenueReject, match=unknown):
            cancel(desk, **ids)
    with pytest.raises(VenueReject, match=unknown):
        cancel(desk, order.order_id, "x")
    cancel(desk, order.order_id, "one")
    with pytest.raises(VenueReject, match=unknown):
        cancel(desk, order.order_id)
    with pytest.raises(VenueReject, match="-1121"):
        desk.venue.cancel(desk.account("ann"), "NOPE", 1)


def test_cancel_restrictions(desk: Desk) -> None:
    order = desk.place("ann", "BUY", "2", 60000)
    with pytest.raises(VenueReject, match="-2011 Order was not canceled due to cancel restrictions"):
        cancel(desk, order.order_id, restrictions="ONLY_PARTIALLY_FILLED")
    desk.crowd_order("SELL", 60000, 1)
    with pytest.raises(VenueReject, match="-2011 Order was not canceled due to cancel restrictions"):
        cancel(desk, order.order_id, restrictions="ONLY_NEW")
    assert cancel(desk, order.order_id, restrictions="ONLY_PARTIALLY_FILLED").status == "CANCELED"


def test_cancel_all(desk: Desk) -> None:
    orders = [desk.place("ann", "BUY", "1", 60000 + step) for step in range(3)]
    other = desk.place("bob", "BUY", "1", 60000)
    assert desk.venue.cancel_all(desk.account("ann"), "BTCUSDT") == orders
    assert [order.status for order in orders] == ["CANCELED"] * 3
    assert other.status == "NEW"
    with pytest.raises(VenueReject, match="-2011 Unknown order sent"):
        desk.venue.cancel_all(desk.account("ann"), "BTCUSDT")
    assert audit(desk.venue) == []


# cancel-replace


def replace_order(desk: Desk, old: Order | None, mode: str = "STOP_ON_FAILURE", **more: Any) -> Any:
    asked: dict[str, Any] = {"side": "BUY", "qty": D(1), "price": D(50000)} | more
    return desk.venue.cancel_replace(
        desk.account("ann"),
        NewOrder("BTCUSDT", **asked),
        mode=mode,
        order_id=old.order_id if old else 99,
    )


def test_cancel_replace(desk: Desk) -> None:
    old = desk.place("ann", "BUY", "1", 49000, client_order_id="same")
    desk.forget()
    result = replace_order(desk, old, client_order_id="same")
    assert (result.cancel_result, result.new_result) == ("SUCCESS", "SUCCESS")
    assert (result.canceled, result.canceled.status) == (old, "CANCELED")
    assert desk.venue.open_orders(desk.account("ann")) == [result.placed]
    assert desk.told == ["execution CANCELED #1", "execution NEW #2", "balance ann"]
    assert audit(desk.venue) == []


def test_cancel_replace_frees_the_funds_before_it_needs_them(desk: Desk) -> None:
    desk.venue.deposit(desk.account("ann"), "USDT", D(-9_950_000))
    old = desk.place("ann", "BUY", "1", 49000)
    assert replace_order(desk, old).new_result == "SUCCESS"


def test_cancel_replace_stops_when_the_cancel_fails(desk: Desk) -> None:
    with pytest.raises(CancelReplaceReject, match=r"-2022 Order cancel-replace failed\.") as caught:
        replace_order(desk, None)
    result = caught.value.result
    assert (result.cancel_result, result.new_result) == ("FAILURE", "NOT_ATTEMPTED")
    assert result.cancel_error is not None
    assert (result.cancel_error.code, result.cancel_error.message) == (-2011, "Unknown order sent.")
    assert desk.venue.open_orders(desk.account("ann")) == []


def test_cancel_replace_goes_on_when_failures_are_allowed(desk: Desk) -> None:
    with pytest.raises(CancelReplaceReject, match=r"-2021 Order cancel-replace partially failed\.") as caught:
        replace_order(desk, None, "ALLOW_FAILURE")
    result = caught.value.result
    assert (result.cancel_result, result.new_result) == ("FAILURE", "SUCCESS")
    assert desk.venue.open_orders(desk.account("ann")) == [result.placed]


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
def test_cancel_replace_whose_new_order_fails_has_cancelled_the_old(desk: Desk, mode: str) -> None:
    desk.crowd_order("SELL", 50000, 1)
    old = desk.place("ann", "BUY", "1", 49000)
    with pytest.raises(CancelReplaceReject, match="-2021") as caught:
        replace_order(desk, old, mode, type="LIMIT_MAKER")
    result = caught.value.result
    assert (result.cancel_result, result.new_result, old.status) == ("SUCCESS", "FAILURE", "CANCELED")
    assert result.place_error is not None
    assert result.place_error.message == "Order would immediately match and take."
    assert desk.venue.open_orders(desk.account("ann")) == []
    assert audit(desk.venue) == []


def test_cancel_replace_where_both_fail(desk: Desk) -> None:
    desk.crowd_order("SELL", 50000, 1)
    with pytest.raises(CancelReplaceReject, match="-2022") as caught:
        replace_order(desk, None, "ALLOW_FAILURE", type="LIMIT_MAKER")
    assert (caught.value.result.cancel_result, caught.value.result.new_result) == ("FAILURE", "FAILURE")


def test_cancel_replace_checks_filters_before_it_cancels() -> None:
    desk = Desk(replace(BTCUSDT, max_num_orders=1))
    old = desk.place("ann", "BUY", "1", 49000)
    with pytest.raises(VenueReject, match="-1013 Filter failure: PRICE_FILTER"):
        replace_order(desk, old, price=D("0.001"))
    with pytest.raises(VenueReject, match="-1013 Filter failure: MAX_NUM_ORDERS"):
        replace_order(desk, old)
    with pytest.raises(VenueReject, match="'cancelReplaceMode'"):
        replace_order(desk, old, "MAYBE")
    assert old.status == "NEW"


# queries


def test_order_lookup(desk: Desk) -> None:
    order = desk.place("ann", "BUY", "1", 60000, client_order_id="one")
    account = desk.account("ann")
    assert desk.venue.order(account, "BTCUSDT", order.order_id, "one") is order
    with pytest.raises(VenueReject, match=r"-2013 Order does not exist\."):
        desk.venue.order(account, "BTCUSDT", 2)
    with pytest.raises(VenueReject, match="-2013"):
        desk.venue.order(desk.account("bob"), "BTCUSDT", order.order_id)
    with pytest.raises(VenueReject, match="-2039"):
        desk.venue.order(account, "BTCUSDT", order.order_id, "two")


def test_open_orders_over_all_markets() -> None:
    now = [1]
    venue = Venue(now_ms=lambda: now[0])
    account = venue.create_account("ann")
    for asset in ("BTC", "ETH"):
        venue.deposit(account, asset, D(10))
    btc = venue.place(account, NewOrder("BTCUSDT", "SELL", qty=D(1), price=D(60000)))
    eth = venue.place(account, NewOrder("ETHUSDT", "SELL", qty=D(1), price=D(3000)))
    assert (btc.order_id, eth.order_id) == (1, 1)  # ids count within a symbol, as on Binance
    assert venue.open_orders(account) == [btc, eth]
    assert venue.open_orders(account, "ETHUSDT") == [eth]


def test_orders_and_fills_page_by_id_and_time(desk: Desk) -> None:
    account = desk.account("ann")
    desk.crowd_order("SELL", 60000, 90)
    for _ in range(6):
        desk.now += 1000
        desk.place("ann", "BUY", "0.1", 60000)
    start = desk.now - 2000
    everything = desk.venue.account_trades(account, "BTCUSDT")
    ids = [fill.trade.trade_id for fill in everything]
    assert ids == [1, 2, 3, 4, 5, 6]
    assert [f.trade.trade_id for f in desk.venue.account_trades(account, "BTCUSDT", limit=2)] == [5, 6]
    assert [f.trade.trade_id for f in desk.venue.account_trades(account, "BTCUSDT", from_id=2, limit=2)] == [2, 3]
    assert [f.trade.trade_id for f in desk.venue.account_trades(account, "BTCUSDT", start_ms=start)] == [4, 5, 6]
    assert [f.trade.trade_id for f in desk.venue.account_trades(account, "BTCUSDT", end_ms=start)] == [1, 2, 3, 4]
    assert [f.trade.trade_id for f in desk.venue.account_trades(account, "BTCUSDT", order_id=4)] == [3]
    assert [(f.is_maker, f.commission_units, f.commission_asset) for f in everything[:1]] == [(False, 10_000, "BTC")]
    orders = desk.venue.all_orders(account, "BTCUSDT")
    assert [o.order_id for o in orders] == [2, 3, 4, 5, 6, 7]
    assert [o.order_id for o in desk.venue.all_orders(account, "BTCUSDT", order_id=4, limit=2)] == [4, 5]
    assert [o.order_id for o in desk.venue.all_orders(account, "BTCUSDT", limit=2)] == [6, 7]
    assert [o.order_id for o in desk.venue.all_orders(account, "BTCUSDT", start_ms=start)] == [5, 6, 7]


def test_history_is_bounded_and_open_orders_are_never_dropped(desk: Desk) -> None:
    index = OrderIndex(history=3)
    keep = desk.place("ann", "BUY", "1", 50000)
    index.add(keep)
    for number in range(10):
        order = desk.place("ann", "BUY", "1", 50000, client_order_id=f"c{number}")
        index.add(order)
        index.close(order)
    assert list(index.by_id) == [keep.order_id, 9, 10, 11]
    assert index.find(None, "c2") is None
    assert index.find(None, "c9") is not None
    assert list(index.open) == [keep.order_id]


# book changes


def test_changes_are_absolute_and_numbered_without_gaps(desk: Desk) -> None:
    desk.place("ann", "BUY", "1", 50000)
    desk.place("ann", "BUY", "2", 50000)
    order = desk.place("ann", "SELL", "1", 60000)
    changes = desk.market.take_changes()
    assert changes.levels == {("BUY", 5_000_000): 300_000, ("SELL", 6_000_000): 100_000}
    assert (changes.first_update_id, changes.last_update_id) == (1, 3)
    assert (changes.bids, changes.asks) == ([(5_000_000, 300_000)], [(6_000_000, 100_000)])
    cancel(desk, order.order_id)
    changes = desk.market.take_changes()
    assert changes.levels == {("SELL", 6_000_000): 0}
    assert (changes.first_update_id, changes.last_update_id) == (4, 4)
    nothing = desk.market.take_changes()
    assert nothing.levels == {}
    assert (nothing.first_update_id, nothing.last_update_id) == (5, 4)


# time, candles, average price


def test_time_never_goes_back(desk: Desk) -> None:
    one = desk.place("ann", "BUY", "1", 50000)
    desk.now -= 5000
    two = desk.place("ann", "BUY", "1", 50000)
    assert two.created_ms == one.created_ms


def trade(desk: Desk, price: int, qty: Any, *, taker_buys: bool = True) -> None:
    first, second = ("SELL", "BUY") if taker_buys else ("BUY", "SELL")
    desk.crowd_order(first, price, qty)
    desk.crowd_order(second, price, qty)


def test_klines_of_what_traded(desk: Desk) -> None:
    desk.now = 1_700_000_040_000  # on a minute
    trade(desk, 100, 1)
    desk.now += 1_500
    trade(desk, 120, 2, taker_buys=False)
    desk.now += 30_000
    trade(desk, 90, 1)
    desk.now += 60_000
    trade(desk, 110, 4)
    first, second = desk.market.klines(60_000)
    assert (first.open_ms, first.close_ms) == (1_700_000_040_000, 1_700_000_099_999)
    assert (first.open, first.high, first.low, first.close) == (10_000, 12_000, 9_000, 9_000)
    assert (first.lots, first.trades, first.taker_buy_lots) == (400_000, 3, 200_000)
    assert (first.quote_units, first.taker_buy_quote) == (430 * UNITS, 190 * UNITS)
    assert (first.first_trade_id, first.last_trade_id) == (1, 3)
    assert (second.open_ms, second.open, second.trades) == (1_700_000_100_000, 11_000, 1)
    assert [k.open for k in desk.market.klines(1_000)] == [10_000, 12_000, 9_000, 11_000]
    (hour,) = desk.market.klines(3_600_000)
    assert (hour.open, hour.high, hour.low, hour.close, hour.trades) == (10_000, 12_000, 9_000, 11_000, 4)
    assert [k.open_ms for k in desk.market.klines(60_000, start_ms=second.open_ms)] == [second.open_ms]
    assert [k.open_ms for k in desk.market.klines(60_000, end_ms=first.open_ms)] == [first.open_ms]
    assert [k.open_ms for k in desk.market.klines(60_000, limit=1)] == [second.open_ms]
    assert [k.open_ms for k in desk.market.klines(60_000, start_ms=1, limit=1)] == [first.open_ms]


def test_average_price_is_weighted_over_five_minutes_and_falls_back_to_the_last_trade(desk: Desk) -> None:
    tape = desk.market.tape
    assert tape.average(desk.now) == (0, 0)
    trade(desk, 100, 3)
    desk.now += 1000
    trade(desk, 200, 1)
    quote, lots = tape.average(desk.now + 1000)
    assert quote / (lots * BTCUSDT.quote_units) == 12_500
    quote, lots = tape.average(desk.now + 400_000)
    assert quote / (lots * BTCUSDT.quote_units) == 20_000
    assert tape.last is desk.market.trades[-1]


# determinism


def scripted(seed: int) -> list[Any]:
    desk = Desk()
    rng = random.Random(seed)
    log: list[Any] = []
    desk.venue.on_trade.append(lambda _, t: log.append((t.trade_id, t.price_ticks, t.qty_lots, t.maker.order_id)))
    desk.venue.on_execution.append(lambda r: log.append((r.execution_id, r.execution_type, r.client_order_id)))
    for _ in range(300):
        desk.now += rng.randrange(50)
        side = rng.choice(["BUY", "SELL"])
        price = 50000 + rng.randrange(-5, 6)
        if rng.random() < 0.5:
            desk.crowd_order(side, price, "0.5")
        elif rng.random() < 0.8:
            desk.place(rng.choice(["ann", "bob"]), side, "0.3", price)
        else:
            for order in desk.venue.open_orders(desk.account("ann"))[:1]:
                cancel(desk, order.order_id)
        log.append(tuple(desk.market.take_changes().levels.items()))
    return log


def test_equal_inputs_give_equal_outputs() -> None:
    assert scripted(7) == scripted(7)
    assert scripted(7) != scripted(8)

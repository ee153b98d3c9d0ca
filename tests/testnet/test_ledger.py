"""The ledger: every movement has two sides, holds follow orders, fees are exact."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.testnet.audit import audit
from kit.testnet.ledger import Account, Ledger, fee_units, rate_units
from kit.testnet.symbols import BTCUSDT, UNITS
from tests.support.engine import D, Desk


def test_a_deposit_has_its_counterpart_outside() -> None:
    ledger = Ledger()
    account = Account("ann")
    ledger.open(account)
    ledger.deposit(account, "BTC", 5)
    assert account.free == {"BTC": 5}
    assert ledger.outside.free == {"BTC": -5}
    assert ledger.imbalances() == {"BTC": 0}


def test_withdrawing_more_than_is_free_is_refused() -> None:
    ledger = Ledger()
    account = Account("ann")
    ledger.open(account)
    ledger.deposit(account, "BTC", 5)
    ledger.lock(account, "BTC", 3)
    with pytest.raises(InvalidInput, match="only 2 free"):
        ledger.deposit(account, "BTC", -3)
    ledger.deposit(account, "BTC", -2)
    assert account.total("BTC") == 3
    assert ledger.imbalances() == {"BTC": 0}


def test_a_one_sided_posting_shows() -> None:
    ledger = Ledger()
    account = Account("ann")
    ledger.open(account)
    account.free["BTC"] = 7
    assert ledger.imbalances() == {"BTC": 7}


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "0.000000001"])
def test_bad_deposits_are_named(bad: str) -> None:
    desk = Desk()
    with pytest.raises(InvalidInput, match=bad.replace("0.000000001", "1E-9")):
        desk.venue.deposit(desk.account("ann"), "BTC", D(bad))


@given(st.integers(0, 10**18), st.integers(-(10**7), 10**7))
def test_fees_are_cut_towards_zero_to_a_whole_unit(units: int, rate: int) -> None:
    exact = Decimal(units) * rate / UNITS
    assert fee_units(units, rate) == int(exact)


@pytest.mark.parametrize("bad", ["1", "-1", "NaN", "0.000000001"])
def test_fee_rates_outside_their_range_are_refused(bad: str) -> None:
    with pytest.raises(InvalidInput, match="fraction between -1 and 1"):
        rate_units(D(bad))


def test_rates_come_from_the_symbol_unless_the_account_has_its_own() -> None:
    account, free = Account("ann"), Account("bob", fee_free=True)
    assert account.rates(BTCUSDT) == (100_000, 100_000)
    account.set_fees("BTCUSDT", D("-0.0001"), D("0.0004"))
    assert account.rates(BTCUSDT) == (-10_000, 40_000)
    assert free.rates(BTCUSDT) == (0, 0)


def test_fees_are_taken_from_what_a_fill_returns() -> None:
    desk = Desk()
    desk.account("ann").set_fees("BTCUSDT", D("0.0002"), D("0.001"))
    desk.place("ann", "SELL", "0.5", 60000)
    desk.place("bob", "BUY", "0.5", 60000)
    assert desk.free("ann", "BTC") == D("99.5")
    assert desk.free("ann", "USDT") == 10_000_000 + 30_000 * (1 - D("0.0002"))
    assert desk.free("bob", "BTC") == 100 + D("0.5") * (1 - D("0.001"))
    assert desk.free("bob", "USDT") == 10_000_000 - 30_000
    fees = desk.venue.ledger.fees.free
    assert fees == {"BTC": 50_000, "USDT": 6 * UNITS}
    assert audit(desk.venue) == []


def test_a_rebate_comes_out_of_the_fees() -> None:
    desk = Desk()
    desk.account("ann").set_fees("BTCUSDT", D("-0.0001"), D("0.001"))
    desk.place("ann", "SELL", "1", 60000)
    desk.place("bob", "BUY", "1", 60000)
    assert desk.free("ann", "USDT") == 10_060_006
    assert desk.venue.ledger.fees.free["USDT"] == -6 * UNITS
    assert audit(desk.venue) == []


def test_holds_follow_an_order_through_its_life() -> None:
    desk = Desk()
    order = desk.place("ann", "BUY", "2", 50000)
    assert (desk.free("ann", "USDT"), desk.locked("ann", "USDT")) == (9_900_000, 100_000)
    desk.crowd_order("SELL", 50000, "0.5")
    assert (desk.free("ann", "USDT"), desk.locked("ann", "USDT")) == (9_900_000, 75_000)
    desk.venue.cancel(desk.account("ann"), "BTCUSDT", order.order_id)
    assert (desk.free("ann", "USDT"), desk.locked("ann", "USDT")) == (9_975_000, 0)
    assert audit(desk.venue) == []


def test_a_taker_gets_back_what_a_better_price_saved() -> None:
    desk = Desk()
    desk.crowd_order("SELL", 49000, 1)
    order = desk.place("ann", "BUY", "2", 50000)
    assert order.status == "PARTIALLY_FILLED"
    assert desk.free("ann", "USDT") == 10_000_000 - 49_000 - 50_000
    assert desk.locked("ann", "USDT") == 50_000
    assert audit(desk.venue) == []


def test_unlimited_accounts_go_negative_and_the_ledger_still_sums_to_zero() -> None:
    desk = Desk()
    desk.crowd_order("SELL", 60000, 3)
    desk.place("ann", "BUY", "3", 60000)
    assert desk.crowd.free == {"BTC": -3 * UNITS, "USDT": 180_000 * UNITS}
    assert desk.crowd.locked == {}
    assert desk.venue.check_ledger() == {"BTC": 0, "USDT": 0}


def test_the_audit_finds_planted_defects() -> None:
    desk = Desk()
    desk.place("ann", "BUY", "1", 50000)
    account = desk.account("ann")
    account.locked["USDT"] -= 1
    account.free["USDT"] += 1
    assert any("locked, its open orders hold" in line for line in audit(desk.venue))
    account.free["USDT"] += 5
    assert any("out of balance by 5" in line for line in audit(desk.venue))
    assert desk.market.bids.best is not None
    desk.market.bids.best.lots += 1
    assert any("not what stands there" in line for line in audit(desk.venue))

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from kit.orders.fills import INFERRED_PREFIX, Fills
from kit.types.orders import TokenAmount, TradeFee
from tests.support.orders import make_trade

INFERRED = f"{INFERRED_PREFIX}A"


def test_each_trade_counts_once_and_sums_are_exact() -> None:
    fills = Fills()
    assert fills.average_price is None
    assert fills.add(make_trade("1", "0.1")) == Decimal("0.1")
    assert fills.add(make_trade("1", "0.1")) == 0
    assert fills.add(make_trade("2", "0.2", price="103")) == Decimal("0.2")
    assert (fills.base, fills.quote, fills.average_price) == (Decimal("0.3"), Decimal("30.6"), Decimal(102))
    assert list(fills.by_trade_id) == ["1", "2"]


def test_a_repeated_trade_lends_the_fee_that_was_missing() -> None:
    fee = TradeFee((TokenAmount("BNB", Decimal("0.1")),))
    fills = Fills([make_trade("1", "1")])
    fills.add(make_trade("1", "1", fee=fee))
    assert fills.fees == {"BNB": Decimal("0.1")}
    fills.add(make_trade("1", "1", fee=TradeFee((TokenAmount("BNB", Decimal(9)),))))
    assert fills.fees == {"BNB": Decimal("0.1")}
    assert fills.base == 1


def test_listed_fills_take_the_place_of_the_inferred_one() -> None:
    fills = Fills([make_trade(INFERRED, "1", price="100")])
    assert fills.add(make_trade("1", "0.4", price="99")) == 0
    assert fills.base == 1
    assert fills.by_trade_id[INFERRED].amount == Decimal("0.6")
    assert fills.quote == Decimal("0.6") * 100 + Decimal("0.4") * 99
    assert fills.add(make_trade("2", "0.7", price="99")) == Decimal("0.1")
    assert list(fills.by_trade_id) == ["1", "2"]
    assert fills.quote == Decimal("1.1") * 99


_AMOUNTS = st.integers(1, 50).map(lambda n: Decimal(n) / 10)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), _AMOUNTS), max_size=20))
def test_the_sum_never_falls_and_always_is_that_of_the_fills(steps: list[tuple[bool, int, Decimal]]) -> None:
    fills = Fills()
    listed: dict[str, Decimal] = {}
    for inferred, number, amount in steps:
        trade_id = f"{INFERRED_PREFIX}{number}" if inferred else str(number)
        before = fills.base
        growth = fills.add(make_trade(trade_id, str(amount)))
        if not inferred:
            listed.setdefault(trade_id, amount)
        assert growth >= 0
        assert fills.base == before + growth
        assert fills.base == sum(fill.amount for fill in fills.by_trade_id.values())
        assert fills.quote == sum(fill.quote_amount for fill in fills.by_trade_id.values())
        assert {key: fill.amount for key, fill in fills.by_trade_id.items() if not key.startswith("inf")} == listed

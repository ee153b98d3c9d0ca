from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput, UnknownPair
from kit.orders.budget import OrderCandidate, adjust_candidates
from kit.types.market import TradeType, TradingRule
from kit.types.orders import OrderType

BUY, SELL = TradeType.BUY, TradeType.SELL


def rule(pair: str, **changes: Decimal) -> TradingRule:
    base, quote = pair.split("/")
    values = {"min_price_increment": Decimal("0.01"), "min_base_amount_increment": Decimal("0.001")} | changes
    return TradingRule(trading_pair=pair, base_asset=base, quote_asset=quote, **values)


RULES = {pair: rule(pair) for pair in ("BTC/USDT", "ETH/USDT", "ETH/BTC")}


def candidate(
    side: TradeType, amount: str, price: str = "100", fee: str = "0", pair: str = "BTC/USDT"
) -> OrderCandidate:
    return OrderCandidate(pair, True, OrderType.LIMIT, side, Decimal(amount), Decimal(price), Decimal(fee))


def amounts(candidates: list[OrderCandidate]) -> list[Decimal]:
    return [item.amount for item in candidates]


def test_what_can_be_paid_stays_as_it_is() -> None:
    asked = [candidate(BUY, "1.0005"), candidate(SELL, "2")]
    assert adjust_candidates(asked, {"USDT": Decimal("100.05"), "BTC": Decimal(2)}, RULES) == asked


def test_a_buy_pays_its_fee_on_top_and_a_sell_does_not() -> None:
    asked = [candidate(BUY, "1", fee="0.001"), candidate(SELL, "1", fee="0.001")]
    assert amounts(adjust_candidates(asked, {"USDT": Decimal("100.09"), "BTC": Decimal(1)}, RULES)) == [0, 1]
    assert amounts(adjust_candidates(asked, {"USDT": Decimal("100.1"), "BTC": Decimal(1)}, RULES)) == [1, 1]


def test_a_rebate_pays_for_nothing_in_advance() -> None:
    asked = [candidate(BUY, "1", fee="-0.5")]
    assert amounts(adjust_candidates(asked, {"USDT": Decimal("99.99")}, RULES)) == [0]


def test_served_in_order_and_nothing_counts_on_what_another_brings_in() -> None:
    asked = [candidate(SELL, "1"), candidate(BUY, "1"), candidate(BUY, "0.5"), candidate(BUY, "0.25")]
    adjusted = adjust_candidates(asked, {"BTC": Decimal(1), "USDT": Decimal(60)}, RULES)
    assert amounts(adjusted) == [1, 0, Decimal("0.5"), 0]


def test_partly_rounds_down_to_the_step() -> None:
    adjusted = adjust_candidates([candidate(BUY, "1", fee="0.001")], {"USDT": Decimal(60)}, RULES, all_or_none=False)
    assert amounts(adjusted) == [Decimal("0.599")]
    assert adjusted[0].price == 100


def test_partly_but_too_small_is_nothing() -> None:
    small_size = {"BTC/USDT": rule("BTC/USDT", min_order_size=Decimal("0.7"))}
    small_value = {"BTC/USDT": rule("BTC/USDT", min_notional_size=Decimal("60.01"))}
    for rules in (small_size, small_value):
        left = {"USDT": Decimal(60)}
        assert amounts(adjust_candidates([candidate(BUY, "1")], left, rules, all_or_none=False)) == [0]
        assert left == {"USDT": Decimal(60)}, "the argument is not changed"


def test_one_quote_asset_pays_on_several_pairs() -> None:
    asked = [candidate(BUY, "1"), candidate(BUY, "1", pair="ETH/USDT"), candidate(SELL, "1", "0.05", pair="ETH/BTC")]
    adjusted = adjust_candidates(asked, {"USDT": Decimal(150), "ETH": Decimal(1)}, RULES, all_or_none=False)
    assert amounts(adjusted) == [1, Decimal("0.5"), 1]


def test_nothing_available_and_unknown_pairs() -> None:
    assert adjust_candidates([], {}, {}) == []
    assert amounts(adjust_candidates([candidate(BUY, "1")], {"USDT": Decimal(-5)}, RULES, all_or_none=False)) == [0]
    with pytest.raises(UnknownPair, match=r"DOGE/USDT.*BTC/USDT"):
        adjust_candidates([candidate(BUY, "1", pair="DOGE/USDT")], {}, RULES)


@pytest.mark.parametrize(("field", "value"), [("amount", "-1"), ("amount", "NaN"), ("price", "0"), ("price", "NaN")])
def test_nonsense_is_refused(field: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        candidate(BUY, **{"amount": "1", field: value})
    with pytest.raises(InvalidInput, match="fee rate"):
        candidate(BUY, "1", fee="1")


_DECIMALS = st.decimals(Decimal("0.00000001"), Decimal(1_000_000), places=8)
_CANDIDATES = st.builds(
    OrderCandidate,
    trading_pair=st.sampled_from(sorted(RULES)),
    is_maker=st.booleans(),
    order_type=st.sampled_from(list(OrderType)),
    order_side=st.sampled_from(list(TradeType)),
    amount=_DECIMALS | st.just(Decimal(0)),
    price=_DECIMALS,
    fee_rate=st.decimals(Decimal("-0.01"), Decimal("0.01"), places=5),
)


def spent(candidates: list[OrderCandidate]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for item in candidates:
        base, quote = item.trading_pair.split("/")
        fee = max(item.fee_rate, Decimal(0))
        buys = item.order_side is BUY
        asset, cost = (quote, item.amount * item.price * (1 + fee)) if buys else (base, item.amount)
        totals[asset] = totals.get(asset, Decimal(0)) + cost
    return totals


@given(
    st.lists(_CANDIDATES, max_size=8),
    st.dictionaries(st.sampled_from(["BTC", "ETH", "USDT"]), _DECIMALS),
    st.booleans(),
    st.sampled_from([Decimal(0), Decimal("0.00000001"), Decimal("0.001"), Decimal("0.3")]),
    st.sampled_from([5, 28]),
)
def test_the_sum_never_exceeds_the_balances(
    asked: list[OrderCandidate], available: dict[str, Decimal], all_or_none: bool, step: Decimal, precision: int
) -> None:
    rules = {pair: rule(pair, min_base_amount_increment=step, min_order_size=Decimal("0.01")) for pair in RULES}
    with localcontext() as context:
        context.prec = precision
        adjusted = adjust_candidates(asked, available, rules, all_or_none)
    assert len(adjusted) == len(asked)
    with localcontext() as context:
        context.prec = 120
        for asset, cost in spent(adjusted).items():
            assert cost <= available.get(asset, Decimal(0))
        for before, after in zip(asked, adjusted, strict=True):
            assert 0 <= after.amount <= before.amount
            if after.amount not in {before.amount, Decimal(0)}:
                assert not all_or_none
                assert after.amount >= Decimal("0.01")
                assert step == 0 or after.amount % step == 0
        if all(cost <= available.get(asset, Decimal(0)) for asset, cost in spent(asked).items()):
            assert adjusted == asked

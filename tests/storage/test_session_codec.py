"""Values of a session go to JSON and back without a change."""

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.storage.session_codec import build, dumps, plain, tagged, untagged
from kit.types.market import OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost, TradeType, TradingRule
from kit.types.orders import (
    Balance,
    BalanceUpdate,
    CancelFailed,
    OrderRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TimeInForce,
    TokenAmount,
    TradeFee,
    TradeUpdate,
    UserStreamStatus,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
levels = st.lists(st.tuples(finite, finite), max_size=5).map(tuple)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
ids = st.integers(0, 2**62)
maybe_text = st.none() | st.text(max_size=10)

messages = st.one_of(
    st.builds(OrderBookSnapshot, st.text(), ids, finite, levels, levels),
    st.builds(OrderBookDiff, st.text(), ids, finite, levels, levels, st.none() | ids, st.none() | ids),
    st.builds(PublicTrade, st.text(), st.text(), finite, st.sampled_from(TradeType), finite, finite),
    st.builds(StreamLost, st.text(), finite, st.text()),
    st.builds(BalanceUpdate, st.text(), st.builds(Balance, decimals, decimals), finite),
    st.builds(CancelFailed, st.text(), st.text(), finite, st.text(), st.booleans(), st.booleans()),
    st.builds(UserStreamStatus, st.booleans(), finite, st.text()),
    st.builds(
        OrderRequest,
        st.text(),
        st.text(),
        st.sampled_from(TradeType),
        st.sampled_from(OrderType),
        decimals,
        st.none() | decimals,
        st.sampled_from(TimeInForce),
    ),
    st.builds(
        OrderUpdate,
        st.text(),
        st.sampled_from(OrderState),
        finite,
        maybe_text,
        maybe_text,
        st.none() | decimals,
        price=st.none() | decimals,
        trade_type=st.none() | st.sampled_from(TradeType),
    ),
    st.builds(
        TradeUpdate,
        st.text(),
        st.text(),
        finite,
        decimals,
        decimals,
        decimals,
        maybe_text,
        maybe_text,
        st.builds(TradeFee, st.lists(st.builds(TokenAmount, st.text(), decimals), max_size=3).map(tuple)),
        st.none() | st.booleans(),
    ),
)


@given(messages)
def test_messages_come_back_the_same(message):
    back = untagged(orjson.loads(dumps(tagged(message))))
    assert back == message
    assert repr(back) == repr(message)  # Decimal("1.0") is not Decimal("1.00") here


def test_rules_come_back_the_same():
    rule = TradingRule("A/B", "A", "B", Decimal("0.010"), Decimal("1e-8"), max_price=Decimal(5))
    assert build(TradingRule, plain(rule)) == rule


def test_what_does_not_read_is_named():
    with pytest.raises(InvalidInput, match="unknown type 'Rumour'"):
        untagged(["Rumour", {}])
    with pytest.raises(InvalidInput, match="StreamLost does not read"):
        build(StreamLost, {"trading_pair": "A/B"})
    with pytest.raises(InvalidInput, match="TradingRule does not read"):
        build(TradingRule, plain(TradingRule("A/B", "A", "B", Decimal(1), Decimal(1))) | {"maker_fee": "much"})

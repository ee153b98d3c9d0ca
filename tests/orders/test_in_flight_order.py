from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.orders.in_flight_order import TRANSITIONS, InFlightOrder
from kit.types.market import TradeType
from kit.types.orders import OrderState, OrderType, TimeInForce, TokenAmount, TradeFee
from tests.support.orders import NOW, make_order, make_trade, make_update

S = OrderState
ENDS = {S.FILLED, S.CANCELED, S.EXPIRED}


def test_every_state_has_a_row_and_no_row_leads_to_itself() -> None:
    assert set(TRANSITIONS) == set(OrderState)
    assert all(state not in followers for state, followers in TRANSITIONS.items())


def test_ends_by_the_exchanges_word_are_final_and_every_other_state_can_reach_them() -> None:
    assert all(not TRANSITIONS[state] for state in ENDS)
    assert all(TRANSITIONS[state] >= ENDS for state in set(OrderState) - ENDS)


def test_only_pending_create_may_become_unknown_and_nothing_returns_to_pending_create_but_a_failed_cancel() -> None:
    assert {state for state, after in TRANSITIONS.items() if S.UNKNOWN in after} == {S.PENDING_CREATE, S.PENDING_CANCEL}
    assert {state for state, after in TRANSITIONS.items() if S.PENDING_CREATE in after} == {S.PENDING_CANCEL}


def test_progress_never_runs_backwards_in_the_table() -> None:
    rank = {
        S.PENDING_CREATE: 0,
        S.UNKNOWN: 1,
        S.OPEN: 2,
        S.PARTIALLY_FILLED: 3,
        S.FILLED: 4,
        S.CANCELED: 4,
        S.EXPIRED: 4,
    }
    for state, after in TRANSITIONS.items():
        if state in rank:
            assert all(rank[next_] > rank[state] for next_ in after if next_ in rank)


_MESSAGES = st.one_of(
    st.builds(
        lambda state, filled, client: make_update(state, "A" if client else None, filled=filled),
        st.sampled_from(list(OrderState)),
        st.sampled_from([None, Decimal("0.3"), Decimal(1)]),
        st.booleans(),
    ),
    st.builds(lambda n, amount: make_trade(str(n), amount), st.integers(0, 3), st.sampled_from(["0.3", "0.7", "1"])),
    st.just("cancel failed"),
    st.just("lost"),
)


@given(st.lists(_MESSAGES, max_size=12))
def test_every_visible_change_of_state_is_in_the_table(messages: list[object]) -> None:
    order = make_order(exchange_order_id="X-A")
    for message in messages:
        before = order.current_state
        if message == "cancel failed":
            order.cancel_failed()
        elif message == "lost":
            order.mark_lost("gone")
        elif hasattr(message, "trade_id"):
            order.update_with_trade_update(message)  # type: ignore[arg-type]
        else:
            order.update_with_order_update(message)  # type: ignore[arg-type]
        after = order.current_state
        assert after is before or after in TRANSITIONS[before], f"{before} -> {after} by {message}"
        assert order.executed_amount_base == sum((f.amount for f in order.order_fills.values()), Decimal(0))
        assert order.is_open is not order.is_done


def test_stale_news_change_nothing() -> None:
    order = make_order()
    assert order.update_with_order_update(make_update(S.PARTIALLY_FILLED, filled=Decimal("0.4")))
    assert not order.update_with_order_update(make_update(S.OPEN))
    assert order.current_state is S.PARTIALLY_FILLED
    assert order.update_with_order_update(make_update(S.FILLED))
    for state in OrderState:
        assert not order.update_with_order_update(make_update(state))
        assert order.current_state is S.FILLED


def test_an_open_order_of_which_part_is_stated_as_filled_is_partially_filled() -> None:
    order = make_order()
    order.update_with_order_update(make_update(S.OPEN, filled=Decimal("0.25")))
    assert order.current_state is S.PARTIALLY_FILLED
    assert order.missing_amount == Decimal("0.25")


def test_a_pending_cancel_outlives_late_news_of_resting_and_ends_when_the_cancel_failed() -> None:
    order = make_order()
    order.update_with_order_update(make_update(S.PENDING_CANCEL))
    assert order.current_state is S.PENDING_CANCEL
    order.update_with_order_update(make_update(S.OPEN))
    assert order.current_state is S.PENDING_CANCEL
    assert order.acknowledged
    order.cancel_failed()
    assert order.current_state is S.OPEN
    order.update_with_order_update(make_update(S.PENDING_CANCEL))
    order.update_with_order_update(make_update(S.CANCELED))
    assert order.current_state is S.CANCELED


def test_a_cancel_that_failed_before_the_acknowledgement_leads_back_to_where_it_was() -> None:
    order = make_order()
    order.update_with_order_update(make_update(S.PENDING_CANCEL))
    order.update_with_order_update(make_update(S.UNKNOWN, reason="timed out"))
    assert order.current_state is S.PENDING_CANCEL
    order.cancel_failed()
    assert order.current_state is S.UNKNOWN
    assert order.reason == "timed out"


def test_failed_is_not_believed_of_an_order_that_was_seen_to_rest() -> None:
    order = make_order()
    order.update_with_order_update(make_update(S.OPEN))
    assert not order.update_with_order_update(make_update(S.FAILED, reason="rejected"))
    assert order.current_state is S.OPEN


def test_signs_of_life_undo_a_failure() -> None:
    for sign in (S.OPEN, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED):
        order = make_order()
        order.update_with_order_update(make_update(S.FAILED, reason="no answer", error="AmbiguousOutcome"))
        assert (order.current_state, order.reason) == (S.FAILED, "no answer")
        order.update_with_order_update(make_update(sign))
        assert order.current_state is sign
        assert order.reason == order.error == ""


def test_messages_about_other_orders_are_passed_over() -> None:
    order = make_order(exchange_order_id="X-A")
    assert not order.update_with_order_update(make_update(S.OPEN, "B", exchange_order_id="X-B"))
    assert not order.update_with_trade_update(make_trade("1", "1", "B", exchange_order_id="X-B"))
    # Exchange ids repeat between pairs.
    assert not order.update_with_trade_update(make_trade("1", "1", None, trading_pair="ETH/USDT"))
    assert order.update_with_trade_update(make_trade("1", "1", None))


def test_fills_complete_the_order_by_themselves_and_count_once() -> None:
    order = make_order()
    assert order.update_with_trade_update(make_trade("1", "0.4"))
    assert order.current_state is S.PARTIALLY_FILLED
    assert not order.update_with_trade_update(make_trade("1", "0.4"))
    assert order.update_with_trade_update(make_trade("2", "0.6", price="101"))
    assert order.current_state is S.FILLED
    assert order.is_filled
    assert not order.overfilled
    assert order.remaining == 0
    assert order.executed_amount_quote == Decimal("100.6")
    assert order.average_executed_price == Decimal("100.6")


def test_overfill_is_recorded_and_flagged() -> None:
    order = make_order()
    order.update_with_trade_update(make_trade("1", "0.7"))
    order.update_with_trade_update(make_trade("2", "0.5"))
    assert order.executed_amount_base == Decimal("1.2")
    assert order.overfilled
    assert order.remaining == 0


def test_sums_are_exact_whatever_precision_the_notebook_has_set() -> None:
    with localcontext() as context:
        context.prec = 4
        order = make_order(amount=Decimal("1000000.00000003"))
        order.update_with_trade_update(make_trade("1", "1000000.00000001"))
        order.update_with_trade_update(make_trade("2", "0.00000002"))
        assert order.current_state is S.FILLED
        assert str(order.executed_amount_base) == "1000000.00000003"


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_nonsense_amounts_are_refused(amount: str) -> None:
    with pytest.raises(InvalidInput, match="amount must be a Decimal above 0"):
        make_order(amount=Decimal(amount))
    with pytest.raises(InvalidInput, match="price must be a Decimal above 0"):
        make_order(price=Decimal(amount))
    order = make_order()
    with pytest.raises(InvalidInput, match="fill amount"):
        order.update_with_trade_update(make_trade("1", amount))
    assert order.executed_amount_base == 0
    order.update_with_order_update(make_update(S.OPEN, filled=Decimal(amount)))
    assert order.stated_filled == 0


def test_a_limit_order_needs_a_price_and_floats_are_refused() -> None:
    with pytest.raises(InvalidInput, match="has no price"):
        make_order(price=None)
    with pytest.raises(InvalidInput, match="Decimal"):
        make_order(amount=1.0)
    market = make_order(order_type=OrderType.MARKET, price=None)
    assert market.to_limit_order().price.is_nan()


def test_assets_come_from_the_pair_and_fees_add_up_by_asset() -> None:
    order = make_order(trading_pair="ETH/USDT:USDT")
    assert (order.base_asset, order.quote_asset) == ("ETH", "USDT")
    order = make_order()
    order.update_with_trade_update(make_trade("1", "0.5", fee=TradeFee((TokenAmount("BNB", Decimal("0.1")),))))
    order.update_with_trade_update(make_trade("2", "0.5", fee=TradeFee((TokenAmount("BNB", Decimal("0.2")),))))
    assert order.cumulative_fees == {"BNB": Decimal("0.3")}


def test_limit_order_view() -> None:
    order = make_order(trade_type=TradeType.SELL)
    order.update_with_trade_update(make_trade("1", "0.4"))
    view = order.to_limit_order()
    assert (view.is_buy, view.price, view.quantity, view.filled_quantity) == (False, 100, 1, Decimal("0.4"))
    assert "sell 0.4/1 BTC/USDT @ 100 partially_filled" in repr(order)


def _state_of(order: InFlightOrder) -> dict[str, object]:
    values = {item.name: getattr(order, item.name) for item in fields(order)}
    return values | {"fills": dict(order.order_fills), "quote": order.executed_amount_quote}


def test_json_round_trip_is_exact() -> None:
    fee = TradeFee((TokenAmount("BNB", Decimal("0.00000001")), TokenAmount("USDT", Decimal("-0.1"))))
    order = make_order(amount=Decimal("1.230000000000000001"), time_in_force=TimeInForce.IOC)
    order.update_with_order_update(make_update(S.PENDING_CANCEL, timestamp=NOW + 0.123456))
    order.update_with_trade_update(
        make_trade("1", "0.000000000000000001", fee=fee, is_maker=True, trade_type=TradeType.BUY)
    )
    order.update_with_order_update(make_update(S.OPEN, filled=Decimal("0.5"), filled_quote=Decimal("50.5")))
    copy = InFlightOrder.from_dict(json.loads(json.dumps(order.as_dict())))
    assert _state_of(copy) == _state_of(order)
    assert copy.current_state is S.PENDING_CANCEL
    assert str(copy.amount) == "1.230000000000000001"
    market = make_order(order_type=OrderType.MARKET, price=None)
    assert _state_of(InFlightOrder.from_dict(market.as_dict())) == _state_of(market)


def test_stored_rubbish_is_refused_by_field() -> None:
    good = make_order().as_dict()
    with pytest.raises(InvalidInput, match="unknown field 'colour'"):
        InFlightOrder.from_dict(good | {"colour": "red"})
    with pytest.raises(InvalidInput, match="amount does not read"):
        InFlightOrder.from_dict(good | {"amount": "much"})
    with pytest.raises(InvalidInput, match="incomplete"):
        InFlightOrder.from_dict({"client_order_id": "A"})


def test_restored_pending_cancel_counts_as_acknowledged() -> None:
    order = make_order(progress=S.PENDING_CANCEL)
    assert order.current_state is S.PENDING_CANCEL
    assert order.acknowledged
    order.cancel_failed()
    assert order.current_state is S.OPEN

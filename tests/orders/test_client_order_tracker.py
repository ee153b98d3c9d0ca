from __future__ import annotations

from decimal import Decimal

import pytest

from kit.core.pubsub import PubSub
from kit.errors import DuplicateOrder, InvalidInput
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import MarketEvent
from kit.types.market import TradeType
from kit.types.orders import CancelFailed, OrderState, OrderType, TokenAmount, TradeFee
from tests.support.orders import NOW, PAIR, Recorder, make_order, make_trade, make_update

S = OrderState
HALF = Decimal("0.5")


@pytest.fixture
def order(tracker: ClientOrderTracker, recorder: Recorder) -> InFlightOrder:
    order = make_order()
    tracker.start_tracking_order(order)
    assert recorder.events == []
    return order


class TestTableOfTheSpecification:
    """Each row of spec section 1.7, with the right behaviour in place of the observed."""

    def test_open_fill_filled(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_trade_update(make_trade())
        tracker.process_order_update(make_update(S.FILLED))
        assert recorder.names() == ["Created", "Filled", "Completed"]
        assert order.current_state is S.FILLED
        assert list(tracker.cached_orders) == ["A"]
        assert not tracker.active_orders

    def test_fill_before_open(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_trade_update(make_trade())
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_order_update(make_update(S.FILLED))
        assert recorder.names() == ["Created", "Filled", "Completed"]

    def test_fills_alone_complete(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_trade_update(make_trade("1", "0.5"))
        assert "A" in tracker.active_orders
        tracker.process_trade_update(make_trade("2", "0.5"))
        assert recorder.names() == ["Created", "Filled", "Filled", "Completed"]
        assert order.current_state is S.FILLED
        assert list(tracker.cached_orders) == ["A"]

    def test_filled_without_fills_waits_for_them(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.FILLED))
        assert recorder.names() == ["Created"]
        assert order.is_done
        assert tracker.orders_missing_fills == (order,)
        assert "A" in tracker.active_orders
        tracker.process_trade_update(make_trade())
        assert recorder.names() == ["Created", "Filled", "Completed"]
        assert order.executed_amount_base == 1
        assert tracker.orders_missing_fills == ()

    def test_canceled_late_open_canceled(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        for state in (S.CANCELED, S.OPEN, S.CANCELED):
            tracker.process_order_update(make_update(state))
        assert recorder.names() == ["Created", "Cancelled"]
        assert order.current_state is S.CANCELED

    def test_filled_late_canceled(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_trade_update(make_trade())
        tracker.process_order_update(make_update(S.FILLED))
        tracker.process_order_update(make_update(S.CANCELED))
        assert recorder.names() == ["Created", "Filled", "Completed"]
        assert order.current_state is S.FILLED

    def test_filled_stale_partial(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_trade_update(make_trade())
        tracker.process_order_update(make_update(S.PARTIALLY_FILLED, filled=HALF))
        assert recorder.names() == ["Created", "Filled", "Completed"]
        assert order.current_state is S.FILLED

    def test_partial_stale_open(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_trade_update(make_trade("1", "0.5"))
        tracker.process_order_update(make_update(S.OPEN))
        assert recorder.names() == ["Created", "Filled"]
        assert order.current_state is S.PARTIALLY_FILLED

    def test_canceled_then_fill_of_everything(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.CANCELED))
        assert not order.filled_after_end
        tracker.process_trade_update(make_trade())
        assert recorder.names() == ["Created", "Cancelled", "Filled"]
        assert (order.current_state, order.executed_amount_base) == (S.CANCELED, 1)
        assert order.filled_after_end

    def test_pending_cancel_before_open(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.PENDING_CANCEL, exchange_order_id=None))
        assert recorder.names() == []
        tracker.process_order_update(make_update(S.OPEN))
        assert recorder.names() == ["Created"]
        assert order.current_state is S.PENDING_CANCEL

    def test_overfill(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_trade_update(make_trade("1", "0.7"))
        tracker.process_trade_update(make_trade("2", "0.5"))
        assert recorder.names() == ["Created", "Filled", "Filled", "Completed"]
        assert order.executed_amount_base == Decimal("1.2")
        assert order.overfilled
        assert recorder.of("Completed")[0].base_asset_amount == Decimal("1.2")

    def test_not_found_three_four_five_times(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_not_found("A")
        tracker.process_order_not_found("A")
        assert recorder.names() == []
        assert "A" in tracker.active_orders
        tracker.process_order_not_found("A")
        assert recorder.names() == ["Failure"]
        assert list(tracker.lost_orders) == ["A"]
        assert recorder.of("Failure")[0].error_type == "OrderNotFound"
        tracker.process_order_not_found("A")
        tracker.process_order_not_found("A")
        assert recorder.names() == ["Failure"]
        assert tracker.fetch_order("A") is order

    def test_a_good_answer_resets_the_count(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        for _ in range(5):
            tracker.process_order_not_found("A")
            tracker.process_order_not_found("A")
            tracker.process_order_update(make_update(S.OPEN))
        tracker.process_order_not_found("A")
        tracker.process_order_not_found("A")
        tracker.process_trade_update(make_trade("1", "0.5"))
        tracker.process_order_not_found("A")
        tracker.process_order_not_found("A")
        assert recorder.names() == ["Created", "Filled"]
        assert not tracker.lost_orders

    def test_trade_by_exchange_id_only(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_trade_update(make_trade(client_order_id=None))
        assert recorder.names() == ["Created", "Filled", "Completed"]


def test_our_own_words_do_not_reset_the_not_found_count(
    tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
) -> None:
    for state in (S.UNKNOWN, S.PENDING_CANCEL):
        tracker.process_order_not_found("A")
        tracker.process_order_update(make_update(state, exchange_order_id=None))
    tracker.process_order_not_found("A")
    assert recorder.names() == ["Failure"]


def test_events_tell_what_the_order_was(tracker: ClientOrderTracker, recorder: Recorder) -> None:
    tracker.start_tracking_order(make_order("S", trade_type=TradeType.SELL, amount=Decimal(2)))
    fee = TradeFee((TokenAmount("USDT", Decimal("0.2")),))
    tracker.process_order_update(make_update(S.OPEN, "S", exchange_order_id="X-S"))
    tracker.process_trade_update(make_trade("9", "2", "S", "101", exchange_order_id="X-S", fee=fee))
    created, filled, completed = recorder.events
    assert type(created).__name__ == "SellOrderCreatedEvent"
    assert (created.order_id, created.amount, created.price, created.type) == ("S", 2, 100, OrderType.LIMIT)
    assert (created.exchange_order_id, created.creation_timestamp) == ("X-S", NOW)
    assert (filled.trade_type, filled.price, filled.amount, filled.trade_fee) == (TradeType.SELL, 101, 2, fee)
    assert (filled.exchange_trade_id, filled.exchange_order_id, filled.timestamp) == ("9", "X-S", NOW + 2)
    assert type(completed).__name__ == "SellOrderCompletedEvent"
    assert (completed.base_asset, completed.quote_asset) == ("BTC", "USDT")
    assert (completed.base_asset_amount, completed.quote_asset_amount) == (2, 202)


def test_refusal_expiry_and_reason(tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
    tracker.process_order_update(
        make_update(S.FAILED, exchange_order_id=None, reason="balance too low", error="InsufficientBalance")
    )
    assert recorder.names() == ["Failure"]
    failure = recorder.of("Failure")[0]
    assert (failure.error_message, failure.error_type) == ("balance too low", "InsufficientBalance")
    assert list(tracker.cached_orders) == ["A"]
    assert not tracker.lost_orders
    tracker.start_tracking_order(make_order("B"))
    tracker.process_order_update(make_update(S.EXPIRED, "B", exchange_order_id="X-B"))
    assert recorder.names("B") == ["Created", "Expired"]


class TestUnknown:
    def test_is_in_doubt_until_evidence_comes(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        called: list[str] = []
        tracker.attention.on_attention = called.append
        tracker.process_order_update(make_update(S.UNKNOWN, exchange_order_id=None, reason="connection cut"))
        assert order.current_state is S.UNKNOWN
        assert dict(tracker.orders_in_doubt) == {"A": "connection cut"}
        assert called == ["A"]
        assert recorder.names() == []
        tracker.clear_doubt("A")
        assert "A" in tracker.orders_in_doubt, "an UNKNOWN order is not settled by declaring it so"
        tracker.process_trade_update(make_trade("1", "0.5"))
        tracker.clear_doubt("A")
        assert not tracker.orders_in_doubt
        assert recorder.names() == ["Created", "Filled"]

    def test_after_open_is_stale(self, tracker: ClientOrderTracker, order: InFlightOrder) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_order_update(make_update(S.UNKNOWN))
        assert order.current_state is S.OPEN
        assert not tracker.orders_in_doubt

    def test_ends_by_refusal(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_order_update(make_update(S.UNKNOWN))
        tracker.process_order_update(make_update(S.FAILED))
        assert recorder.names() == ["Failure"]
        assert not tracker.orders_in_doubt


class TestRevival:
    @pytest.fixture
    def lost(self, tracker: ClientOrderTracker, order: InFlightOrder) -> InFlightOrder:
        for _ in range(3):
            tracker.process_order_not_found("A")
        assert tracker.lost_orders
        return order

    def test_by_open(self, tracker: ClientOrderTracker, lost: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        assert list(tracker.active_orders) == ["A"]
        assert not tracker.lost_orders
        assert recorder.names() == ["Failure", "Created"]
        tracker.process_order_update(make_update(S.CANCELED))
        assert recorder.names() == ["Failure", "Created", "Cancelled"]

    def test_by_fill(self, tracker: ClientOrderTracker, lost: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_trade_update(make_trade("1", "0.5"))
        assert list(tracker.active_orders) == ["A"]
        assert not lost.filled_after_end
        tracker.process_trade_update(make_trade("2", "0.5"))
        assert recorder.names() == ["Failure", "Created", "Filled", "Filled", "Completed"]

    def test_created_is_not_told_twice(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        for _ in range(3):
            tracker.process_order_not_found("A")
        assert recorder.names() == ["Created", "Failure"]
        tracker.process_order_update(make_update(S.OPEN))
        assert list(tracker.active_orders) == ["A"]
        tracker.process_order_update(make_update(S.CANCELED))
        assert recorder.names() == ["Created", "Failure", "Cancelled"]

    def test_of_a_refused_order_known_by_client_id_only(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.FAILED, exchange_order_id=None))
        tracker.process_order_update(make_update(S.OPEN, exchange_order_id=None))
        tracker.process_trade_update(make_trade("1", "1", None))
        tracker.process_order_update(make_update(S.OPEN))
        assert recorder.names() == ["Failure", "Created", "Filled", "Completed"]

    def test_of_a_refused_order(self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder) -> None:
        tracker.process_order_update(make_update(S.FAILED))
        tracker.process_order_update(make_update(S.OPEN))
        assert list(tracker.active_orders) == ["A"]
        assert recorder.names() == ["Failure", "Created"]


def test_failed_after_open_is_a_doubt_not_an_end(
    tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
) -> None:
    tracker.process_order_update(make_update(S.OPEN))
    tracker.process_order_update(make_update(S.FAILED, reason="HTTP 500"))
    assert recorder.names() == ["Created"]
    assert "HTTP 500" in tracker.orders_in_doubt["A"]
    tracker.process_order_update(make_update(S.OPEN))
    tracker.clear_doubt("A")
    assert not tracker.orders_in_doubt


class TestCancelFailed:
    def failed(self, **changes: bool) -> CancelFailed:
        return CancelFailed("A", PAIR, NOW, "why", **changes)

    @pytest.mark.parametrize(
        ("changes", "doubt"), [({}, False), ({"ambiguous": True}, True), ({"order_not_found": True}, True)]
    )
    def test_the_order_rests_again(
        self, tracker: ClientOrderTracker, order: InFlightOrder, changes: dict[str, bool], doubt: bool
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_order_update(make_update(S.PENDING_CANCEL))
        tracker.process_cancel_failed(self.failed(**changes))
        assert order.current_state is S.OPEN
        assert ("A" in tracker.orders_in_doubt) is doubt
        assert "A" in tracker.active_orders

    def test_never_counts_as_not_found(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        for _ in range(10):
            tracker.process_cancel_failed(self.failed(order_not_found=True))
        assert recorder.names() == []
        assert "A" in tracker.active_orders

    def test_of_an_ended_or_foreign_order_changes_nothing(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.CANCELED))
        tracker.process_cancel_failed(self.failed(order_not_found=True))
        tracker.process_cancel_failed(CancelFailed("Z", PAIR, NOW, "who?"))
        assert recorder.names() == ["Created", "Cancelled"]
        assert not tracker.orders_in_doubt


class TestMessagesBeforeTheirOrderIsKnown:
    def test_fills_by_exchange_id_wait_for_the_order_of_that_id(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_trade_update(make_trade("1", "0.4", None))
        tracker.process_trade_update(make_trade("2", "0.6", None, exchange_order_id="X-other"))
        assert recorder.names() == []
        tracker.process_order_update(make_update(S.OPEN))
        assert recorder.names() == ["Created", "Filled"]
        assert list(order.order_fills) == ["1"]

    def test_they_come_before_an_end(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.PARTIALLY_FILLED, None, filled=HALF))
        tracker.process_trade_update(make_trade("1", "0.5", None))
        tracker.process_order_update(make_update(S.CANCELED))
        assert recorder.names() == ["Created", "Filled", "Cancelled"]

    def test_the_id_may_come_with_a_fill(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_trade_update(make_trade("1", "0.5", None))
        tracker.process_trade_update(make_trade("2", "0.5"))
        assert recorder.names() == ["Created", "Filled", "Filled", "Completed"]

    def test_messages_of_others_are_neither_held_nor_taken(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_trade_update(make_trade("1", "1", "Z", exchange_order_id="X-Z"))
        assert tracker.unmatched_messages == 1
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_trade_update(make_trade("1", "1", None, exchange_order_id="X-Z"))
        assert tracker.unmatched_messages == 2, "nobody waits for an exchange id any more"
        assert recorder.names() == ["Created"]

    def test_the_buffer_is_bounded(self, pubsub: PubSub) -> None:
        tracker = ClientOrderTracker(pubsub, time=lambda: NOW, held_limit=3)
        recorder = Recorder(pubsub)
        tracker.start_tracking_order(make_order())
        for number in range(10):
            tracker.process_trade_update(make_trade(str(number), "0.1", None))
        tracker.process_order_update(make_update(S.OPEN))
        assert [event.exchange_trade_id for event in recorder.of("Filled")] == ["7", "8", "9"]

    def test_exchange_ids_repeat_between_pairs(self, tracker: ClientOrderTracker, recorder: Recorder) -> None:
        tracker.start_tracking_order(make_order("A", exchange_order_id="1"))
        tracker.start_tracking_order(make_order("B", exchange_order_id="1", trading_pair="ETH/USDT"))
        tracker.process_trade_update(make_trade("7", "1", None, exchange_order_id="1", trading_pair="ETH/USDT"))
        assert recorder.names("A") == []
        assert recorder.names("B") == ["Created", "Filled", "Completed"]


class TestMissingFills:
    def test_an_end_waits_for_the_fills_it_states(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        called: list[str] = []
        tracker.attention.on_attention = called.append
        tracker.process_order_update(make_update(S.OPEN))
        tracker.process_order_update(make_update(S.CANCELED, filled=HALF))
        assert recorder.names() == ["Created"]
        assert called == ["A"]
        assert order.is_done
        tracker.process_trade_update(make_trade("1", "0.2"))
        assert recorder.names() == ["Created", "Filled"]
        tracker.process_trade_update(make_trade("2", "0.3"))
        assert recorder.names() == ["Created", "Filled", "Filled", "Cancelled"]

    def test_inferred_from_the_stated_quote_amount(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_trade_update(make_trade("1", "0.5", price="99"))
        tracker.process_order_update(make_update(S.FILLED, filled=Decimal(1), filled_quote=Decimal(98)))
        trade = tracker.infer_missing_fills("A")
        assert trade is not None
        assert trade.trade_id.startswith("inferred-A")
        assert (trade.amount, trade.price, trade.quote_amount) == (HALF, 97, Decimal("48.5"))
        assert recorder.names() == ["Created", "Filled", "Filled", "Completed"]
        assert recorder.of("Completed")[0].quote_asset_amount == 98
        assert tracker.infer_missing_fills("A") is None

    def test_a_listed_fill_that_comes_after_all_is_not_told_again(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.FILLED))
        tracker.infer_missing_fills("A")
        tracker.process_trade_update(make_trade("1", "0.4", price="99"))
        tracker.process_trade_update(make_trade("2", "0.6", price="99"))
        assert recorder.names() == ["Created", "Filled", "Completed"]
        assert list(order.order_fills) == ["1", "2"]
        assert (order.executed_amount_base, order.executed_amount_quote) == (1, 99)
        assert not order.filled_after_end

    def test_what_goes_beyond_the_inferred_fill_is_told(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.CANCELED, filled=HALF))
        tracker.infer_missing_fills("A")
        tracker.process_trade_update(make_trade("1", "0.6"))
        assert [event.amount for event in recorder.of("Filled")] == [HALF, Decimal("0.1")]
        assert order.executed_amount_base == Decimal("0.6")
        assert order.filled_after_end

    def test_a_market_order_without_any_price_is_not_guessed(
        self, tracker: ClientOrderTracker, recorder: Recorder
    ) -> None:
        tracker.start_tracking_order(make_order("M", order_type=OrderType.MARKET, price=None))
        tracker.process_order_update(make_update(S.FILLED, "M", exchange_order_id="X-M"))
        assert tracker.infer_missing_fills("M") is None
        assert recorder.names("M") == ["Created"]
        assert "M" in tracker.active_orders

    def test_a_filled_amount_told_after_the_end_is_a_matter_too(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.CANCELED))
        tracker.process_order_update(make_update(S.CANCELED, filled=HALF))
        assert tracker.orders_missing_fills == (order,)
        tracker.process_trade_update(make_trade("1", "0.5"))
        assert recorder.names() == ["Created", "Cancelled", "Filled"]
        assert order.filled_after_end
        assert tracker.orders_missing_fills == ()


def test_a_fill_of_no_amount_is_counted_and_passed_over(
    tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
) -> None:
    tracker.process_trade_update(make_trade("1", "0"))
    tracker.process_trade_update(make_trade("2", "NaN"))
    assert tracker.rejected_messages == 2
    assert recorder.names() == []


def test_every_listener_hears_events_in_order_also_of_what_a_listener_causes(
    pubsub: PubSub, tracker: ClientOrderTracker
) -> None:
    def cancel_at_once(event: object) -> None:
        tracker.process_order_update(make_update(S.CANCELED, filled=HALF))

    pubsub.add_listener(MarketEvent.BuyOrderCreated, cancel_at_once)
    recorder = Recorder(pubsub)
    tracker.start_tracking_order(make_order())
    tracker.process_trade_update(make_trade("1", "0.5"))
    assert recorder.names() == ["Created", "Filled", "Cancelled"]


def test_listeners_see_the_order_on_its_final_shelf(pubsub: PubSub, tracker: ClientOrderTracker) -> None:
    seen: list[bool] = []
    pubsub.add_listener(MarketEvent.BuyOrderCompleted, lambda event: seen.append("A" in tracker.active_orders))
    tracker.start_tracking_order(make_order())
    tracker.process_trade_update(make_trade())
    assert seen == [False]


def test_observers_hear_of_each_change_before_listeners(pubsub: PubSub, tracker: ClientOrderTracker) -> None:
    heard: list[object] = []
    pubsub.add_listener(MarketEvent.BuyOrderCreated, heard.append)
    observer = lambda order, timestamp: heard.append((order.client_order_id, timestamp))  # noqa: E731
    tracker.add_observer(observer)
    tracker.add_observer(observer)
    tracker.start_tracking_order(make_order())
    heard.clear()
    tracker.process_order_update(make_update(S.OPEN))
    assert heard[0] == ("A", NOW + 1)
    assert len(heard) == 2


class TestTracking:
    def test_an_id_is_tracked_once(self, tracker: ClientOrderTracker, order: InFlightOrder) -> None:
        with pytest.raises(DuplicateOrder, match="A is tracked already"):
            tracker.start_tracking_order(make_order())
        tracker.process_order_update(make_update(S.CANCELED))
        with pytest.raises(DuplicateOrder):
            tracker.start_tracking_order(make_order())

    def test_only_what_was_never_sent_may_be_given_up(
        self, tracker: ClientOrderTracker, order: InFlightOrder, recorder: Recorder
    ) -> None:
        tracker.process_order_update(make_update(S.UNKNOWN))
        with pytest.raises(InvalidInput, match="may rest on the exchange"):
            tracker.stop_tracking_order("A")
        assert "A" in tracker.active_orders
        tracker.start_tracking_order(make_order("B"))
        tracker.stop_tracking_order("B")
        tracker.stop_tracking_order("nobody")
        assert list(tracker.active_orders) == ["A"]
        assert recorder.names("B") == []

    def test_orders_are_found_by_either_id(self, tracker: ClientOrderTracker, order: InFlightOrder) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        assert tracker.fetch_order("A") is order
        assert tracker.fetch_order(exchange_order_id="X-A") is order
        assert tracker.fetch_order("Z") is tracker.fetch_order(exchange_order_id="Z") is tracker.fetch_order() is None
        assert tracker.all_fillable_orders == {"A": order}

    def test_ended_orders_are_bounded_active_ones_are_not(self, pubsub: PubSub) -> None:
        tracker = ClientOrderTracker(pubsub, time=lambda: NOW, cached_limit=2)
        for number in range(6):
            tracker.start_tracking_order(make_order(f"o{number}"))
        for number in range(4):
            tracker.process_order_update(make_update(S.CANCELED, f"o{number}", exchange_order_id=f"x{number}"))
        assert list(tracker.cached_orders) == ["o2", "o3"]
        assert list(tracker.active_orders) == ["o4", "o5"]
        assert tracker.fetch_order("o0") is tracker.fetch_order(exchange_order_id="x0") is None
        tracker.process_trade_update(make_trade("1", "1", "o0", exchange_order_id="x0"))
        assert tracker.unmatched_messages == 1

    def test_restored_orders_do_not_tell_again_what_was_told(
        self, tracker: ClientOrderTracker, recorder: Recorder
    ) -> None:
        tracker.start_tracking_order(make_order("A", progress=S.OPEN, exchange_order_id="X-A"))
        tracker.start_tracking_order(make_order("B", progress=S.CANCELED))
        tracker.start_tracking_order(make_order("C", progress=S.FAILED, error="OrderNotFound"))
        tracker.start_tracking_order(make_order("D", progress=S.UNKNOWN))
        assert recorder.events == []
        assert (list(tracker.active_orders), list(tracker.cached_orders)) == (["A", "D"], ["B"])
        assert list(tracker.lost_orders) == ["C"]
        assert list(tracker.orders_in_doubt) == ["D"]
        tracker.process_trade_update(make_trade("1", "1", None))
        assert recorder.names("A") == ["Filled", "Completed"]

    def test_limits_are_checked(self, pubsub: PubSub) -> None:
        with pytest.raises(InvalidInput, match="must be 1 or more"):
            ClientOrderTracker(pubsub, time=lambda: NOW, lost_after_not_found=0)

    def test_other_events_keep_their_place(
        self, pubsub: PubSub, tracker: ClientOrderTracker, order: InFlightOrder
    ) -> None:
        recorder = Recorder(pubsub)
        tracker.announce(MarketEvent.OrderUpdate, "anything")  # type: ignore[arg-type]
        assert recorder.events == ["anything"]

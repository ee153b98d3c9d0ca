from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from kit.errors import AmbiguousOutcome, AuthenticationFailed, NetworkUnavailable, OrderNotFound, RateLimited
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.order_resolver import OrderResolver
from kit.types.orders import CancelFailed, OrderState
from tests.support.orders import NOW, PAIR, Desk, make_order, make_trade, make_update

S = OrderState
OFFLINE = NetworkUnavailable("no route")


@pytest.fixture
async def resolver(desk: Desk) -> AsyncIterator[OrderResolver]:
    resolver = OrderResolver(desk.venue, desk.venue, desk.tracker, desk.supervisor, time_source=desk.time)
    resolver.open()
    yield resolver
    await resolver.close()
    assert desk.supervisor.names == ()


@pytest.fixture
async def unknown(desk: Desk, resolver: OrderResolver) -> InFlightOrder:
    order = make_order()
    desk.tracker.start_tracking_order(order)
    desk.tracker.process_order_update(make_update(S.UNKNOWN, exchange_order_id=None))
    return order


def asked_at(desk: Desk) -> list[float]:
    return [moment for moment, _ in desk.venue.queries]


async def test_found_open(desk: Desk, resolver: OrderResolver, unknown: InFlightOrder) -> None:
    desk.venue.script("A", make_update(S.OPEN))
    await desk.time.advance(0.4)
    assert unknown.current_state is S.UNKNOWN
    await desk.time.advance(0.2)
    assert unknown.current_state is S.OPEN
    assert desk.recorder.names() == ["Created"]
    assert resolver.busy == ()
    await desk.time.advance(60)
    assert asked_at(desk) == [0.5]


async def test_found_filled_fetches_the_fills(desk: Desk, resolver: OrderResolver, unknown: InFlightOrder) -> None:
    desk.venue.script("A", make_update(S.FILLED, filled=Decimal(1)))
    desk.venue.fills = [make_trade("1", "0.4", None), make_trade("2", "0.6", None)]
    await desk.time.advance(0.5)
    assert desk.recorder.names() == ["Created", "Filled", "Filled", "Completed"]
    assert resolver.busy == ()


async def test_not_found_fails_only_after_the_landing_time_and_three_answers(
    desk: Desk, resolver: OrderResolver, unknown: InFlightOrder
) -> None:
    desk.venue.script("A", None)
    await desk.time.advance(7.9)
    assert unknown.current_state is S.UNKNOWN
    assert desk.recorder.names() == []
    await desk.time.advance(0.2)
    assert unknown.current_state is S.FAILED
    assert desk.recorder.names() == ["Failure"]
    assert asked_at(desk) == [0.5, 1.5, 3.5, 6.0, 7.0, 8.0]
    assert list(desk.tracker.lost_orders) == ["A"]
    assert resolver.busy == ()


async def test_an_order_that_lands_late_is_found(desk: Desk, resolver: OrderResolver, unknown: InFlightOrder) -> None:
    desk.venue.script("A", None, None, None, None, None, make_update(S.OPEN))
    await desk.time.advance(30)
    assert desk.recorder.names() == ["Created"]
    assert "A" in desk.tracker.active_orders


@pytest.mark.parametrize(
    "error",
    [OFFLINE, RateLimited("slow down"), AmbiguousOutcome("timed out"), AuthenticationFailed("bad key")],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_is_no_evidence_however_long_it_lasts(
    desk: Desk, resolver: OrderResolver, unknown: InFlightOrder, error: Exception
) -> None:
    desk.venue.script("A", error)
    await desk.time.advance(3600)
    assert unknown.current_state is S.UNKNOWN
    assert desk.recorder.names() == []
    assert type(error).__name__ in resolver.last_error
    assert len(desk.venue.queries) > 700
    desk.venue.script("A", make_update(S.OPEN))
    await desk.time.advance(5)
    assert unknown.current_state is S.OPEN


async def test_errors_between_answers_do_not_count_as_answers(
    desk: Desk, resolver: OrderResolver, unknown: InFlightOrder
) -> None:
    desk.venue.script("A", OFFLINE, OFFLINE, OFFLINE, None, OFFLINE, None, OFFLINE, OFFLINE, None)
    await desk.time.advance(19)
    assert unknown.current_state is S.UNKNOWN
    await desk.time.advance(1)
    assert unknown.current_state is S.FAILED


async def test_order_not_found_raised_is_the_exchanges_word_too(
    desk: Desk, resolver: OrderResolver, unknown: InFlightOrder
) -> None:
    desk.venue.script("A", OrderNotFound("Order does not exist."))
    await desk.time.advance(19)
    assert unknown.current_state is S.FAILED


async def test_a_defective_port_does_not_stop_the_asking(
    desk: Desk, resolver: OrderResolver, unknown: InFlightOrder
) -> None:
    desk.venue.script("A", KeyError("status"), make_update(S.OPEN))
    await desk.time.advance(2)
    assert unknown.current_state is S.OPEN
    assert "KeyError" in resolver.last_error


async def test_evidence_from_the_stream_ends_the_asking(
    desk: Desk, resolver: OrderResolver, unknown: InFlightOrder
) -> None:
    desk.venue.script("A", None)
    await desk.time.advance(0.6)
    desk.tracker.process_order_update(make_update(S.CANCELED))
    await desk.time.advance(60)
    assert asked_at(desk) == [0.5]
    assert desk.recorder.names() == ["Created", "Cancelled"]


async def test_a_cancel_in_doubt_is_asked_about(desk: Desk, resolver: OrderResolver) -> None:
    desk.tracker.start_tracking_order(make_order())
    desk.tracker.process_order_update(make_update(S.OPEN))
    desk.venue.script("A", make_update(S.OPEN))
    desk.tracker.process_cancel_failed(CancelFailed("A", PAIR, NOW, "not found", order_not_found=True))
    await desk.time.advance(1)
    assert asked_at(desk) == [0.5]
    desk.venue.script("A", make_update(S.CANCELED))
    desk.tracker.process_cancel_failed(CancelFailed("A", PAIR, NOW, "timed out", ambiguous=True))
    await desk.time.advance(1)
    assert desk.recorder.names() == ["Created", "Cancelled"]


async def test_refused_by_the_query_though_it_was_seen_to_rest_counts_as_not_found(
    desk: Desk, resolver: OrderResolver
) -> None:
    desk.tracker.start_tracking_order(make_order())
    desk.tracker.process_order_update(make_update(S.OPEN))
    desk.venue.script("A", make_update(S.FAILED))
    desk.tracker.process_order_update(make_update(S.FAILED, reason="HTTP 500"))
    await desk.time.advance(7.9)
    assert desk.recorder.names() == ["Created"]
    await desk.time.advance(0.2)
    assert desk.recorder.names() == ["Created", "Failure"]


async def test_a_placement_that_nobody_answered_may_still_wait_to_be_sent(desk: Desk, resolver: OrderResolver) -> None:
    order = make_order()
    desk.tracker.start_tracking_order(order)
    desk.venue.script("A", None)
    await resolver.check("A")
    await desk.time.advance(59)
    assert order.current_state is S.PENDING_CREATE
    # Its answer gets lost now: what was asked before it was sent says nothing.
    desk.tracker.process_order_update(make_update(S.UNKNOWN, exchange_order_id=None))
    await desk.time.advance(15.5)
    assert order.current_state is S.UNKNOWN
    await desk.time.advance(5)
    assert order.current_state is S.FAILED


async def test_a_placement_that_is_never_answered_fails_in_the_end(desk: Desk, resolver: OrderResolver) -> None:
    order = make_order()
    desk.tracker.start_tracking_order(order)
    desk.venue.script("A", None)
    await resolver.check("A")
    await desk.time.advance(69)
    assert order.current_state is S.PENDING_CREATE
    await desk.time.advance(10)
    assert order.current_state is S.FAILED


class TestMissingFills:
    @pytest.fixture
    async def ended(self, desk: Desk, resolver: OrderResolver) -> InFlightOrder:
        order = make_order()
        desk.tracker.start_tracking_order(order)
        desk.tracker.process_order_update(make_update(S.CANCELED, filled=Decimal("0.5")))
        return order

    async def test_are_fetched(self, desk: Desk, resolver: OrderResolver, ended: InFlightOrder) -> None:
        desk.venue.fills = [make_trade("1", "0.5", None), make_trade("2", "1", None, exchange_order_id="other")]
        await desk.time.advance(0.5)
        assert desk.recorder.names() == ["Created", "Filled", "Cancelled"]
        assert desk.venue.queries == []
        assert resolver.busy == ()

    async def test_that_come_by_the_stream_are_not_fetched(
        self, desk: Desk, resolver: OrderResolver, ended: InFlightOrder
    ) -> None:
        desk.tracker.process_trade_update(make_trade("1", "0.5"))
        await desk.time.advance(60)
        assert "fetch_fills" not in desk.venue.calls
        assert resolver.busy == ()

    async def test_that_the_exchange_never_lists_are_inferred(
        self, desk: Desk, resolver: OrderResolver, ended: InFlightOrder
    ) -> None:
        await desk.time.advance(5.9)
        assert desk.recorder.names() == ["Created"]
        await desk.time.advance(0.2)
        assert desk.recorder.names() == ["Created", "Filled", "Cancelled"]
        assert next(iter(ended.order_fills)).startswith("inferred-")
        assert resolver.busy == ()

    async def test_are_not_inferred_while_the_exchange_cannot_be_asked(
        self, desk: Desk, resolver: OrderResolver, ended: InFlightOrder
    ) -> None:
        desk.venue.failing["fetch_fills"] = [OFFLINE] * 1000
        await desk.time.advance(600)
        assert desk.recorder.names() == ["Created"]
        desk.venue.failing.clear()
        desk.venue.fills = [make_trade("1", "0.5", None)]
        await desk.time.advance(5)
        assert desk.recorder.names() == ["Created", "Filled", "Cancelled"]

    async def test_of_an_order_that_rests_are_never_inferred(self, desk: Desk, resolver: OrderResolver) -> None:
        order = make_order()
        desk.tracker.start_tracking_order(order)
        desk.tracker.process_order_update(make_update(S.PARTIALLY_FILLED, filled=Decimal("0.5")))
        await desk.time.advance(600)
        assert order.executed_amount_base == 0
        assert desk.venue.calls.count("fetch_fills") == 4
        desk.tracker.process_order_update(make_update(S.CANCELED, filled=Decimal("0.5")))
        await desk.time.advance(600)
        assert desk.recorder.names() == ["Created", "Filled", "Cancelled"]

    async def test_while_in_doubt_the_asking_goes_on(self, desk: Desk, resolver: OrderResolver) -> None:
        desk.tracker.start_tracking_order(make_order())
        desk.tracker.process_order_update(make_update(S.PARTIALLY_FILLED, filled=Decimal("0.5")))
        desk.tracker.mark_in_doubt("A", "test")
        desk.venue.script("A", OFFLINE)
        await desk.time.advance(60)
        desk.venue.script("A", make_update(S.CANCELED, filled=Decimal("0.5")))
        await desk.time.advance(5)
        assert desk.recorder.names() == ["Created", "Filled", "Cancelled"]


async def test_check_asks_once_and_leaves_the_rest_to_the_background(desk: Desk, resolver: OrderResolver) -> None:
    desk.tracker.start_tracking_order(make_order())
    desk.tracker.process_order_update(make_update(S.OPEN))
    desk.venue.script("A", OFFLINE, make_update(S.CANCELED))
    await resolver.check("A")
    assert "A" in desk.tracker.orders_in_doubt
    await resolver.check("A")
    assert asked_at(desk) == [0.0], "the background asks already"
    await desk.time.advance(0.5)
    assert desk.recorder.names() == ["Created", "Cancelled"]


async def test_closed_it_asks_nothing_and_opened_again_it_goes_on(
    desk: Desk, resolver: OrderResolver, unknown: InFlightOrder
) -> None:
    await resolver.close()
    desk.tracker.start_tracking_order(make_order("B"))
    desk.tracker.process_order_update(make_update(S.UNKNOWN, "B", exchange_order_id=None))
    await desk.time.advance(60)
    assert desk.venue.queries == []
    desk.venue.script("A", make_update(S.OPEN))
    desk.venue.script("B", make_update(S.OPEN, "B", exchange_order_id="X-B"))
    resolver.open()
    await desk.time.advance(1)
    assert desk.recorder.names("A") == desk.recorder.names("B") == ["Created"]


async def test_a_closed_supervisor_does_not_break_the_tracker(desk: Desk, resolver: OrderResolver) -> None:
    await desk.supervisor.close()
    desk.tracker.start_tracking_order(make_order())
    desk.tracker.process_order_update(make_update(S.UNKNOWN, exchange_order_id=None))
    assert "A" in desk.tracker.orders_in_doubt

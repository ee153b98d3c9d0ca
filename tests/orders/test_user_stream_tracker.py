from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from kit.errors import AuthenticationFailed, NetworkUnavailable
from kit.orders.reconciliation import Reconciliation
from kit.types.events import BalanceUpdateEvent
from kit.types.orders import Balance, BalanceUpdate, CancelFailed, OrderState, UserStreamStatus
from tests.support.kit_logs import kit_records
from tests.support.orders import NOW, PAIR, Desk, build_desk, make_order, make_trade, make_update

S = OrderState
OFFLINE = NetworkUnavailable("no route")


@pytest.fixture
async def live(desk: Desk) -> AsyncIterator[Desk]:
    """A desk whose private stream is up and reconciled."""
    await desk.stream.start()
    await connect(desk)
    assert desk.stream.ready
    yield desk
    await desk.stream.stop()
    assert desk.supervisor.names == ()
    assert desk.supervisor.error_count == 0


async def connect(desk: Desk) -> None:
    desk.venue.send(UserStreamStatus(True, desk.time.time()))
    await desk.time.advance(0)


async def lose(desk: Desk) -> None:
    desk.venue.send(UserStreamStatus(False, desk.time.time(), "cut"))
    await desk.time.advance(0)


async def place(desk: Desk, order_id: str = "A") -> None:
    order = make_order(order_id)
    desk.tracker.start_tracking_order(order)
    desk.balances.hold(order)
    desk.venue.send(make_update(S.OPEN, order_id, exchange_order_id=f"X-{order_id}"))
    await desk.time.advance(0)


async def test_messages_pass_through_the_queue_in_order(live: Desk) -> None:
    order = make_order()
    live.tracker.start_tracking_order(order)
    live.venue.send(make_update(S.OPEN))
    live.venue.send(make_trade("1", "0.5"))
    live.venue.send(BalanceUpdate("USDT", Balance(Decimal(9), Decimal(8)), NOW))
    live.venue.send(make_update(S.PENDING_CANCEL))
    live.venue.send(CancelFailed("A", PAIR, NOW, "too late"))
    assert live.stream.status.queued == 5
    assert live.recorder.events == []
    await live.time.advance(0)
    assert [type(event).__name__ for event in live.recorder.events] == [
        "BuyOrderCreatedEvent",
        "OrderFilledEvent",
        "BalanceUpdateEvent",
    ]
    assert live.recorder.events[-1] == BalanceUpdateEvent(NOW, "USDT", Decimal(9), Decimal(8))
    assert order.current_state is S.PARTIALLY_FILLED


async def test_one_bad_message_does_not_stop_the_stream(live: Desk) -> None:
    live.tracker.start_tracking_order(make_order())
    live.venue.send(BalanceUpdate("USDT", Balance(Decimal("NaN"), Decimal(1)), NOW))
    live.venue.send(make_trade("0", "-1"))
    live.venue.send(make_trade())
    await live.time.advance(0)
    assert live.recorder.names() == ["Created", "Filled", "Completed"]
    assert live.stream.status.rejected == 2


async def test_events_of_a_balance_carry_what_is_free_after_holds(live: Desk) -> None:
    live.balances.hold(make_order())
    live.venue.send(BalanceUpdate("USDT", Balance(Decimal(1000), Decimal(1000)), NOW))
    live.venue.send(BalanceUpdate("USDT", Balance(Decimal(1), Decimal(1)), NOW - 1))
    await live.time.advance(0)
    assert [event.available_balance for event in live.recorder.events] == [Decimal(900)]


class TestReconnect:
    async def test_a_fill_missed_in_the_gap_is_found(self, live: Desk) -> None:
        await place(live)
        await lose(live)
        assert not live.stream.ready
        live.venue.fills = [make_trade("1", "1", None, timestamp=live.time.time())]
        live.venue.script("A", make_update(S.FILLED, filled=Decimal(1)))
        live.venue.balances = {"BTC": Balance(Decimal(1), Decimal(1))}
        await live.time.advance(10)
        assert live.recorder.names() == ["Created"]
        await connect(live)
        assert live.recorder.names() == ["Created", "Filled", "Completed"]
        assert live.balances.total("BTC") == 1
        assert live.stream.ready
        assert live.venue.queries == [], "the fills alone told the end"

    async def test_a_cancel_missed_in_the_gap_is_found(self, live: Desk) -> None:
        await place(live)
        await lose(live)
        live.venue.script("A", make_update(S.CANCELED, filled=Decimal(0)))
        await connect(live)
        assert live.recorder.names() == ["Created", "Cancelled"]
        result = live.stream.status.last_reconciliation
        assert isinstance(result, Reconciliation)
        assert result.ended == ("A",)

    async def test_a_partial_fill_and_cancel_come_in_order(self, live: Desk) -> None:
        await place(live)
        await lose(live)
        live.venue.fills = [make_trade("1", "0.4", None, timestamp=live.time.time())]
        live.venue.script("A", make_update(S.CANCELED, filled=Decimal("0.4")))
        await connect(live)
        assert live.recorder.names() == ["Created", "Filled", "Cancelled"]

    async def test_what_still_rests_is_not_asked_about(self, live: Desk) -> None:
        await place(live)
        await lose(live)
        live.venue.open_orders[PAIR] = [make_update(S.OPEN, None)]
        await connect(live)
        assert live.recorder.names() == ["Created"]
        assert live.venue.queries == []
        assert live.stream.status.last_reconciliation is not None
        assert live.stream.status.last_reconciliation.ended == ()

    async def test_an_acknowledgement_missed_in_the_gap_is_found(self, live: Desk) -> None:
        live.tracker.start_tracking_order(make_order())
        await lose(live)
        live.venue.open_orders[PAIR] = [make_update(S.OPEN)]
        await connect(live)
        assert live.recorder.names() == ["Created"]

    async def test_not_found_right_after_reconnecting_does_not_end_an_order(self, live: Desk) -> None:
        await place(live)
        await lose(live)
        live.venue.script("A", None, None, make_update(S.OPEN))
        await connect(live)
        assert "A" in live.tracker.orders_in_doubt
        await live.time.advance(60)
        assert live.recorder.names() == ["Created"]
        assert "A" in live.tracker.active_orders
        assert not live.tracker.orders_in_doubt

    async def test_an_order_being_placed_is_left_alone(self, live: Desk) -> None:
        await lose(live)
        live.tracker.start_tracking_order(make_order(creation_timestamp=live.time.time()))
        await connect(live)
        assert live.venue.queries == []
        await live.time.advance(11)
        await live.stream.poll()
        assert [order_id for _, order_id in live.venue.queries] == ["A"]

    async def test_orders_tracked_while_asking_are_not_judged(self, live: Desk) -> None:
        def place_meanwhile(call: str) -> None:
            if call == "fetch_open_orders":
                live.tracker.start_tracking_order(make_order("B", creation_timestamp=NOW - 100))
                live.tracker.process_order_update(make_update(S.OPEN, "B", exchange_order_id="X-B"))
                live.venue.on_call = lambda _: None

        await lose(live)
        live.venue.on_call = place_meanwhile
        await connect(live)
        assert live.venue.queries == []
        assert live.recorder.names("B") == ["Created"]

    async def test_news_that_stream_in_while_asking_win_over_the_older_answer(self, live: Desk) -> None:
        await place(live)
        await lose(live)
        live.venue.open_orders[PAIR] = [make_update(S.OPEN)]
        live.venue.on_call = lambda call: live.stream.process(make_trade()) if call == "fetch_open_orders" else None
        await connect(live)
        assert live.recorder.names() == ["Created", "Filled", "Completed"]
        assert not live.tracker.active_orders

    async def test_orders_of_others_are_ignored(self, live: Desk) -> None:
        live.venue.open_orders[PAIR] = [make_update(S.OPEN, "Z", exchange_order_id="X-Z")]
        live.venue.fills = [make_trade("1", "1", None, exchange_order_id="X-Z", timestamp=NOW)]
        await connect(live)
        assert live.recorder.events == []
        assert not live.tracker.active_orders
        assert live.stream.status.last_reconciliation is not None
        assert live.stream.status.last_reconciliation.ignored_orders == 1

    async def test_it_is_repeated_until_it_works(self, live: Desk) -> None:
        await place(live)
        await lose(live)
        live.venue.failing["fetch_open_orders"] = [OFFLINE, OFFLINE]
        live.venue.failing["fetch_balances"] = [OFFLINE]
        live.venue.script("A", make_update(S.CANCELED))
        await connect(live)
        assert not live.stream.ready
        assert "no route" in live.stream.status.last_error
        assert live.recorder.names() == ["Created"]
        await live.time.advance(3)
        assert live.recorder.names() == ["Created", "Cancelled"]
        assert not live.stream.ready, "balances are not known yet"
        await live.time.advance(5)
        assert live.stream.ready
        assert live.stream.status.last_error == ""

    async def test_a_loss_while_reconciling_makes_it_not_ready(self, live: Desk) -> None:
        def cut(call: str) -> None:
            if call == "fetch_balances":
                live.stream.process(UserStreamStatus(False, NOW, "again"))
                live.venue.on_call = lambda _: None

        live.venue.on_call = cut
        await connect(live)
        assert not live.stream.ready
        await connect(live)
        assert live.stream.ready

    async def test_a_reconnect_while_reconciling_starts_over(self, live: Desk) -> None:
        gate = asyncio.Event()
        calls = []

        async def slow(pair: str) -> list[object]:
            calls.append(pair)
            if len(calls) == 1:
                await gate.wait()
            return []

        live.venue.fetch_open_orders = slow  # type: ignore[method-assign, assignment]
        await lose(live)
        await connect(live)
        assert len(calls) == 1
        await lose(live)
        await connect(live)
        assert len(calls) == 2
        assert live.stream.ready

    async def test_fills_are_fetched_from_a_minute_before_the_last_time_on(self, live: Desk) -> None:
        since = []

        async def fetch(pair: str, start: float) -> list[object]:
            since.append(start)
            return []

        live.venue.fetch_fills = fetch  # type: ignore[method-assign, assignment]
        await live.time.advance(1000)
        await live.stream.poll()
        await live.time.advance(1000)
        await live.stream.poll()
        assert since == [NOW - 60, NOW + 1000 - 60]

    async def test_many_fills_come_in_pages(self, live: Desk) -> None:
        live.tracker.start_tracking_order(make_order(amount=Decimal(500)))
        live.venue.page_size = 50
        live.venue.fills = [make_trade(str(n), "1", timestamp=NOW + n // 3) for n in range(500)]
        await live.stream.poll()
        assert live.recorder.names().count("Filled") == 500
        assert live.recorder.names()[-1] == "Completed"

    async def test_few_fills_take_one_request(self, live: Desk) -> None:
        before = live.venue.calls.count("fetch_fills")
        live.venue.fills = [make_trade(str(n), "1", timestamp=NOW) for n in range(49)]
        await live.stream.poll()
        assert live.venue.calls.count("fetch_fills") == before + 1

    async def test_a_stream_that_is_lost_again_is_not_reconciled_any_more(self, live: Desk) -> None:
        live.venue.failing["fetch_open_orders"] = [OFFLINE] * 100
        await connect(live)
        await lose(live)
        calls = len(live.venue.calls)
        await live.time.advance(600)
        assert len(live.venue.calls) == calls

    async def test_a_failed_fetch_of_fills_is_made_up_for(self, live: Desk) -> None:
        await place(live)
        await live.time.advance(500)
        live.venue.fills = [make_trade("1", "1", None, timestamp=NOW + 100)]
        live.venue.failing["fetch_fills"] = [OFFLINE]
        assert await live.stream.poll() is None
        await live.time.advance(500)
        assert await live.stream.poll() is not None
        assert live.recorder.names() == ["Created", "Filled", "Completed"]


async def test_orders_told_to_be_ours_are_adopted() -> None:
    desk = build_desk(adopt=lambda update: (update.client_order_id or "").startswith("mine"))
    details = {
        "trade_type": make_order().trade_type,
        "order_type": make_order().order_type,
        "amount": Decimal(2),
        "price": Decimal(50),
    }
    desk.venue.open_orders[PAIR] = [
        make_update(S.OPEN, "mine1", exchange_order_id="X1", filled=Decimal("0.5"), **details),
        make_update(S.OPEN, "mine2", exchange_order_id="X2"),
        make_update(S.OPEN, "mine3", exchange_order_id="X3", **(details | {"price": Decimal("NaN")})),
        make_update(S.OPEN, "theirs", exchange_order_id="X4", **details),
        make_update(S.OPEN, None, exchange_order_id="X5", **details),
    ]
    desk.venue.fills = [make_trade("1", "0.5", None, exchange_order_id="X1", timestamp=NOW - 3600)]
    await desk.stream.start()
    await connect(desk)
    assert desk.recorder.names("mine1") == ["Created", "Filled"]
    (order,) = desk.tracker.active_orders.values()
    assert (order.amount, order.price, order.remaining) == (2, 50, Decimal("1.5"))
    result = desk.stream.status.last_reconciliation
    assert result is not None
    assert (result.adopted, result.ignored_orders, result.new_fills) == (("mine1",), 4, 1)
    await connect(desk)
    assert desk.recorder.names("mine1") == ["Created", "Filled"]
    await desk.stream.stop()


async def test_a_lost_order_among_the_open_ones_lives(live: Desk) -> None:
    await place(live)
    for _ in range(3):
        live.tracker.process_order_not_found("A")
    assert live.recorder.names() == ["Created", "Failure"]
    live.venue.open_orders[PAIR] = [make_update(S.OPEN)]
    await live.stream.poll()
    assert "A" in live.tracker.active_orders


async def test_an_unknown_placement_is_resolved_by_client_id(live: Desk) -> None:
    live.tracker.start_tracking_order(make_order())
    live.venue.send(make_update(S.UNKNOWN, exchange_order_id=None, reason="connection cut"))
    live.venue.script("A", None, make_update(S.OPEN))
    await live.time.advance(0.1)
    assert live.stream.status.resolving == ("A",)
    await live.time.advance(2)
    assert live.recorder.names() == ["Created"]
    assert live.stream.status.resolving == ()


async def test_unknown_orders_of_before_the_start_are_resolved(desk: Desk) -> None:
    desk.tracker.start_tracking_order(make_order(progress=S.UNKNOWN))
    desk.venue.script("A", make_update(S.OPEN))
    await desk.stream.start()
    await desk.time.advance(1)
    assert desk.recorder.names() == ["Created"]
    await desk.stream.stop()


class TestStartAndStop:
    async def test_are_idempotent_and_restartable(self, desk: Desk) -> None:
        await desk.stream.stop()
        await desk.stream.start()
        await desk.stream.start()
        assert desk.venue.calls == ["open_user_stream"]
        await desk.stream.stop()
        await desk.stream.stop()
        assert desk.supervisor.names == ()
        await desk.stream.start()
        await connect(desk)
        assert desk.stream.ready
        await desk.stream.stop()
        assert not desk.stream.ready

    async def test_a_refused_key_is_raised_and_nothing_is_left_running(self, desk: Desk) -> None:
        desk.venue.stream_error = AuthenticationFailed("Invalid API-key")
        with pytest.raises(AuthenticationFailed):
            await desk.stream.start()
        assert desk.supervisor.names == ()
        desk.venue.stream_error = None
        await desk.stream.start()
        await desk.stream.stop()

    async def test_what_was_queued_is_not_lost(self, live: Desk) -> None:
        live.tracker.start_tracking_order(make_order())
        live.venue.send(make_update(S.OPEN))
        live.venue.send(make_trade("1", "0.5"))
        await live.stream.stop()
        live.venue.send(make_trade("2", "0.5"))
        assert live.recorder.names() == ["Created", "Filled", "Filled", "Completed"]

    async def test_what_was_queued_before_anything_ran_is_not_lost(self, desk: Desk) -> None:
        desk.tracker.start_tracking_order(make_order())
        await desk.stream.start()
        desk.venue.send(make_trade())
        await desk.stream.stop()
        assert desk.recorder.names() == ["Created", "Filled", "Completed"]

    def test_a_simulated_venue_needs_no_loop(self) -> None:
        desk = build_desk()
        desk.venue.send(UserStreamStatus(True, NOW))
        assert desk.stream.ready
        desk.tracker.start_tracking_order(make_order())
        desk.venue.send(make_update(S.UNKNOWN))
        desk.venue.send(make_trade())
        assert desk.recorder.names() == ["Created", "Filled", "Completed"]


class TestPolling:
    async def test_is_rare_while_the_stream_speaks_or_nothing_is_out(self, live: Desk) -> None:
        assert live.stream.poll_interval == 120
        await live.time.advance(61)
        assert live.stream.poll_interval == 120
        await place(live)
        assert live.stream.poll_interval == 5, "an answer to our own request does not show that the stream lives"
        live.venue.send(BalanceUpdate("USDT", Balance(Decimal(9), Decimal(8)), NOW))
        await live.time.advance(0)
        assert live.stream.poll_interval == 120
        await lose(live)
        assert live.stream.poll_interval == 5

    async def test_takes_up_again_what_was_given_up(self, live: Desk) -> None:
        live.tracker.start_tracking_order(make_order())
        live.venue.send(make_update(S.PARTIALLY_FILLED, filled=Decimal("0.5")))
        live.venue.open_orders[PAIR] = [make_update(S.OPEN)]
        await live.time.advance(60)
        assert live.stream.status.resolving == ()
        await live.stream.poll()
        assert live.stream.status.resolving == ("A",)

    async def test_waits_for_the_one_that_runs(self, live: Desk) -> None:
        running = 0

        async def slow(pair: str) -> list[object]:
            nonlocal running
            running += 1
            assert running == 1
            await live.time.sleep(1)
            running -= 1
            return []

        live.venue.fetch_open_orders = slow  # type: ignore[method-assign, assignment]
        polls = asyncio.gather(live.stream.poll(), live.stream.poll())
        await live.time.advance(3)
        assert all(result is not None for result in await polls)

    async def test_pairs_may_come_and_go_but_not_while_orders_are_on_them(self, live: Desk) -> None:
        asked = []

        async def fetch(pair: str) -> list[object]:
            asked.append(pair)
            return []

        live.venue.fetch_open_orders = fetch  # type: ignore[method-assign, assignment]
        live.stream.add_trading_pair("ETH/USDT")
        live.stream.add_trading_pair("ETH/USDT")
        await live.stream.poll()
        assert asked == [PAIR, "ETH/USDT"]
        await place(live)
        live.stream.remove_trading_pair(PAIR)
        await live.stream.poll()
        assert asked[2:] == ["ETH/USDT", PAIR]
        live.tracker.process_order_update(make_update(S.CANCELED))
        await live.stream.poll()
        assert asked[4:] == ["ETH/USDT"]


async def test_a_loss_is_told_but_a_close_on_purpose_is_not(live: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await lose(live)
    assert "private stream was lost: cut" in caplog.text
    await connect(live)
    caplog.clear()
    close = live.venue.close_user_stream

    async def closing() -> None:
        live.venue.send(UserStreamStatus(False, NOW, "closed"))
        await close()

    live.venue.close_user_stream = closing  # type: ignore[method-assign]
    await live.stream.stop()
    assert live.stream.status.losses == 1
    assert kit_records(caplog) == []

import gc
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.core.pubsub import EVENT_TYPES, PubSub
from kit.errors import InvalidInput
from kit.types.events import (
    BuyOrderCreatedEvent,
    ClockLateEvent,
    MarketEvent,
    OrderCancelledEvent,
    SellOrderCreatedEvent,
)
from kit.types.orders import OrderType
from tests.support.kit_logs import kit_records

LATE = MarketEvent.ClockLate
CANCELLED = MarketEvent.OrderCancelled


def late(number: float = 0.0) -> ClockLateEvent:
    return ClockLateEvent(number, 0.0, 0)


def cancelled(order_id: str = "a") -> OrderCancelledEvent:
    return OrderCancelledEvent(1.0, order_id)


def test_listeners_are_called_in_order_of_subscription() -> None:
    hub = PubSub()
    calls: list[int] = []
    for number in range(50):
        hub.add_listener(LATE, lambda _event, number=number: calls.append(number))
    hub.trigger_event(LATE, late())
    assert calls == list(range(50))


def test_a_listener_hears_only_its_own_tag() -> None:
    hub = PubSub()
    heard: list[object] = []
    hub.add_listener(LATE, heard.append)
    hub.trigger_event(CANCELLED, cancelled())
    assert heard == []
    event = late()
    hub.trigger_event(LATE, event)
    assert heard == [event]


def test_adding_twice_calls_once() -> None:
    hub = PubSub()
    heard: list[object] = []

    class Listener:
        def hear(self, event: object) -> None:
            heard.append(event)

    listener = Listener()
    hub.add_listener(LATE, listener.hear)
    hub.add_listener(LATE, listener.hear)  # another bound method object, the same listener
    hub.trigger_event(LATE, late())
    assert len(heard) == 1


def test_listeners_are_held_strongly() -> None:
    hub = PubSub()
    heard: list[object] = []

    class Listener:
        def hear(self, event: object) -> None:
            heard.append(event)

    hub.add_listener(LATE, Listener().hear)
    gc.collect()
    hub.trigger_event(LATE, late())
    assert len(heard) == 1


def test_unsubscribe_works_once_and_only_for_its_own_subscription() -> None:
    hub = PubSub()
    heard: list[object] = []
    unsubscribe = hub.add_listener(LATE, heard.append)
    unsubscribe()
    hub.trigger_event(LATE, late())
    assert heard == []
    hub.add_listener(LATE, heard.append)
    unsubscribe()  # stale: the subscription above is another one
    hub.trigger_event(LATE, late())
    assert len(heard) == 1


def test_removing_an_unknown_listener_passes() -> None:
    hub = PubSub()
    hub.remove_listener(LATE, print)
    assert hub.listeners(LATE) == ()


def test_one_listeners_error_is_logged_counted_told_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[MarketEvent, object, Exception]] = []
    hub = PubSub(on_error=lambda tag, listener, error: told.append((tag, listener, error)))
    heard: list[object] = []
    boom = ValueError("boom")

    def fail(_event: object) -> None:
        raise boom

    hub.add_listener(LATE, fail)
    hub.add_listener(LATE, heard.append)
    with caplog.at_level(logging.ERROR):
        hub.trigger_event(LATE, late())
    assert len(heard) == 1
    assert hub.error_count == 1
    assert told == [(LATE, fail, boom)]
    assert len(kit_records(caplog)) == 1
    assert kit_records(caplog)[0].exc_info is not None


def test_an_error_handler_that_fails_does_not_stop_the_others() -> None:
    def bad_handler(*_args: object) -> None:
        raise RuntimeError("handler")

    hub = PubSub(on_error=bad_handler)
    heard: list[object] = []
    hub.add_listener(LATE, lambda _event: 1 / 0)
    hub.add_listener(LATE, heard.append)
    hub.trigger_event(LATE, late())
    assert len(heard) == 1


def test_a_listener_removed_during_a_delivery_is_not_called_any_more() -> None:
    hub = PubSub()
    calls: list[str] = []

    def first(_event: object) -> None:
        calls.append("first")
        hub.remove_listener(LATE, second)

    def second(_event: object) -> None:
        calls.append("second")

    def third(_event: object) -> None:
        calls.append("third")

    for listener in (first, second, third):
        hub.add_listener(LATE, listener)
    hub.trigger_event(LATE, late())
    assert calls == ["first", "third"]


def test_a_listener_that_removes_itself_does_not_make_the_next_one_miss_the_event() -> None:
    hub = PubSub()
    calls: list[str] = []

    def once(_event: object) -> None:
        calls.append("once")
        hub.remove_listener(LATE, once)

    hub.add_listener(LATE, once)
    hub.add_listener(LATE, lambda _event: calls.append("always"))
    hub.trigger_event(LATE, late())
    hub.trigger_event(LATE, late())
    assert calls == ["once", "always", "always"]


def test_a_listener_added_during_a_delivery_hears_the_next_event() -> None:
    hub = PubSub()
    heard: list[object] = []
    hub.add_listener(LATE, lambda _event: hub.add_listener(LATE, heard.append) and None)
    hub.trigger_event(LATE, late(1))
    assert heard == []
    hub.trigger_event(LATE, late(2))
    assert heard == [late(2)]


def test_all_listeners_hear_nested_events_in_the_order_of_triggering() -> None:
    hub = PubSub()
    heard: list[object] = []

    def reacts(event: ClockLateEvent) -> None:
        hub.trigger_event(CANCELLED, cancelled(str(event.timestamp)))

    hub.add_listener(LATE, reacts)
    hub.add_listener(LATE, heard.append)
    hub.add_listener(CANCELLED, heard.append)
    hub.trigger_event(LATE, late(1))
    assert heard == [late(1), cancelled("1")]


def test_an_interrupt_passes_through_and_events_go_on_afterwards() -> None:
    hub = PubSub()
    heard: list[object] = []

    def interrupted(event: ClockLateEvent) -> None:
        if event.timestamp == 1:
            raise KeyboardInterrupt

    hub.add_listener(LATE, interrupted)
    hub.add_listener(LATE, heard.append)
    with pytest.raises(KeyboardInterrupt):
        hub.trigger_event(LATE, late(1))
    hub.trigger_event(LATE, late(2))
    assert heard == [late(2)]


def test_every_tag_of_an_event_class_refuses_other_events() -> None:
    hub = PubSub()
    for tag in EVENT_TYPES:
        with pytest.raises(InvalidInput, match="carries"):
            hub.trigger_event(tag, "not an event")
    created = {"timestamp": 1.0, "type": OrderType.LIMIT, "trading_pair": "A/B", "amount": 1, "price": 1}
    sell = SellOrderCreatedEvent(**created, order_id="x", creation_timestamp=1.0)
    hub.trigger_event(MarketEvent.SellOrderCreated, sell)
    buy = BuyOrderCreatedEvent(**created, order_id="x", creation_timestamp=1.0)
    with pytest.raises(InvalidInput, match="SellOrderCreatedEvent"):
        hub.trigger_event(MarketEvent.SellOrderCreated, buy)


def test_bad_tags_and_listeners_are_refused_at_once() -> None:
    hub = PubSub()

    async def never_awaited(_event: object) -> None: ...

    with pytest.raises(InvalidInput, match="MarketEvent"):
        hub.add_listener(600, print)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="MarketEvent"):
        hub.trigger_event("ClockLate", late())  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="callable"):
        hub.add_listener(LATE, 5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="TaskSupervisor"):
        hub.add_listener(LATE, never_awaited)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "trigger"]), st.integers(0, 4)), max_size=60))
def test_listeners_behave_as_an_ordered_set(steps: list[tuple[str, int]]) -> None:
    hub = PubSub()
    calls: list[int] = []
    listeners = [lambda _event, number=number: calls.append(number) for number in range(5)]
    model: list[int] = []
    for action, number in steps:
        if action == "add":
            hub.add_listener(LATE, listeners[number])
            if number not in model:
                model.append(number)
        elif action == "remove":
            hub.remove_listener(LATE, listeners[number])
            if number in model:
                model.remove(number)
        else:
            calls.clear()
            hub.trigger_event(LATE, late())
            assert calls == model

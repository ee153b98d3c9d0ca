"""Events from those who know to those who listen: in order, by kind, one listener's error is its own."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, TypeAlias

from kit.errors import InvalidInput
from kit.types import events
from kit.types.events import MarketEvent

logger = logging.getLogger(__name__)

# Any, not Event: a listener is written for the one class that its tag carries, and Callable is contravariant.
Listener: TypeAlias = Callable[[Any], None]
ErrorHandler: TypeAlias = Callable[[MarketEvent, Listener, Exception], None]

_EXPECTED: dict[MarketEvent, type] = {
    MarketEvent.BuyOrderCompleted: events.BuyOrderCompletedEvent,
    MarketEvent.SellOrderCompleted: events.SellOrderCompletedEvent,
    MarketEvent.OrderCancelled: events.OrderCancelledEvent,
    MarketEvent.OrderFilled: events.OrderFilledEvent,
    MarketEvent.OrderExpired: events.OrderExpiredEvent,
    MarketEvent.OrderFailure: events.MarketOrderFailureEvent,
    MarketEvent.BuyOrderCreated: events.BuyOrderCreatedEvent,
    MarketEvent.SellOrderCreated: events.SellOrderCreatedEvent,
    MarketEvent.Balance: events.BalanceUpdateEvent,
    MarketEvent.Trade: events.OrderBookTradeEvent,
    MarketEvent.ClockLate: events.ClockLateEvent,
}
EVENT_TYPES: Mapping[MarketEvent, type] = MappingProxyType(_EXPECTED)
"""The class of event that a tag carries; tags that are missing here carry any value."""


class PubSub:
    """Hand events to listeners, by ``MarketEvent``, in the order in which the listeners subscribed.

    Listeners are held by strong references until they are removed. All listeners hear all events in the order in which
    these were triggered: an event triggered from inside a listener is delivered after the one that is being delivered.
    An exception of a listener is logged, counted in ``error_count`` and given to ``on_error(tag, listener, error)``;
    the others are called all the same. They are called within the context ``around``, where there is one. For use on
    one thread, the core's loop.
    """

    def __init__(self, *, on_error: ErrorHandler | None = None) -> None:
        self.on_error = on_error
        self.around: AbstractContextManager[object] | None = None
        self._error_count = 0
        # Tuples, replaced on change: a delivery in progress goes on over the tuple that it began with.
        self._listeners: dict[MarketEvent, tuple[Listener, ...]] = {}
        self._queue: deque[tuple[MarketEvent, Any]] = deque()
        self._delivering = False
        self._changes = 0

    @property
    def error_count(self) -> int:
        """Return how often a listener raised."""
        return self._error_count

    def __repr__(self) -> str:
        counts = ", ".join(f"{tag.name} {len(listeners)}" for tag, listeners in self._listeners.items() if listeners)
        return f"<PubSub of listeners: {counts or 'none'}>"

    def add_listener(self, tag: MarketEvent, listener: Listener) -> Callable[[], None]:
        """Subscribe ``listener`` to events of the kind ``tag`` and return the function that unsubscribes it.

        Adding the same listener to the same tag again changes nothing. A listener added while an event is delivered
        hears the next one. Raises ``InvalidInput`` for a tag that is no ``MarketEvent`` and for a listener that is not
        callable or is a coroutine function, whose result nobody would await.
        """
        _check_tag(tag)
        _check_listener(listener)
        current = self._listeners.get(tag, ())
        if listener not in current:
            self._listeners[tag] = (*current, listener)
            self._changes += 1
        pending = [True]

        def unsubscribe() -> None:
            # Once only: the same listener may have been added anew since, by somebody else.
            if pending:
                pending.clear()
                self.remove_listener(tag, listener)

        return unsubscribe

    def remove_listener(self, tag: MarketEvent, listener: Listener) -> None:
        """Unsubscribe ``listener``; it is not called any more, even by a delivery in progress. Unknown ones pass."""
        current = self._listeners.get(tag, ())
        self._listeners[tag] = tuple(known for known in current if known != listener)
        self._changes += 1

    def listeners(self, tag: MarketEvent) -> tuple[Listener, ...]:
        """Return the listeners of ``tag`` in order of subscription."""
        return self._listeners.get(tag, ())

    def trigger_event(self, tag: MarketEvent, event: Any) -> None:
        """Deliver ``event`` to every listener of ``tag``.

        Returns when all were called, except from inside a listener: then the event waits its turn. Raises
        ``InvalidInput`` when the event is not of the class that ``EVENT_TYPES`` names for the tag.
        """
        expected = _EXPECTED.get(tag) if type(tag) is MarketEvent else None
        if expected is None or not isinstance(event, expected):
            _check_event(tag, event)
        if self._delivering:
            self._queue.append((tag, event))
            return
        queue = self._queue
        if queue:  # left over where an interrupt broke off a delivery: older events go first
            queue.append((tag, event))
            tag, event = queue.popleft()
        around = self.around
        if around is None:
            self._deliver(tag, event)
        else:
            with around:
                self._deliver(tag, event)

    def _deliver(self, tag: MarketEvent, event: Any) -> None:
        queue = self._queue
        self._delivering = True
        try:
            while True:
                changes = self._changes
                for listener in self._listeners.get(tag, ()):
                    # Only where somebody came or went meanwhile is there anything to look up again.
                    if changes != self._changes and listener not in self._listeners[tag]:
                        continue
                    try:
                        listener(event)
                    except Exception as error:  # noqa: BLE001  # keeps one listener's error from the others
                        self._report(tag, listener, error)
                if not queue:
                    return
                tag, event = queue.popleft()
        finally:
            self._delivering = False

    def _report(self, tag: MarketEvent, listener: Listener, error: Exception) -> None:
        self._error_count += 1
        where = f"{getattr(listener, '__qualname__', repr(listener))} on {tag.name}"
        logger.error("listener %s failed", where, exc_info=error, extra={"where": where})
        if self.on_error is None:
            return
        try:
            self.on_error(tag, listener, error)
        except Exception:  # the handler of errors must not become one for the listeners that follow
            logger.exception("on_error of a PubSub failed")


def _check_tag(tag: object) -> None:
    if not isinstance(tag, MarketEvent):
        raise InvalidInput(f"a tag must be a kit MarketEvent such as MarketEvent.OrderFilled, got {tag!r}")


def _check_event(tag: object, event: object) -> None:
    _check_tag(tag)
    expected = _EXPECTED.get(tag)  # type: ignore[call-overload]
    if expected is not None and not isinstance(event, expected):
        raise InvalidInput(
            f"{tag} carries a {expected.__name__}, got {event!r}: trigger it with the tag of its own kind"
        )


def _check_listener(listener: object) -> None:
    if not callable(listener):
        raise InvalidInput(f"a listener must be callable with the event, got {listener!r}")
    if inspect.iscoroutinefunction(listener):
        raise InvalidInput(
            f"listener {listener!r} is a coroutine function and would never be awaited: "
            "pass a plain function that starts the coroutine through a TaskSupervisor"
        )

"""Auto-disarm: when a core that is live, or armed, must go back by itself, and why."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Final

from kit.connectors.account_side import AccountSide
from kit.connectors.connector import Connector
from kit.core.naming import counted
from kit.core.time_source import TimeSource
from kit.errors import InvalidInput
from kit.trading.switched_core import SwitchedCore, traded_pairs
from kit.types.events import MarketEvent, MarketOrderFailureEvent

logger = logging.getLogger(__name__)

_LOOK: Final = 0.25
_WINDOW: Final = 60.0
_ORDINARY: Final = "PostOnlyRejected"
_REFUSED: Final = "AuthenticationFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisarmRules:
    """When live trading ends by itself; ``None`` switches a rule off.

    ``loop_lag``: the core's loop stood still for so many seconds (default 5). Whatever it says, a stall that the guard
    may have answered disarms.
    ``behind``: seconds' worth of ticks that were skipped within the last 60 s (default 15).
    ``book_silence``: the book of a traded pair has been lost, out of step or stale for so many seconds (default 15).
    ``account_silence``: the private stream has been lost or out of step for so many seconds (default 30).
    ``rejections``: so many orders in a row were refused (default 5); post-only orders that would have crossed do not
    count.
    ``armed_for``: seconds after which a core that is armed falls back (default 60).

    Further causes need no limit: the key is refused, the guard cancelled or ended for good, the strategy was paused
    after errors. Raises ``InvalidInput`` for a limit that is not above zero.
    """

    loop_lag: float | None = 5.0
    behind: float | None = 15.0
    book_silence: float | None = 15.0
    account_silence: float | None = 30.0
    rejections: int | None = 5
    armed_for: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name != "armed_for":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise InvalidInput(
                    f"{field.name} is {value!r}; it must be a number above zero"
                    + ("" if field.name == "armed_for" else ", or None to switch the rule off")
                )


class DisarmWatch:
    """Looks for causes to disarm while accounts are armed or live.

    A key that is refused as the watch begins is no cause, as nothing was traded with it; its account is watched from
    the moment that the key recovers.

    ``look()`` is to be called every ``interval`` seconds from the core's loop, ``stood_still()`` at any time between.
    """

    def __init__(self, core: SwitchedCore, rules: Callable[[], DisarmRules], time_source: TimeSource) -> None:
        self._core = core
        self._rules = rules
        self._time_source = time_source
        self._sides: tuple[tuple[Connector, AccountSide], ...] = ()
        self._refused_before: set[AccountSide] = set()
        self._ends: list[Callable[[], None]] = []
        self._pulse = self._gap = 0.0
        self._skipped: deque[tuple[float, int]] = deque()
        self._since: dict[tuple[str, str], float] = {}
        self._refusals = 0
        self._refusal = ""
        self._keys: dict[AccountSide, str] = {}

    def begin(self, sides: Iterable[tuple[Connector, AccountSide]]) -> None:
        """Watch these accounts from now on; what was seen before is forgotten."""
        self.end()
        self._sides = tuple(sides)
        self._refused_before = {side for _, side in self._sides if side.refused}
        self._pulse, self._gap = self._time_source.monotonic(), 0.0
        self._skipped.clear()
        self._since.clear()
        self._refusals, self._refusal = 0, ""
        self._keys.clear()
        for _, side in self._sides:
            add = side.pubsub.add_listener
            self._ends.append(add(MarketEvent.OrderFailure, partial(self._on_failure, side)))
            self._ends += [
                add(tag, self._on_created) for tag in (MarketEvent.BuyOrderCreated, MarketEvent.SellOrderCreated)
            ]

    def end(self) -> None:
        """Watch nothing."""
        for unsubscribe in self._ends:
            unsubscribe()
        self._ends.clear()
        self._sides = ()
        self._refused_before.clear()
        self._keys.clear()

    @property
    def interval(self) -> float:
        """Return how often to look, seconds."""
        return min(_LOOK, self._longest_stall / 4)

    @property
    def _longest_stall(self) -> float:
        """Return the seconds of standing still that disarm: the rule's, or less where the guard acts sooner."""
        guard, limit = self._core.guarding.guard, self._rules().loop_lag
        # A heartbeat is due every tenth of the guard's limit: a stall of nine tenths may have been too long for it.
        answered = math.inf if guard is None else 0.9 * guard.stall_limit
        return min(answered, math.inf if limit is None else limit)

    def stood_still(self) -> str:
        """Return the cause where the loop stood still for too long since the watch began, else an empty text."""
        gap = max(self._gap, self._time_source.monotonic() - self._pulse)
        limit = self._longest_stall
        return f"the loop stood still for {gap:.1f} s (limit {limit:g} s)" if gap >= limit else ""

    def look(self) -> str:
        """Return the first cause to disarm, an empty text where there is none."""
        now = self._time_source.monotonic()
        self._gap, self._pulse = max(self._gap, now - self._pulse), now
        return next(self._causes(now), "")

    def _causes(self, now: float) -> Iterator[str]:
        if cause := self.stood_still() or self._behind(now):
            yield cause
        for connector, side in self._sides:
            if side in self._refused_before:
                if side.refused:
                    continue
                self._refused_before.remove(side)
            if refused := side.refused or self._keys.get(side):
                yield f"the key of {connector.name} is refused: {refused}"
            yield from self._silences(connector, side, now)
        if (limit := self._rules().rejections) is not None and self._refusals >= limit:
            verb = "was" if self._refusals == 1 else "were"
            yield f"{counted(self._refusals, 'order')} in a row {verb} refused, the last one: {self._refusal}"

    def _behind(self, now: float) -> str:
        limit, clock = self._rules().behind, self._core.clock
        self._skipped.append((now, clock.stats.ticks_skipped))
        while self._skipped[0][0] < now - _WINDOW:
            self._skipped.popleft()
        behind = (self._skipped[-1][1] - self._skipped[0][1]) * clock.tick_size
        if limit is None or behind < limit:
            return ""
        return f"{behind:.1f} s of ticks were skipped within {_WINDOW:g} s (limit {limit:g} s)"

    def _silences(self, connector: Connector, side: AccountSide, now: float) -> Iterator[str]:
        rules, tracker = self._rules(), connector.order_book_tracker
        for pair in self._pairs(connector):
            lasted = self._lasts((connector.name, pair), not tracker.is_ready(pair), now)
            if rules.book_silence is not None and lasted >= rules.book_silence:
                why = tracker.status(pair).last_error or "nothing was heard"
                yield f"the book of {pair} on {connector.name} has been lost or stale for {lasted:.1f} s: {why}"
        lasted = self._lasts((connector.name, ""), not side.ready, now)
        if rules.account_silence is not None and lasted >= rules.account_silence:
            why = side.user_stream.status.last_error if side.user_stream is not None else ""
            yield f"the private stream of {connector.name} has been lost for {lasted:.1f} s: {why or 'no answer'}"

    def _lasts(self, what: tuple[str, str], is_so: bool, now: float) -> float:
        if not is_so:
            self._since.pop(what, None)
            return 0.0
        return now - self._since.setdefault(what, now)

    def _pairs(self, connector: Connector) -> set[str]:
        ordered = {order.trading_pair for order in connector.order_tracker.active_orders.values()}
        return (ordered | set(traded_pairs(self._core, connector))) & set(connector.trading_pairs)

    def _on_failure(self, side: AccountSide, event: MarketOrderFailureEvent) -> None:
        if event.error_type == _ORDINARY or side in self._refused_before:
            return
        self._refusals += 1
        self._refusal = f"{event.error_type}: {event.error_message}"
        if event.error_type == _REFUSED:
            self._keys[side] = event.error_message

    def _on_created(self, _: object) -> None:
        self._refusals = 0

"""Faults on demand: what networks and exchanges do to clients, switched on for a count of times or some seconds.

======================  =============================================================================================
kind                    what happens
======================  =============================================================================================
``drop_before``         the connection is cut before the request takes effect
``drop_after``          the request takes effect, then the connection is cut without an answer
``delay``               the answer comes ``delay`` seconds late (``after=True``: the request takes effect at once)
``truncate``            the request takes effect; half of the answer's body is sent, then the connection is cut
``junk``                the request takes effect; the answer is ``body`` (default: an HTML page) with ``status`` (200)
``error``               the answer is ``status``, ``code``, ``message`` (default 503); ``after=True``: it takes effect
``silent``              WebSocket API: the request takes effect and is never answered (``before=True``: no effect)
``black_hole``          nothing is read and nothing is answered, not even a ping
``gap``                 ``count`` depth updates are not sent
``silent_stream``       sockets stay open and answer pings, but nothing is streamed to them
``cut_market``          market stream sockets are cut; with ``seconds``, new ones are refused for so long
``cut_user``            the same for WebSocket API sockets, which carry the user stream
``undecodable``         one broken frame (``payload``) is sent to each market socket (``on="user"``: user sockets)
``terminate``           user streams end with ``eventStreamTerminated`` while their sockets stay open
``skew``                the exchange's clock runs ``offset`` seconds ahead (negative: behind)
======================  =============================================================================================

``on`` is a pattern of operations (``order.*``, ``depth``) or, for streams, of stream names (``btcusdt@depth*``);
``via`` restricts a fault to ``rest``, ``ws_api`` or ``stream``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from kit.errors import InvalidInput

ONE_ANSWER = ("drop_before", "drop_after", "delay", "truncate", "junk", "error", "silent", "black_hole")
STREAM_FAULTS = ("gap", "silent_stream", "black_hole")
ACTIONS = ("cut_market", "cut_user", "undecodable", "terminate", "skew")
CHANNELS = ("rest", "ws_api", "stream")

_DEFAULT_PATTERN = {"drop_before": "order.place", "drop_after": "order.place", "truncate": "order.place"}
_DEFAULT_PATTERN |= {"junk": "order.place", "silent": "order.place"}
_LASTING = ("black_hole", "silent_stream", "skew")
_OPTIONS: Mapping[str, frozenset[str]] = {
    "delay": frozenset({"delay", "after"}),
    "junk": frozenset({"body", "status"}),
    "error": frozenset({"status", "code", "message", "after"}),
    "silent": frozenset({"before"}),
    "undecodable": frozenset({"payload"}),
    "skew": frozenset({"offset"}),
}
KINDS = tuple(dict.fromkeys((*ONE_ANSWER, *STREAM_FAULTS, *ACTIONS)))


@dataclass(slots=True)
class Fault:
    """One switched-on fault; ``left`` is how often it still strikes, ``until`` (monotonic seconds) when it ends."""

    fault_id: int
    kind: str
    on: str = "*"
    via: str | None = None
    left: int | None = 1
    until: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    hits: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the fault as plain values."""
        return {
            "id": self.fault_id,
            "kind": self.kind,
            "on": self.on,
            "via": self.via,
            "left": self.left,
            "hits": self.hits,
            **self.options,
        }


class FaultBoard:
    """Holds the faults that are switched on and hands them out, oldest first.

    ``monotonic`` tells the time in seconds that durations are measured by.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []
        self.struck: dict[str, int] = {}

    def add(
        self,
        kind: str,
        *,
        on: str | None = None,
        via: str | None = None,
        count: int | None = None,
        seconds: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Fault:
        """Switch a fault on, for ``count`` strikes (default 1) or for ``seconds`` (then as often as it comes).

        Raises ``InvalidInput`` for an unknown kind, channel or option, or a count or duration that is not above zero.
        """
        options = dict(options or {})
        _check(kind, via, count, seconds, options)
        if count is None and seconds is None and kind not in _LASTING:
            count = 1
        fault = Fault(
            fault_id=next(self._ids),
            kind=kind,
            on=on or _DEFAULT_PATTERN.get(kind, "*"),
            via=via,
            left=count,
            until=None if seconds is None else self._monotonic() + seconds,
            options=options,
        )
        self._faults.append(fault)
        return fault

    def clear(self, kind: str | None = None) -> int:
        """Switch off the faults of a kind, or all; returns how many there were."""
        before = len(self.active())
        self._faults = [] if kind is None else [fault for fault in self._faults if fault.kind != kind]
        return before - len(self._faults)

    def active(self) -> list[Fault]:
        """Return the faults that can still strike."""
        now = self._monotonic()
        self._faults = [
            fault for fault in self._faults if fault.left != 0 and (fault.until is None or now < fault.until)
        ]
        return self._faults

    def find(self, kinds: Iterable[str], name: str, via: str) -> Fault | None:
        """Return the oldest fault of these kinds that fits an operation or stream, without using it up."""
        if not self._faults:
            return None
        for fault in self.active():
            if fault.kind in kinds and fault.via in (None, via) and fnmatchcase(name, fault.on):
                return fault
        return None

    def take(self, kinds: Iterable[str], name: str, via: str) -> Fault | None:
        """Return the oldest fault that fits and use it up once."""
        fault = self.find(kinds, name, via)
        if fault is not None:
            self.strike(fault)
        return fault

    def strike(self, fault: Fault) -> None:
        """Count one strike of a fault."""
        fault.hits += 1
        self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
        if fault.left is not None:
            fault.left -= 1

    def seconds_left(self, fault: Fault) -> float | None:
        """Return for how long a fault still lasts, ``None`` when it has no end."""
        return None if fault.until is None else max(0.0, fault.until - self._monotonic())


def _check(kind: str, via: str | None, count: int | None, seconds: float | None, options: Mapping[str, Any]) -> None:
    if kind not in KINDS:
        raise InvalidInput(f"no fault is called {kind!r}; there are {', '.join(KINDS)}")
    if via is not None and via not in CHANNELS:
        raise InvalidInput(f"a fault's channel is one of {', '.join(CHANNELS)}, not {via!r}")
    if count is not None and count < 1:
        raise InvalidInput(f"a fault strikes at least once, not {count} times")
    if seconds is not None and not seconds > 0:
        raise InvalidInput(f"a fault lasts longer than {seconds} seconds")
    known = _OPTIONS.get(kind, frozenset())
    unknown = sorted(set(options) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise InvalidInput(f"fault {kind} has no option {', '.join(unknown)}; its options: {names}")

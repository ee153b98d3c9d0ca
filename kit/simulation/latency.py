"""How long requests and answers travel: integers in ns, from the moment they are sent.

A model answers two questions: ``entry(sent_ns)`` how long a request sent at local time ``sent_ns`` takes to the
exchange, ``response(exch_ns)`` how long an answer given at exchange time ``exch_ns`` takes back. Neither is ever
negative: what hftbacktest writes as a negative entry latency (the request is lost and comes back as a local rejection)
is ``entry`` returning ``None`` here, and ``rejection(sent_ns)`` telling when the sender hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.simulation.feed import FeedColumns
from kit.storage.events import NANOSECONDS

_MAX_SECONDS: Final = 3600.0


class LatencyModel(Protocol):
    """What the simulated venue asks of a latency model."""

    @property
    def response_floor_ns(self) -> int:
        """The smallest response latency that can occur (0 is always true, a higher one makes replays faster)."""

    def entry(self, sent_ns: int) -> int | None:
        """Return how long a request travels; ``None``: it gets lost."""

    def response(self, exch_ns: int) -> int:
        """Return how long an answer travels."""

    def rejection(self, sent_ns: int) -> int:
        """Return after how long the sender of a lost request is told so."""


@dataclass(frozen=True)
class NoLatency:
    """Requests and answers arrive in the instant they are sent. The feed keeps its recorded delay."""

    response_floor_ns: int = field(default=0, init=False)

    def entry(self, sent_ns: int) -> int | None:  # noqa: ARG002
        """Return 0."""
        return 0

    def response(self, exch_ns: int) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def rejection(self, sent_ns: int) -> int:  # noqa: ARG002
        """Return 0; no request is ever lost."""
        return 0


@dataclass(frozen=True)
class ConstantLatency:
    """Every request takes ``request`` seconds, every answer ``answer`` seconds (0.010 is 10 ms)."""

    request: float
    answer: float
    response_floor_ns: int = field(default=0, init=False, repr=False)
    _entry: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_entry", _ns("request", self.request))
        object.__setattr__(self, "response_floor_ns", _ns("answer", self.answer))

    def entry(self, sent_ns: int) -> int | None:  # noqa: ARG002
        """Return the request latency in ns."""
        return self._entry

    def response(self, exch_ns: int) -> int:  # noqa: ARG002
        """Return the answer latency in ns."""
        return self.response_floor_ns

    def rejection(self, sent_ns: int) -> int:  # noqa: ARG002
        """Return 0; no request is ever lost."""
        return 0


class RecordedLatency:
    """Latencies measured live, interpolated linearly between the two rows around a moment.

    ``rows``: an array of shape (n, 3), int64 ns: a request's local time of sending, its arrival at the exchange, the
    local arrival of the answer (hftbacktest's latency files: their first three columns); ascending by the first. Before
    the first and after the last row that row's latency holds. A row whose exchange time is 0 or less is a request that
    got lost: requests next to one are lost too, and heard of after the interpolated round trip. ``offset`` (seconds,
    0 or more) is added to each way, for a trader farther away.
    """

    def __init__(self, rows: Any, *, offset: float = 0.0) -> None:
        table = np.asarray(rows, np.int64)
        if table.ndim != 2 or table.shape[1] < 3 or not len(table):
            raise InvalidInput(f"latency rows have the shape {table.shape}; give (n, 3): sent, at the exchange, answer")
        table = table[:, :3]
        lost = table[:, 1] <= 0
        for bad, what in (
            (np.diff(table[:, 0], prepend=table[0, 0]) < 0, "is sent before the row ahead of it"),
            (~lost & (table[:, 1] < table[:, 0]), "reaches the exchange before it is sent (correct the clock first)"),
            (~lost & (table[:, 2] < table[:, 1]), "is answered before it reaches the exchange"),
            (table[:, 2] < table[:, 0], "is answered before it is sent"),
        ):
            if bool(bad.any()):
                row = int(np.argmax(bad))
                raise InvalidInput(f"latency row {row} {what}: {table[row].tolist()}")
        self._offset = _ns("offset", offset)
        self._sent, self._lost = table[:, 0], lost
        self._entry = table[:, 1] - table[:, 0]
        self._round = table[:, 2] - table[:, 0]
        answered = table[~lost]
        answered = answered[np.argsort(answered[:, 1], kind="stable")]
        if not len(answered):
            raise InvalidInput("every row of the latencies is a lost request: none could ever trade")
        self._arrived, self._response = answered[:, 1], answered[:, 2] - answered[:, 1]
        self.response_floor_ns = int(self._response.min()) + self._offset

    def entry(self, sent_ns: int) -> int | None:
        """Return the interpolated request latency; ``None`` next to a lost request."""
        low, high = _around(self._sent, sent_ns)
        if self._lost[low] or self._lost[high]:
            return None
        return _between(self._sent, self._entry, low, high, sent_ns) + self._offset

    def response(self, exch_ns: int) -> int:
        """Return the interpolated answer latency."""
        low, high = _around(self._arrived, exch_ns)
        return _between(self._arrived, self._response, low, high, exch_ns) + self._offset

    def rejection(self, sent_ns: int) -> int:
        """Return the interpolated round trip."""
        low, high = _around(self._sent, sent_ns)
        return _between(self._sent, self._round, low, high, sent_ns) + 2 * self._offset


class FeedLatency:
    """Latencies derived from the feed's own: what events took to arrive around a moment, times a factor, plus a base.

    The feed's latency is taken once every ``every`` seconds (the last event of each span). Factors are 0 or more; the
    offsets are seconds, 0 or more. A recording made where the strategy will run gives the right shape (bursts are slow
    on both ways), but not the exchange's own time to accept an order: that is what the offset is for.
    """

    def __init__(
        self,
        feed: FeedColumns,
        *,
        request_factor: float = 1.0,
        answer_factor: float = 1.0,
        request_offset: float = 0.0,
        answer_offset: float = 0.0,
        every: float = 1.0,
    ) -> None:
        for name, value in (("request_factor", request_factor), ("answer_factor", answer_factor)):
            if not (isfinite(value) and 0 <= value <= 1000):
                raise InvalidInput(f"{name} is {value!r}; it must be between 0 and 1000")
        if not (isfinite(every) and every > 0):
            raise InvalidInput(f"every is {every!r}; it must be a number of seconds above 0")
        if not len(feed):
            raise InvalidInput("the feed is empty: there is no latency to derive")
        spans = feed.local_ts // max(1, round(every * NANOSECONDS))
        last = np.flatnonzero(np.append(spans[1:] != spans[:-1], True))
        took = feed.local_ts[last] - feed.exch_ts[last]
        self._local, self._exch = feed.local_ts[last], feed.exch_ts[last]
        self._entry = _scaled(took, request_factor, _ns("request_offset", request_offset))
        self._response = _scaled(took, answer_factor, _ns("answer_offset", answer_offset))
        self.response_floor_ns = int(self._response.min())

    def entry(self, sent_ns: int) -> int | None:
        """Return the interpolated request latency."""
        low, high = _around(self._local, sent_ns)
        return _between(self._local, self._entry, low, high, sent_ns)

    def response(self, exch_ns: int) -> int:
        """Return the interpolated answer latency."""
        low, high = _around(self._exch, exch_ns)
        return _between(self._exch, self._response, low, high, exch_ns)

    def rejection(self, sent_ns: int) -> int:  # noqa: ARG002
        """Return 0; no request is ever lost."""
        return 0


def _ns(name: str, seconds: float) -> int:
    if not (isinstance(seconds, (int, float)) and isfinite(seconds) and 0 <= seconds <= _MAX_SECONDS):
        raise InvalidInput(
            f"{name} latency is {seconds!r}; it must be between 0 and {_MAX_SECONDS:.0f} seconds (10 ms is 0.010)"
        )
    return round(seconds * NANOSECONDS)


def _scaled(took: NDArray[np.int64], factor: float, offset: int) -> NDArray[np.int64]:
    scaled: NDArray[np.int64] = np.rint(took * factor).astype(np.int64)
    return scaled + offset


def _around(times: NDArray[np.int64], moment: int) -> tuple[int, int]:
    """Return the rows before (or at) and after a moment; twice the same at both ends."""
    after = int(np.searchsorted(times, moment, side="right"))
    return max(after - 1, 0), min(after, len(times) - 1)


def _between(times: NDArray[np.int64], values: NDArray[np.int64], low: int, high: int, moment: int) -> int:
    start, end = int(times[low]), int(times[high])
    first, last = int(values[low]), int(values[high])
    if end == start or moment <= start:
        return first
    return first + (last - first) * (moment - start) // (end - start)

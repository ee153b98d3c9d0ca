"""The offset between the clock that stamped events here and the exchange's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kit.errors import InvalidInput
from kit.storage.events import NANOSECONDS, MarketEvents


def correct_clock(events: MarketEvents, *, least_latency: float = 0.0) -> MarketEvents:
    """Return the events with one constant added to every local time, if some arrive before they happened.

    With ``m = min(local_ts - exch_ts)`` over the rows whose exchange time is known: where ``m < 0``, the constant is
    ``least_latency - m`` (seconds), so that the fastest event took ``least_latency``; else nothing changes. The true
    latency cannot be known from the stream: only its variation counts. Call it once per recording, not for each part of
    one: the parts' constants would differ. ``info["clock_offset"]`` tells the seconds added. (The rule is
    hftbacktest's.) Raises ``InvalidInput`` for a negative ``least_latency``.
    """
    if not 0 <= least_latency < float("inf"):
        raise InvalidInput(f"least_latency is {least_latency!r}; it must be a number of seconds from 0 up")
    least = fastest(events)
    if least is None or least >= 0:
        return events
    return shifted(events, round(least_latency * NANOSECONDS) - least)


def fastest(events: MarketEvents) -> int | None:
    """Return the smallest local less exchange time, ns; ``None`` where no row tells the exchange's."""
    known = events.exch_ts > 0
    return int(np.min(events.local_ts[known] - events.exch_ts[known])) if known.any() else None


def shifted(events: MarketEvents, offset: int) -> MarketEvents:
    """Return the events with ``offset`` (ns) added to every local time, and noted; themselves for 0."""
    if not offset:
        return events
    info = {**events.info, "clock_offset": f"{offset / NANOSECONDS:.9f}"}
    return replace(events, local_ts=events.local_ts + offset, info=info)

"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kit.errors import InvalidInput
from kit.storage.events import NANOSECONDS


def moment(ns: int) -> str:
    """Return a time in ns since the epoch as a reader knows it, in UTC to the microsecond."""
    return datetime.fromtimestamp(ns // NANOSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S") + f".{ns % NANOSECONDS:09d}"[:7]


def seconds_of(name: str, value: Any) -> float | None:
    """Return a time given as seconds since the epoch, a datetime or an ISO text (UTC unless it says otherwise)."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInput(f"{name} is {value!r}; write a time as 2024-08-08T23:55:00") from None
    if (
        isinstance(value, datetime) and type(value).__name__ != "NaTType"
    ):  # NaT, pandas' word for no time, is a datetime
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds < 1e11:
        raise InvalidInput(
            f"{name} is {value!r}; give seconds since the epoch, a datetime, or a text such as 2024-08-08T23:55:00"
        )
    return seconds

"""What core and guard say to each other: one JSON object a line.

To the guard, ``do`` is ``hello`` (whose orders, and the limits), ``warm`` (an exchange that will be needed),
``account`` (one to guard, with its keys, which go this way only), ``pairs``, ``forget``, ``beat``, ``cancel``,
``finish`` (cancel, then end), ``ping`` (answer), ``meet`` (answer when nothing is being cancelled any more), ``stop``
(end, cancel nothing). From the guard, ``say`` is ``hello``, ``covered``, ``prepared``, ``pong``, ``beat``, ``report``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson

from kit.core.naming import counted
from kit.types.ports import Credentials

Cause = Literal["stall", "end", "command", "recovery"]


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as a line."""
    return orjson.dumps(message) + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return a line as a message; raises ``ValueError``, without the line's content, for what is none."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise ValueError(f"a line of {len(line)} bytes is no message")  # noqa: TRY004  # a value, not a type, is wrong
    return message


@dataclass(frozen=True, slots=True)
class GuardedAccount:
    """An account to guard: the connector's name, ccxt's exchange id, the pairs whose orders are looked for.

    ``url`` leads the requests elsewhere, as an ``Endpoint`` does.
    """

    name: str
    exchange_id: str
    url: str | None
    credentials: Credentials
    pairs: tuple[str, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return the message that hands the account over, secrets included."""
        keys = asdict(self.credentials)
        return {
            "do": "account",
            "name": self.name,
            "exchange": self.exchange_id,
            "url": self.url,
            "pairs": list(self.pairs),
            "keys": keys,
        }

    @classmethod
    def from_wire(cls, message: Mapping[str, Any]) -> GuardedAccount:
        """Return the account that a message hands over."""
        keys = Credentials(**message["keys"])
        return cls(message["name"], message["exchange"], message["url"], keys, tuple(message["pairs"]))

    def same_connection(self, other: GuardedAccount) -> bool:
        """Tell whether both are one account at one address, whatever their pairs."""
        mine = (self.name, self.exchange_id, self.url, self.credentials)
        return mine == (other.name, other.exchange_id, other.url, other.credentials)


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What the guard did about one incident.

    ``cause``: "stall" (the core's loop stood still), "end" (its process ended, or was about to), "command", or
    "recovery" (the loop came back and orders sent from before the stall appeared). ``began`` and ``cleared`` are
    seconds since the epoch; ``cleared`` is when the exchange was first seen to hold no order of the core, ``None``
    while that is not verified. ``cancelled`` are client order ids by connector; ``failures`` tells by connector why it
    could not be verified. ``commands`` are the numbers of the commands that this answers.
    """

    cause: Cause
    reason: str
    began: float
    cleared: float | None
    cancelled: Mapping[str, tuple[str, ...]]
    failures: Mapping[str, str]
    commands: tuple[int, ...] = ()

    @property
    def verified(self) -> bool:
        """Tell whether the exchanges were seen to hold none of the core's orders."""
        return self.cleared is not None and not self.failures

    @property
    def count(self) -> int:
        """Return how many orders were cancelled."""
        return sum(len(order_ids) for order_ids in self.cancelled.values())

    def to_wire(self) -> dict[str, Any]:
        """Return the message that tells it."""
        return {"say": "report", **asdict(self)}

    @classmethod
    def from_wire(cls, message: Mapping[str, Any]) -> GuardReport:
        """Return the report that a message tells."""
        cancelled = {name: tuple(order_ids) for name, order_ids in message["cancelled"].items()}
        return cls(
            message["cause"],
            message["reason"],
            message["began"],
            message["cleared"],
            cancelled,
            dict(message["failures"]),
            tuple(message["commands"]),
        )

    def __str__(self) -> str:
        took = "not verified yet" if self.cleared is None else f"none left after {self.cleared - self.began:.2f} s"
        failures = "".join(f"; {name}: {why}" for name, why in self.failures.items())
        return f"{counted(self.count, 'order')} cancelled ({self.cause}: {self.reason}); {took}{failures}"

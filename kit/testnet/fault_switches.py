"""Switches faults on and off in a running exchange, and does at once those that are acts and not states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kit.testnet.faults import Fault
from kit.testnet.parts import Parts

Body: TypeAlias = dict[str, Any]
_BROKEN_FRAME = '{"e":"depthUpdate","s":'
_NOT_OPTIONS = ("kind", "on", "via", "count", "seconds")


class FaultSwitches:
    """Answers the requests under ``/testnet/faults``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._exchange = parts.exchange
        self._acts: dict[str, Callable[[Fault], int]] = {
            "cut_market": lambda _: parts.sockets.cut("market"),
            "cut_user": lambda _: parts.sockets.cut("user"),
            "terminate": lambda _: parts.users.terminate(),
            "undecodable": self._send_broken_frame,
            "skew": self._skew,
        }

    def list(self, _: Body) -> list[Body]:
        """Return the faults that can still strike."""
        return [fault.describe() for fault in self._exchange.faults.active()]

    def add(self, body: Body) -> Body:
        """Switch a fault on and return it; raises ``InvalidInput`` for what there is not."""
        fault = self._exchange.faults.add(
            str(body["kind"]),
            on=body.get("on"),
            via=body.get("via"),
            count=body.get("count"),
            seconds=body.get("seconds"),
            options={key: value for key, value in body.items() if key not in _NOT_OPTIONS},
        )
        act = self._acts.get(fault.kind)
        if act is not None:
            fault.hits += act(fault)
            if fault.until is None and fault.kind != "skew":
                fault.left = 0  # done at once
        return fault.describe()

    def clear(self, body: Body) -> Body:
        """Switch off the faults of a kind, or all, and set the clock right."""
        kind = body.get("kind")
        if kind in (None, "skew"):
            self._exchange.clock.skew(0.0)
        return {"cleared": self._exchange.faults.clear(kind)}

    def _send_broken_frame(self, fault: Fault) -> int:
        targets = self._parts.sockets.of_kind("user" if fault.on == "user" else "market")
        for socket in targets:
            socket.send(str(fault.options.get("payload", _BROKEN_FRAME)).encode())
        return len(targets)

    def _skew(self, fault: Fault) -> int:
        self._exchange.clock.skew(float(fault.options.get("offset", 60.0)), self._exchange.faults.seconds_left(fault))
        return 1

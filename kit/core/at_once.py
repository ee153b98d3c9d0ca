"""Coroutines that never wait, run without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from kit.errors import InvariantBroken

T = TypeVar("T")


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose every answer is there already, and return its result.

    The ports of a simulated venue are such: they answer at once, so a backtest needs no loop. Raises what the
    coroutine raises, and ``InvariantBroken`` for one that waits; that one is closed.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise InvariantBroken(f"{coroutine!r} waited, but runs without an event loop: it must answer at once")

"""What a core does about the one of its name that it takes the place of, as its configuration differs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from kit.core.affinity import LoopAffinity
from kit.errors import NotReady

logger = logging.getLogger(__name__)


class Stoppable(Protocol):
    """What is asked of a core that is replaced."""

    name: str
    affinity: LoopAffinity

    @property
    def configuration(self) -> Mapping[str, object]:
        """Return what it was asked to be."""
        ...

    def stop(self, timeout: float = ...) -> Coroutine[Any, Any, Any]:
        """Stop it; the report has ``clean``."""
        ...


def differences(core: Stoppable, asked: Mapping[str, object]) -> str:
    """Say in words where ``asked`` differs from what a core is; empty where it does not. ``None`` asks for nothing."""
    found = core.configuration
    return ", ".join(
        f"{name} {value!r} instead of {found[name]!r}"
        for name, value in asked.items()
        if value is not None and name in found and found[name] is not None and value != found[name]
    )


class Predecessor:
    """A core that is being stopped because another one takes its place.

    Its stop begins at once, on its own loop: strategy and clock end, its orders are cancelled and asked for until the
    exchange has told of each. The successor does nothing before that is done (``gone``), so at no moment do two cores
    of one name act.
    """

    def __init__(self, core: Stoppable, why: str) -> None:
        logger.warning("core %s is stopped and made anew: asked for with %s", core.name, why)
        self._core = core
        self._stopping: concurrent.futures.Future[Any] | None = None
        loop = core.affinity.loop
        if loop is not None and loop.is_running():
            self._stopping = asyncio.run_coroutine_threadsafe(core.stop(), loop)

    async def gone(self) -> None:
        """Wait until the other one is stopped; raises ``NotReady`` when orders of it may be left."""
        if self._stopping is None:
            return
        # The stop goes on when whoever waits for it is cancelled.
        stopping = self._stopping
        try:
            report = await asyncio.shield(asyncio.wrap_future(stopping))
        except asyncio.CancelledError:
            if not stopping.cancelled():
                raise
            raise NotReady(f"the stop of core {self._core.name} was broken off, orders may be open") from None
        self._stopping = None
        if not report.clean:
            raise NotReady(
                f"core {self._core.name} was stopped to make way and left remains, orders may still be open: {report}; "
                "look at the exchange, then run this again: a core of this name takes its open orders over"
            )

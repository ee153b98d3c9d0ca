"""A test exchange of the test's own, seen from outside every kernel, for tests that run no event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from kit.testnet import Testnet
from kit.testnet.client import VenueOrder

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, timeout: float = 15.0, pause: float = 0.05) -> T:
    """Wait until ``condition()`` is true and return what it returned; fail with ``what`` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout:g} s: {what}")
        time.sleep(pause)
    return value


class Exchange:
    """A test exchange with random traders. Its coroutines run on a thread, as Playwright occupies this one."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"exchange {name}", daemon=True)
        self._thread.start()
        self.testnet = self.wait(Testnet.start(name))

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float = 30.0) -> T:
        """Run a coroutine and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    @property
    def endpoint(self) -> str:
        """A cell that makes ``endpoint``, by which a kernel reaches this exchange."""
        keys = self.testnet.credentials
        return (
            "from types import SimpleNamespace\nimport kit\n"
            f"endpoint = SimpleNamespace(url={self.testnet.url!r}, "
            f"credentials=kit.Credentials({keys.api_key!r}, {keys.secret!r}))"
        )

    def open_orders(self, tag: str | None = None) -> list[VenueOrder]:
        """Return the open orders of all kernels, those whose ids begin with ``tag``."""
        return self.wait(self.testnet.open_orders(tag))

    def connections(self) -> list[dict[str, Any]]:
        """Return the open sockets."""
        return self.wait(self.testnet.connections())

    def stop(self) -> None:
        """End the exchange and the thread."""
        self.wait(self.testnet.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

"""A test exchange of the test's own, seen from outside every kernel, for tests that run no event loop."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kit.testnet import Testnet
from kit.testnet.client import VenueOrder

T = TypeVar("T")

# The keys are in a file, so that no notebook has them in its text.
ENDPOINT = """import json
from types import SimpleNamespace
import kit

with open("endpoint.json") as file:
    told = json.load(file)
endpoint = SimpleNamespace(url=told["url"], credentials=kit.Credentials(told["api_key"], told["secret"]))"""


def until(condition: Callable[[], T], what: str, timeout: float = 30.0, pause: float = 0.05) -> T:
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

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float = 60.0) -> T:
        """Run a coroutine and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def tell(self, folder: Path) -> None:
        """Leave a file in a notebook folder, from which the cell ``ENDPOINT`` makes ``endpoint``."""
        keys = self.testnet.credentials
        facts = {"url": self.testnet.url, "api_key": keys.api_key, "secret": keys.secret}
        (folder / "endpoint.json").write_text(json.dumps(facts))

    @property
    def mid_price(self) -> float:
        """The middle of the best prices of BTC/USDT, in quote."""
        address = f"{self.testnet.url}/api/v3/ticker/bookTicker?symbol=BTCUSDT"
        with urllib.request.urlopen(address, timeout=30) as answer:
            best = json.load(answer)
        return (float(best["bidPrice"]) + float(best["askPrice"])) / 2

    def freeze(self, frozen: bool = True) -> None:
        """Stop the random traders, or let them go on."""
        self.wait(self.testnet.freeze_flow() if frozen else self.testnet.resume_flow())

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

"""One exchange a module, and processes that may be killed."""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from kit.connectors.client_order_ids import tag_of
from kit.testnet import Testnet
from tests.support.guarded_core import GuardedCore
from tests.support.patient import be_patient
from tests.support.stack import fill_book

_numbers = count(1)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch.setattr)


@pytest.fixture(scope="module")
def testnet(request: pytest.FixtureRequest) -> Iterator[Testnet]:
    async def start() -> Testnet:
        testnet = await Testnet.start(f"guard {request.module.__name__}", flow=False)
        await fill_book(testnet)
        return testnet

    testnet = asyncio.run(start())
    yield testnet
    testnet.stop_now()


@pytest.fixture
def start(testnet: Testnet) -> Iterator[Callable[..., GuardedCore]]:
    """Start processes with a guarded core each, whose names begin with ``killed``."""
    cores: list[GuardedCore] = []

    def start(**options) -> GuardedCore:
        core = GuardedCore(testnet, options.pop("name", None) or f"killed {next(_numbers)}", **options)
        cores.append(core)
        return core

    yield start
    for core in cores:
        core.close()


@pytest.fixture
def none_left(testnet: Testnet) -> Callable:
    """Wait until the exchange holds no order of a core's name; returns how many seconds that took.

    How soon that is, benchmarks/guard.py measures: here nothing else but the guard would ever cancel them.
    """

    async def none_left(name: str, limit: float = 60.0) -> float:
        began = time.monotonic()
        while left := await testnet.open_orders(tag_of(name)):
            if time.monotonic() - began > limit:
                pytest.fail(f"{len(left)} orders of {name} are open after {limit:g} s")
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    return none_left

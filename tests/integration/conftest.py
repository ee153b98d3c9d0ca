"""One exchange a module; a fresh core with a live connector a test."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from kit.testnet import Testnet
from tests.support.patient import be_patient
from tests.support.stack import Stack, connected, fill_book


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch.setattr)


@pytest.fixture(scope="module")
def testnet(request: pytest.FixtureRequest) -> Iterator[Testnet]:
    """A testnet where nobody acts but the test, with a book of 40 levels a side."""

    async def start() -> Testnet:
        testnet = await Testnet.start(request.module.__name__.rpartition(".")[2], flow=False)
        await fill_book(testnet)
        return testnet

    testnet = asyncio.run(start())
    yield testnet
    testnet.stop_now()


@pytest.fixture
async def stack(testnet: Testnet) -> AsyncIterator[Stack]:
    async with connected(testnet) as stack:
        yield stack

"""What tests of the live switch have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.switch_bench import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.begin()
    yield bench
    await bench.end()

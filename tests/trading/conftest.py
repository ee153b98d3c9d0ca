"""What tests of the live switch have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

import kit
from tests.support.patient import be_patient
from tests.support.stack import LENIENT
from tests.support.switch_bench import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.begin()
    yield bench
    await bench.end()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., kit.TradingCore]:
    """Make cores in real time that no standstill of the machine disarms: the bench has the tests of that."""
    be_patient(monkeypatch.setattr)

    def make(name: str, **options) -> kit.TradingCore:
        core = kit.TradingCore(name, **options)
        core.disarm_rules = LENIENT
        return core

    return make

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.core.clock import ManualTime
from kit.core.tasks import TaskSupervisor
from kit.market.order_book_tracker import OrderBookTracker
from tests.support.fake_book_source import FakeBookSource


@pytest.fixture
def manual_time() -> ManualTime:
    return ManualTime(1_700_000_000.0)


@pytest.fixture
async def source() -> FakeBookSource:
    return FakeBookSource()


@pytest.fixture
async def supervisor() -> AsyncIterator[TaskSupervisor]:
    owner = TaskSupervisor("test")
    yield owner
    assert owner.error_count == 0, owner.errors
    assert await owner.close() == []


@pytest.fixture
async def tracker(source: FakeBookSource, supervisor: TaskSupervisor, manual_time: ManualTime) -> OrderBookTracker:
    return OrderBookTracker(source, supervisor, time_source=manual_time)

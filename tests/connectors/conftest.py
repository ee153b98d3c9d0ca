import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.connector import Connector
from kit.core.affinity import LoopAffinity
from kit.core.tasks import TaskSupervisor
from kit.types.events import Event, MarketEvent
from tests.support.fake_venue import PAIR, FakeVenue


@pytest.fixture
async def supervisor() -> AsyncIterator[TaskSupervisor]:
    supervisor = TaskSupervisor("test")
    yield supervisor
    assert await supervisor.close() == []


def make_connector(venue: FakeVenue, supervisor: TaskSupervisor, *, mode: str = "live", pairs=(PAIR,)) -> Connector:
    trades = mode != "data"
    return Connector(
        "fake",
        venue,
        pairs,
        supervisor=supervisor,
        ids=ClientOrderIds("test"),
        account=venue if trades else None,
        orders=venue if trades else None,
        mode=mode,
        affinity=LoopAffinity(asyncio.get_running_loop()),
    )


@pytest.fixture
async def connector(venue: FakeVenue, supervisor: TaskSupervisor) -> AsyncIterator[Connector]:
    connector = make_connector(venue, supervisor)
    connector.open()
    await connector.wait_ready(60)
    yield connector
    await connector.close()


@pytest.fixture
def heard(connector: Connector) -> list[tuple[str, Event]]:
    """Every order event of the connector, in order."""
    events: list[tuple[str, Event]] = []

    def listener(tag: MarketEvent) -> Callable[[Event], None]:
        return lambda event: events.append((tag.name, event))

    for tag in MarketEvent:
        if tag not in (MarketEvent.OrderUpdate, MarketEvent.TradeUpdate, MarketEvent.Balance):
            connector.pubsub.add_listener(tag, listener(tag))
    return events

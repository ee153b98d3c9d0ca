"""Fixtures of the tests of orders."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from kit.core.pubsub import PubSub
from kit.orders.client_order_tracker import ClientOrderTracker
from tests.support.orders import NOW, Desk, Recorder, build_desk


@pytest.fixture
def pubsub() -> PubSub:
    return PubSub()


@pytest.fixture
def tracker(pubsub: PubSub) -> ClientOrderTracker:
    ticks: Iterator[int] = itertools.count()
    return ClientOrderTracker(pubsub, time=lambda: NOW + next(ticks))


@pytest.fixture
def recorder(pubsub: PubSub, tracker: ClientOrderTracker) -> Recorder:
    return Recorder(pubsub)


@pytest.fixture
def desk() -> Desk:
    return build_desk()

"""What happens on the test exchange by itself: replayed recordings and random traders, each a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from kit.errors import InvalidInput
from kit.testnet.config import REPLAYED_SYMBOL, TestnetConfig
from kit.testnet.flow import SyntheticFlow
from kit.testnet.market import Market
from kit.testnet.market_publisher import Publishers
from kit.testnet.replay import Replay
from kit.testnet.server_clock import ActivityTime
from kit.testnet.venue import Venue

log = logging.getLogger(__name__)

RUNNING = "running"


class Activity(Protocol):
    """Something that trades on a market by itself."""

    on_publish: Callable[[Market], None] | None

    def prepare(self) -> None:
        """Fill the book."""
        ...

    async def run(self, *, time: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Act until the end, if there is one."""
        ...


class Activities:
    """Runs one activity a market, all on one clock that can be frozen.

    ``states`` tells of each symbol: running, ended (a replay that is over) or the failure that stopped it.
    """

    def __init__(self, venue: Venue, publishers: Publishers, config: TestnetConfig, time: ActivityTime) -> None:
        self.time = time
        self.states: dict[str, str] = {}
        self._publishers = publishers
        self._venue = venue
        self._by_symbol = _make(venue, config)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Fill the books and begin."""
        for symbol, activity in self._by_symbol.items():
            market = self._venue.markets[symbol]
            publisher = self._publishers.of(market)
            activity.prepare()
            if isinstance(activity, Replay):
                publisher.driven = True
                activity.on_publish = self._publishers.publish_depth
            market.take_changes()  # the first book is not news: clients get it as their snapshot
            self._tasks.append(asyncio.create_task(self._run(symbol, activity, market), name=f"activity {symbol}"))

    def freeze(self) -> None:
        """Stop the time of all activity; depth is published by the clock meanwhile, also of what a replay drives."""
        self.time.freeze()
        for symbol in self._by_symbol:
            self._publishers.of(self._venue.markets[symbol]).driven = False

    def thaw(self) -> None:
        """Let the time of all activity go on from where it stopped."""
        self.time.thaw()
        for symbol, activity in self._by_symbol.items():
            driven = isinstance(activity, Replay) and self.states.get(symbol) == RUNNING
            self._publishers.of(self._venue.markets[symbol]).driven = driven

    async def stop(self) -> None:
        """End all activity."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, settings: Mapping[str, Any], symbol: str | None = None) -> None:
        """Change settings of the random traders of a symbol, or of all; raises ``InvalidInput`` for unknown ones."""
        targets = [
            activity
            for name, activity in self._by_symbol.items()
            if symbol in (None, name) and not isinstance(activity, Replay)
        ]
        if not targets:
            raise InvalidInput(f"no random traders act on {symbol or 'this exchange'}")
        for activity in targets:
            configure = getattr(activity, "configure", None)
            if configure is None:
                raise InvalidInput("this market activity has no settings")
            configure(**settings)

    async def _run(self, symbol: str, activity: Activity, market: Market) -> None:
        async def sleep(seconds: float) -> None:
            self._publishers.settle(market)
            await self.time.sleep(seconds)

        self.states[symbol] = RUNNING
        try:
            await activity.run(time=self.time.time, sleep=sleep)
            self.states[symbol] = "ended"
        except Exception as error:  # a defect of the market's own traders must not take the exchange down
            self.states[symbol] = f"failed: {error!r}"
            log.exception("the activity on %s failed; the exchange goes on without it", symbol)
        finally:
            self._publishers.of(market).driven = False


def _make(venue: Venue, config: TestnetConfig) -> dict[str, Activity]:
    """Return the activity of each symbol that has one."""
    activities: dict[str, Activity] = {}
    for symbol in config.symbols:
        if config.replay and symbol == REPLAYED_SYMBOL:
            activities[symbol] = Replay(venue, symbol, config.replay, speed=config.speed)
        elif config.flow:
            activities[symbol] = SyntheticFlow(venue, symbol, seed=config.seed)
    return activities

"""A source of market messages whose every move the test makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from kit.errors import NetworkUnavailable
from kit.types.market import MarketMessage, OrderBookSnapshot

Answer = OrderBookSnapshot | BaseException


class FakeBookSource:
    """``books[pair]`` is what the next fetches answer, one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.books: dict[str, list[Answer]] = {}
        self.prices: dict[str, float] | BaseException = {}
        self.fetched: list[str] = []
        self.down: set[str] = set()
        self.price_requests: list[tuple[str, ...]] = []
        self.subscribed: list[tuple[str, ...]] = []
        self.unsubscribed: list[tuple[str, ...]] = []
        self.refuse: BaseException | None = None
        self.gate = asyncio.Event()  # closed: fetches wait
        self.gate.set()
        self.waiting = 0
        self.sink: Callable[[MarketMessage], None] = lambda _: None

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        self.sink = sink

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        self.subscribed.append(tuple(trading_pairs))
        if self.refuse is not None:
            raise self.refuse

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        self.unsubscribed.append(tuple(trading_pairs))
        if self.refuse is not None:
            raise self.refuse

    def is_streaming(self, trading_pair: str) -> bool:
        return trading_pair not in self.down

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        self.fetched.append(trading_pair)
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        answers = self.books.get(trading_pair) or [NetworkUnavailable("no book is planted")]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        self.price_requests.append(tuple(trading_pairs))
        await self.gate.wait()
        if isinstance(self.prices, BaseException):
            raise self.prices
        return self.prices

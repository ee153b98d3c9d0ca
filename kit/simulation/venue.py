"""A simulated exchange behind the account's and the order port: one account, many pairs, one matching engine each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from kit.simulation.timeline import Timeline
from kit.types.market import TradingRule
from kit.types.orders import AccountMessage, Balance, CancelRequest, OrderRequest, OrderUpdate, TradeUpdate


class SimulatedVenue:
    """One account on a simulated exchange, behind ``AccountPort`` and ``OrderPort``.

    ``rules`` by pair are enforced as live; ``balances`` by asset are what the account begins with. ``fees`` ``None``:
    those of the rules. ``fee_in`` "received" (as most spot exchanges: a buy pays in base, a sell in quote) or "quote".
    ``queue``, ``latency`` and ``exchange`` are models of ``kit.simulation``; ``None`` is their default. ``timeline``
    is shared by venues that belong to one backtest; ``None`` makes one of its own.

    ``load(pair, feed)`` gives a pair's whole replay, ``feed(pair, batch)`` appends live events; ``engines[pair]`` is
    its ``MatchingEngine``, whose view is the book as known at local time. Nothing needs an event loop: requests go out
    at the timeline's ``now``, and ``advance`` delivers what the account hears, through the account sink.
    """

    def __init__(
        self,
        rules: Mapping[str, TradingRule],
        balances: Mapping[str, Decimal],
        *,
        fees: Any = None,
        fee_in: str = "received",
        queue: Any = None,
        latency: Any = None,
        exchange: Any = None,
        timeline: Timeline | None = None,
        name: str = "simulated",
    ) -> None:
        self.name = name
        self.timeline = timeline or Timeline()
        self.engines: dict[str, Any] = {}

    def load(self, trading_pair: str, feed: Any) -> None:
        """Give a pair its replay (``FeedColumns``). Raises ``UnknownPair`` for a pair without a rule."""
        raise NotImplementedError

    def advance(self, local_ns: int) -> None:
        """Move local time on to ``local_ns`` (ns since the epoch); see ``Timeline.advance``."""
        self.timeline.advance(local_ns)

    # AccountPort and OrderPort

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        """Set who hears of the account."""
        raise NotImplementedError

    async def open_user_stream(self) -> None:
        """Say that the stream is up; answers at once."""
        raise NotImplementedError

    async def close_user_stream(self) -> None:
        """Stop telling."""
        raise NotImplementedError

    async def fetch_balances(self) -> Mapping[str, Balance]:
        """Return what the account has heard of its balances; answers at once, as all questions do."""
        raise NotImplementedError

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        """Return the open orders that the account has heard of."""
        raise NotImplementedError

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        """Return the fills that the account has heard of."""
        raise NotImplementedError

    def submit(self, request: OrderRequest) -> None:
        """Send an order."""
        raise NotImplementedError

    def cancel(self, request: CancelRequest) -> None:
        """Send a cancel."""
        raise NotImplementedError

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Return an order's state as last heard of."""
        raise NotImplementedError

"""A simulated exchange behind the account's and the order port: one account, many pairs, one matching engine each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, get_args

from kit.errors import InvalidInput, KitError, NetworkUnavailable, UnknownPair
from kit.simulation.account_words import SECOND, SimulatedOrder, refused
from kit.simulation.engine import MatchingEngine
from kit.simulation.exchange_models import ExchangeModel
from kit.simulation.feed import FeedColumns
from kit.simulation.fees import Fees
from kit.simulation.heard import Heard
from kit.simulation.latency import ConstantLatency, LatencyModel
from kit.simulation.ledger import Ledger, checked_balances
from kit.simulation.order_checks import MAX_OPEN_ORDERS, OrderChecks
from kit.simulation.pit import FeeIn, Pit
from kit.simulation.queue_models import QueueModel
from kit.simulation.timeline import Timeline
from kit.types.market import TradingRule
from kit.types.orders import (
    AccountMessage,
    Balance,
    BalanceUpdate,
    CancelFailed,
    CancelRequest,
    OrderRequest,
    OrderUpdate,
    TradeUpdate,
    UserStreamStatus,
)

DEFAULT_LATENCY: Final = ConstantLatency(0.05, 0.05)


class SimulatedVenue:
    """One account on a simulated exchange, behind ``AccountPort`` and ``OrderPort``.

    ``rules`` by pair are enforced as live, with at most ``max_open_orders`` a pair; ``balances`` by asset are what the
    account begins with. ``fees`` ``None``: those of the rules. ``fee_in`` "received" (as most spot exchanges: a buy
    pays in base, a sell in quote) or "quote". ``queue``, ``latency`` and ``exchange`` are models of
    ``kit.simulation``; ``None``: ``LogProb2()``, 50 ms each way, ``PartialFill()``. ``timeline`` is shared by venues
    that belong to one backtest; ``None`` makes one.

    ``load(pair, feed)`` gives a pair its whole replay, ``feed(pair, batch)`` appends live events; ``engines[pair]`` is
    its ``MatchingEngine``, whose view is the book as known at the timeline's local time. Nothing needs an event loop:
    requests leave at the timeline's ``now``, and ``advance`` delivers what the account hears through the sink, at its
    local time. Questions (``fetch_…``, ``query``) are answered at once, by what was delivered until then.

    An order is told as OPEN, then by its fills (``TradeUpdate`` with the fee, then the new state), then by its end;
    what changed of the balances follows each step. Raises ``InvalidInput`` for balances that are no amounts.
    """

    def __init__(
        self,
        rules: Mapping[str, TradingRule],
        balances: Mapping[str, object],
        *,
        fees: Fees | None = None,
        fee_in: FeeIn = "received",
        queue: QueueModel | None = None,
        latency: LatencyModel | None = None,
        exchange: ExchangeModel | None = None,
        timeline: Timeline | None = None,
        name: str = "simulated",
        max_open_orders: int = MAX_OPEN_ORDERS,
    ) -> None:
        if fee_in not in get_args(FeeIn):
            raise InvalidInput(f"fee_in is {fee_in!r}; it must be 'received' or 'quote'")
        self.name = name
        self.timeline = timeline or Timeline()
        self.latency = latency or DEFAULT_LATENCY
        self.rules = dict(rules)
        start = checked_balances(balances)
        self.ledger = Ledger(start)
        self.engines: dict[str, MatchingEngine] = {}
        self._heard = Heard(start)
        self._pits: dict[str, Pit] = {}
        self._fees, self._fee_in, self._queue, self._exchange = fees, fee_in, queue, exchange
        self._max_open = max_open_orders
        self._order_ids, self._trade_ids = itertools.count(1), itertools.count(1)
        self._last_arrival = self._last_answer = 0
        self._sink: Callable[[AccountMessage], None] = _nobody

    # -- markets and time

    def load(self, trading_pair: str, feed: FeedColumns) -> MatchingEngine:
        """Give a pair its replay and return its engine. Raises ``UnknownPair`` for a pair without a rule."""
        engine = self.open_pair(trading_pair)
        engine.load(feed)
        return engine

    def feed(self, trading_pair: str, batch: FeedColumns) -> None:
        """Append live events of a pair that is open."""
        self.engines[trading_pair].feed(batch)

    def open_pair(self, trading_pair: str) -> MatchingEngine:
        """Make a pair's engine, with no events yet, or return the one there is."""
        engine = self.engines.get(trading_pair)
        if engine is None:
            rule = self._rule(trading_pair)
            engine = self.engines[trading_pair] = MatchingEngine(
                tick_size=rule.min_price_increment,
                lot_size=rule.min_base_amount_increment,
                queue=self._queue,
                exchange=self._exchange,
            )
            self._open_pit(rule, engine)
        return engine

    def set_known(self, trading_pair: str, known: bool) -> None:
        """Say whether the book of a pair is known; while it is not, orders are refused and nothing fills."""
        self._pits[trading_pair].known = known

    def deposit(self, balances: Mapping[str, object]) -> None:
        """Add to the account's money, and tell of it at once. Raises ``InvalidInput`` for amounts that are none."""
        messages: list[AccountMessage] = []
        for asset, amount in checked_balances(balances).items():
            self.ledger.deposit(asset, amount)
            messages.append(BalanceUpdate(asset, self.ledger.balance(asset), self.timeline.now / SECOND))
        self._hear(messages)

    @property
    def busy(self) -> bool:
        """Tell whether orders rest, so that the market may fill them."""
        return any(pit.busy for pit in self._pits.values())

    def advance(self, local_ns: int) -> None:
        """Move local time on to ``local_ns`` (ns since the epoch); see ``Timeline.advance``."""
        self.timeline.advance(local_ns)

    # -- AccountPort

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        """Set the one function that hears of the account."""
        self._sink = sink

    async def open_user_stream(self) -> None:
        """Say that the stream is up."""
        self._sink(UserStreamStatus(True, self.timeline.now / SECOND))

    async def close_user_stream(self) -> None:
        """Say that the stream is closed."""
        self._sink(UserStreamStatus(False, self.timeline.now / SECOND, "closed"))

    async def fetch_balances(self) -> Mapping[str, Balance]:
        """Return every balance that is not zero."""
        return self._heard.balances()

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        """Return the open orders of the pair, oldest first."""
        return self._heard.open_orders(trading_pair)

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        """Return the fills on the pair from ``since`` (seconds) on, oldest first; the last 10,000 are kept."""
        return self._heard.fills(trading_pair, since)

    # -- OrderPort

    def submit(self, request: OrderRequest) -> None:
        """Send an order; it leaves at the timeline's ``now``. One that the latency model loses is told as FAILED."""
        self._send(partial(self._place, request), partial(self._lose_order, request))

    def cancel(self, request: CancelRequest) -> None:
        """Send a cancel, likewise."""
        self._send(partial(self._drop, request), partial(self._lose_cancel, request))

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Return the last word on an order; ``None`` when the exchange never took it."""
        return self._heard.order(request)

    # -- inside: the way there

    def _send(self, act: Callable[[int, int], None], lose: Callable[[int], None]) -> None:
        now = self.timeline.now
        entry = self.latency.entry(now)
        if entry is None:
            lose(now + self.latency.rejection(now))
            return
        # One connection: what is sent later does not arrive earlier.
        self._last_arrival = arrival = max(self._last_arrival, now + entry)
        self.timeline.send(arrival, act)

    def _place(self, request: OrderRequest, now_ns: int, look_ns: int) -> None:
        try:
            pit = self._pit(request.trading_pair)
            existing = pit.find(CancelRequest(request.client_order_id, request.trading_pair))
            if existing is not None:  # as a live port, which then asks for the order of that id
                self._tell(now_ns, [existing.update(now_ns)])
                return
            pit.place(request, next(self._order_ids), now_ns, look_ns)
        except KitError as error:
            reason = f"{self.name}: {error}"
            self._tell(now_ns, [refused(request, now_ns, reason, type(error).__name__)])

    def _drop(self, request: CancelRequest, now_ns: int, look_ns: int) -> None:
        pit = self._pits.get(request.trading_pair)
        order: SimulatedOrder | None = None if pit is None else pit.find(request)
        if pit is None or order is None:
            self._tell(now_ns, [_cancel_failed(request, now_ns, f"{self.name}: unknown order", missing=True)])
        else:
            pit.drop(order, now_ns, look_ns)

    def _lose_order(self, request: OrderRequest, local_ns: int) -> None:
        reason = f"{self.name}: the order was lost on its way"
        self._deliver_at(local_ns, [refused(request, local_ns, reason, NetworkUnavailable.__name__)])

    def _lose_cancel(self, request: CancelRequest, local_ns: int) -> None:
        self._deliver_at(local_ns, [_cancel_failed(request, local_ns, f"{self.name}: the cancel was lost on its way")])

    # -- inside: the way back

    def _tell(self, exch_ns: int, messages: list[AccountMessage]) -> None:
        self._last_answer = local_ns = max(self._last_answer, exch_ns + self.latency.response(exch_ns))
        self._deliver_at(local_ns, messages)

    def _deliver_at(self, local_ns: int, messages: list[AccountMessage]) -> None:
        self.timeline.answer(local_ns, partial(self._hear, messages))

    def _hear(self, messages: list[AccountMessage]) -> None:
        self._heard.take(messages)
        sink = self._sink
        for message in messages:
            sink(message)

    # -- inside: pairs

    def _rule(self, trading_pair: str) -> TradingRule:
        rule = self.rules.get(trading_pair)
        if rule is None:
            raise UnknownPair(f"{self.name} has no trading rule of {trading_pair!r}; it has {', '.join(self.rules)}")
        return rule

    def _pit(self, trading_pair: str) -> Pit:
        pit = self._pits.get(trading_pair)
        if pit is None:
            raise UnknownPair(f"{trading_pair!r} is not traded here; open are {', '.join(self._pits) or 'none'}")
        return pit

    def _open_pit(self, rule: TradingRule, engine: MatchingEngine) -> None:
        fees = self._fees
        rates = (rule.maker_fee, rule.taker_fee) if fees is None else (fees.maker, fees.taker)
        pit = self._pits[rule.trading_pair] = Pit(
            OrderChecks(rule, self._max_open),
            engine,
            self.ledger,
            self._tell,
            rates=rates,
            fee_in=self._fee_in,
            # Zero is always true; the more, the longer several pairs run without looking at each other.
            shortest_entry=(self.latency.entry(0) or 0) if isinstance(self.latency, ConstantLatency) else 0,
            shortest_answer=self.latency.response_floor_ns,
            trade_ids=self._trade_ids.__next__,
        )
        self.timeline.add(pit)


def _cancel_failed(request: CancelRequest, ns: int, reason: str, *, missing: bool = False) -> CancelFailed:
    return CancelFailed(request.client_order_id, request.trading_pair, ns / SECOND, reason, order_not_found=missing)


def _nobody(_: AccountMessage) -> None:
    pass

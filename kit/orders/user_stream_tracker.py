"""Keeps orders and balances in step with the private stream, and with the exchange itself after every gap."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import KitError
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.order_resolver import OrderResolver
from kit.orders.reconciliation import Reconciler, Reconciliation
from kit.types.events import BalanceUpdateEvent, MarketEvent
from kit.types.orders import (
    AccountMessage,
    BalanceUpdate,
    CancelFailed,
    OrderUpdate,
    TradeUpdate,
    UserStreamStatus,
)
from kit.types.ports import AccountPort, OrderPort

logger = logging.getLogger(__name__)

SHORT_POLL_INTERVAL = 5.0
LONG_POLL_INTERVAL = 120.0
SILENT_AFTER = 60.0
_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class UserStreamState:
    """The private stream's health: counts since the start, ages and times in seconds."""

    connected: bool
    ready: bool
    last_recv_time: float
    connections: int
    losses: int
    queued: int
    rejected: int
    unmatched: int
    reconciliations: int
    last_reconciliation: Reconciliation | None
    resolving: tuple[str, ...]
    last_error: str


class UserStreamTracker:
    """Route account messages to the tracker and the balances, and reconcile each time the stream has come up.

    Takes the account's sink at once. Until ``start`` messages are processed as they come, which is all that a simulated
    venue needs; from then on they pass through a queue on the core's loop, in order. ``ready`` holds from
    the first reconciliation after the stream came up until the stream is lost. ``adopt`` tells which open orders, that
    this process did not place, to track (default: none).
    """

    def __init__(
        self,
        account: AccountPort,
        orders: OrderPort,
        tracker: ClientOrderTracker,
        balances: Balances,
        supervisor: TaskSupervisor,
        *,
        trading_pairs: Sequence[str],
        time_source: TimeSource = SYSTEM_TIME,
        adopt: Callable[[OrderUpdate], bool] | None = None,
    ) -> None:
        self.trading_pairs: tuple[str, ...] = tuple(trading_pairs)
        self.last_recv_time = 0.0
        self._account = account
        self._tracker = tracker
        self._balances = balances
        self._supervisor = supervisor
        self._time_source = time_source
        self._resolver = OrderResolver(account, orders, tracker, supervisor, time_source=time_source)
        self._reconciler = Reconciler(account, tracker, balances, self._resolver, time_source=time_source, adopt=adopt)
        self._queue: asyncio.Queue[AccountMessage] = asyncio.Queue()
        self._router: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._connected = self._reconciled = self._stopping = False
        self._connections = self._losses = self._rejected = self._reconciliations = 0
        self._last_reconciliation: Reconciliation | None = None
        self._last_error = ""
        tracker.add_observer(balances.observe)
        account.attach_account_sink(self._receive)

    @property
    def ready(self) -> bool:
        """Tell whether the stream is up and nothing that it may have missed is left unasked."""
        return self._connected and self._reconciled

    @property
    def poll_interval(self) -> float:
        """Return the seconds after which ``poll`` is due: short while orders are out and the stream says nothing."""
        silent = self._time_source.time() - self.last_recv_time > SILENT_AFTER
        trusted = self.ready and not silent
        return LONG_POLL_INTERVAL if trusted or not self._tracker.active_orders else SHORT_POLL_INTERVAL

    def __repr__(self) -> str:
        return f"<UserStreamTracker: {self.status}>"

    @property
    def status(self) -> UserStreamState:
        """Return a snapshot of health and counters."""
        return UserStreamState(
            connected=self._connected,
            ready=self.ready,
            last_recv_time=self.last_recv_time,
            connections=self._connections,
            losses=self._losses,
            queued=self._queue.qsize(),
            rejected=self._rejected + self._tracker.rejected_messages,
            unmatched=self._tracker.unmatched_messages,
            reconciliations=self._reconciliations,
            last_reconciliation=self._last_reconciliation,
            resolving=self._resolver.busy,
            last_error=self._last_error or self._resolver.last_error,
        )

    async def start(self) -> None:
        """Open the private stream; returns once it is asked for. Idempotent.

        Raises ``AuthenticationFailed`` or ``MissingCredentials`` when the exchange refuses the key.
        """
        if self._router is not None:
            return
        # Made here, because they belong to the loop that they are first used on.
        self._queue, self._turn = asyncio.Queue(), asyncio.Lock()
        self._router = self._supervisor.spawn(self._route(self._queue), name="user stream router")
        self._resolver.open()
        try:
            await self._account.open_user_stream()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the stream and end the tasks; orders stay tracked, and what was queued is processed. Idempotent."""
        if self._router is None:
            return
        self._stopping = True
        try:
            await self._account.close_user_stream()
        finally:
            await self._resolver.close()
            for task in (self._catching_up, self._router):
                if task is not None:
                    await self._supervisor.cancel(task)
            while not self._queue.empty():
                self._process_guarded(self._queue.get_nowait())
            self._router = self._catching_up = None
            self._connected = self._reconciled = self._stopping = False

    def process(self, message: AccountMessage) -> None:
        """Take in one account message, synchronously."""
        if isinstance(message, OrderUpdate):
            self._tracker.process_order_update(message)
        elif isinstance(message, CancelFailed):
            self._tracker.process_cancel_failed(message)
        else:
            # Only these come from the stream alone; answers to our own requests do not show that it lives.
            self.last_recv_time = self._time_source.time()
            self._process_streamed(message)

    async def poll(self) -> Reconciliation | None:
        """Reconcile once, now; ``None`` when the exchange could not be asked, with the reason in ``status``."""
        try:
            return await self._reconcile()
        except KitError as error:
            logger.warning("Reconciliation failed: %s: %s", type(error).__name__, error)
            return None

    def add_trading_pair(self, trading_pair: str) -> None:
        """Reconcile one more pair from now on."""
        if trading_pair not in self.trading_pairs:
            self.trading_pairs = (*self.trading_pairs, trading_pair)

    def remove_trading_pair(self, trading_pair: str) -> None:
        """Leave a pair out of reconciliations, except while orders of ours are active on it."""
        self.trading_pairs = tuple(pair for pair in self.trading_pairs if pair != trading_pair)

    def _receive(self, message: AccountMessage) -> None:
        if self._router is None:
            self.process(message)
        else:
            self._queue.put_nowait(message)

    async def _route(self, queue: asyncio.Queue[AccountMessage]) -> None:
        while True:
            self._process_guarded(await queue.get())

    def _process_guarded(self, message: AccountMessage) -> None:
        try:
            self.process(message)
        except Exception:  # one bad message must not stop the account's stream
            self._rejected += 1
            logger.exception("An account message could not be processed: %s", message)

    def _process_streamed(self, message: TradeUpdate | BalanceUpdate | UserStreamStatus) -> None:
        if isinstance(message, TradeUpdate):
            self._tracker.process_trade_update(message)
        elif isinstance(message, BalanceUpdate):
            self._apply_balance(message)
        else:
            self._stream_changed(message)

    def _apply_balance(self, update: BalanceUpdate) -> None:
        if self._balances.apply(update):
            available = self._balances.available(update.asset)
            event = BalanceUpdateEvent(self._time_source.time(), update.asset, update.balance.total, available)
            self._tracker.announce(MarketEvent.Balance, event)

    def _stream_changed(self, status: UserStreamStatus) -> None:
        self._connected = status.connected
        # Without a loop the venue is a simulated one that calls us directly: nothing can have been missed.
        self._reconciled = status.connected and self._router is None
        if not status.connected:
            if not self._stopping:
                self._losses += 1
                logger.warning("The private stream was lost: %s", status.reason)
            return
        self._connections += 1
        if self._router is not None:
            if self._catching_up is not None:
                self._catching_up.cancel()
            self._catching_up = self._supervisor.spawn(self._catch_up(), name="reconcile user stream")

    async def _catch_up(self) -> None:
        """Reconcile until it works once; ends when the stream is lost again, the next connection starts a new one."""
        for delay in itertools.chain(_RETRY_DELAYS, itertools.repeat(_RETRY_DELAYS[-1])):
            if await self.poll() is not None:
                self._reconciled = self._connected
                return
            await self._time_source.sleep(delay)
            if not self._connected:
                return

    async def _reconcile(self) -> Reconciliation:
        async with self._turn:
            # Pairs that were removed stay in while orders of ours are on them.
            active = (order.trading_pair for order in self._tracker.active_orders.values())
            pairs = tuple(dict.fromkeys((*self.trading_pairs, *active)))
            try:
                result = await self._reconciler.run(pairs)
            except KitError as error:
                self._last_error = f"reconciliation: {type(error).__name__}: {error}"
                raise
            self._last_error = ""
            self._last_reconciliation = result
            self._reconciliations += 1
            return result

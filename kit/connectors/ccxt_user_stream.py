"""The private stream of an exchange: orders, fills and balances as they happen, and word of every interruption."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kit.connectors.ccxt_convert import balances, client_id_in, order_update, seconds, trade_update
from kit.connectors.ccxt_errors import Fault, scrub
from kit.connectors.ccxt_guard import close_clients
from kit.connectors.ccxt_profiles import ClientIdCodec, Profile
from kit.connectors.ccxt_pumps import PumpFailure, StreamPump
from kit.core.clock import TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import AuthenticationFailed, KitError, NotSupported
from kit.types.orders import AccountMessage, Balance, BalanceUpdate, UserStreamStatus

logger = logging.getLogger(__name__)

_CHANNELS = (("orders", "watchOrders"), ("fills", "watchMyTrades"), ("balances", "watchBalance"))
_FIRST_ATTEMPT = 15.0
_SETTLE = 0.5
_EVENT_TIMEOUT = 5.0
_ANSWER_TIMEOUT = 10.0


class UserStream:
    """Keeps the private streams of ``exchange``, a guarded ccxt instance with credentials, up.

    ``emit`` receives the account messages. ``judge`` tells what a foreign error means. ``refresh`` fetches all
    balances, for events that tell only a part of one. ``resync`` asks for the exchange's clock to be read anew.
    ``now`` is the exchange's time in seconds.
    """

    def __init__(
        self,
        exchange: Any,
        supervisor: TaskSupervisor,
        emit: Callable[[AccountMessage], None],
        now: Callable[[], float],
        time_source: TimeSource,
        *,
        profile: Profile,
        codec: ClientIdCodec,
        judge: Callable[[BaseException], Fault],
        resync: Callable[[], None],
        refresh: Callable[[], Awaitable[Mapping[str, Balance]]],
    ) -> None:
        self._exchange, self._supervisor = exchange, supervisor
        self._emit, self._now, self._time = emit, now, time_source
        self._profile, self._codec = profile, codec
        self._judge, self._resync, self._refresh = judge, resync, refresh
        self._pumps: list[StreamPump] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._first: asyncio.Future[None] | None = None
        self._balances: dict[str, Balance] = {}
        self._refreshing = False
        self._awaited: float | None = None
        self.connected = False
        self.reconnects = 0

    @property
    def is_open(self) -> bool:
        """Tell whether the stream is wanted."""
        return bool(self._tasks)

    async def open(self) -> None:
        """Start, and wait until the stream is up or was refused; a network failure is retried in the background.

        Raises ``AuthenticationFailed`` when the exchange refuses the credentials, ``NotSupported`` when it has no
        private stream in ccxt.
        """
        if self.is_open:
            return
        channels = [(name, has) for name, has in _CHANNELS if self._exchange.has.get(has)]
        if not any(has == "watchOrders" for _, has in channels):
            raise NotSupported(f"{self._exchange.id}: ccxt streams no orders from this exchange; trading needs that")
        self._first = asyncio.get_running_loop().create_future()
        self._pumps = [self._pump(name) for name, _ in channels]
        self._tasks = [self._supervisor.spawn(pump.run(), name=f"user {pump.state.name}") for pump in self._pumps]
        try:
            await asyncio.wait([self._first], timeout=_FIRST_ATTEMPT)
            if self._first.done() and (error := self._first.exception()) is not None:
                await self.close()
                raise error
        finally:
            if not self._first.done():
                self._first.cancel()
            self._first = None

    async def close(self) -> None:
        """Stop; idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await self._supervisor.cancel(task)
        self._pumps = []
        await close_clients(self._exchange)
        if self.connected:
            self.connected = False
            self._emit(UserStreamStatus(False, self._now(), "closed"))

    # -- what the taps bring

    def on_order(self, item: Mapping[str, Any]) -> None:
        """Take an order event."""
        self._seen("orders")
        self._emit(order_update(item, now=self._now(), decode_id=self._codec.decode))

    def on_fill(self, item: Mapping[str, Any]) -> None:
        """Take a fill."""
        self._seen("fills")
        client_id = client_id_in(item.get("info"), self._profile.fill_id_keys)
        ours = self._codec.decode(client_id) if client_id else None
        self._emit(trade_update(item, now=self._now(), client_id=ours))

    def on_balance(self, structure: Mapping[str, Any]) -> None:
        """Take ccxt's balances, which grow with every event, and tell those that changed."""
        self._seen("balances")
        partial = False
        # The exchange's own time, where it tells one: our estimate of its clock may be corrected between two events.
        timestamp = seconds(structure.get("timestamp"), self._now())
        for asset, balance in balances(structure).items():
            if balance is None:
                partial = True
            elif self._balances.get(asset) != balance:
                self._balances[asset] = balance
                self._emit(BalanceUpdate(asset, balance, timestamp))
        if partial and not self._refreshing and self.is_open:
            self._refreshing = True
            self._supervisor.spawn(self._refresh_balances(), name="refresh balances")

    def on_lost(self, client: Any, reason: str) -> None:
        """Take the end of a connection."""
        logger.warning("%s: the private connection was lost: %s", self._exchange.id, reason)
        for pump in self._pumps:
            pump.client_lost(client, reason)

    def on_rejected(self) -> None:
        """Wake the pumps: ccxt rejected something that one of them may not be awaiting."""
        for pump in self._pumps:
            pump.wake()

    # -- watchdog

    def expect_event(self, sent: float) -> None:
        """Note that the exchange accepted a request of ours, sent at monotonic ``sent``: the stream must tell of it."""
        # What came since an earlier request answers that one, not this.
        if self.connected and (self._awaited is None or self._heard_since(self._awaited)):
            self._awaited = sent

    def check_silence(self) -> None:
        """Open the stream anew when it did not tell what it should have told within 5 s, or does not come up in 10."""
        if not self.connected:
            self._awaited = None
            self._give_up_unanswered()
        elif self._awaited is None or self._heard_since(self._awaited):
            self._awaited = None
        elif self._time.monotonic() - self._awaited > _EVENT_TIMEOUT:
            self._awaited = None
            self._reset("the private stream told nothing about an accepted request")

    def _heard_since(self, moment: float) -> bool:
        heard = self._exchange.kit_taps.last_data
        return heard is not None and heard >= moment

    def _give_up_unanswered(self) -> None:
        """End connections over which the stream did not come up: ccxt waits for a lost answer for ever."""
        taps = self._exchange.kit_taps
        for client in list((self._exchange.clients or {}).values()):
            health = taps.health.get(id(client))
            if self.is_open and health is not None and self._time.monotonic() - health.opened > _ANSWER_TIMEOUT:
                client.on_error(taps.network_error("the private stream's subscription was not answered"))

    def status(self) -> dict[str, Any]:
        """Return the state of each channel by name."""
        return {f"user {pump.state.name}": pump.status() for pump in self._pumps}

    # -- inside

    def _pump(self, name: str) -> StreamPump:
        exchange = self._exchange
        watch = {"orders": exchange.watch_orders, "fills": exchange.watch_my_trades, "balances": exchange.watch_balance}
        return StreamPump(
            name, watch[name], self._time, on_up=self._on_up, on_down=self._told_down, on_failure=self._on_failure
        )

    def _seen(self, name: str) -> None:
        for pump in self._pumps:
            if pump.state.name == name:
                pump.item()

    def _on_up(self) -> None:
        if not all(pump.state.up for pump in self._pumps):
            return
        if self._profile.user_stream_acknowledged:
            self._tell_up()
        else:  # the subscription is on its way, and ccxt does not tell when it is in force
            self._time.call_later(_SETTLE, self._tell_up)

    def _tell_up(self) -> None:
        if self.connected or not self.is_open or not all(pump.state.up for pump in self._pumps):
            return
        self.connected = True
        self._emit(UserStreamStatus(True, self._now()))
        self._settle_first(None)

    def _told_down(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            self.reconnects += 1
            self._emit(UserStreamStatus(False, self._now(), reason))

    def _on_failure(self, failure: PumpFailure) -> None:
        exc = failure.error
        fault = self._judge(exc)
        logger.info("%s: private stream: %s", self._exchange.id, fault.error)
        if fault.resync_clock:
            self._resync()
        if isinstance(fault.error, AuthenticationFailed):
            if self._first is None:
                logger.error("%s: the private stream is refused: %s", self._exchange.id, fault.error)
            self._settle_first(fault.error)
        if fault.resync_clock or "NetworkError" not in {cls.__name__ for cls in type(exc).__mro__}:
            # ccxt may have left half of a failed subscription behind, on which the next attempt would wait for ever.
            self._reset(scrub(f"{type(exc).__name__}: {exc}"))

    def _reset(self, reason: str) -> None:
        for client in list(self._exchange.clients.values()):
            client.on_error(self._exchange.kit_taps.network_error(reason))

    def _settle_first(self, error: KitError | None) -> None:
        if self._first is None or self._first.done():
            return
        if error is None:
            self._first.set_result(None)
        else:
            self._first.set_exception(error)

    async def _refresh_balances(self) -> None:
        """Fetch all balances and tell those that differ from what the stream told."""
        try:
            for asset, balance in (await self._refresh()).items():
                if self._balances.get(asset) != balance:
                    self._balances[asset] = balance
                    self._emit(BalanceUpdate(asset, balance, self._now()))
        except KitError as error:
            logger.warning("%s: balances could not be refreshed: %s", self._exchange.id, error)
        finally:
            self._refreshing = False

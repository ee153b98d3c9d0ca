"""The private side of one exchange: the user stream, questions, orders; present only with credentials."""

from __future__ import annotations

from typing import Any

from kit.connectors.ccxt_cancels import CancelSender
from kit.connectors.ccxt_order_finder import OrderFinder
from kit.connectors.ccxt_orders import OrderDesk, OrderSender
from kit.connectors.ccxt_profiles import ClientIdCodec
from kit.connectors.ccxt_questions import AccountQuestions
from kit.connectors.ccxt_requests import Courier
from kit.connectors.ccxt_session import CcxtSession, Outlet
from kit.connectors.ccxt_taps import Taps
from kit.connectors.ccxt_user_stream import UserStream
from kit.core.tasks import TaskSupervisor
from kit.errors import MissingCredentials, OrderNotFound
from kit.types.orders import AccountMessage, CancelRequest, OrderRequest, OrderUpdate

_SEND_PATIENCE = 3.0


class _Parts:
    """What exists only with credentials."""

    def __init__(
        self, session: CcxtSession, supervisor: TaskSupervisor, outlet: Outlet[AccountMessage], codec: ClientIdCodec
    ) -> None:
        profile, trade, time_source = session.profile, session.trade, session.time_source
        self.sends = supervisor.child("sends")
        self.finder = OrderFinder(trade, profile, codec, session.translate, session.now)
        self.courier = Courier(session.limits.admit_order, time_source, session.judge, session.resync)
        self.stream = UserStream(
            trade,
            supervisor,
            outlet,
            session.now,
            time_source,
            profile=profile,
            codec=codec,
            judge=session.judge,
            resync=session.request_resync,
            refresh=AccountQuestions(session, codec).balances,
        )
        self.desk = OrderDesk(
            self.sends,
            outlet,
            self.courier,
            self.finder,
            now=session.now,
            ready=session.account,
            accepted=self.stream.expect_event,
        )
        self.orders = OrderSender(trade, self.desk, profile, codec)
        self.cancels = CancelSender(self.desk)
        taps: Taps = trade.kit_taps
        taps.on_order, taps.on_fill, taps.on_balance = (
            self.stream.on_order,
            self.stream.on_fill,
            self.stream.on_balance,
        )
        taps.on_lost, taps.on_rejected = self.stream.on_lost, self.stream.on_rejected


class CcxtAccount:
    """The account behind the credentials of ``session``; without any, everything raises ``MissingCredentials``."""

    def __init__(self, session: CcxtSession, supervisor: TaskSupervisor) -> None:
        codec = ClientIdCodec(session.profile)
        self._session = session
        self.outlet: Outlet[AccountMessage] = Outlet("account")
        self.questions = AccountQuestions(session, codec)
        self._parts = None if session.trade is None else _Parts(session, supervisor, self.outlet, codec)

    @property
    def connected(self) -> bool:
        """Tell whether the user stream is up."""
        return self._parts is not None and self._parts.stream.connected

    @property
    def reconnects(self) -> int:
        """Return how often the user stream was lost."""
        return 0 if self._parts is None else self._parts.stream.reconnects

    async def open_stream(self) -> None:
        """Start the user stream; see ``UserStream.open``."""
        await self._require().stream.open()

    async def close_stream(self) -> None:
        """Stop the user stream."""
        if self._parts is not None:
            await self._parts.stream.close()

    def submit(self, request: OrderRequest) -> None:
        """Send an order in the background."""
        self._require().orders.submit(request)

    def cancel(self, request: CancelRequest) -> None:
        """Send a cancel in the background."""
        self._require().cancels.cancel(request)

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Ask for an order's state."""
        await self._session.account()
        return await self._require().finder.query(request)

    async def may_trade(self, request: CancelRequest) -> bool | None:
        """Ask to cancel an order that was never there: only a key that may trade is told so.

        ``None``: it cannot be told so on this exchange. Raises ``AuthenticationFailed`` for a key that may not.
        """
        profile = self._session.profile
        if not profile.client_id_is_id and profile.cancel_id is None:
            return None
        await self._session.account()
        finder = self._require().finder
        try:
            await self._session.ask(lambda: finder.send_cancel(request))
        except OrderNotFound:
            return True
        return None

    def check_silence(self) -> None:
        """See ``UserStream.check_silence``."""
        if self._parts is not None:
            self._parts.stream.check_silence()

    def status(self) -> dict[str, Any]:
        """Return the state of each private channel by name."""
        return {} if self._parts is None else self._parts.stream.status()

    def counts(self) -> dict[str, int]:
        """Return how many orders and cancels ended how."""
        return {} if self._parts is None else self._parts.desk.counts | {"retried": self._parts.courier.retried}

    async def close(self) -> None:
        """Give the requests under way 3 s to end, then stop everything."""
        if self._parts is None:
            return
        await self._parts.desk.drain(_SEND_PATIENCE)
        await self._parts.sends.close()
        await self._parts.stream.close()

    def _require(self) -> _Parts:
        if self._parts is None:
            raise MissingCredentials(
                f"{self._session.exchange_id}: this needs an API key and secret; pass credentials=…"
            )
        return self._parts

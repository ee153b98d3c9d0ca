"""One account as the guard holds it: an exchange client of its own, and the few questions that it needs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.errors import KitError
from kit.guard.messages import GuardedAccount
from kit.types.orders import AccountMessage, CancelFailed, CancelRequest, OrderUpdate
from kit.types.ports import Credentials

if TYPE_CHECKING:
    from kit.connectors.ccxt_exchange import CcxtExchange

_CANCEL_PATIENCE: Final = 6.0
_CLOSE_PATIENCE: Final = 2.0
# Two threads at once would meet the stand-ins for ccxt's packages half made, and import all of ccxt for that.
_IMPORTING: Final = threading.Lock()
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class _Address:
    """An ``Endpoint`` made from what came through the pipe."""

    url: str
    credentials: Credentials


def import_exchange(exchange_id: str) -> None:
    """Import what an exchange needs: a second or more, to be spent in a thread. Raises ``UnknownExchange``."""
    with _IMPORTING:
        importlib.import_module("kit.connectors.ccxt_exchange").guarded_class(exchange_id)


class AccountClient:
    """Asks for an account's open orders and cancels them; ccxt is imported in a thread, when first needed.

    ``reached`` tells whether the exchange ever answered.
    """

    def __init__(self, account: GuardedAccount, supervisor: TaskSupervisor, time_source: TimeSource) -> None:
        self.account = account
        self.pairs: set[str] = set(account.pairs)
        self._supervisor = supervisor.child(account.name)
        self._time_source = time_source
        self._exchange: CcxtExchange | None = None
        self._making = asyncio.Lock()
        self._asked: dict[str, asyncio.Event] = {}
        self.closed = False
        self.reached = False

    @property
    def on_this_machine(self) -> bool:
        """Tell whether the exchange is a process here, whose orders are gone when it is."""
        return self.account.url is not None and urlsplit(self.account.url).hostname in _LOOPBACK

    async def _client(self) -> CcxtExchange:
        async with self._making:
            if self._exchange is None:
                await asyncio.to_thread(import_exchange, self.account.exchange_id)
                from kit.connectors.ccxt_exchange import CcxtExchange

                url, keys = self.account.url, self.account.credentials
                self._exchange = CcxtExchange(
                    self.account.exchange_id,
                    self._supervisor,
                    credentials=keys,
                    endpoint=None if url is None else _Address(url, keys),
                    time_source=self._time_source,
                    trading=True,
                )
                self._exchange.attach_account_sink(self._on_message)
            return self._exchange

    async def prepare(self) -> int:
        """Load the markets and ask for the open orders once; returns how many there are. Raises ``KitError``."""
        orders, failure = await self.open_orders()
        if failure is not None:
            raise failure
        return len(orders)

    async def open_orders(self) -> tuple[list[OrderUpdate], KitError | None]:
        """Ask for the open orders of every pair; returns those heard of and the first failure among the pairs."""
        client = await self._client()
        answers = await asyncio.gather(*(self._ask(client, pair) for pair in sorted(self.pairs)))
        orders = [order for found, _ in answers for order in found]
        return orders, next((failure for _, failure in answers if failure is not None), None)

    async def _ask(self, client: CcxtExchange, pair: str) -> tuple[Sequence[OrderUpdate], KitError | None]:
        try:
            orders = await client.fetch_open_orders(pair)
            self.reached = True
            return orders, None
        except KitError as error:
            return (), error

    async def cancel(self, orders: Sequence[OrderUpdate]) -> None:
        """Send the cancels and wait for their outcomes, whatever they are: only a query tells what is left."""
        client = await self._client()
        events = []
        for order in orders:
            order_id = order.client_order_id or ""
            events.append(self._asked.setdefault(order_id, asyncio.Event()))
            client.cancel(CancelRequest(order_id, order.trading_pair, order.exchange_order_id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CANCEL_PATIENCE):
                for event in events:
                    await event.wait()
        for order in orders:
            self._asked.pop(order.client_order_id or "", None)

    def _on_message(self, message: AccountMessage) -> None:
        if isinstance(message, OrderUpdate | CancelFailed):
            event = self._asked.get(message.client_order_id or "")
            if event is not None:
                event.set()

    async def close(self) -> None:
        """Close the connections, in at most 2 s."""
        self.closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_PATIENCE):
                if self._exchange is not None:
                    await self._exchange.close()
                await self._supervisor.close()

    def __repr__(self) -> str:
        return f"AccountClient({self.account.name!r}, {sorted(self.pairs)})"


def secrets_of(account: GuardedAccount) -> tuple[Any, ...]:
    """Return what must never be written anywhere."""
    keys = account.credentials
    return keys.api_key, keys.secret, keys.password

"""Brings our picture of the account in line with the exchange's after anything may have been missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kit.core.clock import TimeSource
from kit.errors import InvalidInput
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.fill_history import fetch_all_fills
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.order_resolver import OrderResolver
from kit.types.orders import OrderState, OrderType, OrderUpdate
from kit.types.ports import AccountPort

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ADOPTION_LOOKBACK = 86_400.0
_PLACEMENT_TIME = 10.0
_QUERIES_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one reconciliation found: orders by client id, fills and others' orders by count, times in seconds."""

    timestamp: float
    duration: float
    open_orders: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    new_fills: int = 0
    ignored_orders: int = 0


class Reconciler:
    """Compare the account with the tracker: open orders, fills since the last time, then balances.

    Fills are booked before states are taken in, so that listeners hear of them in the natural order. Each order that
    was tracked before the exchange was asked, and is not among its open ones, is asked about by id. Nothing that was
    tracked later is judged. Orders of others are ignored; ``adopt`` names, by their updates, untracked orders to track.
    """

    def __init__(
        self,
        account: AccountPort,
        tracker: ClientOrderTracker,
        balances: Balances,
        resolver: OrderResolver,
        *,
        time_source: TimeSource,
        adopt: Callable[[OrderUpdate], bool] | None = None,
    ) -> None:
        self._account = account
        self._tracker = tracker
        self._balances = balances
        self._resolver = resolver
        self._time_source = time_source
        self._adopt = adopt
        self._started = time_source.time()
        self._fills_seen_until: dict[str, float] = {}

    async def run(self, trading_pairs: Sequence[str]) -> Reconciliation:
        """Reconcile the pairs; safe to repeat, and safe while messages stream in.

        Raises a ``KitError`` when the exchange could not be asked; what was learnt until then is kept.
        """
        began, began_monotonic = self._time_source.time(), self._time_source.monotonic()
        before = [order for order in self._tracker.active_orders.values() if order.is_open]
        fills_before = self._count_fills()
        open_orders = await self._open_orders(trading_pairs)
        adopted, ignored = self._adopt_missing(open_orders)
        await self._book_fills(trading_pairs, began, adopted)
        for update in open_orders:
            self._tracker.process_order_update(update)
        await self._ask_about_the_rest(before, open_orders)
        await self._refresh_balances()
        return Reconciliation(
            timestamp=began,
            duration=self._time_source.monotonic() - began_monotonic,
            open_orders=tuple(update.client_order_id or "" for update in open_orders if self._is_known(update)),
            ended=tuple(order.client_order_id for order in before if order.is_done),
            adopted=tuple(order.client_order_id for order in adopted),
            in_doubt=tuple(self._tracker.orders_in_doubt),
            new_fills=self._count_fills() - fills_before,
            ignored_orders=ignored,
        )

    async def _open_orders(self, trading_pairs: Sequence[str]) -> list[OrderUpdate]:
        answers = await _all(self._account.fetch_open_orders(pair) for pair in trading_pairs)
        return [update for answer in answers for update in answer]

    def _adopt_missing(self, updates: Sequence[OrderUpdate]) -> tuple[list[InFlightOrder], int]:
        adopted, ignored = [], 0
        for update in updates:
            if self._is_known(update):
                continue
            order = _order_from(update) if self._adopt is not None and self._adopt(update) else None
            if order is None:
                ignored += 1
                continue
            logger.warning("Adopting open order %s that this process did not place", order.client_order_id)
            self._tracker.start_tracking_order(order)
            adopted.append(order)
        return adopted, ignored

    def _is_known(self, update: OrderUpdate) -> bool:
        if update.client_order_id is not None and self._tracker.fetch_order(update.client_order_id) is not None:
            return True
        order = self._tracker.fetch_order(exchange_order_id=update.exchange_order_id)
        return order is not None and order.trading_pair == update.trading_pair

    async def _book_fills(self, pairs: Sequence[str], began: float, adopted: Sequence[InFlightOrder]) -> None:
        starts = [self._fills_since(pair, adopted) for pair in pairs]
        answers = await _all(
            fetch_all_fills(self._account, pair, since) for pair, since in zip(pairs, starts, strict=True)
        )
        for pair, fills in zip(pairs, answers, strict=True):
            for fill in fills:
                self._tracker.process_trade_update(fill)
            # Not the last fill's time: an earlier one may have been missed. Since this began, nothing was.
            self._fills_seen_until[pair] = began

    def _fills_since(self, pair: str, adopted: Sequence[InFlightOrder]) -> float:
        since = self._fills_seen_until.get(pair)
        if since is None:
            mine = [order for order in self._tracker.active_orders.values() if order.trading_pair == pair]
            since = min([self._started, *(order.creation_timestamp for order in mine)])
        if any(order.trading_pair == pair for order in adopted):
            since = min(since, self._started - _ADOPTION_LOOKBACK)
        return since

    async def _ask_about_the_rest(self, before: Sequence[InFlightOrder], open_orders: Sequence[OrderUpdate]) -> None:
        shown = {update.client_order_id for update in open_orders}
        shown_exchange_ids = {(update.trading_pair, update.exchange_order_id) for update in open_orders}
        rest = [
            order.client_order_id
            for order in before
            if order.is_open
            and order.client_order_id not in shown
            and (order.trading_pair, order.exchange_order_id) not in shown_exchange_ids
            and not self._is_being_placed(order)
        ]
        for start in range(0, len(rest), _QUERIES_AT_ONCE):
            await _all(self._resolver.check(order_id) for order_id in rest[start : start + _QUERIES_AT_ONCE])
        self._resolver.attend_all()

    def _is_being_placed(self, order: InFlightOrder) -> bool:
        age = self._time_source.time() - order.creation_timestamp
        return order.progress is OrderState.PENDING_CREATE and age < _PLACEMENT_TIME

    async def _refresh_balances(self) -> None:
        asked_at = self._balances.begin_snapshot()
        self._balances.replace_all(await self._account.fetch_balances(), asked_at=asked_at)

    def _count_fills(self) -> int:
        return sum(len(order.order_fills) for order in self._tracker.all_fillable_orders.values())


def _order_from(update: OrderUpdate) -> InFlightOrder | None:
    """Build the order that an update describes; ``None`` when it does not tell enough."""
    if not update.client_order_id or update.trade_type is None or update.amount is None:
        return None
    try:
        return InFlightOrder(
            client_order_id=update.client_order_id,
            trading_pair=update.trading_pair,
            trade_type=update.trade_type,
            order_type=update.order_type or OrderType.LIMIT,
            amount=update.amount,
            price=update.price,
            creation_timestamp=update.timestamp,
            exchange_order_id=update.exchange_order_id,
        )
    except InvalidInput as error:
        logger.error("An open order cannot be adopted: %s", error)
        return None


async def _all(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Await all of them, then return the results or raise the first error; nothing is left running."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]

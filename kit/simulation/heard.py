"""What an account has heard of itself: the answers to its questions, without a look ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from kit.types.orders import (
    AccountMessage,
    Balance,
    BalanceUpdate,
    CancelRequest,
    OrderState,
    OrderUpdate,
    TradeUpdate,
)

ENDED_KEPT: Final = 10_000
"""Orders that ended, and fills, of which the last are remembered."""


class Heard:
    """The last word on each order and asset, and the fills, as delivered to the account by now."""

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self._open: dict[str, OrderUpdate] = {}
        self._ended: dict[str, OrderUpdate] = {}
        self._fills: deque[TradeUpdate] = deque(maxlen=ENDED_KEPT)
        self._balances = {asset: Balance(amount, amount) for asset, amount in balances.items()}

    def take(self, messages: Iterable[AccountMessage]) -> None:
        """Take what is being delivered."""
        for message in messages:
            if isinstance(message, OrderUpdate):
                self._order(message)
            elif isinstance(message, BalanceUpdate):
                self._balances[message.asset] = message.balance
            elif isinstance(message, TradeUpdate):
                self._fills.append(message)

    def balances(self) -> dict[str, Balance]:
        """Return every balance that is not zero."""
        return {asset: balance for asset, balance in self._balances.items() if balance.total}

    def open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        """Return the open orders of a pair, oldest first."""
        return [update for update in self._open.values() if update.trading_pair == trading_pair]

    def fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        """Return the fills of a pair from ``since`` (seconds) on, oldest first."""
        return [fill for fill in self._fills if fill.trading_pair == trading_pair and fill.timestamp >= since]

    def order(self, request: CancelRequest) -> OrderUpdate | None:
        """Return the last word on an order, by either id; ``None`` for one that never came to be, or too long ago."""
        found = self._open.get(request.client_order_id) or self._ended.get(request.client_order_id)
        if found is None and request.exchange_order_id is not None:
            known = (*self._open.values(), *self._ended.values())
            found = next((one for one in known if one.exchange_order_id == request.exchange_order_id), None)
        return found

    def _order(self, update: OrderUpdate) -> None:
        order_id = update.client_order_id or ""
        if not update.state.is_done:
            self._open[order_id] = update
            return
        self._open.pop(order_id, None)
        if update.state is OrderState.FAILED:
            return  # an exchange remembers no order that it refused
        self._ended[order_id] = update
        if len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

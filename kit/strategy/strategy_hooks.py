"""The methods that a strategy overrides."""

from __future__ import annotations

import inspect

from kit.errors import InvalidInput
from kit.strategy.market_api import Market
from kit.strategy.params import Params
from kit.types.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    MarketOrderFailureEvent,
    OrderCancelledEvent,
    OrderExpiredEvent,
    OrderFilledEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)


class StrategyHooks:
    """Hooks that do nothing until overridden; all are synchronous and called on the core's loop.

    ``did_*`` hooks hear events of the strategy's own orders only, after the list of active orders was brought up to
    date. An exception in a hook is logged, counted and shown; see ``kit.strategy.strategy_base``.
    """

    def on_start(self, timestamp: float) -> None:
        """Prepare: the clock starts; ``timestamp`` in seconds. Markets need not be ready yet."""

    def on_stop(self) -> None:
        """Clean up: the clock stops. Events and orders still work within this call."""

    def on_tick(self, timestamp: float) -> None:
        """Act: once a tick, when every market is ready; ``timestamp`` in seconds since the epoch."""

    def on_not_ready(self, timestamp: float) -> None:
        """Stand by: once a tick instead of ``on_tick`` while a market is not ready, such as on a stale book."""

    def on_params_changed(self, old: Params, new: Params) -> None:
        """Note changed parameters: at the begin of the tick that applies them."""

    def on_account_changed(self, market: Market) -> None:
        """Begin anew with another account: ``market`` has gone live from paper, or back; the old orders have ended.

        What was learnt from the old account's fills, such as what the inventory has cost, does not hold any more.
        """

    def did_create_buy_order(self, event: BuyOrderCreatedEvent) -> None:
        """Hear that the exchange has a buy order."""

    def did_create_sell_order(self, event: SellOrderCreatedEvent) -> None:
        """Hear that the exchange has a sell order."""

    def did_fill_order(self, event: OrderFilledEvent) -> None:
        """Hear of a fill, whole or partial."""

    def did_cancel_order(self, event: OrderCancelledEvent) -> None:
        """Hear that an order is cancelled."""

    def did_fail_order(self, event: MarketOrderFailureEvent) -> None:
        """Hear that an order was refused."""

    def did_expire_order(self, event: OrderExpiredEvent) -> None:
        """Hear that the exchange ended an order by its time in force."""

    def did_complete_buy_order(self, event: BuyOrderCompletedEvent) -> None:
        """Hear that a buy order is filled whole."""

    def did_complete_sell_order(self, event: SellOrderCompletedEvent) -> None:
        """Hear that a sell order is filled whole."""


def check_hooks(kind: type) -> None:
    """Refuse the definition of a strategy class whose hooks could not be called.

    Raises ``InvalidInput`` for a hook that is a coroutine function or takes other arguments than it is given.
    """
    for name, model in vars(StrategyHooks).items():
        hook = vars(kind).get(name)
        if not inspect.isfunction(model) or not inspect.isfunction(hook):
            continue
        given = tuple(inspect.signature(model).parameters)
        written = f"def {name}({', '.join(given)})"
        if inspect.iscoroutinefunction(hook):
            raise InvalidInput(
                f"{kind.__name__}.{name} is a coroutine function, which nobody would await: write '{written}:'"
            )
        try:
            inspect.signature(hook).bind(*given)
        except TypeError as error:
            raise InvalidInput(f"{kind.__name__}.{name} cannot be called ({error}): write '{written}:'") from None

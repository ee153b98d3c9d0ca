"""Places hanging orders anew whose cancel at their maximum age is confirmed."""

from __future__ import annotations

from collections.abc import Callable

from kit.errors import FixInput, InvalidInput, KitError, NotSupported, PostOnlyRejected, TryAgain
from kit.strategy.hanging_orders import HangingOrders
from kit.strategy.own_orders import OwnOrder


def place_renewals(
    hanging: HangingOrders, place: Callable[[OwnOrder], OwnOrder], tell_once: Callable[[str, str], None]
) -> int:
    """Let the renewed orders hang; return how many were placed.

    ``place`` sends what is left of an order and returns the new one. What the market refuses now is tried again at the
    next tick, what it can never take is given up; ``tell_once(topic, problem)`` hears of both, of no problem too.
    """
    placed = 0
    waiting = hanging.take_renewals()
    while waiting:
        order = waiting.pop(0)
        topic = f"renewal of {order.client_order_id}"
        try:
            renewed = place(order)
        except (FixInput, TryAgain) as error:
            # Nothing happened on the exchange, so to ask again cannot place it twice.
            if may_pass(error):
                hanging.renew((order,))
                tell_once(topic, f"{topic} at {order.price} was refused and is tried again: {error}")
            else:
                tell_once(topic, "")
                tell_once(f"end of {topic}", hanging.give_up(order, error))
            continue
        except BaseException:
            hanging.renew(waiting)
            raise
        tell_once(topic, "")
        hanging.add(renewed)
        placed += 1
    return placed


def may_pass(error: KitError) -> bool:
    """Tell whether what a market refused before it was sent may be taken later: other prices, balances, readiness."""
    return not isinstance(error, InvalidInput | NotSupported) or isinstance(error, PostOnlyRejected)

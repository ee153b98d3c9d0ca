"""Where an own order stands in the queue of its level: the models' formulas, compiled.

``front`` is the amount ahead of the order. A depth row tells that the level went from ``before`` to ``after``; what
trades took since the last depth row (``traded``) is already off the front. The rest of a decrease was cancelled, and a
model says how much of that was ahead. All as hftbacktest 2.4 defines it, where 0/0 makes the front ``after``.

The front of an order behind all known levels is infinite until its level is told, and then all of that is ahead.
"""

from __future__ import annotations

from math import floor, inf, isinf, log
from typing import Any

from kit.simulation.compile_cache import part
from kit.simulation.kernel_book import amount, beyond_known
from kit.simulation.kernel_layout import (
    LOG,
    LOG2,
    LOT,
    O_FRONT,
    O_KEY,
    O_SIDE,
    O_TRADED,
    OWN_DEPTH,
    OWN_PROBABILITY,
    P_MODEL,
    POWER,
    POWER2,
    QUEUE,
    QUEUE_N,
    RISK_AVERSE,
)
from kit.simulation.kernel_memory import call_model, read_float, read_int, write_float


@part
def smaller(value: float, limit: float) -> float:
    """Return the smaller of two numbers, ``limit`` if ``value`` is NaN (``min`` would keep the NaN)."""
    if value <= limit:
        return value
    return limit


@part
def behind_probability(model: int, n: float, front: float, back: float) -> Any:
    """Return the probability that a cancelled order stood behind us."""
    if model == POWER:
        return back**n / (back**n + front**n)
    if model == LOG:
        return log(1.0 + back) / (log(1.0 + back) + log(1.0 + front))
    if model == POWER2:
        return back**n / (back + front) ** n
    if model == LOG2:
        return log(1.0 + back) / log(1.0 + back + front)
    return 1.0 - (front / (front + back)) ** n


@part
def front_after_depth(state: int, front: float, traded: float, before: float, after: float) -> float:
    """Return the amount ahead of us after a depth row."""
    model = read_int(state, QUEUE)
    if model == RISK_AVERSE:
        return smaller(front, after)
    if model == OWN_DEPTH:
        return smaller(call_model(read_int(state, P_MODEL), front, traded, before, after), after)
    change = before - after - traded
    if change < 0.0:
        return smaller(front, after)
    back = before - front
    if model == OWN_PROBABILITY:
        probability = call_model(read_int(state, P_MODEL), front, back, before, after)
    else:
        probability = behind_probability(model, read_float(state, QUEUE_N), front, back)
    if isinf(probability):
        probability = 1.0
    spare = back - probability * change
    return smaller(front - (1.0 - probability) * change + smaller(spare, 0.0), after)


@part
def queue_depth(state: int, order: int, before: float, after: float) -> None:
    """Move one order in its queue after a depth row at its level."""
    front, traded = read_float(order, O_FRONT), read_float(order, O_TRADED)
    if after == 0.0 and beyond_known(state, read_int(order, O_SIDE), read_int(order, O_KEY)):
        front = inf  # removed, or only out of the depth that is told
    else:
        front = after if front == inf else front_after_depth(state, front, traded, before, after)
    write_float(order, O_FRONT, front)
    write_float(order, O_TRADED, 0.0)


@part
def queue_trade(state: int, order: int, qty: float, reaching: float) -> int:
    """Move one order after a trade of ``qty`` at its level, of which ``reaching`` got past our own earlier orders.

    Returns the lots that reached this order: the trade must exceed the queue by half a lot.
    """
    front = read_float(order, O_FRONT)
    if front == inf:  # traded there: what is told of the level is all there is
        front = amount(state, read_int(order, O_SIDE), read_int(order, O_KEY))
    front -= reaching
    write_float(order, O_TRADED, read_float(order, O_TRADED) + qty)
    lots = -front / read_float(state, LOT)
    if lots >= 0.5:
        write_float(order, O_FRONT, 0.0)
        return floor(lots + 0.5)
    write_float(order, O_FRONT, front)
    return 0

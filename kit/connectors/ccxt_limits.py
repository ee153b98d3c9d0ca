"""The limiter in front of ccxt: our own count of what is used, corrected by what the exchange tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kit.connectors.ccxt_errors import ResponseFacts
from kit.connectors.ccxt_profiles import ORDERS, WEIGHT, LimitPlan
from kit.connectors.ccxt_requests import LONGEST_WAIT, PRIORITY
from kit.core.clock import TimeSource
from kit.core.throttler import AsyncThrottler, Priority
from kit.errors import RateLimited

# Other programs may use the same address, and the exchange's window need not begin when ours does.
_SHARE = 0.9
_PAUSES = {418: 30.0, 429: 2.0}
_TOO_MANY_ORDERS = "-1015"


class RequestLimits:
    """Ranks and counts every request of one exchange, whichever of ccxt's methods makes it.

    ``rate_limit_ms`` and ``window_ms`` are ccxt's settings, used where ``plan`` states no budget.
    """

    def __init__(self, plan: LimitPlan, rate_limit_ms: float, window_ms: float, time_source: TimeSource) -> None:
        self.plan = plan
        self.throttler = AsyncThrottler(plan.limits(rate_limit_ms, window_ms), share=_SHARE, time_source=time_source)
        self.refusals = 0

    async def throttle(self, cost: float | None) -> None:
        """Wait until a request of ccxt's ``cost`` may be sent, by the rank of the present task.

        Raises ``RateLimited`` for a new order that would have to wait more than 5 s.
        """
        capacity = self.throttler.usage[WEIGHT][1]
        await self._pass(WEIGHT, min(self.plan.weigh(cost), capacity))

    async def admit_order(self) -> None:
        """Wait until a new order may be sent, where the exchange counts orders; raises as ``throttle`` does."""
        if self.plan.orders is not None:
            await self._pass(ORDERS, 1)

    def on_response(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer's headers say is used."""
        if not self.plan.headers:
            return
        for name, value in headers.items():
            limit_id = self.plan.headers.get(name.lower())
            if limit_id is not None and value.isdigit():
                self.throttler.set_used(limit_id, int(value))

    def on_refusal(self, facts: ResponseFacts) -> None:
        """Pause for as long as an exchange that complains of too many requests says."""
        if facts.status not in _PAUSES:
            return
        self.refusals += 1
        seconds = _PAUSES[facts.status] if facts.retry_after is None else facts.retry_after
        only_orders = facts.code == _TOO_MANY_ORDERS and self.plan.orders is not None
        self.throttler.pause(seconds, limit_id=ORDERS if only_orders else None)

    async def _pass(self, limit_id: str, weight: int) -> None:
        priority = PRIORITY.get()
        if self.throttler.try_acquire(limit_id, priority=priority, weight=weight):
            return
        patience = LONGEST_WAIT if priority is Priority.CREATE else None
        try:
            async with asyncio.timeout(patience):
                await self.throttler.acquire(limit_id, priority=priority, weight=weight)
        except TimeoutError:
            raise RateLimited(
                f"the limit of {limit_id} is used up: a new order waited {patience:g} s in vain; quote less often"
            ) from None

    def status(self) -> dict[str, Any]:
        """Return used and allowed units by limit, how many requests wait, and how often the exchange refused."""
        return {"usage": self.throttler.usage, "waiting": self.throttler.waiting, "refusals": self.refusals}

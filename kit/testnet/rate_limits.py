"""The exchange's rate limits: request weight for an address, new orders for an account.

Both count in fixed intervals that start on whole multiples of their length, as the exchange documents: the count of
00:01:00 is forgotten at 00:02:00. Going on after 429 leads to a ban (418) whose length doubles each time, from
two minutes to three days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from kit.testnet.binance_errors import ApiError

_MINUTE_MS = 60_000
_TEN_SECONDS_MS = 10_000
_DAY_MS = 86_400_000
_LONGEST_BAN_S = 3 * 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is allowed: weight in a minute, new unfilled orders in ten seconds and in a day.

    After ``ban_after`` refusals in one interval the address is banned, at first for ``ban_seconds``.
    """

    weight: int = 6000
    orders_10s: int = 100
    orders_day: int = 200_000
    ban_after: int = 10
    ban_seconds: int = 120


class IntervalCounter:
    """Counts within fixed intervals of ``length_ms``; starts again from zero in each."""

    __slots__ = ("_count", "_interval", "length_ms")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self._interval = 0
        self._count = 0

    def count(self, now_ms: int) -> int:
        """Return the count of the interval that ``now_ms`` lies in."""
        return self._count if now_ms // self.length_ms == self._interval else 0

    def add(self, amount: int, now_ms: int) -> int:
        """Add to the current interval (never below zero) and return its count."""
        interval = now_ms // self.length_ms
        if interval != self._interval:
            self._interval, self._count = interval, 0
        self._count = max(0, self._count + amount)
        return self._count

    def left_ms(self, now_ms: int) -> int:
        """Return how many milliseconds are left of the current interval."""
        return self.length_ms - now_ms % self.length_ms


class _Address:
    """What one client address has used and how it behaved."""

    def __init__(self) -> None:
        self.used = IntervalCounter(_MINUTE_MS)
        self.refused = IntervalCounter(_MINUTE_MS)
        self.banned_until_ms = 0
        self.bans = 0


class _Orders:
    """New orders of one account that have not traded yet."""

    def __init__(self) -> None:
        self.ten_seconds = IntervalCounter(_TEN_SECONDS_MS)
        self.day = IntervalCounter(_DAY_MS)


class RateLimiter:
    """Counts weight by address and new orders by account, and refuses with 429 and 418.

    ``limits`` may be replaced at any time and holds at once. Addresses and accounts are any hashable values.
    """

    def __init__(self, limits: Limits, now_ms: Callable[[], int]) -> None:
        self.limits = limits
        self._now_ms = now_ms
        self._addresses: defaultdict[Hashable, _Address] = defaultdict(_Address)
        self._orders: defaultdict[Hashable, _Orders] = defaultdict(_Orders)
        self.refusals = 0

    def charge(self, address: Hashable, weight: int) -> int:
        """Charge a request's weight and return the weight used in this minute.

        Raises ``ApiError`` -1003: 418 while banned, 429 when the minute's weight is used up.
        """
        now, state = self._now_ms(), self._addresses[address]
        if now < state.banned_until_ms:
            self.refusals += 1
            raise _banned(state.banned_until_ms)
        used = state.used.add(weight, now)
        if used <= self.limits.weight:
            return used
        self.refusals += 1
        if state.refused.add(1, now) > self.limits.ban_after:
            seconds = min(self.limits.ban_seconds * 2**state.bans, _LONGEST_BAN_S)
            state.bans += 1
            state.banned_until_ms = now + seconds * 1000
            raise _banned(state.banned_until_ms)
        raise _over_weight(self.limits.weight, state.used.left_ms(now), now)

    def used_weight(self, address: Hashable) -> int:
        """Return the weight that an address has used in this minute."""
        return self._addresses[address].used.count(self._now_ms())

    def check_orders(self, account: Hashable) -> None:
        """Raise ``ApiError`` -1015 (429) when the account may not place another order now."""
        now, orders, limits = self._now_ms(), self._orders[account], self.limits
        if orders.ten_seconds.count(now) >= limits.orders_10s:
            self.refusals += 1
            raise _over_orders(limits.orders_10s, "10 SECOND", orders.ten_seconds.left_ms(now), now)
        if orders.day.count(now) >= limits.orders_day:
            self.refusals += 1
            raise _over_orders(limits.orders_day, "1 DAY", orders.day.left_ms(now), now)

    def count_order(self, account: Hashable) -> None:
        """Count one new order of the account."""
        self._add_orders(account, 1)

    def credit_fill(self, account: Hashable, *, maker: bool) -> None:
        """Take an order off the count when it trades for the first time: one for a taker, five for a maker."""
        self._add_orders(account, -5 if maker else -1)

    def order_counts(self, account: Hashable) -> tuple[int, int]:
        """Return the account's unfilled new orders in these ten seconds and on this day."""
        now, orders = self._now_ms(), self._orders[account]
        return orders.ten_seconds.count(now), orders.day.count(now)

    def _add_orders(self, account: Hashable, amount: int) -> None:
        now, orders = self._now_ms(), self._orders[account]
        orders.ten_seconds.add(amount, now)
        orders.day.add(amount, now)

    def lift_bans(self) -> None:
        """Forget bans and used weight of every address."""
        self._addresses.clear()

    def weight_status(self, address: Hashable) -> dict[str, Any]:
        """Return the entry of ``rateLimits`` about request weight."""
        return _entry("REQUEST_WEIGHT", "MINUTE", 1, self.limits.weight, self.used_weight(address))

    def order_status(self, account: Hashable) -> list[dict[str, Any]]:
        """Return the entries of ``rateLimits`` about new orders."""
        ten_seconds, day = self.order_counts(account)
        return [
            _entry("ORDERS", "SECOND", 10, self.limits.orders_10s, ten_seconds),
            _entry("ORDERS", "DAY", 1, self.limits.orders_day, day),
        ]

    def rules(self) -> list[dict[str, Any]]:
        """Return ``rateLimits`` as the exchange information lists them: without counts."""
        return [
            _entry("REQUEST_WEIGHT", "MINUTE", 1, self.limits.weight, None),
            _entry("ORDERS", "SECOND", 10, self.limits.orders_10s, None),
            _entry("ORDERS", "DAY", 1, self.limits.orders_day, None),
        ]


def _entry(kind: str, interval: str, number: int, limit: int, count: int | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
    if count is not None:
        entry["count"] = count
    return entry


def _over_weight(limit: int, left_ms: int, now_ms: int) -> ApiError:
    return ApiError(
        -1003,
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
        status=429,
        retry_at_ms=now_ms + left_ms,
    )


def _banned(until_ms: int) -> ApiError:
    return ApiError(
        -1003,
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        status=418,
        retry_at_ms=until_ms,
    )


def _over_orders(limit: int, interval: str, left_ms: int, now_ms: int) -> ApiError:
    return ApiError(
        -1015,
        f"Too many new orders; current limit is {limit} orders per {interval}.",
        status=429,
        retry_at_ms=now_ms + left_ms,
    )

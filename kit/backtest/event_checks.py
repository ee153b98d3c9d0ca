"""What a replay relies on in its data, checked before it runs."""

from __future__ import annotations

from typing import Final

import numpy as np

from kit.backtest.moments import moment
from kit.errors import InvalidInput
from kit.storage.events import EventFlag, EventKind, MarketEvents
from kit.types.market import TradingRule

CHUNK: Final = 1 << 20
"""Rows that are checked at a time, which keeps the memory that it takes small."""

MOST_WRONG: Final = 0.1
"""Share of the rows that may not fit a rule's steps: an exchange may have changed them on the way."""

_KNOWN_KINDS: Final = np.zeros(256, dtype=bool)
_KNOWN_KINDS[[int(kind) for kind in EventKind]] = True
_BOOK: Final = tuple(int(kind) for kind in (EventKind.DEPTH, EventKind.SNAPSHOT, EventKind.ADD, EventKind.BBO))


def check_events(events: MarketEvents) -> None:
    """Check what a replay relies on; raises ``InvalidInput`` naming the market, the first bad row and its time."""
    place = f"{events.trading_pair} on {events.exchange}"
    if not len(events):
        raise InvalidInput(f"there are no events of {place}: the file, or the time span, is empty")
    book = False
    last = int(events.local_ts[0])
    for first in range(0, len(events), CHUNK):
        part = events.rows(first, min(first + CHUNK, len(events)))
        last = _check_times(part, place, first, last)
        _check_values(part, place, first)
        book = book or bool(np.isin(part.kind, _BOOK).any())
    if not book:
        names = [kind.name.lower() for kind in EventKind if kind in events.kind]
        raise InvalidInput(
            f"the data of {place} hold no order book (only {' and '.join(names)} rows): quotes need one. Record the "
            "book with kit record, or backtest on candles (kit.candles_from_events(events, '1s') makes some of trades)"
        )


def check_steps(events: MarketEvents, rule: TradingRule) -> None:
    """Check that a rule's steps are the data's: in steps that are too coarse a book melts into a few levels, or away.

    The first ``CHUNK`` rows are looked at; made-up ones (candles) follow no steps. Raises ``InvalidInput``.
    """
    part = events.rows(0, min(CHUNK, len(events)))
    rows = (part.amount > 0) & (part.kind != EventKind.CLEAR) & (part.kind != EventKind.GAP)
    rows &= (part.flags & EventFlag.SYNTHETIC) == 0
    price, amount = part.price[rows], part.amount[rows]
    ticks = price / float(rule.min_price_increment)
    # Prices of many digits are rounded themselves, in the fifteenth digit or so.
    between = np.abs(ticks - np.rint(ticks)) > 1e-3 + 1e-14 * ticks
    place = f"{events.trading_pair} on {events.exchange}"
    for wrong, values, name, what in (
        (between, price, "min_price_increment", "prices of the data lie between its steps"),
        (amount < float(rule.min_base_amount_increment) / 2, amount, "min_base_amount_increment", "amounts are below"),
    ):
        if np.count_nonzero(wrong) > MOST_WRONG * len(values):
            raise InvalidInput(
                f"the rule of {place} has {name} {getattr(rule, name)}, but {np.mean(wrong):.0%} of the {what} "
                f"(the first is {float(values[wrong][0])!r}): check the rule, or the data"
            )


def _check_times(part: MarketEvents, place: str, first: int, last: int) -> int:
    local = part.local_ts
    back = np.flatnonzero(np.diff(local, prepend=np.int64(last)) < 0)
    if len(back):
        row = int(back[0])
        before = int(local[row - 1]) if row else last
        raise InvalidInput(
            f"the local times of {place} are not sorted: row {first + row} ({moment(int(local[row]))}) comes after "
            f"{moment(before)}; they must ascend, as received. Sort the rows, or join the parts in order"
        )
    if int(local[0]) <= 0:
        raise InvalidInput(f"row {first} of {place} has the local time {int(local[0])} ns: it must be after the epoch")
    return int(local[-1])


def _check_values(part: MarketEvents, place: str, first: int) -> None:
    unknown = np.flatnonzero(~_KNOWN_KINDS[part.kind])
    if len(unknown):
        row = int(unknown[0])
        raise InvalidInput(
            f"row {first + row} of {place} ({moment(int(part.local_ts[row]))}) is of kind {int(part.kind[row])}, which "
            f"is none of {', '.join(f'{int(kind)} {kind.name}' for kind in EventKind)}; the file is damaged"
        )
    strange = np.flatnonzero(np.abs(part.side) > 1)
    if len(strange):
        row = int(strange[0])
        raise InvalidInput(
            f"row {first + row} of {place} ({moment(int(part.local_ts[row]))}) has side {int(part.side[row])}, which "
            "is none of 1 (bid, buyer), -1 (ask, seller) and 0 (neither); the file is damaged"
        )
    priced = (part.kind != EventKind.CLEAR) & (part.kind != EventKind.GAP)
    good = np.isfinite(part.price) & np.isfinite(part.amount) & (part.amount >= 0) & (part.price > 0)
    bad = np.flatnonzero(priced & ~good)
    if len(bad):
        row = int(bad[0])
        when, price, amount = moment(int(part.local_ts[row])), float(part.price[row]), float(part.amount[row])
        raise InvalidInput(
            f"row {first + row} of {place} ({when}) has price {price!r} and amount {amount!r}: a price must be finite "
            "and above 0, an amount 0 or more; the file is damaged"
        )

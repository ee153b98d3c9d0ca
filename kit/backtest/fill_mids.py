"""The mid price on the exchange just before each fill, told by a second pass over the books when the run is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from kit.backtest.run_record import NAN, BacktestRun, FillRecord
from kit.simulation.engine import MatchingEngine
from kit.simulation.feed import FeedColumns
from kit.simulation.queue_models import RiskAverse
from kit.storage.events import NANOSECONDS

_ROUNDING: Final = 250
"""Nanoseconds that a float of seconds since the epoch may be off by, and some."""


def fill_in_mids(run: BacktestRun, feeds: Mapping[tuple[str, str], FeedColumns]) -> None:
    """Give every fill of the run its mid price; ``feeds`` by exchange and pair.

    It is that of the book before the event that brought the fill, as the exchange had it: what a tick sampled up to a
    tick earlier may be far from it, and would count a fall before the fill as spread captured. Fills at moments at
    which a side was empty stay without. Takes some 10 ns an event of the markets with fills.
    """
    places: dict[tuple[str, str], list[int]] = {}
    for place, record in enumerate(run.fills):
        places.setdefault((record.connector, record.event.trading_pair), []).append(place)
    for market, mine in places.items():
        mids = _mids_before(feeds[market], [run.fills[place] for place in mine])
        for place, mid in zip(mine, mids, strict=True):
            run.fills[place] = run.fills[place]._replace(mid=mid)


def _mids_before(feed: FeedColumns, fills: Sequence[FillRecord]) -> list[float]:
    engine = MatchingEngine(tick_size=feed.tick_size, lot_size=feed.lot_size, queue=RiskAverse())
    engine.load(replace(feed, local_ts=feed.exch_ts))  # the exchange sees what happens when it happens
    mids = [NAN] * len(fills)
    for index in sorted(range(len(fills)), key=lambda at: fills[at].event.timestamp):
        engine.look(round(fills[index].event.timestamp * NANOSECONDS) - _ROUNDING)
        bid, ask = engine.bids.best, engine.asks.best
        if bid is not None and ask is not None:
            mids[index] = (bid[0] + ask[0]) / 2
    return mids

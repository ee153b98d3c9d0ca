"""Candles from trades, and events from candles."""

import numpy as np
import pandas as pd
import pytest

from kit.errors import InvalidInput
from kit.storage.candles import candles_from_events, events_from_candles, opening, timeframe_seconds
from kit.storage.events import EventFlag, EventKind, MarketEvents
from kit.storage.sanity import check

MINUTE = 60 * 10**9


def trades(*rows):
    return MarketEvents.from_rows("x", "A/B", [(time, time + 1, 2, 1, p, q, 0, 1) for time, p, q in rows])


def test_candles_from_trades():
    events = trades(
        (MINUTE, 10, 1), (MINUTE + 5, 12, 2), (MINUTE + 9, 9, 1), (2 * MINUTE - 1, 11, 1), (4 * MINUTE, 8, 3)
    )
    frame = candles_from_events(events, "1m")
    assert frame.to_numpy().tolist() == [[10, 12, 9, 11, 5], [8, 8, 8, 8, 3]]
    assert frame.index.asi8.tolist() == [MINUTE, 4 * MINUTE]
    assert frame.index.tz is not None
    assert len(candles_from_events(events, "1h")) == 1
    assert candles_from_events(trades(), "1m").empty


def test_timeframes():
    assert [timeframe_seconds(text) for text in ("1s", "5m", "4h", "1d", "1w")] == [1, 300, 14400, 86400, 604800]
    for text in ("1M", "m", "0m", "-1m", "1.5h", "", None):
        with pytest.raises(InvalidInput, match="timeframe"):
            timeframe_seconds(text)
    assert opening(125, 60) == 120
    assert pd.Timestamp(opening(1_700_000_000, 604800), unit="s").day_name() == "Monday"
    week = candles_from_events(trades((1_700_000_000 * 10**9, 10, 1)), "1w")
    assert week.index[0].day_name() == "Monday"


def frame(*rows):
    index = pd.to_datetime([MINUTE * (1 + n) for n in range(len(rows))], unit="ns", utc=True)
    return pd.DataFrame(rows, columns=["open", "high", "low", "close", "volume"], index=index, dtype=float)


def test_events_from_candles():
    candles = frame((10, 12, 9, 11.5, 8), (11, 11, 7, 8, 0))
    events = events_from_candles(candles, exchange="x", trading_pair="A/B")
    assert check(events).ok
    traded = events.kind == EventKind.TRADE
    assert events.price[traded].tolist() == [10, 9, 12, 11.5]
    assert events.side[traded].tolist() == [1, -1, 1, -1]
    assert events.amount[traded].tolist() == [2.0] * 4
    asks = (events.kind == EventKind.SNAPSHOT) & (events.side == -1)
    assert events.price[asks] == pytest.approx([10.1, 9.1, 12.1, 11.6, 11.1, 11.1, 7.1, 8.1])
    assert (events.flags & EventFlag.SYNTHETIC).all()
    assert (np.diff(events.local_ts) >= 0).all()
    assert events.local_ts[-1] < 3 * MINUTE
    assert "four points" in events.info["assumption"]
    again = candles_from_events(events, "1m")
    assert again.to_numpy().tolist() == [[10, 12, 9, 11.5, 8]]


def test_candles_that_are_none():
    names = {"exchange": "x", "trading_pair": "A/B"}
    for row, words in [((10, 9, 11, 10, 1), "is none"), ((10, 12, 9, float("nan"), 1), "is none")]:
        with pytest.raises(InvalidInput, match=words):
            events_from_candles(frame(row), **names)
    good = frame((10, 12, 9, 11, 8), (11, 11, 7, 8, 0))
    with pytest.raises(InvalidInput, match="go back"):
        events_from_candles(good[::-1], **names)
    with pytest.raises(InvalidInput, match="lack the columns volume"):
        events_from_candles(good.drop(columns="volume"), **names)
    with pytest.raises(InvalidInput, match="UTC"):
        events_from_candles(good.reset_index(drop=True), **names)
    with pytest.raises(InvalidInput, match="no candles"):
        events_from_candles(good[:0], **names)
    with pytest.raises(InvalidInput, match="half_spread"):
        events_from_candles(good, half_spread=0, **names)

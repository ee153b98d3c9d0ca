"""Candles: from trades, and made into events where nothing better was recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.storage.events import COLUMNS, NANOSECONDS, EventFlag, EventKind, MarketEvents

if TYPE_CHECKING:
    import pandas as pd

CANDLE_COLUMNS: Final = ("open", "high", "low", "close", "volume")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MONDAY: Final = 4 * 86400
"""Weeks begin on Monday; the epoch was a Thursday."""
_POINTS: Final = 4


def timeframe_seconds(timeframe: str) -> int:
    """Return the length of a timeframe such as ``"1s"``, ``"5m"``, ``"4h"``, ``"1d"``, ``"1w"`` in seconds.

    Raises ``InvalidInput`` for anything else; months differ in length and are not supported.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", str(timeframe))
    if not match:
        raise InvalidInput(
            f"timeframe is {timeframe!r}; it must be a number and one of s, m, h, d, w, as in '1m' or '4h'"
        )
    return int(match[1]) * _UNITS[match[2]]


def opening(timestamp: int, seconds: int) -> int:
    """Return the opening time of the candle that holds ``timestamp``; both in whole seconds since the epoch."""
    shift = _MONDAY if seconds % _UNITS["w"] == 0 else 0
    return timestamp - (timestamp - shift) % seconds


def candle_frame(opens: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Return candles as a DataFrame by opening time (UTC, ``opens`` in ns): open, high, low, close, volume."""
    import pandas as pd

    index = pd.DatetimeIndex(pd.to_datetime(opens, unit="ns", utc=True), name="timestamp")
    return pd.DataFrame({name: np.asarray(columns[name], dtype=np.float64) for name in CANDLE_COLUMNS}, index=index)


def candles_from_events(events: MarketEvents, timeframe: str) -> pd.DataFrame:
    """Make candles from the trades among the events, by exchange time (local time where that is not told).

    Returns a DataFrame by opening time (UTC): open, high, low, close (quote), volume (base). Candles without a trade
    are missing. Raises ``InvalidInput`` for an unknown timeframe.
    """
    seconds = timeframe_seconds(timeframe)
    rows = np.flatnonzero((events.kind == EventKind.TRADE) & (events.amount > 0))
    times = np.where(events.exch_ts[rows] > 0, events.exch_ts[rows], events.local_ts[rows])
    order = np.argsort(times, kind="stable")
    times, price, amount = times[order], events.price[rows][order], events.amount[rows][order]
    length = seconds * NANOSECONDS
    shift = (_MONDAY if seconds % _UNITS["w"] == 0 else 0) * NANOSECONDS
    opens = times - (times - shift) % length
    first = np.flatnonzero(np.diff(opens, prepend=-1))
    if not len(first):
        return candle_frame(opens, dict.fromkeys(CANDLE_COLUMNS, price))
    last = np.append(first[1:], len(opens)) - 1
    return candle_frame(
        opens[first],
        {
            "open": price[first],
            "high": np.maximum.reduceat(price, first),
            "low": np.minimum.reduceat(price, first),
            "close": price[last],
            "volume": np.add.reduceat(amount, first),
        },
    )


def events_from_candles(
    candles: pd.DataFrame, *, exchange: str, trading_pair: str, half_spread: float | None = None
) -> MarketEvents:
    """Make synthetic events from candles, for backtests where nothing better was recorded.

    ``candles`` is indexed by opening time (UTC) with open, high, low, close, volume. Each becomes four points: its
    open, low and high (high and low where it falls), its close, evenly over its length; that is the shortest path
    through all four, hence the one with the fewest fills. A point is one trade of a quarter of the volume (by a buyer
    where the price rose, by a seller where it fell) and a book of one level a side, ``half_spread`` (quote; ``None``:
    the smallest step of the candles' prices) away from it, each holding that quarter. All rows are flagged SYNTHETIC.

    A resting order whose price is passed is filled whole by a backtest, however large it is beside the candle's
    volume: a candle does not tell how much traded where. Keep amounts to a few per cent of a quarter of the volume.

    Raises ``InvalidInput`` for candles that are no candles: missing columns, a high below the low, times that go back.
    """
    import pandas as pd

    _check_candles(candles)
    opens = pd.DatetimeIndex(candles.index).as_unit("ns").asi8
    path = _path(candles)
    prices = path.ravel()
    step = _smallest_step(prices) if half_spread is None else half_spread
    if not 0 < step < float("inf"):
        raise InvalidInput(f"half_spread is {half_spread!r}; it must be a price difference above 0")
    length = int(np.diff(opens).min()) if len(opens) > 1 else 60 * NANOSECONDS
    # the close lies a little before the next candle's open
    offsets = np.array([0, length // 3, 2 * length // 3, length - 1_000_000], dtype=np.int64)
    times = (opens[:, None] + offsets).ravel()
    quarter = np.repeat(candles["volume"].to_numpy(dtype=np.float64) / _POINTS, _POINTS)
    return MarketEvents(
        exchange,
        trading_pair,
        **_rows(times, prices, quarter, step),
        info={"source": "candles", "assumption": f"four points a candle, one level a side {step:g} from the price"},
    )


def _rows(times: NDArray[np.int64], prices: NDArray[Any], amounts: NDArray[Any], step: float) -> Any:
    """Return columns of four rows a point: trade, clear, bid, ask."""
    count = len(times)
    side = np.where(np.diff(prices, prepend=prices[:1]) < 0, -1, 1)
    zeros, ones, no_trade = np.zeros(count), np.ones(count), amounts <= 0
    level = np.where(no_trade, 1.0, amounts)
    end, synthetic = int(EventFlag.END), int(EventFlag.SYNTHETIC)
    kinds = (EventKind.TRADE, EventKind.CLEAR, EventKind.SNAPSHOT, EventKind.SNAPSHOT)
    columns = {
        "exch_ts": np.repeat(times, _POINTS),
        "local_ts": np.repeat(times, _POINTS),
        "kind": np.tile(np.array(kinds), count),
        "side": np.column_stack([side, zeros, ones, -ones]).ravel(),
        "price": np.column_stack([prices, zeros, np.maximum(prices - step, prices / 2), prices + step]).ravel(),
        "amount": np.column_stack([amounts, zeros, level, level]).ravel(),
        "update_id": np.repeat(np.arange(1, count + 1), _POINTS),
        "flags": np.tile([end | synthetic, synthetic, synthetic, end | synthetic], count),
    }
    kept = ~((columns["kind"] == EventKind.TRADE) & (columns["amount"] <= 0))
    return {name: columns[name][kept].astype(dtype) for name, dtype in COLUMNS.items()}


def _path(candles: pd.DataFrame) -> NDArray[np.float64]:
    """Return (open, extreme, extreme, close) of each candle, by the shortest way."""
    first, high, low, last = (candles[name].to_numpy(dtype=np.float64) for name in CANDLE_COLUMNS[:4])
    rising = last >= first
    return np.column_stack([first, np.where(rising, low, high), np.where(rising, high, low), last])


def _smallest_step(prices: NDArray[np.float64]) -> float:
    """Return the smallest power of ten that all prices are multiples of, at least 1e-8."""
    for decimals in range(9):
        if np.allclose(prices, np.round(prices, decimals), rtol=0, atol=1e-10):
            return float(10.0**-decimals)
    return 1e-8


def _check_candles(candles: pd.DataFrame) -> None:
    missing = [name for name in CANDLE_COLUMNS if name not in candles.columns]
    if missing:
        raise InvalidInput(f"the candles lack the columns {', '.join(missing)}; they have {list(candles.columns)}")
    if getattr(candles.index, "tz", None) is None:
        raise InvalidInput("the candles' index holds no times in UTC; set it with pd.to_datetime(…, utc=True)")
    if not len(candles):
        raise InvalidInput("there are no candles")
    values = candles[list(CANDLE_COLUMNS)].to_numpy(dtype=np.float64)
    prices = values[:, :4]
    bad = ~np.isfinite(values).all(axis=1) | (prices <= 0).any(axis=1) | (values[:, 4] < 0)
    bad |= (prices.max(axis=1) > prices[:, 1]) | (prices.min(axis=1) < prices[:, 2])
    if bad.any():
        where = candles.index[int(np.argmax(bad))]
        raise InvalidInput(f"the candle of {where} is none: {candles.loc[where].to_dict()}")
    if not (candles.index.is_monotonic_increasing and candles.index.is_unique):
        raise InvalidInput("the candles' times go back or repeat; sort them with candles.sort_index()")

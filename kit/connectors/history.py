"""Candles and trades of the past, by REST, page by page; kept on disk, so that an interrupted call goes on."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np

from kit.connectors.pairs import normalize_pair
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, RateLimited, TryAgain
from kit.storage.cache_folder import cache_folder
from kit.storage.candles import CANDLE_COLUMNS, candle_frame, events_from_candles, opening, timeframe_seconds
from kit.storage.events import NANOSECONDS, EventFlag, EventKind, MarketEvents
from kit.storage.history_cache import CANDLES, TRADES, HistoryCache, Stretch
from kit.types.market import PublicTrade, TradeType
from kit.types.ports import Endpoint

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

T = TypeVar("T")
When = float | str | date | datetime

DEFAULT_CACHE: Final = ""
"""Stands for the folder ``history`` in ``KIT_CACHE``, else in the user's cache folder."""

TRADES_FORM: Final = "trades"
_CANDLES_A_STRETCH: Final = 1000
_TRADES_STRETCH_S: Final = 3600
_TRIES: Final = 6
_LONGEST_WAIT: Final = 30.0
_SETTLED_S: Final = 60
"""What is younger is not kept: exchanges tell the last candle or trade some seconds late."""
_DOUBT_S: Final = 86400
"""What is empty, or has no candle at its end, may be an exchange's lag or fault: it is kept when it is this old, and
asked for again this long after."""
_BLANK_PAGE: Final = 100
"""Candles that are passed over after an empty page; no exchange looks for fewer at a time."""


class HistorySource(Protocol):
    """What an exchange is asked; pages hold what came at ``since`` (ms) or later, oldest first."""

    async def fetch_server_time(self) -> float:
        """Return the exchange's time, seconds."""
        ...

    async def fetch_candles(self, trading_pair: str, timeframe: str, since: int) -> Sequence[Sequence[float]]:
        """Return a page of [opening time in ms, open, high, low, close, volume]."""
        ...

    async def fetch_public_trades(
        self, trading_pair: str, since: int, from_id: str | None = None
    ) -> Sequence[PublicTrade]:
        """Return a page of trades, from that trade on where the exchange can tell them so."""
        ...


@dataclass(frozen=True)
class History:
    """Candles or trades of one pair between ``start`` and ``end`` (seconds since the epoch, ``end`` not included).

    ``requests`` counts the pages asked for in this call: 0 when all came from the cache.
    """

    exchange: str
    trading_pair: str
    timeframe: str
    start: float
    end: float
    columns: Stretch
    requests: int

    def __len__(self) -> int:
        return len(self.columns["time"])

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame by time (UTC): open, high, low, close, volume; or id, side, price, amount of trades."""
        import pandas as pd

        if self.timeframe != TRADES_FORM:
            return candle_frame(self.columns["time"], self.columns)
        index = pd.DatetimeIndex(pd.to_datetime(self.columns["time"], unit="ns", utc=True), name="timestamp")
        sides = np.where(self.columns["side"] > 0, "buy", "sell")
        data = {"id": self.columns["id"], "side": sides, "price": self.columns["price"]}
        return pd.DataFrame(data | {"amount": self.columns["amount"]}, index=index)

    def gaps(self) -> pd.DataFrame:
        """Return what is missing: first and last missing, count; candles by opening time, trades by their numbers.

        A candle is missing where the exchange told none: nothing traded, it stood still, or the pair was not listed
        yet. Trades are looked over only where their ids are numbers that rise by one; count is -1 when unknown.
        """
        import pandas as pd

        found = self._missing_trades() if self.timeframe == TRADES_FORM else self._missing_candles()
        frame = pd.DataFrame(found, columns=["first", "last", "count"])
        for name in ("first", "last"):
            frame[name] = pd.to_datetime(frame[name].astype("int64"), unit="ns", utc=True)
        return frame

    def events(self, *, half_spread: float | None = None) -> MarketEvents:
        """Return TRADE rows, or the synthetic rows of ``kit.events_from_candles``, for a backtest."""
        if self.timeframe != TRADES_FORM:
            names = {"exchange": self.exchange, "trading_pair": self.trading_pair}
            return events_from_candles(self.frame(), **names, half_spread=half_spread)
        count, times = len(self), self.columns["time"]
        return MarketEvents(
            self.exchange,
            self.trading_pair,
            exch_ts=times,
            local_ts=times,
            kind=np.full(count, EventKind.TRADE, dtype=np.uint8),
            side=self.columns["side"],
            price=self.columns["price"],
            amount=self.columns["amount"],
            update_id=self.columns["id"],
            flags=np.full(count, EventFlag.END, dtype=np.uint8),
            info={"source": f"history of {self.exchange}"},
        )

    def __repr__(self) -> str:
        return f"<History {self._told()}>"

    def _repr_html_(self) -> str:
        return f"<p>{self._told()}</p>{self.frame().to_html(max_rows=10)}"

    def _told(self) -> str:
        gaps = self.gaps()
        missing = f"{int(gaps['count'].clip(lower=1).sum()):,} missing in {len(gaps)} gaps" if len(gaps) else "no gaps"
        return f"{self.exchange} {self.trading_pair} {self.timeframe}: {len(self):,} rows, {missing}"

    def _missing_candles(self) -> list[tuple[int, int, int]]:
        step = timeframe_seconds(self.timeframe) * NANOSECONDS
        first = opening(int(self.start), step // NANOSECONDS) * NANOSECONDS
        if first < self.start * NANOSECONDS:
            first += step
        after_last = first + -(-(round(self.end * NANOSECONDS) - first) // step) * step
        fences = np.concatenate([[first - step], self.columns["time"], [after_last]]).astype(np.int64)
        counts = np.diff(fences) // step - 1
        return [
            (int(fences[at]) + step, int(fences[at]) + int(counts[at]) * step, int(counts[at]))
            for at in np.flatnonzero(counts > 0)
        ]

    def _missing_trades(self) -> list[tuple[int, int, int]]:
        ids, times = self.columns["id"], self.columns["time"]
        steps = np.diff(ids)
        if not len(steps) or (steps <= 0).any() or np.mean(steps == 1) < 0.99:
            return []
        return [(int(times[at]), int(times[at + 1]), int(steps[at]) - 1) for at in np.flatnonzero(steps > 1)]


async def history(
    exchange: str,
    trading_pair: str,
    timeframe: str,
    start: When,
    end: When | None = None,
    *,
    endpoint: Endpoint | None = None,
    cache: str | PathLike[str] | None = DEFAULT_CACHE,
    progress: bool = True,
) -> History:
    """Fetch candles (``timeframe`` such as ``"1m"``) or public trades (``"trades"``) of the past from an exchange.

    ``start`` and ``end`` are seconds since the epoch, ISO texts or datetimes (UTC where they do not tell); ``end``
    ``None`` is now. Candles that are not over yet are left out. What was fetched is kept below ``cache`` (``None``:
    not at all; by default in the folder ``history`` of ``KIT_CACHE``, else of the user's cache), an hour of trades or
    1000 candles a file, and not asked for again: an interrupted call goes on where it was. Only what came empty, or
    without the last candle, is asked for again a day later, and is not kept at all while it is younger than that.

    With an ``endpoint`` (a testnet) the default cache is not used, since its past may be another one after a restart;
    a folder that you name is. Exchanges hand out trades of the past as far back as they please.

    Returns a ``History``: ``.frame()``, ``.gaps()``, ``.events()``. Raises ``InvalidInput`` for times and timeframes
    that are none, ``NotSupported`` where the exchange has no such request, ``UnknownExchange``, ``UnknownPair``, and
    after six tries the error of the last one.
    """
    from kit.connectors.ccxt_exchange import CcxtExchange

    supervisor = TaskSupervisor("history")
    source = CcxtExchange(exchange, supervisor, endpoint=endpoint)
    place = exchange if endpoint is None else f"{exchange}@{endpoint.url.partition('://')[2]}"
    folder = cache
    if cache == DEFAULT_CACHE:
        folder = None if endpoint is not None else cache_folder() / "history"
    try:
        pair = normalize_pair(trading_pair)
        return await fetch_history(
            source, exchange, pair, timeframe, start, end, cache=folder, place=place, progress=progress
        )
    finally:
        await source.close()
        await supervisor.close()


async def fetch_history(
    source: HistorySource,
    exchange: str,
    trading_pair: str,
    timeframe: str,
    start: When,
    end: When | None,
    *,
    cache: str | PathLike[str] | None,
    place: str,
    progress: bool = False,
    time_source: TimeSource = SYSTEM_TIME,
) -> History:
    """Do what ``history`` does with any source; ``place`` names the exchange in the cache."""
    trades = timeframe == TRADES_FORM
    step = 1 if trades else timeframe_seconds(timeframe)
    length = _TRADES_STRETCH_S if trades else step * _CANDLES_A_STRETCH
    pager = _Pager(source, trading_pair, timeframe, step, time_source)
    now = await pager.ask(source.fetch_server_time)
    first, last = _seconds(start, "start"), now if end is None else min(_seconds(end, "end"), now)
    if not 0 < first < last:
        raise InvalidInput(f"start is {start!r} and end {end!r}; start must come before end, and before now")
    doubtful = functools.partial(_doubtful, step=0 if trades else step)
    kept = HistoryCache(cache, (place, trading_pair, timeframe), TRADES if trades else CANDLES)
    stretches = []
    with _bar(first, last, f"{trading_pair} {timeframe}", progress) as bar:
        for begin in range(opening(int(first), length), int(np.ceil(last)), length):
            known = kept.read(begin)
            if known is not None and not (doubtful(known[0], begin + length) and known[1] + _DOUBT_S <= now):
                stretch = known[0]
            else:
                stretch = await pager.stretch(begin, begin + length, now)
                age = now - begin - length  # what is still growing is not kept
                if age >= (_DOUBT_S if doubtful(stretch, begin + length) else _SETTLED_S):
                    kept.write(begin, stretch, now)
            stretches.append(stretch)
            bar.update(min(begin + length, last) - max(begin, first))
    columns = kept.join(stretches)
    low, high = np.searchsorted(columns["time"], [round(first * NANOSECONDS), round(last * NANOSECONDS)])
    columns = {name: column[low:high] for name, column in columns.items()}
    told = last if trades else min(last, float(opening(int(now), step)))
    return History(exchange, trading_pair, timeframe, first, told, columns, pager.requests)


def _doubtful(stretch: Stretch, end: int, step: int) -> bool:
    """Tell whether a stretch is empty, or of candles ``step`` seconds apart the last before ``end`` is missing."""
    times = stretch["time"]
    return not len(times) or (step > 0 and int(times[-1]) < (end - step) * NANOSECONDS)


class _Pager:
    """Asks for one stretch at a time, page by page, and again where a page fails for the moment."""

    def __init__(
        self, source: HistorySource, trading_pair: str, timeframe: str, step: int, time_source: TimeSource
    ) -> None:
        self._source, self._pair, self._timeframe, self._step = source, trading_pair, timeframe, step
        self._time_source = time_source
        self.requests = 0

    async def stretch(self, begin: int, end: int, now: float) -> Stretch:
        """Fetch all from ``begin`` to ``end`` (not included), seconds; candles only that are over ``now``."""
        if self._timeframe == TRADES_FORM:
            return _trade_columns(await self._pages(begin, end, self._trade_page, _trade_time, _trade_key, 0))
        over = min(end, int(np.ceil(now)))
        rows = await self._pages(begin, over, self._candle_page, _candle_time, _candle_time, self._step * 1000)
        return _candle_columns(row for row in rows if row[0] / 1000 + self._step <= now)

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; raises the last error after six tries, other errors at once."""
        wait = 0.5
        for _ in range(_TRIES - 1):
            try:
                return await question()
            except TryAgain as error:
                told = error.retry_after if isinstance(error, RateLimited) else None
                logger.info("history of %s: asking again: %s", self._pair, error)
                await self._time_source.sleep(min(told or wait, _LONGEST_WAIT))
                wait *= 2
        return await question()

    async def _pages(
        self,
        begin: int,
        end: int,
        page_at: Callable[[int, Any], Awaitable[Sequence[T]]],
        time_of: Callable[[T], int],
        key_of: Callable[[T], Any],
        stride: int,
    ) -> list[T]:
        """Return the items of a stretch in order of time, each once; the next item is ``stride`` ms later or more.

        An empty page of candles need not be the last: some exchanges look no further than a page from ``since``.
        """
        found: dict[Any, T] = {}
        since, end_ms, last, largest = begin * 1000, end * 1000, None, 2
        while since < end_ms:
            self.requests += 1
            page = await self.ask(functools.partial(page_at, since, last))
            fresh = {key_of(item): item for item in page if key_of(item) not in found and time_of(item) >= since}
            if fresh:
                found |= fresh
                newest = max(reversed(fresh.values()), key=time_of)  # of one time the last in the page
                # of trades, the next page begins at the newest time again: more may have happened in that millisecond
                since, last = time_of(newest) + stride, key_of(newest)
            elif len(page) >= largest:  # a whole page of one millisecond, and no way to ask for the rest of it
                logger.warning(
                    "history of %s: more trades at %d ms than a page holds; some are missing", self._pair, since
                )
                since, last = since + 1, None
            elif stride:
                since += _BLANK_PAGE * stride
            else:
                break
            largest = max(largest, len(page))
        inside = [item for item in found.values() if begin * 1000 <= time_of(item) < end_ms]
        return sorted(inside, key=time_of)

    async def _candle_page(self, since: int, _: Any) -> Sequence[Sequence[float]]:
        return await self._source.fetch_candles(self._pair, self._timeframe, since)

    async def _trade_page(self, since: int, last: Any) -> Sequence[PublicTrade]:
        return await self._source.fetch_public_trades(self._pair, since, last if isinstance(last, str) else None)


def _candle_time(row: Sequence[float]) -> int:
    return int(row[0])


def _trade_time(trade: PublicTrade) -> int:
    return round(trade.timestamp * 1000)


def _trade_key(trade: PublicTrade) -> Any:
    return trade.trade_id or (trade.timestamp, trade.price, trade.amount, trade.side)


def _candle_columns(rows: Iterable[Sequence[float]]) -> Stretch:
    table = np.array([tuple(row[:6]) for row in rows], dtype=np.float64).reshape(-1, 6)
    columns = {name: np.ascontiguousarray(table[:, 1 + at]) for at, name in enumerate(CANDLE_COLUMNS)}
    return {"time": table[:, 0].astype(np.int64) * 1_000_000} | columns


def _trade_columns(trades: Sequence[PublicTrade]) -> Stretch:
    ids = [trade.trade_id for trade in trades]
    numbered = all(text.isdecimal() and len(text) < 19 for text in ids)
    return {
        "time": np.array([_trade_time(trade) for trade in trades], dtype=np.int64) * 1_000_000,
        "id": np.array([int(text) if numbered else 0 for text in ids], dtype=np.int64),
        "side": np.array([1 if trade.side is TradeType.BUY else -1 for trade in trades], dtype=np.int8),
        "price": np.array([trade.price for trade in trades], dtype=np.float64),
        "amount": np.array([trade.amount for trade in trades], dtype=np.float64),
    }


def _seconds(when: When, name: str) -> float:
    """Return seconds since the epoch."""
    import pandas as pd

    if isinstance(when, (int, float, np.number)) and not isinstance(when, bool) and 0 < when < 1e11:
        return float(when)
    if isinstance(when, (str, date, np.datetime64)):  # a datetime is a date
        try:
            stamp = pd.Timestamp(when)
            return float((stamp.tz_localize("UTC") if stamp.tz is None else stamp).timestamp())
        except ValueError as error:
            raise InvalidInput(f"{name} is {when!r}: {error}; write '2024-08-08' or '2024-08-08 12:00'") from error
    raise InvalidInput(
        f"{name} is {when!r}; it must be seconds (no milliseconds) since the epoch, a text such as '2024-08-08', "
        "a date or a datetime"
    )


def _bar(first: float, last: float, label: str, progress: bool) -> Any:
    from tqdm import tqdm

    if progress:
        from tqdm.auto import tqdm  # a widget in a notebook; its import takes a while
    form = "{l_bar}{bar}| {elapsed}<{remaining}"
    return tqdm(total=last - first, desc=label, unit="s", bar_format=form, disable=not progress)

"""The data of a backtest: whatever the user hands in, as checked feeds of named markets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from kit.backtest.event_checks import check_events, check_steps
from kit.backtest.feed_cache import FeedCache
from kit.backtest.rules import RulesInput, find_rule
from kit.connectors.pairs import normalize_pair
from kit.errors import InvalidInput
from kit.simulation.feed import FeedColumns
from kit.storage.events import MarketEvents
from kit.types.market import TradingRule


@runtime_checkable
class RecordingLike(Protocol):
    """What is read of a recording (``kit.open_recording``)."""

    @property
    def markets(self) -> Sequence[tuple[str, str]]:
        """Return (exchange, pair) of everything recorded."""
        ...

    def events(self, trading_pair: str, exchange: str | None = None) -> MarketEvents:
        """Return the events of one pair."""
        ...


@runtime_checkable
class HistoryLike(Protocol):
    """What is read of candles or trades that were fetched (``kit.history``)."""

    @property
    def timeframe(self) -> str:
        """Return the candles' timeframe, or "trades"."""
        ...

    def events(self) -> MarketEvents:
        """Return the events of its pair."""
        ...


DataInput: TypeAlias = Any
"""``MarketEvents``, a recording, a path, candles (a DataFrame, or ``kit.history``), several, or by exchange and pair.
"""


Span: TypeAlias = tuple[float | None, float | None]
"""Start and end of a run, seconds since the epoch; ``None`` for those of the data."""


@dataclass(frozen=True, slots=True)
class MarketData:
    """The feed of one pair of one exchange, with the rules that it is traded under.

    ``source`` names where it is from, ``assumption`` what was assumed when it was made (empty for what was recorded).
    ``recorded`` is the span of all data, ns, where the feed is only what a run within them needs.
    """

    exchange: str
    trading_pair: str
    feed: FeedColumns
    rule: TradingRule
    source: str
    assumption: str = ""
    recorded: tuple[int, int] | None = None

    @property
    def span(self) -> tuple[int, int]:
        """Return the first and the last local time of the data, ns since the epoch."""
        if self.recorded is not None:
            return self.recorded
        return int(self.feed.local_ts[0]), int(self.feed.local_ts[-1])

    def __str__(self) -> str:
        return f"{self.trading_pair} on {self.exchange}"


def gather(
    data: DataInput, rules: RulesInput = None, *, span: Span = (None, None), cache: FeedCache | None = None
) -> list[MarketData]:
    """Return the checked feed of every market in the data, in the order given.

    ``rules`` (pair -> rule, or exchange -> pair -> rule) come before those that the data itself knows. Feeds of files
    are kept in ``cache``, mapped into memory from there. Of recordings only what a run over ``span`` (start and end,
    seconds since the epoch, ``None`` for those of the data) needs is read.
    Raises ``InvalidInput`` that says what is wrong with which market, and where.
    """
    gathered: dict[tuple[str, str], MarketData] = {}
    for market in Gatherer(rules, cache or FeedCache(), span).markets(data, "", ""):
        if (market.exchange, market.trading_pair) in gathered:
            raise InvalidInput(f"{market} is in the data twice; join its parts with MarketEvents.concat first")
        gathered[market.exchange, market.trading_pair] = market
    if not gathered:
        raise InvalidInput("the data hold no market; give events, a recording, a path, or {exchange: {pair: data}}")
    return list(gathered.values())


class Gatherer:
    """Walks through what was handed in; ``exchange`` and ``pair`` are names from mappings, empty where not told."""

    def __init__(self, rules: RulesInput, cache: FeedCache, span: Span = (None, None)) -> None:
        self._rules = rules
        self._cache = cache
        self._span = span

    def markets(self, data: DataInput, exchange: str, pair: str) -> Iterator[MarketData]:
        """Yield every market in the data."""
        if isinstance(data, MarketEvents | HistoryLike):
            yield self._of_events(data if isinstance(data, MarketEvents) else data.events(), exchange, pair)
        elif isinstance(data, FeedColumns):
            yield self._of_feed(data, exchange, pair)
        elif hasattr(data, "columns") and hasattr(data, "iloc"):  # a DataFrame, without importing pandas
            yield self._of_candles(data, exchange, pair)
        elif isinstance(data, Mapping):
            yield from self._of_mapping(data, exchange, pair)
        elif isinstance(data, str | os.PathLike):
            yield from self._of_paths([Path(data)], exchange, pair)
        elif isinstance(data, RecordingLike):
            yield from self._of_recording(data, exchange, pair)
        elif isinstance(data, Sequence) and data:
            if all(isinstance(item, str | os.PathLike) for item in data):
                yield from self._of_paths([Path(item) for item in data], exchange, pair)
            else:
                for item in data:
                    yield from self.markets(item, exchange, pair)
        else:
            raise InvalidInput(
                f"data is {data!r}; give MarketEvents, a recording, a path or several, or "
                "{'binance': {'BTC/USDT': …}} with one of these per pair"
            )

    def _of_mapping(self, data: Mapping[Any, Any], exchange: str, pair: str) -> Iterator[MarketData]:
        if pair:
            raise InvalidInput(f"data nest deeper than exchange -> pair -> data: {exchange} -> {pair} -> {list(data)}")
        for key, value in data.items():
            if exchange:
                yield from self.markets(value, exchange, normalize_pair(key))
            elif isinstance(value, Mapping):
                yield from self.markets(value, str(key), "")
            else:
                raise InvalidInput(
                    f"data[{key!r}] is {type(value).__name__}; data by name go exchange -> pair -> data, as in "
                    "{'binance': {'BTC/USDT': events}}"
                )

    def _of_events(self, events: MarketEvents, exchange: str, pair: str) -> MarketData:
        events = named(events, exchange, pair)
        rule = find_rule(events.exchange, events.trading_pair, events.info, self._rules)
        name = events.info.get("source", "events in memory")
        return _market(events.exchange, events.trading_pair, convert(events, rule), rule, name, events.info)

    def _of_candles(self, candles: Any, exchange: str, pair: str) -> MarketData:
        if not pair:
            raise InvalidInput("candles have no name; give them as {'binance': {'BTC/USDT': candles}}")
        from kit.storage.candles import events_from_candles

        return self._of_events(events_from_candles(candles, exchange=exchange, trading_pair=pair), exchange, pair)

    def _of_feed(self, feed: FeedColumns, exchange: str, pair: str) -> MarketData:
        if not pair:
            raise InvalidInput("a FeedColumns has no name; give it as {'binance': {'BTC/USDT': feed}}")
        rule = find_rule(exchange, pair, {}, self._rules)
        steps = rule.min_price_increment, rule.min_base_amount_increment
        if (feed.tick_size, feed.lot_size) != steps:
            raise InvalidInput(
                f"the feed of {pair} on {exchange} is in ticks of {feed.tick_size} and lots of {feed.lot_size}, its "
                f"rule has {steps[0]} and {steps[1]}; convert it with those"
            )
        return MarketData(exchange, pair, feed, rule, "a converted feed")

    def _of_recording(self, recording: RecordingLike, exchange: str, pair: str) -> Iterator[MarketData]:
        found = [market for market in recording.markets if exchange in ("", market[0]) and pair in ("", market[1])]
        if not found:
            known = ", ".join(f"{name} {symbol}" for name, symbol in recording.markets) or "nothing"
            raise InvalidInput(f"the recording holds no {pair or 'pair'} of {exchange}; it holds {known}")
        for name, symbol in found:
            yield self._of_events(_events_of(recording, name, symbol, self._span), "", "")

    def _of_paths(self, paths: Sequence[Path], exchange: str, pair: str) -> Iterator[MarketData]:
        for path in paths:
            if not path.exists():
                raise InvalidInput(f"there is no file or folder {path} (looked in {Path.cwd()})")
        for name, symbol in [(exchange, pair)] if pair else _recorded(paths, exchange):
            yield self._of_files(paths, name, symbol)

    def _of_files(self, paths: Sequence[Path], exchange: str, pair: str) -> MarketData:
        span = self._span if _is_recording(paths) else (None, None)
        entry = self._cache.entry(paths, exchange, pair, span)
        known = entry.describe()
        if known is not None:
            name, symbol, info = known
            rule = find_rule(name, symbol, info, self._rules)
            feed = entry.open(rule)
            if feed is not None:
                return _market(name, symbol, feed, rule, _names(paths), info)
        events = named(load(paths, exchange, pair, span), exchange, pair)
        rule = find_rule(events.exchange, events.trading_pair, events.info, self._rules)
        feed = entry.keep(events, convert(events, rule), rule)
        return _market(events.exchange, events.trading_pair, feed, rule, _names(paths), events.info)


def _market(
    exchange: str, pair: str, feed: FeedColumns, rule: TradingRule, source: str, info: Mapping[str, str]
) -> MarketData:
    first, _, last = info.get("recorded", "").partition(" ")
    recorded = (int(first), int(last)) if last else None
    return MarketData(exchange, pair, feed, rule, _source(source, info), info.get("assumption", ""), recorded)


def named(events: MarketEvents, exchange: str, pair: str) -> MarketEvents:
    """Return the events under the names that the user gave them."""
    names = exchange or events.exchange, pair or normalize_pair(events.trading_pair)
    if names == (events.exchange, events.trading_pair):
        return events
    return replace(events, exchange=names[0], trading_pair=names[1])


def convert(events: MarketEvents, rule: TradingRule) -> FeedColumns:
    """Check events and return them as the kernel reads them."""
    check_events(events)
    check_steps(events, rule)
    return FeedColumns.from_events(events, rule.min_price_increment, rule.min_base_amount_increment)


def load(paths: Sequence[Path], exchange: str, pair: str, span: Span = (None, None)) -> MarketEvents:
    """Read a recording's pair over a span, or files of any form that can be imported."""
    if _is_recording(paths):
        from kit.storage.recordings import open_recording

        return open_recording(paths[0]).events_to_replay(pair, exchange or None, *span)
    from kit.storage.importers import load_events
    from kit.storage.importers.forms import RECORDING, form_of

    source = list(paths) if len(paths) > 1 else paths[0]
    if not pair and any(form_of(path) != RECORDING for path in paths):
        raise InvalidInput(
            f"{_names(paths)} does not tell its pair; name both, as in data={{{exchange or 'binance'!r}: "
            f"{{'BTC/USDT': {str(paths[0])!r}}}}}"
        )
    return load_events(source, exchange=exchange or None, trading_pair=pair or None)


def _events_of(recording: RecordingLike, exchange: str, pair: str, span: Span) -> MarketEvents:
    """Return a recording's events, nothing of which arrives before it happened."""
    from kit.storage.clock_offset import correct_clock
    from kit.storage.recordings import Recording

    if isinstance(recording, Recording):
        events = recording.events_to_replay(pair, exchange, *span)
        return replace(events, info={"source": recording.path.name, **events.info})
    return correct_clock(recording.events(pair, exchange=exchange))


def _recorded(paths: Sequence[Path], exchange: str) -> list[tuple[str, str]]:
    """Return the markets of a recording's folder; one without a name for other files, which hold one market."""
    if not _is_recording(paths):
        return [(exchange, "")]
    from kit.storage.recordings import open_recording

    markets = [market for market in open_recording(paths[0]).markets if exchange in ("", market[0])]
    if not markets:
        raise InvalidInput(f"the recording {paths[0]} holds nothing{f' of {exchange}' if exchange else ''}")
    return markets


def _is_recording(paths: Sequence[Path]) -> bool:
    return len(paths) == 1 and paths[0].is_dir() and any(paths[0].glob("exchange=*"))


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _source(name: str, info: Mapping[str, str]) -> str:
    """Return where data are from, and what was done to their clock."""
    offset = float(info.get("clock_offset", 0))
    return (
        f"{name} (local times put forward by {offset:.6g} s, as events arrived before they happened)"
        if offset
        else name
    )

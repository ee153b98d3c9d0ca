"""The data of a sweep: feeds that every worker maps into memory by path, and the times that are held out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.backtest.config import BacktestConfig
from kit.backtest.data import MarketData, gather
from kit.backtest.feed_cache import default_folder
from kit.backtest.moments import moment, seconds_of
from kit.backtest.plan import make_plan
from kit.backtest.sweep_trial import SharedFeed, Window
from kit.errors import InvalidInput
from kit.simulation.models import find_model, of_exchange
from kit.storage.events import NANOSECONDS


def make_room() -> tempfile.TemporaryDirectory[str]:
    """Return a folder of the sweep's own, beside the cache of feeds, else where temporary files go."""
    base = default_folder().parent / "sweeps"
    try:
        base.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=base, ignore_cleanup_errors=True)
    except OSError:
        return tempfile.TemporaryDirectory(prefix="kit-sweep-", ignore_cleanup_errors=True)


def share(config: BacktestConfig, room: Path) -> tuple[list[SharedFeed], Window]:
    """Check data, money and times, put every feed where processes can map it, and return the span of the sweep.

    Feeds of files are in the cache already; those of events in memory are written to ``room``.
    Raises what ``kit.backtest`` raises before it runs.
    """
    if config.data is None:
        raise InvalidInput("there are no data: give data=…, a recording, a path, MarketEvents or {exchange: {pair: …}}")
    limits = (seconds_of("start", config.start), seconds_of("end", config.end))
    markets = gather(config.data, config.rules, span=limits)
    for role in ("queue", "latency", "exchange", "fees"):
        for market in markets:
            find_model(role, of_exchange(getattr(config, role), market.exchange))
    plan = make_plan(
        markets,
        start=config.start,
        end=config.end,
        balances=config.balances,
        tick_size=config.tick_size,
        seed=config.seed,
    )
    feeds = [_share(market, room / f"feed{index}") for index, market in enumerate(markets)]
    return feeds, Window(plan.start, plan.end)


def _share(market: MarketData, place: Path) -> SharedFeed:
    folder = _mapped_from(market)
    if folder is None:
        market.feed.save(place)
        folder = place
    return SharedFeed(market.exchange, market.trading_pair, str(folder), market.rule)


def _mapped_from(market: MarketData) -> Path | None:
    """Return the folder that a feed is mapped from, where it is a whole saved one."""
    columns = (market.feed.exch_ts, market.feed.local_ts, market.feed.code, market.feed.tick, market.feed.qty)
    if not all(isinstance(column, np.memmap) for column in columns):
        return None
    folders = {Path(str(column.filename)).parent for column in columns if isinstance(column, np.memmap)}
    if len(folders) != 1:
        return None
    (folder,) = folders
    whole = np.load(folder / "code.npy", mmap_mode="r")  # a slice of a feed is mapped from the file of the whole
    return folder.resolve() if len(whole) == len(market.feed) else None


def split(span: Window, held_out: Any, tick_size: float) -> tuple[list[Window], list[str]]:
    """Return the in-sample window and, where one is wanted, the held-out one; and what to tell about them.

    ``held_out`` is the share of the time at its end, ``None`` or 0 for none, or (start, end). Raises ``InvalidInput``.
    """
    if held_out is None or (isinstance(held_out, int | float) and held_out == 0):
        return [span], []
    if isinstance(held_out, Sequence) and not isinstance(held_out, str):
        windows, notes = _around(span, held_out)
    elif isinstance(held_out, int | float) and not isinstance(held_out, bool) and 0 < held_out < 1:
        border = span.end - held_out * span.seconds
        windows, notes = [Window(span.start, border), Window(border, span.end)], []
    else:
        raise InvalidInput(
            f"held_out is {held_out!r}; give the share of the time that is kept for validation (0.3; below 1), None "
            "for none, or (start, end)"
        )
    for name, window in zip(("in-sample", "held-out"), windows, strict=True):
        if window.seconds < 2 * tick_size:
            raise InvalidInput(
                f"the {name} time has {max(window.seconds, 0.0):g} s of {span.seconds:g} s, less than two ticks of "
                f"{tick_size:g} s; change held_out={held_out!r} or give more data"
            )
    return windows, notes


def _around(span: Window, held_out: Sequence[Any]) -> tuple[list[Window], list[str]]:
    if len(held_out) != 2:
        raise InvalidInput(f"held_out is {held_out!r}; as times it is (start, end)")
    start, end = seconds_of("held_out[0]", held_out[0]), seconds_of("held_out[1]", held_out[1])
    start, end = span.start if start is None else start, span.end if end is None else end
    if not span.start <= start < end <= span.end:
        raise InvalidInput(
            f"held_out is {_show(start)} to {_show(end)}; it must lie within the data, {_show(span.start)} to "
            f"{_show(span.end)} (UTC)"
        )
    before, after = Window(span.start, start), Window(end, span.end)
    if before.seconds == 0:
        return [after, Window(start, end)], ["The held-out time is before the in-sample time."]
    notes = [f"{after.seconds:g} s of data after the held-out time are not used."] if after.seconds > 0 else []
    return [before, Window(start, end)], notes


def _show(seconds: float) -> str:
    return moment(round(seconds * 1_000_000) * (NANOSECONDS // 1_000_000))

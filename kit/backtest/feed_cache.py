"""Converted feeds kept on disk, so that a file is converted once and mapped into memory afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit.errors import InvalidInput
from kit.simulation.feed import FeedColumns
from kit.storage.cache_folder import cache_folder
from kit.storage.events import MarketEvents
from kit.types.market import TradingRule

LIMIT: Final = 20 * 1024**3
"""Bytes that a cache may take; what was not used for longest goes first."""

_VERSION: Final = 3


def default_folder() -> Path:
    """Return where feeds are kept: below ``KIT_CACHE``, else below the user's cache folder."""
    return cache_folder() / "feeds"


class FeedCache:
    """Feeds by source files (their paths, sizes and times of change) and by the steps that they were converted with.

    A folder that cannot be written is no error: then every run converts for itself, in memory.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self._folder = folder or default_folder()
        self._limit = limit

    def entry(
        self, paths: Sequence[Path], exchange: str, pair: str, span: tuple[float | None, float | None] = (None, None)
    ) -> CacheEntry:
        """Return the place for the feed of these files, or of what a run over ``span`` (seconds) needs of them."""
        told = [str(_VERSION), exchange, pair, repr(span), *(state for path in paths for state in _states(path))]
        key = hashlib.sha256("|".join(told).encode()).hexdigest()[:24]
        return CacheEntry(self, self._folder / key)

    def shrink(self, keep: Path) -> None:
        """Remove the feeds that were not used for longest until the limit is kept; never ``keep``."""
        with contextlib.suppress(OSError):  # another process may remove the same
            entries = sorted((path for path in self._folder.iterdir() if path.is_dir()), key=_last_used)
            sizes = {path: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in entries}
            total = sum(sizes.values())
            for path in entries:
                if total <= self._limit:
                    return
                if path != keep:
                    total -= sizes[path]
                    shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class CacheEntry:
    """The feed of one market's files, once for every pair of steps."""

    cache: FeedCache
    folder: Path

    def describe(self) -> tuple[str, str, Mapping[str, str]] | None:
        """Return exchange, pair and what the data tell of themselves; ``None`` before the first conversion."""
        try:
            about = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
            return about["exchange"], about["trading_pair"], about["info"]
        except (OSError, ValueError, KeyError):
            return None

    def open(self, rule: TradingRule) -> FeedColumns | None:
        """Map the feed into memory; ``None`` where it was not converted with these steps."""
        place = self.folder / _steps(rule)
        try:
            feed = FeedColumns.open(place)
        except InvalidInput:
            return None
        with contextlib.suppress(OSError):
            os.utime(self.folder)
        return feed

    def keep(self, events: MarketEvents, feed: FeedColumns, rule: TradingRule) -> FeedColumns:
        """Keep a converted feed and return it as it is mapped from there; the feed itself where that fails."""
        place = self.folder / _steps(rule)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Whole or not at all, also beside another process that keeps the same.
            with tempfile.TemporaryDirectory(dir=self.folder) as room:
                feed.save(Path(room) / "feed")
                shutil.rmtree(place, ignore_errors=True)
                (Path(room) / "feed").replace(place)
                about = {"exchange": events.exchange, "trading_pair": events.trading_pair, "info": dict(events.info)}
                (Path(room) / "about.json").write_text(json.dumps(about), encoding="utf-8")
                (Path(room) / "about.json").replace(self.folder / "about.json")
        except OSError:
            return feed
        self.cache.shrink(keep=self.folder)
        return self.open(rule) or feed


def _states(path: Path) -> list[str]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [f"{file.resolve()}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files]


def _steps(rule: TradingRule) -> str:
    return f"{rule.min_price_increment.normalize():f}x{rule.min_base_amount_increment.normalize():f}"


def _last_used(path: Path) -> float:
    return path.stat().st_mtime

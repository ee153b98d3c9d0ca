"""Which pairs are tracked, and the books that outlive it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kit.errors import UnknownPair
from kit.market.order_book import OrderBook
from kit.market.tracked_book import TrackedBook


class BookRegistry:
    """Hold the tracked books by pair; a pair that comes back gets the ``OrderBook`` it had before."""

    def __init__(self, make_track: Callable[[OrderBook], TrackedBook]) -> None:
        self.tracks: dict[str, TrackedBook] = {}
        self._books: dict[str, OrderBook] = {}
        self._make_track = make_track

    def add(self, trading_pairs: Iterable[str]) -> tuple[str, ...]:
        """Track the pairs; returns those that were not tracked before."""
        new = tuple(pair for pair in dict.fromkeys(trading_pairs) if pair not in self.tracks)
        for pair in new:
            self.tracks[pair] = self._make_track(self._books.setdefault(pair, OrderBook(pair)))
        return new

    def remove(self, trading_pair: str, reason: str) -> None:
        """Track a pair no more; its book keeps its levels, out of sync because of ``reason``."""
        track = self.tracks.pop(trading_pair, None)
        if track is not None:
            track.book.invalidate(reason)

    def find(self, trading_pair: str) -> TrackedBook:
        """Return a tracked book or raise ``UnknownPair``."""
        try:
            return self.tracks[trading_pair]
        except KeyError:
            known = ", ".join(self.tracks) or "none yet"
            raise UnknownPair(
                f"{trading_pair!r} is not streamed here; streamed: {known}. Add the pair first."
            ) from None

    def tracks_still(self, track: TrackedBook) -> bool:
        """Tell whether ``track`` is in use, not one of before its pair was removed."""
        return self.tracks.get(track.book.trading_pair) is track

    def ready(self, trading_pairs: Iterable[str] | None = None) -> bool:
        """Tell whether the pairs (``None``: all, of which there must be one) are tracked, synced and fresh."""
        pairs = tuple(self.tracks) if trading_pairs is None else tuple(trading_pairs)
        return bool(pairs) and all(pair in self.tracks and self.tracks[pair].ready for pair in pairs)

    def explain(self, trading_pairs: Iterable[str] | None = None) -> str:
        """Say in words which of the pairs (``None``: all) are not ready and why."""
        pairs = tuple(self.tracks) if trading_pairs is None else tuple(trading_pairs)
        return "; ".join(f"{pair}: {why}" for pair in pairs if (why := self._why_not(pair))) or "no pair is streamed"

    def _why_not(self, trading_pair: str) -> str:
        track = self.tracks.get(trading_pair)
        if track is None:
            return "not streamed"
        if track.stale:
            return f"nothing was heard for {track.age:.0f} s"
        if track.book.sync_error is None:
            return ""
        return track.book.sync_error + (f", last error: {track.last_error}" if track.last_error else "")

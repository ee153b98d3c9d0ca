"""Things that are asked for by name: ``core["binance"]``, ``market["BTC/USDT"]``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``; did you mean 'binance'?`` where a known name is close to a wrong one, else nothing."""
    by_small_letters = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), by_small_letters, 1, 0.5)
    return f"; did you mean {by_small_letters[near[0]]!r}?" if near else ""


class ByName:
    """What has parts by name: iterates over the names, and offers them to the completion of ``thing["<Tab>``.

    A subclass has ``_names`` and ``__getitem__``.
    """

    __slots__ = ()

    def _names(self) -> Iterable[str]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __contains__(self, name: object) -> bool:
        return name in tuple(self._names())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._names())

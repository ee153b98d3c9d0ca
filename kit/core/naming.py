"""Things that are asked for by name: ``core["binance"]``, ``market["BTC/USDT"]``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NoReturn, Self, TypeVar, overload

T = TypeVar("T")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``; did you mean 'binance'?`` where a known name is close to a wrong one, else nothing."""
    by_small_letters = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), by_small_letters, 1, 0.5)
    return f"; did you mean {by_small_letters[near[0]]!r}?" if near else ""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 order``, ``2 orders``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Named(Generic[T]):
    """A read-only attribute like a ``property``, whose value has parts by name.

    Tab after ``core.connectors["`` reads it; for a ``property`` IPython would not.
    """

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, thing: None, owner: type) -> Self: ...
    @overload
    def __get__(self, thing: object, owner: type | None = None) -> T: ...
    def __get__(self, thing: object, owner: type | None = None) -> Self | T:
        return self if thing is None else self._read(thing)

    def __set__(self, thing: object, value: object) -> NoReturn:
        raise AttributeError(f"{self._name} cannot be set")


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

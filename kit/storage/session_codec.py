"""Values of a recorded session as JSON and back, without losing a digit."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

from kit.errors import InvalidInput
from kit.types.market import OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost, TradingRule
from kit.types.orders import (
    Balance,
    BalanceUpdate,
    CancelFailed,
    CancelRequest,
    OrderRequest,
    OrderUpdate,
    TradeUpdate,
    UserStreamStatus,
)

T = TypeVar("T")

_VALUES: Final[Mapping[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        OrderBookSnapshot,
        OrderBookDiff,
        PublicTrade,
        StreamLost,
        TradingRule,
        Balance,
        BalanceUpdate,
        CancelFailed,
        CancelRequest,
        OrderRequest,
        OrderUpdate,
        TradeUpdate,
        UserStreamStatus,
    )
}


def dumps(value: Any) -> bytes:
    """Return a value as JSON: dataclasses as objects, decimals as text, enumerations by value.

    Floats keep every bit. Raises ``InvalidInput`` for what has no such form.
    """
    try:
        return orjson.dumps(value, default=_default, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise InvalidInput(f"a value of a session cannot be written as JSON: {error}") from error


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return str(value)


def plain(value: Any) -> Any:
    """Return a value as what reading it back from JSON gives."""
    return orjson.loads(dumps(value))


def tagged(value: Any) -> tuple[str, Any]:
    """Return a message as (name of its type, message), which ``untagged`` reads."""
    return type(value).__name__, value


def untagged(pair: Any) -> Any:
    """Return the message that ``tagged`` was given; raises ``InvalidInput`` for an unknown type."""
    name, data = pair
    kind = _VALUES.get(name)
    if kind is None:
        raise InvalidInput(f"a session holds a message of unknown type {name!r}; was it written by a newer version?")
    return build(kind, data)


def build(kind: type[T], data: Mapping[str, Any]) -> T:
    """Return the dataclass value that ``dumps`` was given; raises ``InvalidInput`` naming what does not read."""
    readers: tuple[tuple[str, Callable[[Any], Any]], ...] = _readers(kind)  # type: ignore[arg-type]  # a class is hashable
    try:
        return kind(**{name: read(data[name]) for name, read in readers if name in data})
    except (TypeError, ValueError, ArithmeticError, KeyError) as error:
        raise InvalidInput(f"a session's {kind.__name__} does not read: {data!r}") from error


@cache
def _readers(kind: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = get_type_hints(kind)
    known = [item for item in fields(kind) if item.init]
    assert all(item.name in hints or item.default is not MISSING for item in known)
    return tuple((item.name, _reader(hints[item.name])) for item in known)


def _reader(hint: Any) -> Callable[[Any], Any]:
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = [_reader(option) for option in get_args(hint) if option is not type(None)]
        return lambda value: None if value is None else inner(value)
    if get_origin(hint) is tuple:
        items = get_args(hint)
        if items[-1] is ...:
            read = _reader(items[0])
            return lambda values: tuple([read(value) for value in values])
        return tuple
    if hint is Decimal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return hint
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: build(hint, value)
    return _as_is


def _as_is(value: Any) -> Any:
    return value

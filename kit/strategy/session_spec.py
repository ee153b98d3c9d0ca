"""How a strategy is described in a session, and made anew from the description."""

# ruff: noqa: SLF001

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from kit.errors import InvalidInput
from kit.storage.session_codec import plain
from kit.strategy.params import Params
from kit.strategy.price_source import PriceSource
from kit.strategy.price_sources import MarketPrice, as_price_source
from kit.strategy.strategy_base import StrategyBase
from kit.types.orders import OrderType, TimeInForce

_ENUMS: Final[Mapping[str, type[Enum]]] = {kind.__name__: kind for kind in (OrderType, TimeInForce)}

MakeSource = Callable[[str, bool], PriceSource]
"""Makes the stand-in of a price source that cannot be replayed, from its name and whether it knows price types."""


def values_of(params: Params) -> dict[str, Any]:
    """Return parameters as JSON values by name."""
    values: dict[str, Any] = plain(params.values())
    return values


def source_hash(kind: type) -> str:
    """Return a hash of the source text of a strategy class and its bases; empty where no source can be found."""
    digest, found = hashlib.sha256(), False
    for base in kind.__mro__[: kind.__mro__.index(StrategyBase)]:
        for name, member in sorted(vars(base).items()):
            function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", member))
            if not inspect.isfunction(function):
                continue
            try:
                digest.update(f"{name}\n{inspect.getsource(function)}".encode())
                found = True
            except (OSError, TypeError):
                digest.update(function.__code__.co_code)
    return digest.hexdigest()[:16] if found else ""


def describe_source(source: Any, markets: Mapping[str, Any]) -> dict[str, Any] | None:
    """Describe a price source: a watched market's by name, any other as one whose answers are noted."""
    source = as_price_source(source)
    if source is None:
        return None
    if isinstance(source, MarketPrice) and any(source.market is market for market in markets.values()):
        return {"market": source.market.name, "pair": source.trading_pair}
    return {"name": source.name, "knows_types": source.knows_types}


def describe_strategy(strategy: StrategyBase, markets: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a strategy that begins: class, name, markets, parameters, price source.

    ``object`` tells whether two descriptions are of the same strategy, ``used`` that it ran before: what it remembers
    of the time before the session is not in it.
    """
    kind = type(strategy)
    prices = getattr(getattr(strategy, "_inputs", None), "prices", None)
    return {
        "object": id(strategy),
        "module": kind.__module__,
        "class": kind.__qualname__,
        "hash": source_hash(kind),
        "name": strategy.name,
        "markets": [market.name for market in strategy.markets],
        "pair": strategy._trading_pair,
        "params": values_of(strategy.params.model),
        "source": None if prices is None else describe_source(prices.source, markets),
        "used": bool(strategy._orders.active or strategy._orders._ended or strategy.health.total_errors),
    }


def find_class(spec: Mapping[str, Any]) -> type[StrategyBase]:
    """Import the class that a description names; raises ``InvalidInput`` where it cannot be imported."""
    told = f"{spec['module']}.{spec['class']}"
    hint = "hand the class over: kit.parity(session, strategy=TheClass)"
    try:
        found: Any = importlib.import_module(spec["module"])
        for name in spec["class"].split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"the session's strategy {told} cannot be imported ({error}); {hint}") from error
    if not (isinstance(found, type) and issubclass(found, StrategyBase)):
        raise InvalidInput(f"the session's strategy {told} is now {found!r}, which is no strategy class; {hint}")
    return found


def make_strategy(
    spec: Mapping[str, Any], given: Any, markets: Mapping[str, Any], make_source: MakeSource
) -> StrategyBase:
    """Make the strategy that a description tells of.

    ``given`` is its class, a function ``(markets) -> strategy``, or ``None``, which imports the class. Raises
    ``InvalidInput`` where that gives none.
    """
    kind = find_class(spec) if given is None else given
    if isinstance(kind, type) and issubclass(kind, StrategyBase):
        return _instance(kind, spec, markets, make_source)
    made = kind(dict(markets)) if callable(kind) and not isinstance(kind, StrategyBase) else kind
    if not isinstance(made, StrategyBase) or made is given:
        raise InvalidInput(
            f"strategy is {given!r}; give the strategy's class, or a function (markets: dict of connectors by name) -> "
            f"strategy, which makes it anew"
        )
    made.name = spec["name"]
    return made


def _instance(
    kind: type[StrategyBase], spec: Mapping[str, Any], markets: Mapping[str, Any], make_source: MakeSource
) -> StrategyBase:
    more: dict[str, Any] = {}
    if spec["source"] is not None:
        more["price_source"] = make_price_source(spec["source"], markets, make_source)
    first, *others = [markets[name] for name in spec["markets"]] or [None]
    try:
        strategy = kind(first, spec["pair"], name=spec["name"], params=kind.Params(**spec["params"]), **more)
    except TypeError as error:
        raise InvalidInput(
            f"{kind.__name__} cannot be made of market, pair, name and params ({error}); hand a function over that "
            f"makes it: kit.parity(session, strategy=lambda markets: {kind.__name__}(markets[…], …))"
        ) from error
    for market in others:
        strategy.add_market(market)
    return strategy


def make_price_source(
    spec: Mapping[str, Any] | None, markets: Mapping[str, Any], make_source: MakeSource
) -> PriceSource | None:
    """Make the price source that a description tells of."""
    if spec is None:
        return None
    if "market" in spec:
        return MarketPrice(markets[spec["market"]], spec["pair"])
    return make_source(spec["name"], spec["knows_types"])


def note_argument(value: Any) -> Any:
    """Return an argument of a command as a JSON value that ``read_argument`` reads."""
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "value": value.value}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if hasattr(value, "order_book_tracker"):
        return {"market": value.name}
    return value


def read_argument(value: Any, markets: Mapping[str, Any]) -> Any:
    """Return the argument that ``note_argument`` was given."""
    if not isinstance(value, dict):
        return value
    if "enum" in value:
        return _ENUMS[value["enum"]](value["value"])
    return Decimal(value["decimal"]) if "decimal" in value else markets[value["market"]]

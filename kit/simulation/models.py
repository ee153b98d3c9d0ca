"""The models of a simulated exchange, from objects or, as in configuration files, from their names."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final

from kit.errors import InvalidInput
from kit.simulation.own_latency import CheckedLatency

_HOMES: Final = {
    "queue": "kit.simulation.queue_models",
    "latency": "kit.simulation.latency",
    "exchange": "kit.simulation.exchange_models",
    "fees": "kit.simulation.fees",
}
_SHORT: Final = {"latency": "ConstantLatency", "fees": "Fees"}
"""What a plain number, or a table without ``model``, stands for."""

_NOT_MODELS: Final = ("QueueModel", "ExchangeModel", "SelfTradePrevention")
"""What the models' files hold besides: what models are derived from, and what one is told."""

_TOLD: Final = {
    "queue": ("code", "exponent", "address"),
    "exchange": ("partial", "prevention"),
    "fees": ("maker", "taker"),
}
_EXAMPLES: Final = {
    "queue": "a model such as LogProb2() or its name; a function of your own goes into OwnQueue(function), or "
    "OwnProbability(function)",
    "exchange": "PartialFill(), NoPartialFill() or their names",
    "fees": "one fraction for both (0.001 is 0.1 %), {'maker': '0.0002', 'taker': '0.0005'} or Fees(maker, taker)",
}


def find_model(role: str, given: Any) -> Any:
    """Return the model that was given: an object as it is, ``None`` for the default, else built from its description.

    ``role`` is ``queue``, ``latency``, ``exchange`` or ``fees``. A description is the name of a class of
    ``kit.simulation``, or a mapping with ``model`` and its arguments; for ``latency`` and ``fees`` the name may be left
    out, and a number is both latencies (seconds) or both fees (fractions). Raises ``InvalidInput``.
    """
    if isinstance(given, str):
        if role in _SHORT and _number(given) is not None:
            return _build_of_number(role, given)
        return _build(role, given, {})
    if isinstance(given, Mapping):
        arguments = dict(given)
        name = arguments.pop("model", _SHORT.get(role))
        if name is None:
            raise InvalidInput(f"{role} is {dict(given)}; name its class with model = '…'")
        return _build(role, str(name), arguments)
    if role in _SHORT and isinstance(given, int | float | Decimal) and not isinstance(given, bool):
        return _build_of_number(role, given)
    return None if given is None else _checked(role, given)


def _checked(role: str, model: Any) -> Any:
    if role == "latency":
        return model if type(model).__module__ == _HOMES[role] else CheckedLatency(model)
    try:
        good = not isinstance(model, type) and all(getattr(model, name, None) is not None for name in _TOLD[role])
    except NotImplementedError:  # a class of the user's own that leaves out what it must tell
        good = False
    if not good:
        raise InvalidInput(f"{role} is {model!r}; give {_EXAMPLES[role]}")
    return model


def of_exchange(given: Any, exchange: str) -> Any:
    """Return what was given for one exchange, where it was given by exchange; else what was given for all."""
    return given[exchange] if isinstance(given, Mapping) and exchange in given else given


def check_exchanges(role: str, given: Any, exchanges: Collection[str]) -> None:
    """Check that what is given by exchange is given for each and for no other. Raises ``InvalidInput``."""
    if not isinstance(given, Mapping) or not any(name in exchanges for name in given):
        return
    unknown, missing = [name for name in given if name not in exchanges], sorted(set(exchanges) - set(given))
    if unknown or missing:
        what = f"names {unknown[0]!r}" if unknown else f"says nothing of {missing[0]!r}"
        raise InvalidInput(f"{role} is given by exchange and {what}; the data are of {', '.join(sorted(exchanges))}")


def _build_of_number(role: str, given: Any) -> Any:
    found = _find(role, _SHORT[role])
    names = list(inspect.signature(found).parameters)[:2]
    return _call(role, found, dict.fromkeys(names, given))


def _build(role: str, name: str, arguments: Mapping[str, Any]) -> Any:
    return _checked(role, _call(role, _find(role, name), arguments))


def _find(role: str, name: str) -> Any:
    module = importlib.import_module(_HOMES[role])
    found = getattr(module, name, None)
    known = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not key.startswith("_")
        if not getattr(value, "_is_protocol", False) and key not in _NOT_MODELS
    ]
    if name not in known and len(known) == 1:
        raise InvalidInput(f"{role} is {name!r}; give {_EXAMPLES[role]}")
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidInput(f"there is no {role} model {name!r}; {hint}there are {', '.join(known)}")
    return found


def _call(role: str, found: Any, arguments: Mapping[str, Any]) -> Any:
    # Texts and Decimals of configuration files are what constructors of models take as floats.
    values = {name: _plain(value, texts=role == "latency") for name, value in arguments.items()}
    wanted = inspect.signature(found).parameters
    lacking = [name for name, one in wanted.items() if one.default is one.empty and name not in values]
    if lacking and set(values) <= set(wanted):
        raise InvalidInput(f"{role}: {found.__name__} lacks {' and '.join(lacking)}; it takes {', '.join(wanted)}")
    try:
        return found(**values)
    except TypeError as error:
        raise InvalidInput(f"{role}: {found.__name__} takes {', '.join(wanted) or 'nothing'}; {error}") from error


def _plain(value: Any, *, texts: bool) -> Any:
    number = _number(value) if texts and isinstance(value, str) else value
    if isinstance(number, Decimal):
        return float(number)
    return value if number is None else number


def _number(text: str) -> float | None:
    """Return a text that is a number, as parameters of strategies are often written."""
    try:
        return float(text)
    except ValueError:
        return None


def describe(model: Any) -> str:
    """Return how a model is named on the page of a result."""
    return type(model).__name__ if " at 0x" in repr(model) else repr(model)

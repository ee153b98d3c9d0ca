"""Parameters as TOML: numbers exact to the last digit, off as the word ``"off"``, what TOML cannot hold left out.

Whoever reads a value with another TOML reader gets a float where a number has a point; here no digit is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from kit.errors import InvalidInput
from kit.strategy.params import ParamField, Params, unknown_name

if TYPE_CHECKING:
    from tomlkit.items import Item

OFF: Final = "off"
_TEXTS: Final = ("str", "choice")


class NotWritable(ValueError):
    """TOML has no form for this value."""


def to_toml(field: ParamField, value: Any) -> Item:
    """Return a parameter's value as a TOML item; raises ``NotWritable``.

    ``None`` is ``"off"``, and ``false`` for texts and choices, which might really be "off".
    """
    import tomlkit

    if value is None:
        return tomlkit.item(False if field.kind in _TEXTS else OFF)
    return _item(value)


def _item(value: Any) -> Item:
    import tomlkit
    from tomlkit.items import Float, Trivia

    if isinstance(value, Enum):
        return _item(value.value)
    if isinstance(value, bool | str | int):
        return tomlkit.item(value)
    if isinstance(value, Decimal | float):
        number = Decimal(str(float(value))) if isinstance(value, float) else value
        if not number.is_finite():
            raise NotWritable(f"{value} is no finite number")
        text = f"{number:f}"
        return Float(float(number), Trivia(), text) if "." in text else tomlkit.item(int(text))
    if isinstance(value, tuple | list):
        array = tomlkit.array()
        for element in value:
            array.append(_item(element))
        return array
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        table = tomlkit.inline_table()
        for key, element in value.items():
            table.append(key, _item(element))
        return table
    raise NotWritable(f"a {type(value).__name__} has no form in TOML")


def from_toml(cls: type[Params], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what values of a TOML file mean for the parameters of ``cls``, not validated but for their names.

    ``values`` come from ``tomllib`` with ``parse_float=Decimal``. Raises ``InvalidInput`` that names every unknown one.
    """
    fields = {field.name: field for field in cls.describe()}
    if unknown := [name for name in values if name not in fields]:
        raise InvalidInput("\n".join(unknown_name(name, cls) for name in unknown))
    return {name: _value(fields[name], value) for name, value in values.items()}


def _value(field: ParamField, value: Any) -> Any:
    if field.optional:
        if value == OFF and field.kind not in _TEXTS:
            return None
        if value is False and field.kind in _TEXTS:
            return None
    return value

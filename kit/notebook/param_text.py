"""Parameters as a form writes them: texts in the units people think in, and back to exact values.

Fractions are percent in a form: ``Decimal("0.001")`` is written ``0.1``, with ``%`` beside it.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, Union, get_args, get_origin

from kit.errors import InvalidInput
from kit.strategy.params import LARGEST, ParamField, show

_NUMBERS: Final = ("decimal", "int", "float")
_PERCENT: Final = Decimal(100)
_MAX_STEPS: Final = 400
"""A slider of more steps than this cannot be set by hand to one of them."""


class ParamText:
    """One parameter as a form shows it: what kind of input, its texts, and what an entered text means."""

    def __init__(self, field: ParamField, units: Mapping[str, str] | None = None) -> None:
        self.field = field
        self.percent = field.unit == "fraction"
        self.unit = "%" if self.percent else (units or {}).get(field.unit, field.unit)
        self._sequence = field.kind == "other" and _is_number_sequence(field.annotation)

    @property
    def input(self) -> str:
        """Return ``number``, ``toggle``, ``choice``, ``text``, ``list`` or ``fixed`` (shown, not to be changed)."""
        if self.field.kind in _NUMBERS:
            return "number"
        if self._sequence:
            return "list"
        return {"bool": "toggle", "choice": "choice", "str": "text"}.get(self.field.kind, "fixed")

    def write(self, value: Any) -> str:
        """Return a value as text; off (``None``) is the empty text."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if self.input == "number":
            return self._write_number(value)
        if self.input == "list":
            return ", ".join(self._write_number(item) for item in value)
        if self.input == "choice":
            return str(value.value if isinstance(value, Enum) else value)
        return str(value) if self.input == "text" else show(value)

    def _write_number(self, value: Any) -> str:
        number = Decimal(str(value)) * (_PERCENT if self.percent else 1)
        if not number.is_finite():
            return str(number)
        text = f"{number:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def quantity(self, number: str) -> str:
        """Return the text of a number, as code writes it, with ``%`` where the form shows it so."""
        return f"{self._write_number(number)} %" if self.percent else number

    def read(self, text: str) -> Any:
        """Return the value that a text means; raises ``InvalidInput`` that says what may be entered."""
        text = text.strip()
        if not text and self.field.optional:
            return None
        readers: dict[str, Callable[[str], Any]] = {
            "number": self._read_number,
            "list": self._read_list,
            "toggle": self._read_toggle,
            "choice": self._read_choice,
            "text": str,
        }
        if self.input not in readers:
            raise InvalidInput("cannot be changed here; use strategy.params.update(…) in a cell")
        return readers[self.input](text)

    def _read_number(self, text: str) -> Any:
        try:
            number = Decimal(text.removesuffix("%").strip() if self.percent else text)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise InvalidInput(
                f"{text!r} is not a number; enter {self.allowed}" if text else f"is empty; enter {self.allowed}"
            )
        if number.copy_abs() > LARGEST:
            raise InvalidInput(f"{text} is out of range; enter {self.allowed}")
        value = number / _PERCENT if self.percent else number
        if self.field.kind == "int" and value != value.to_integral_value():
            raise InvalidInput(f"{text} is not a whole number; enter {self.allowed}")
        if not self.field.admits(value):
            raise InvalidInput(f"{text} is out of range; enter {self.allowed}")
        return {"int": int, "float": float}.get(self.field.kind, Decimal)(value)

    def _read_list(self, text: str) -> Any:
        return tuple(self._read_number(part.strip()) for part in text.replace(";", ",").split(","))

    def _read_toggle(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise InvalidInput(f"{text!r} is neither on nor off")
        return text == "true"

    def _read_choice(self, text: str) -> Any:
        for choice in self.field.choices:
            if self.write(choice) == text:
                return choice
        raise InvalidInput(f"{text!r} is none of {', '.join(self.choices)}")

    @property
    def choices(self) -> list[str]:
        """Return the texts of the choices."""
        return [self.write(choice) for choice in self.field.choices]

    @property
    def allowed(self) -> str:
        """Return what may be entered, in the form's units."""
        field = self.field
        unit = f" {self.unit}" if self.unit else ""
        bounds = (("above", field.gt), ("at least", field.ge), ("below", field.lt), ("at most", field.le))
        words = [f"{word} {self._write_number(bound)}{unit}" for word, bound in bounds if bound is not None]
        kind = "a whole number" if field.kind == "int" else "a number"
        if self.input in ("toggle", "choice", "text", "fixed"):
            text = "" if self.input in ("toggle", "fixed") else field.allowed.removesuffix(", or None for off")
        elif self.input == "list":
            text = "numbers parted by commas" + (f", each {' and '.join(words)}" if words else "")
        else:
            text = f"{kind} {' and '.join(words)}" if words else kind + (f" ({self.unit})" if self.unit else "")
        return f"{text}; empty is off" if field.optional and text else text

    def slider(self, value: Any) -> dict[str, float] | None:
        """Return ``min``, ``max`` and ``step`` of a slider around a value, ``None`` where one is no help.

        Bounds far apart for the step, or missing, are narrowed to what the value suggests: from zero to some four
        times the value. Any allowed number can be typed.
        """
        field = self.field
        if self.input != "number" or field.step is None or value is None:
            return None
        number, step = Decimal(str(value)), field.step
        if not number.is_finite():
            return None
        low = next((bound for bound in (field.ge, field.gt) if bound is not None), None)
        high = next((bound for bound in (field.le, field.lt) if bound is not None), None)
        if low is None or high is None or (high - low) / step > _MAX_STEPS:
            low, high = _near(number, step, low, high)
        low += step if low == field.gt else 0
        high -= step if high == field.lt else 0
        if not low <= number <= high:
            return None
        while (high - low) / step > _MAX_STEPS * 5:
            step *= 10
        scale = _PERCENT if self.percent else Decimal(1)
        return {"min": float(low * scale), "max": float(high * scale), "step": float(step * scale)}


def _near(value: Decimal, step: Decimal, low: Decimal | None, high: Decimal | None) -> tuple[Decimal, Decimal]:
    span = max(abs(value) * 4, step * 20)
    # Round up to 1, 2 or 5 of a power of ten, so that small changes of the value leave the slider as it is.
    power = Decimal(10) ** math.floor(span.log10())
    span = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span)
    near_low, near_high = (Decimal(0), span) if value >= 0 else (-span, Decimal(0))
    return (near_low if low is None else max(low, near_low)), (near_high if high is None else min(high, near_high))


def _is_number_sequence(annotation: Any) -> bool:
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return any(get_origin(part) is tuple and get_args(part) == (Decimal, ...) for part in parts)

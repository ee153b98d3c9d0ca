"""Parameters of strategies: typed, bounded, documented, and checked as a whole.

A strategy's parameters are fields of an immutable pydantic model::

    class Params(kit.Params):
        half_spread: Decimal = kit.param("0.001", gt=0, lt="0.05", step="0.0001", doc="distance from mid")

``Params`` values never change; ``strategy.params`` is a ``LiveParams`` (see ``kit.strategy.live_params``), a view that
reads the applied model and queues changes. Rules that involve several fields are written as pydantic's
``model_validator(mode="after")`` and raise ``ValueError`` naming the fields.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, ClassVar, Final, Literal, NoReturn, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from kit.errors import InvalidInput
from kit.types.drawn import Drawn

Number = Decimal | int | str | float
"""What a bound or a step may be written as."""

REQUIRED: Final = ...
"""The default of a parameter that must be given."""

RESERVED: Final = frozenset(
    {"fields", "model", "pending", "update", "save", "load", "preset", "describe", "values", "evolve"}
)
"""Names that ``strategy.params`` itself uses; no parameter may carry one."""

_BOUNDS: Final = ("gt", "ge", "lt", "le", "step")

LARGEST: Final = Decimal("1e30")
"""The greatest size of a decimal parameter: far above any amount or price, and still exact in every calculation."""


def param(
    default: Any = REQUIRED,
    *,
    gt: Number | None = None,
    ge: Number | None = None,
    lt: Number | None = None,
    le: Number | None = None,
    step: Number | None = None,
    unit: str = "",
    doc: str = "",
) -> Any:
    """Declare a parameter in the body of a ``Params`` class.

    ``default`` is converted to the annotated type and must lie within the bounds; without it the parameter must be
    given. ``gt``, ``ge``, ``lt``, ``le`` bound it (above, at least, below, at most), for a sequence each of its items.
    ``step`` is the grain of a control that changes it and does not restrict it. ``unit`` is ``"fraction"``, ``"s"``,
    ``"base"``, ``"quote"`` and the like. A parameter annotated ``Decimal | None`` may be ``None``, which means off.
    """
    bounds = {
        name: str(_bound(name, value))
        for name, value in zip(_BOUNDS, (gt, ge, lt, le, step), strict=True)
        if value is not None
    }
    extra: dict[str, Any] = {"unit": unit, **bounds}
    return Field(default, description=doc or None, json_schema_extra=extra)


def _bound(name: str, value: Number) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or (name == "step" and number <= 0):
        raise InvalidInput(f"{name}={value!r} of a parameter is not a finite number; write it like {name}='0.05'")
    return number


@dataclass(frozen=True, slots=True)
class ParamField:
    """What is known about one parameter; enough to draw a control for it.

    ``kind`` is one of ``decimal``, ``int``, ``float``, ``bool``, ``str``, ``choice``, ``other``; ``choices`` belong to
    ``choice``. ``optional`` tells whether ``None`` (off) is allowed, ``required`` whether there is no default.
    """

    name: str
    kind: str
    annotation: Any
    default: Any
    required: bool
    optional: bool
    gt: Decimal | None = None
    ge: Decimal | None = None
    lt: Decimal | None = None
    le: Decimal | None = None
    step: Decimal | None = None
    unit: str = ""
    doc: str = ""
    choices: tuple[Any, ...] = ()

    @property
    def allowed(self) -> str:
        """Return the allowed values in words."""
        words = [
            f"{word} {bound}"
            for word, bound in (("above", self.gt), ("at least", self.ge), ("below", self.lt), ("at most", self.le))
            if bound is not None
        ]
        items = _items(self.annotation)
        text = " and ".join(words) or items or self._any_value()
        if words and items:
            text = f"{items}, each {text}"
        if self.unit:
            text += f" ({self.unit})"
        return f"{text}, or None for off" if self.optional else text

    def _any_value(self) -> str:
        if self.choices:
            shown = [choice.value if isinstance(choice, Enum) else choice for choice in self.choices]
            return "one of " + ", ".join(repr(choice) for choice in shown)
        names = {"decimal": "a number", "float": "a number", "int": "a whole number", "bool": "True or False"}
        return names.get(self.kind, str(getattr(self.annotation, "__name__", self.annotation)))

    def admits(self, number: Decimal) -> bool:
        """Tell whether a finite number lies within the bounds."""
        return not (
            (self.gt is not None and number <= self.gt)
            or (self.ge is not None and number < self.ge)
            or (self.lt is not None and number >= self.lt)
            or (self.le is not None and number > self.le)
        )

    @classmethod
    def of(cls, name: str, info: FieldInfo) -> ParamField:
        """Read the description out of a pydantic field."""
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        bounds = {key: Decimal(str(extra[key])) for key in _BOUNDS if extra.get(key) is not None}
        plain, optional = _without_none(info.annotation)
        return cls(
            name=name,
            kind=_kind(plain),
            annotation=info.annotation,
            default=None if info.is_required() else _converted(_kind(plain), info.default),
            required=info.is_required(),
            optional=optional,
            unit=str(extra.get("unit", "")),
            doc=info.description or "",
            choices=_choices(plain),
            **bounds,
        )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        if len(parts) < len(get_args(annotation)):
            return (parts[0] if len(parts) == 1 else Union[tuple(parts)]), True  # noqa: UP007
    return annotation, False


def _items(annotation: Any) -> str:
    """Return in words what a sequence is of; empty for anything else."""
    plain, _ = _without_none(annotation)
    kinds = [kind for kind in get_args(plain) if kind is not ...] if get_origin(plain) in (tuple, list) else []
    names = ["numbers" if kind in (Decimal, int, float) else getattr(kind, "__name__", str(kind)) for kind in kinds]
    return f"a list of {', '.join(names)}" if names else ""


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(annotation)
    return ()


def _converted(kind: str, default: Any) -> Any:
    """Return a default as the type it is applied as; one that is no number is refused with its class soon after."""
    try:
        return Decimal(str(default)) if kind == "decimal" and default is not None else default
    except InvalidOperation:
        return default


def _kind(annotation: Any) -> str:
    if _choices(annotation):
        return "choice"
    return {Decimal: "decimal", int: "int", float: "float", bool: "bool", str: "str"}.get(annotation, "other")


class Params(Drawn, BaseModel):
    """A strategy's parameters as one immutable, validated value.

    Made with keywords: ``Params(half_spread="0.002")``. Decimals may be written as text, int, float (taken as it is
    printed: 0.1 is exactly 0.1) or Decimal. Raises ``InvalidInput`` that names each wrong parameter, its value and the
    allowed range; an unknown name is answered with the likely one.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    _fields: ClassVar[dict[str, ParamField]] = {}

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidInput(_explain(type(self), error)) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        taken = sorted(RESERVED.intersection(cls.model_fields))
        if taken:
            raise InvalidInput(
                f"{owner_name(cls)}: a parameter cannot be named {', '.join(taken)}; choose another name"
            )
        cls._fields = {name: ParamField.of(name, info) for name, info in cls.model_fields.items()}
        _check_defaults(cls)

    @field_validator("*", mode="before")
    @classmethod
    def _read_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls._fields[info.field_name or ""]
        if field.kind not in ("decimal", "int", "float"):
            return value
        if isinstance(value, bool):
            raise ValueError("is no number")  # noqa: TRY004 - pydantic collects ValueErrors only
        # A float stands for what it prints as; str() of numpy's floats prints the bare number, their repr does not.
        return str(float(value)) if field.kind == "decimal" and isinstance(value, float) else value

    @field_validator("*", mode="after")
    @classmethod
    def _check_bounds(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls._fields[info.field_name or ""]
        for number in _numbers(value):
            if not number.is_finite():
                raise ValueError("is not a finite number")
            if number.copy_abs() > LARGEST and field.kind not in ("int", "float"):
                raise ValueError("is beyond all sense; numbers go up to 10^30")
            if not field.admits(number):
                raise ValueError("is out of range")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        raise InvalidInput(
            f"{owner_name(type(self))} values are immutable; change a strategy's parameters with "
            f"strategy.params.update({name}={value!r})"
        )

    @classmethod
    def describe(cls) -> tuple[ParamField, ...]:
        """Return the description of every parameter, in order of declaration."""
        return tuple(cls._fields.values())

    def values(self) -> dict[str, Any]:
        """Return the values by name."""
        return {name: getattr(self, name) for name in type(self)._fields}

    def evolve(self, **changes: Any) -> Params:
        """Return a changed copy, validated as a whole; raises ``InvalidInput``."""
        return type(self)(**{**self.values(), **changes})

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={show(value)}" for name, value in self.values().items())
        return f"{type(self).__name__}({inside})"

    __str__ = __repr__


def _check_defaults(cls: type[Params]) -> None:
    """Refuse a class whose defaults break its own bounds; that required ones are missing is no mistake here."""
    if not cls.__pydantic_complete__:
        return  # an annotation is not defined yet; the defaults are then checked at the first use
    try:
        BaseModel.__init__(cls.__new__(cls))
    except ValidationError as error:
        wrong = [entry for entry in error.errors(include_url=False) if entry["type"] != "missing"]
        if wrong:
            raise InvalidInput(f"{owner_name(cls)}: in the defaults, {_sentence(cls, wrong[0])}") from None


def _numbers(value: Any) -> Iterable[Decimal]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, int | float):
        yield Decimal(str(value))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _numbers(item)


_PLAIN: Final = 60
"""Decimals of more places than this are shown with an exponent."""


def show(value: Any) -> str:
    """Return a value as short text, the way a user would write it."""
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() and abs(value.adjusted()) < _PLAIN else str(value)
    if isinstance(value, Enum):
        return repr(value.value)
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def owner_name(cls: type[Params]) -> str:
    """Return the name of the strategy that the parameters belong to, where their class's name tells it."""
    name = cls.__qualname__.rsplit("<locals>.", 1)[-1]
    return name.removesuffix("Params").rstrip(".") or name


def _explain(cls: type[Params], error: ValidationError) -> str:
    lines = [_sentence(cls, entry) for entry in error.errors(include_url=False)]
    return f"{owner_name(cls)}: " + "\n".join(lines)


def _sentence(cls: type[Params], entry: Any) -> str:
    location = entry["loc"]
    cause = entry.get("ctx", {}).get("error")
    problem = str(cause) if cause is not None else str(entry["msg"])
    if not location:
        return problem
    name = str(location[0])
    field = cls._fields.get(name)
    if field is None:
        return unknown_name(name, cls)
    doc = f"; {field.doc}" if field.doc else ""
    if entry["type"] == "missing":
        return f"{name} is missing; give it: {field.allowed}{doc}"
    separator = " " if cause is not None else ": "
    return f"{name} = {show(entry['input'])}{separator}{problem}; allowed: {field.allowed}{doc}"


def unknown_name(name: str, cls: type[Params], others: Iterable[str] = ()) -> str:
    """Return the sentence that answers a name which is no parameter, with the likely one."""
    names = list(cls._fields)
    likely = difflib.get_close_matches(name, [*names, *others], n=1, cutoff=0.6)
    hint = f"; did you mean {likely[0]!r}?" if likely else "."
    return f"unknown parameter {name!r}{hint} Parameters: {', '.join(names) or 'none'}"


def raise_unknown(name: str, cls: type[Params]) -> NoReturn:
    """Raise ``InvalidInput`` for a name that is no parameter."""
    raise InvalidInput(f"{owner_name(cls)}: {unknown_name(name, cls)}")

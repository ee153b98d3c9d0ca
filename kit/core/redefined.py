"""Tells whether a function or class of a notebook's cell is the one from before, run again.

Cells define things in the module ``__main__``. When one is run again there is a new function object of the same name,
and the old one is out of the user's sight, but not out of lists that it was put into.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

CELLS: Final = "__main__"


def replaces(new: Callable[..., Any], old: Callable[..., Any]) -> bool:
    """Tell whether ``new`` is ``old`` defined again by a cell.

    So it is when the name that ``old`` was defined under means another function now, and that one is ``new``; and when
    both do the same to the same things (functions within functions and lambdas have no name to tell them by). A method
    of an instance is replaced by the same method of an instance of the class defined again.
    """
    if isinstance(new, MethodType) and isinstance(old, MethodType):
        mine, theirs = type(new.__self__), type(old.__self__)
        return new.__name__ == old.__name__ and mine is not theirs and _is_stale(theirs) and _same_name(mine, theirs)
    if not (isinstance(new, FunctionType) and isinstance(old, FunctionType)) or new is old:
        return False
    if new.__module__ != CELLS or not _same_name(new, old):
        return False
    return _is_stale(old) or _same_behaviour(new, old)


def same_source(new: type, old: type) -> bool:
    """Tell whether two classes are one, or one and the same source run twice by a cell."""
    if new is old:
        return True
    if new.__module__ != CELLS or not _same_name(new, old) or len(new.__bases__) != len(old.__bases__):
        return False
    if not all(same_source(mine, theirs) for mine, theirs in zip(new.__bases__, old.__bases__, strict=True)):
        return False
    mine, theirs = _members(new), _members(old)
    return mine.keys() == theirs.keys() and all(_same_member(mine[name], theirs[name]) for name in mine)


def _members(cls: type) -> dict[str, Any]:
    """Return what the source of a class says; names with double underscores are the language's unless written there."""
    written = {
        name: value
        for name, value in vars(cls).items()
        if not (name.startswith(("__", "_abc_")) and getattr(value, "__module__", None) != CELLS)
    }
    # The fields of pydantic's models are among the language's names.
    described = {"annotations": vars(cls).get("__annotations__", {}), "fields": getattr(cls, "model_fields", {})}
    return {**written, **{name: repr(sorted(values.items())) for name, values in described.items()}}


def _same_member(new: Any, old: Any) -> bool:
    if isinstance(new, property) and isinstance(old, property):
        return all(_same_member(getattr(new, part), getattr(old, part)) for part in ("fget", "fset", "fdel"))
    if isinstance(new, staticmethod | classmethod) and type(new) is type(old):
        return _same_member(new.__func__, old.__func__)
    if isinstance(new, FunctionType) and isinstance(old, FunctionType):
        return _same_behaviour(new, old)
    if isinstance(new, type) and isinstance(old, type):
        return same_source(new, old)
    return same_value(new, old)


def same_value(new: Any, old: Any) -> bool:
    """Tell whether two values are one, or equal and of one type."""
    if new is old:
        return True
    try:
        return type(new) is type(old) and bool(new == old)
    except Exception:  # noqa: BLE001  # of foreign types, such as tables that answer with a table: not the same then
        return False


def _same_name(new: Any, old: Any) -> bool:
    return bool(new.__module__ == old.__module__ and new.__qualname__ == old.__qualname__)


def _is_stale(thing: Any) -> bool:
    """Tell whether the name that a cell defined ``thing`` under means something else now."""
    if thing.__module__ != CELLS or "<" in thing.__qualname__:
        return False
    found: Any = sys.modules[CELLS]
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is not thing


def _same_behaviour(new: FunctionType, old: FunctionType) -> bool:
    def cells(function: FunctionType) -> list[Any]:
        # A class's own cell, for super(), differs where the class was defined again; it says nothing about behaviour.
        names = function.__code__.co_freevars
        values = (cell.cell_contents for cell in function.__closure__ or ())
        return [value for name, value in zip(names, values, strict=True) if name != "__class__"]

    return (
        _same_code(new.__code__, old.__code__)
        and same_value(new.__defaults__, old.__defaults__)
        and same_value(new.__kwdefaults__, old.__kwdefaults__)
        and all(same_value(mine, theirs) for mine, theirs in zip(cells(new), cells(old), strict=True))
    )


def _same_code(new: CodeType, old: CodeType) -> bool:
    return (
        (new.co_code, new.co_names, new.co_varnames, new.co_freevars, len(new.co_consts))
        == (old.co_code, old.co_names, old.co_varnames, old.co_freevars, len(old.co_consts))
    ) and all(
        _same_code(mine, theirs)
        if isinstance(mine, CodeType) and isinstance(theirs, CodeType)
        else same_value(mine, theirs)
        for mine, theirs in zip(new.co_consts, old.co_consts, strict=True)
    )

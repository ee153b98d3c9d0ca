"""How objects show themselves in notebooks, without any layer below the top knowing notebooks.

It stands among the types, as the lowest of what shows itself are types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kit.errors import NotSupported

Bundle: TypeAlias = "dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]"
"""Pictures of an object by MIME type, and beside them, where given, metadata."""

_drawers: list[Callable[[object], Bundle]] = []
_plotters: list[Callable[..., Any]] = []
_warmers: list[Callable[[], object]] = []


def draw_with(drawer: Callable[[object], Bundle]) -> None:
    """Have every ``Drawn`` object drawn by ``drawer(object)`` from now on."""
    _drawers[:] = [drawer]


def plot_with(plotter: Callable[..., Any]) -> None:
    """Have figures made by ``plotter(kind, object, **options)`` from now on."""
    _plotters[:] = [plotter]


def warm_with(warmer: Callable[[], object]) -> None:
    """Have ``warm`` call ``warmer()`` from now on."""
    _warmers[:] = [warmer]


def warm() -> None:
    """Have loaded in the background what drawing needs, where there is a notebook to draw in; returns at once."""
    for warmer in _warmers:
        warmer()


def plot(kind: str, thing: object, **options: Any) -> Any:
    """Return a figure of an object; raises ``NotSupported`` where nothing that draws is wired."""
    if not _plotters:
        raise NotSupported(f"{kind} draws with kit.notebook, which is not loaded: import kit first")
    return _plotters[0](kind, thing, **options)


class Drawn:
    """An object that shows itself in notebooks: by the drawer that the top of the package wires, else as text."""

    __slots__ = ()

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        return _drawers[0](self) if _drawers else {"text/plain": repr(self)}

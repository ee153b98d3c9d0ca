"""A model that follows what it shows: a core's first market, its strategy; made anew when that is another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kit.core.affinity import LoopAffinity
from kit.errors import NotReady
from kit.notebook.formats import escape
from kit.notebook.panel import Frame, PanelModel


class Subject(NamedTuple):
    """What there is to show: ``key`` tells one from another, ``make`` makes its model; no ``make``: why not."""

    key: object
    make: Callable[[], PanelModel] | None = None
    why_not: str = ""


class FollowingModel:
    """Show what ``find()`` finds, on the loop of ``affinity()``.

    Where there is nothing, frames are ``{"empty": why}``.
    """

    def __init__(self, name: str, affinity: Callable[[], LoopAffinity], find: Callable[[], Subject]) -> None:
        self.name = name
        self._affinity = affinity
        self._find = find
        self._key: object = object()
        self._empty = ""
        self.model: PanelModel | None = None

    @property
    def affinity(self) -> LoopAffinity:
        """Return the hop to the core's loop."""
        return self._affinity()

    @property
    def ended(self) -> bool:
        """Tell whether nothing will change, neither in what is shown nor which it is."""
        return self._find().key == self._key and (self.model is None or self.model.ended)

    def _renew(self) -> bool:
        subject = self._find()
        if subject.key == self._key:
            return False
        self.model = None if subject.make is None else subject.make()
        self._key, self._empty = subject.key, subject.why_not
        return True

    def frame(self, full: bool) -> Frame | None:
        """Return the frame of what is shown, a full one when it is another one."""
        full = self._renew() or full
        if self.model is not None:
            return self.model.frame(full)
        return Frame({"empty": self._empty}) if full else None

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Hand over to what is shown."""
        self._renew()
        if self.model is None:
            raise NotReady(self._empty)
        return self.model.command(message)

    def text(self) -> str:
        """Return what is shown as text."""
        self._renew()
        return self._empty if self.model is None else self.model.text()

    def html(self) -> str:
        """Return what is shown as HTML."""
        self._renew()
        return f"<div>{escape(self._empty)}</div>" if self.model is None else self.model.html()

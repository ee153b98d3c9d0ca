"""A panel: what it shows comes from a model, where it shows is told by the pages that draw it.

Messages of a page: ``{"kind": "view", "id", "visible", "paint", "saving"}`` when a view appears, is seen or not seen,
misses a frame (``paint``), and every ten seconds as a sign of life (``saving``: whether its notebook keeps the state of
widgets); ``{"kind": "gone", "id"}``; and ``{"kind": "command", "id", "number", …}``. To the page go
``{"kind": "frame", "seq", "full", …}`` and, to answer a command, ``{"kind": "answer", "id", "number", "ok", …}``.
Frames are numbered; a page that misses one asks for a full one, so a lost message costs a moment and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from kit.core.affinity import LoopAffinity, running_loop
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.error_list import ErrorList
from kit.errors import KitError, NotReady
from kit.notebook import saving
from kit.notebook.refresh import Refresher, refresher_of

LEASE: Final = 35.0
"""Seconds after which a view without a sign of life counts as gone: its page was closed or lost."""

MAX_VIEWS: Final = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """What goes to the pages: JSON ``content`` and binary ``buffers``; not ``full`` means changes since the last."""

    content: Mapping[str, Any]
    buffers: Sequence[bytes] = field(default=())
    full: bool = True


class PanelModel(Protocol):
    """What a panel shows and does; everything is called on the core's loop, but for the fallbacks."""

    @property
    def name(self) -> str:
        """Return what the panel is called, such as ``depth of BTC/USDT``."""
        ...

    @property
    def affinity(self) -> LoopAffinity:
        """Return the hop to the core's loop."""
        ...

    @property
    def ended(self) -> bool:
        """Tell whether nothing will change any more until the core is started again."""
        ...

    def frame(self, full: bool) -> Frame | None:
        """Return all (``full``) or what changed since the last call, ``None`` when nothing did."""
        ...

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what a page asks for and return the answer; a ``KitError`` is told as it is."""
        ...

    def html(self) -> str:
        """Return the state of now as HTML that needs no script and no style sheet."""
        ...

    def text(self) -> str:
        """Return the state of now as a few lines of text."""
        ...


@dataclass(slots=True)
class _View:
    seen: float
    visible: bool


class Panel:
    """Connect a model with the views that pages have of it, by way of ``send(content, buffers)``.

    It is brought up to date by the timer of the model's loop while a view is visible. ``receive`` may be called on any
    thread. ``frames`` and ``bytes`` count what was sent.
    """

    def __init__(
        self,
        model: PanelModel,
        send: Callable[[dict[str, Any], list[bytes]], None],
        *,
        refresher: Refresher | None = None,
        time_source: TimeSource = SYSTEM_TIME,
        on_views: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self.frames = 0
        self._send = send
        self._time_source = time_source
        self._on_views = on_views
        self._views: dict[str, _View] = {}
        self._seq = 0
        self._full = True
        self._at_rest = False
        self._given = refresher
        self._home = running_loop()

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.model.name

    @property
    def errors(self) -> ErrorList:
        """Return where errors show: in the list of the model's core, in the kernel's where it has none."""
        return self.model.affinity.errors

    @property
    def home(self) -> Refresher | None:
        """Return the timer of the loop that the model lives on now; ``None`` where there is no loop."""
        return self._refresher()

    @property
    def views(self) -> int:
        """Return how many views show signs of life."""
        horizon = self._time_source.monotonic() - LEASE
        return sum(view.seen >= horizon for view in self._views.values())

    @property
    def wanted(self) -> bool:
        """Tell whether a view is visible and the model lives; the last state of one that ended is always painted."""
        horizon = self._time_source.monotonic() - LEASE
        visible = any(view.visible and view.seen >= horizon for view in self._views.values())
        return visible and (self._full or not self._at_rest or not self.model.ended)

    def refresh(self) -> None:
        """Send the frame that is due, if any."""
        at_rest = self.model.ended  # asked first: what ends meanwhile is asked for once more
        frame = self.model.frame(self._full)
        self._at_rest = at_rest
        if frame is None:
            return
        self._full = False
        self._seq += 1
        self.frames += 1
        content = {"kind": "frame", "seq": self._seq, "full": frame.full, **frame.content}
        self._send(content, list(frame.buffers))

    def rouse(self) -> None:
        """Go back into the timer's beat where there may be news again; on the core's loop."""
        refresher = self._refresher()
        if refresher is not None and self.wanted and self not in refresher.panels:
            refresher.wake(self)

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take in a message of a page, whatever thread brings it."""
        try:
            refresher = self._refresher()
            if refresher is None:
                self._receive(message, None)
            else:
                refresher.affinity.call(self._receive, message, refresher)
        except NotReady as error:
            self._answer(message, {"ok": False, "text": str(error)})

    def close(self) -> None:
        """Forget the views and leave the timer."""
        self._views.clear()
        refresher = self._refresher()
        if refresher is not None:
            refresher.drop(self)

    def _refresher(self) -> Refresher | None:
        if self._given is not None:
            return self._given
        # A core that never ran has no loop yet; it will be the one that the panel was made on.
        loop = self.model.affinity.loop or self._home
        return None if loop is None else refresher_of(loop)

    def _receive(self, message: Mapping[str, Any], refresher: Refresher | None) -> None:
        kind = message.get("kind")
        try:
            if kind == "view":
                self._show(message, refresher)
            elif kind == "gone":
                self._views.pop(str(message.get("id")), None)
                self._on_views()
            elif kind == "command":
                self._obey(message)
                if refresher is not None:
                    refresher.wake(self)
        except Exception as error:  # noqa: BLE001  # raised into the kernel's message handling, nobody would see it
            self.errors.add(f"{self.name}: message {kind!r}", error)

    def _show(self, message: Mapping[str, Any], refresher: Refresher | None) -> None:
        key, visible = str(message.get("id")), bool(message.get("visible"))
        known = self._views.get(key)
        now = self._time_source.monotonic()
        saving.note(message.get("saving"))
        self._views[key] = _View(now, visible)
        self._forget_lost(now)
        if visible and (message.get("paint") or known is None or not known.visible):
            self._full = True
        self._on_views()
        if refresher is not None:
            refresher.wake(self)
        elif self.wanted:
            self.refresh()

    def _forget_lost(self, now: float) -> None:
        for key in [key for key, view in self._views.items() if view.seen < now - LEASE]:
            del self._views[key]
        while len(self._views) > MAX_VIEWS:
            del self._views[next(iter(self._views))]

    def _obey(self, message: Mapping[str, Any]) -> None:
        try:
            answer = {"ok": True, **self.model.command(message)}
        except KitError as error:
            answer = {"ok": False, "text": str(error)}
        except Exception as error:  # noqa: BLE001  # the user clicked and must hear of it, wherever it came from
            self.errors.add(f"{self.name}: {message.get('do')}", error)
            answer = {"ok": False, "text": f"{type(error).__name__}: {error}"}
        self._answer(message, answer)

    def _answer(self, message: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        if message.get("kind") == "command":
            head = {"kind": "answer", "id": message.get("id"), "number": message.get("number")}
            self._send({**head, **answer}, [])

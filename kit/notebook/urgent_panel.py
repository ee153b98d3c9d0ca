"""A panel whose commands need not wait for the core's loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kit.notebook.panel import Panel, PanelModel


class UrgentModel(PanelModel, Protocol):
    """A model that obeys on any thread, and tells on any thread how it goes on."""

    def follow(self, tell: Callable[[Mapping[str, Any]], None]) -> Callable[[], None]:
        """Call ``tell(content)`` at every change, on the thread that brings it; returns what ends that."""
        ...


class UrgentPanel(Panel):
    """Commands are obeyed at once on the thread that brings them, also while a cell blocks the core's loop.

    What the model tells goes to the pages at once as ``{"kind": "news", …}``, beside the frames.
    """

    model: UrgentModel
    _unfollow: Callable[[], None] | None = None

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take in a message of a page, whatever thread brings it."""
        if self._unfollow is None:
            self._unfollow = self.model.follow(self._tell)
        if message.get("kind") == "command":
            self._obey(message)
        else:
            super().receive(message)

    def close(self) -> None:
        """Forget the views, leave the timer and hear no more."""
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        super().close()

    def _tell(self, content: Mapping[str, Any]) -> None:
        self._send({"kind": "news", **content}, [])

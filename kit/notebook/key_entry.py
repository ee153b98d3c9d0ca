"""The panel where keys are entered: its commands run on a thread of their own, its widget holds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from kit.errors import KitError, NotReady
from kit.notebook.panel import Panel
from kit.notebook.widgets import LiveWidget, _read


class KeyPanel(Panel):
    """Obeys on a thread, one command after the other: encryption takes half a second, an exchange's answer longer."""

    _worker: ThreadPoolExecutor | None = None

    def _obey(self, message: Mapping[str, Any]) -> None:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "keys")
        work = self._worker.submit(self._outcome, message)
        work.add_done_callback(lambda done: self._deliver(message, done))

    def _outcome(self, message: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True, **self.model.command(message)}
        except KitError as error:
            return {"ok": False, "text": str(error)}
        except Exception as error:  # noqa: BLE001  # told without its text, which may hold what was typed
            self.errors.add(f"{self.name}: {message.get('do')}", RuntimeError(type(error).__name__))
            return {"ok": False, "text": f"failed with {type(error).__name__}"}

    def _deliver(self, message: Mapping[str, Any], done: Future[dict[str, Any]]) -> None:
        refresher = self._refresher()
        if refresher is None:
            self._answer(message, done.result())
            return
        try:
            refresher.affinity.call(self._answer, message, done.result())
            refresher.affinity.call(refresher.wake, self)
        except NotReady:
            return  # the kernel's loop is gone, and with it the page

    def close(self) -> None:
        """Forget the views, leave the timer and end the thread when its work is done."""
        if self._worker is not None:
            self._worker.shutdown(wait=False)
            self._worker = None
        super().close()


class KeysWidget(LiveWidget):
    """The list of stored keys, without themselves, and the form to enter one."""

    _esm = _read("live.js", "keys.js")
    _css = _read("live.css", "keys.css")

    def _panel_of(self, model: Any) -> Panel:
        return KeyPanel(model, self._send_frame, on_views=self._note_views)

"""The event loop that a core lives on: the caller's, such as a notebook kernel's, or one in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Final, Literal, get_args

from kit.errors import InvalidInput, NotReady

LoopKind = Literal["kernel", "thread"]

START_PATIENCE: Final = 10.0
END_PATIENCE: Final = 10.0
"""Seconds that the thread has to start and to end."""

LAST_BEAT: Final = 0.3
"""Seconds for which the loop goes on after its end was asked for, so that panels show how it all ended."""


def checked_kind(kind: str) -> LoopKind:
    """Return ``kind``; raises ``InvalidInput`` for one that there is not."""
    for known in get_args(LoopKind):
        if kind == known:
            return known  # type: ignore[no-any-return]
    raise InvalidInput(f"loop is {kind!r}; it must be 'kernel' (the loop that runs the cells) or 'thread'")


class CoreLoop:
    """Finds the loop for a core of the given kind, and ends the thread where there is one.

    ``changing`` is held while a core moves to a loop, as two threads may ask for it first.
    """

    def __init__(self, kind: LoopKind, name: str) -> None:
        self.kind = kind
        self.changing: Final = threading.Lock()
        self._name = name
        self._thread: _LoopThread | None = None

    def find(self) -> asyncio.AbstractEventLoop:
        """Return the running loop of this thread, or that of the core's own thread, which is started when need be."""
        if self.kind == "kernel":
            return asyncio.get_running_loop()
        if self._thread is None or not self._thread.is_alive():
            self._thread = _LoopThread(self._name)
        return self._thread.begin()

    async def end(self) -> bool:
        """End the core's own thread, where there is one; tell whether a thread ended.

        Called from that thread itself, it ends as soon as the calling task is done.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return False
        if thread is threading.current_thread():
            task = asyncio.current_task()
            if task is not None:
                task.add_done_callback(lambda _: thread.finish())
            return True
        thread.finish()
        # A blocking join would stop the caller's loop; this takes a few milliseconds.
        for _ in range(int(END_PATIENCE / 0.005)):
            if not thread.is_alive():
                return True
            await asyncio.sleep(0.005)
        raise NotReady(f"{thread.name} did not end within {END_PATIENCE:g} s: something on it blocks its loop")


class _LoopThread(threading.Thread):
    """A thread that runs a loop until ``finish``; what is left on the loop then is cancelled."""

    def __init__(self, name: str) -> None:
        super().__init__(name=f"kit core {name}", daemon=True)
        self._begun = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished: asyncio.Event | None = None

    def begin(self) -> asyncio.AbstractEventLoop:
        """Start once, and return the loop as soon as it runs."""
        if not self._begun.is_set():
            self.start()
        if not self._begun.wait(START_PATIENCE) or self._loop is None:
            raise NotReady(f"{self.name} did not start within {START_PATIENCE:g} s; try again")
        return self._loop

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._finished = asyncio.get_running_loop(), asyncio.Event()
        self._begun.set()
        await self._finished.wait()
        await asyncio.sleep(LAST_BEAT)

    def finish(self) -> None:
        """Let the loop end, from any thread."""
        if self._loop is not None and self._finished is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._finished.set)

"""Hops to the one loop that owns the core, from whatever thread or loop a call comes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from kit.core.error_list import ERRORS, ErrorList
from kit.errors import AmbiguousOutcome, NotReady

T = TypeVar("T")

WAKE_INTERVAL: Final = 0.25
"""Seconds between two looks of a loop that waits for another one."""

READ_PATIENCE: Final = 1.0
"""Seconds that a reader on another thread waits for the loop before it looks for itself."""


class LoopAffinity:
    """Run things on ``loop``, the core's, from anywhere; ``None`` (simulations) means wherever the caller is.

    Widget callbacks of a notebook come on the main thread or on a subshell's thread, which has a running loop of its
    own, and that changes from click to click: so the loop is handed in once and never asked for in a callback.
    ``errors`` are the core's: what fails without anybody to hear of it goes there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None, *, errors: ErrorList = ERRORS) -> None:
        self._loop = loop
        self.errors = errors
        self._thread: int | None = threading.get_ident() if loop is not None and running_loop() is loop else None

    def __repr__(self) -> str:
        words = "no loop" if self._loop is None else "here" if self.here else "another thread"
        return f"<LoopAffinity: {words}>"

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the core's loop."""
        return self._loop

    @property
    def here(self) -> bool:
        """Tell whether the caller may touch the core directly: it runs on the loop's thread, or there is no loop.

        Between two runs of the loop its thread counts as the one this object was made on.
        """
        if self._loop is None or running_loop() is self._loop:
            return True
        return not self._loop.is_running() and threading.get_ident() == self._thread

    def call(self, fn: Callable[..., object], *args: Any) -> None:
        """Call ``fn(*args)`` now when here, else soon on the loop, without waiting.

        Off the loop an exception of ``fn`` is noted in ``errors``. Raises ``NotReady`` when the loop runs no more.
        """
        if self.here:
            fn(*args)
        else:
            self._schedule(self._logged, fn, args)

    def _logged(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            fn(*args)
        except Exception as error:  # noqa: BLE001  # nobody waits for the answer: the list is where it shows
            self.errors.add(f"{getattr(fn, '__qualname__', repr(fn))} on the core's loop", error)

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Await ``coro`` on the core's loop, from any loop; cancelling this cancels it there.

        Raises ``NotReady``, and closes the coroutine, when the core's loop runs no more.
        """
        if self._loop is None or running_loop() is self._loop:
            return await coro
        if not self._loop.is_running():
            coro.close()
            raise NotReady(_GONE)
        future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coro, self._loop))
        try:
            # ipykernel takes note of an interrupt only when its loop wakes up next, and nothing else may wake it.
            while not (await asyncio.wait({future}, timeout=WAKE_INTERVAL))[0]:
                pass
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def run_sync(self, fn: Callable[..., T], *args: Any, timeout: float = 5.0) -> T:
        """Call ``fn(*args)`` on the loop and return its result, blocking this thread at most ``timeout`` seconds.

        Raises what ``fn`` raises; ``NotReady`` when the loop did not come to it in time (then it is never called) or
        runs no more; ``AmbiguousOutcome`` when the call began but did not end in time.
        """
        if self.here:
            return fn(*args)
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._schedule(_fulfil, result, fn, args)
        try:
            return result.result(timeout)
        except concurrent.futures.TimeoutError:
            if result.done():  # fn itself raised a TimeoutError, or the answer came this moment
                return result.result()
            if result.cancel():
                raise NotReady(
                    f"the core's event loop did not answer within {timeout:g} s, and the call was taken back: "
                    "a cell blocks the loop; interrupt it or wait, then call again"
                ) from None
            raise AmbiguousOutcome(
                f"{fn!r} began on the core's event loop but did not end within {timeout:g} s"
            ) from None

    def read(self, fn: Callable[..., T], *args: Any) -> T:
        """Return what ``fn(*args)`` reads of the core, all of one moment: called on the loop, or right here.

        From elsewhere it waits at most 1 s for the loop. One that does not answer stands still, within a cell or a
        tick, and then what is read stands still, too: ``fn`` is called on this thread.
        """
        if self.here:
            return fn(*args)
        try:
            return self.run_sync(fn, *args, timeout=READ_PATIENCE)
        except (NotReady, AmbiguousOutcome):
            return fn(*args)

    def _schedule(self, fn: Callable[..., object], *args: Any) -> None:
        loop = self._loop
        if loop is None or not loop.is_running():
            raise NotReady(_GONE)
        try:
            loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:  # closed between the question and the call
            raise NotReady(_GONE) from None


_GONE = "the event loop that the core lives on is not running: start the core again on a running loop"


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs on this thread, ``None`` where none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _fulfil(result: concurrent.futures.Future[Any], fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(fn(*args))
    except BaseException as error:  # noqa: BLE001  # it belongs to the thread that waits
        result.set_exception(error)

"""The guard process as the core holds it: started, written to from any thread, read by a thread of its own."""

from __future__ import annotations

import contextlib
import os
import select
import site
import subprocess  # the child is this package, run by this interpreter
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kit.errors import NotReady
from kit.guard.messages import decode, encode
from kit.types.secret_variables import without_keys


class GuardChild:
    """One guard process. ``on_message`` and ``on_end`` are called on the reading thread.

    ``diary`` is the descriptor of the file that its standard error goes to. Raises ``NotReady`` when it cannot start.
    """

    def __init__(
        self,
        core_name: str,
        diary: int,
        on_message: Callable[[GuardChild, dict[str, Any]], None],
        on_end: Callable[[GuardChild], None],
    ) -> None:
        if not sys.executable:
            raise NotReady("the guard cannot start: this Python does not tell its own path (sys.executable)")
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", "kit.guard", core_name],  # the name is for those who read `ps`
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=diary,
                bufsize=0,
                start_new_session=True,  # an interrupt, or a kill of the kernel's process group, is not for the guard
                env=_environment(),
            )
        except OSError as error:
            raise NotReady(f"the guard cannot start: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)  # a guard that does not read must not block the core's loop
        self._writing = threading.Lock()
        self._on_message, self._on_end = on_message, on_end
        self.said_hello = threading.Event()
        self.ended = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"guard of {core_name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: Mapping[str, Any], patience: float = 0.5) -> bool:
        """Write a message, waiting at most ``patience`` seconds for room in the pipe; tell whether it went out whole.

        Callable from any thread.
        """
        data = memoryview(encode(message))
        if not self._writing.acquire(timeout=patience):
            return False
        try:
            while data:
                try:
                    data = data[os.write(self._input, data) :]
                except BlockingIOError:
                    if patience <= 0 or not self._room(patience):
                        return False
            return True
        except (OSError, ValueError):  # it ended
            return False
        finally:
            self._writing.release()

    def _room(self, patience: float) -> bool:
        poll = select.poll()
        poll.register(self._input, select.POLLOUT)
        return bool(poll.poll(patience * 1000))

    def _read(self) -> None:
        rest = b""
        while data := self._next():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    message = decode(line)
                    if message.get("say") == "hello":
                        self.said_hello.set()
                    self._on_message(self, message)
        self._process.wait()
        with self._writing:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._input = -1
        self.ended.set()
        self._on_end(self)

    def _next(self) -> bytes:
        try:
            return os.read(self._output, 65536)
        except OSError:
            return b""

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wait(self, timeout: float) -> bool:
        """Block until it has ended, at most ``timeout`` seconds; tell whether it has."""
        return self.ended.wait(timeout)


def _environment() -> dict[str, str]:
    """Return the child's environment: ours without keys, and the way to this package where Python would not find it."""
    root, ours = str(Path(__file__).resolve().parents[2]), without_keys(os.environ)
    if root in site.getsitepackages():
        return ours
    path = os.environ.get("PYTHONPATH")
    return {**ours, "PYTHONPATH": root if not path else f"{root}{os.pathsep}{path}"}

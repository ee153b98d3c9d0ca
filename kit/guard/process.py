"""The guard process' surroundings: pipes, signals, and the end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from kit.core.clock import SYSTEM_TIME
from kit.guard.diary import Diary
from kit.guard.keeper import Keeper
from kit.guard.messages import encode


class _Lines(asyncio.Protocol):
    """Cuts what comes through the pipe into lines."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line:
                self._keeper.on_line(line)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._keeper.on_end()


async def _serve(answers: int, diary: Diary) -> None:
    def say(message: Mapping[str, Any]) -> None:
        try:
            os.write(answers, encode(message))
        except OSError:  # the core is gone, or does not read: it has the diary
            return

    keeper = Keeper(say, diary, SYSTEM_TIME)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, keeper.on_terminate)
    await loop.connect_read_pipe(lambda: _Lines(keeper), os.fdopen(0, "rb", buffering=0))
    await keeper.run()


def main() -> None:
    """Guard until there is nothing left to guard; messages come on standard input, the diary is standard error."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library may print is no answer
    os.set_blocking(answers, False)
    diary = Diary(2, SYSTEM_TIME.time)
    root = logging.getLogger()
    root.addHandler(diary)
    root.setLevel(logging.WARNING)

    def unexpected(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        diary.note("error", f"the guard failed: {kind.__name__}: {error}")

    sys.excepthook = unexpected
    code = 1
    try:
        asyncio.run(_serve(answers, diary))
        code = 0
    except BaseException as error:  # noqa: BLE001  # the last words before the exit below
        diary.note("error", f"the guard failed: {type(error).__name__}: {error}")
    finally:
        os._exit(code)  # a thread may still import ccxt; nobody waits for it

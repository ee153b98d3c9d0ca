"""Records a core's session whole: all that reaches it, and all that it decides, for a replay that decides the same."""

from __future__ import annotations

import logging
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from kit.errors import NotReady
from kit.storage.session_files import SUFFIX, Frame, SessionWriter
from kit.strategy.session_taps import SessionTaps
from kit.strategy.session_witness import Witness
from kit.types.drawn import Drawn

logger = logging.getLogger(__name__)


class SessionRecording(Drawn):
    """Records a core (a ``TradingCore``) until ``stop``, or until the core is stopped.

    Market and account messages are noted as they are processed, with ticks, parameters as they are applied, readiness,
    prices of a price source, every order and cancel, rules and balances at the begin, and what the strategy is. The
    file grows by a block a second, so that a crash costs about that; nothing waits for the disk. Read it with
    ``kit.open_session(path)``, replay it with ``kit.parity(path)``.

    What the strategy's code asks of the world by itself (a clock of its own, a file, the network, random numbers,
    variables of the notebook) is not noted: a replay shows that it decides otherwise.

    Begin before the strategy runs, as what it remembers cannot be looked up later. Raises ``NotReady`` while it runs.
    """

    def __init__(self, core: Any, folder: str | Path) -> None:
        if core.running and core.strategy is not None:
            raise NotReady(
                f"core {core.name}: the strategy runs already, and what it remembers cannot be recorded any more; call "
                "record_session() before start(), or take it out (core.strategy = None), record, and assign it anew"
            )
        if not core.affinity.here:
            raise NotReady(f"core {core.name}: record_session() must be called on the thread that the core lives on")
        self._core = core
        source = core._time_source  # noqa: SLF001  (the recorder is the core's own part, kept in a file of its own)
        self._witness = Witness(self._take, source.time)
        self._end = core._run.stop  # noqa: SLF001
        self.stopped = False
        ids = core.connector_manager.ids
        self._writer = SessionWriter(
            _free_path(Path(folder), core.name, source.time()),
            {
                "core": core.name,
                "begun": source.time(),
                "tick_size": core.clock.tick_size,
                "tag": ids.tag,
                "salt": ids.salt,
                "kit": version("kit-trading"),
                "python": platform.python_version(),
                "pydantic": version("pydantic"),
            },
        )
        self._taps = SessionTaps(self._witness, core)
        self._witness.add("start", core.name, self._taps.begin())
        self._witness.replace(core._run, "stop", self._stop_with_core)  # noqa: SLF001

    @property
    def path(self) -> Path:
        """Return the file that is written."""
        return self._writer.path

    @property
    def status(self) -> dict[str, object]:
        """Return what was written: frames, bytes; ``error`` where writing failed, ``reentered`` as in ``Witness``."""
        writer = self._writer
        return {
            "path": str(writer.path),
            "recording": not self.stopped and not writer.error,
            "frames": writer.frames,
            "bytes": writer.bytes,
            "reentered": self._witness.reentered,
            "error": writer.error,
        }

    def stop(self) -> Path:
        """Write what is left, close the file and return its path; idempotent, from any thread."""
        return cast("Path", self._core.affinity.run_sync(self._stop))

    def _stop(self) -> Path:
        if not self.stopped:
            self.stopped = True
            self._taps.release()
            self._witness.add("end", self._core.name, {"reentered": self._witness.reentered})
            self._writer.close()
        return self.path

    async def _stop_with_core(self, timeout: float) -> Any:
        try:
            return await self._end(timeout)
        finally:
            self.stop()

    def _take(self, frame: Frame) -> None:
        if frame.kind == "end" or not self.stopped:
            self._writer.put(frame)

    def __repr__(self) -> str:
        state = "stopped" if self.stopped else "recording"
        return f"<SessionRecording {state} {self.path}: {self._writer.frames} frames, {self._writer.bytes} bytes>"


def _free_path(folder: Path, core_name: str, now: float) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    stem = f"{stamp}-{re.sub(r'[^A-Za-z0-9_-]+', '_', core_name)}"
    path, number = folder / f"{stem}{SUFFIX}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{SUFFIX}"
    return path

"""Whether this process runs the core of a name or watches another process of the user that does."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.trading.instance_lock import Instance, InstanceLock, core_file, this_process
from kit.trading.red_button import RedButton
from kit.trading.red_door import RedDoor
from kit.trading.state_file import StateFile
from kit.trading.telling import Telling, ToldCore
from kit.trading.watching import ReadOnly, Watching
from kit.types.ports import Credentials

logger = logging.getLogger(__name__)


class InstancedCore(ToldCore, Protocol):
    """What is asked of a core."""

    supervisor: TaskSupervisor
    red_button: RedButton


@dataclass(frozen=True)
class WatchedEndpoint:
    """Where the running core's exchange is, to stream its data from."""

    url: str
    credentials: Credentials | None = None


class CoreInstance:
    """Takes the lock with a core's first trading connector, then tells others; or watches who has it.

    All of it happens on the core's loop, under the lock that orders the coming and going of connectors.
    """

    def __init__(self, core: InstancedCore, time_source: TimeSource) -> None:
        self._core = core
        self._time_source = time_source
        self._lock = InstanceLock(core.name)
        self._view: ReadOnly | None = None
        self._telling: Telling | None = None
        self._door: RedDoor | None = None
        self._file: StateFile | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def read_only(self) -> ReadOnly | None:
        """Return who else runs the core, ``None`` where nobody does."""
        return self._view

    async def admit(self, options: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return a connector's options as they are, or as those of a view where another process runs the core."""
        if options["mode"] == "data":
            return dict(options)
        await asyncio.to_thread(importlib.import_module, "filelock")
        if self._lock.acquire():  # not in the thread: an interrupt would leave it taken, with nobody to know
            await self._own()
            endpoint = options["endpoint"]
            if self._telling is not None:
                self._telling.urls[name] = getattr(endpoint, "url", None)
            return dict(options)
        await self._watch()
        return {**options, **self._as_view(name, options["endpoint"])}

    def _as_view(self, name: str, endpoint: Any) -> dict[str, Any]:
        seen = None if self._view is None or self._view.seen is None else self._view.seen.connectors.get(name)
        if seen is not None and seen.url is not None:
            endpoint = WatchedEndpoint(seen.url)
        return {"mode": "data", "credentials": None, "paper": None, "endpoint": endpoint}

    async def _own(self) -> None:
        if self._view is not None:
            logger.warning("core %s runs here from now on: %s has ended", self._core.name, self._view.what)
            self._view = None
            await self._end_task()
        if self._telling is None:
            self._file = StateFile(core_file(self._core.name, "json"))
            instance = this_process(self._time_source.time())
            self._telling = Telling(self._core, instance, self._file, self._time_source)
            self._open_door(instance)
        self._keep_up(self._telling.run(), "telling")

    def _open_door(self, instance: Instance) -> None:
        self._door = RedDoor(self._core.name, self._core.red_button, instance)
        try:
            self._door.open()
        except (OSError, RuntimeError) as error:  # no file, no socket, no thread
            logger.warning("core %s: no other process can press its red button: %s", self._core.name, error)

    async def _watch(self) -> None:
        file = StateFile(core_file(self._core.name, "json"))
        seen = await asyncio.to_thread(file.read)
        if self._view is None:
            instance = seen.instance if seen is not None else Instance(0, self._time_source.time(), "another process")
            self._view = ReadOnly(self._core.name, instance, seen)
            logger.warning("%s", self._view.text)
        core = self._core
        watching = Watching(self._view, file, lambda: core.connectors, core.session_logs, self._time_source)
        self._keep_up(watching.run(), "watching")

    def _keep_up(self, coroutine: Any, name: str) -> None:
        if self._task is not None and not self._task.done() and self._task.get_loop() is asyncio.get_running_loop():
            coroutine.close()
            return
        self._task = self._core.supervisor.spawn(coroutine, name=name)

    async def _end_task(self) -> None:
        if self._task is not None and self._task.get_loop() is asyncio.get_running_loop():
            await self._core.supervisor.cancel(self._task)
        self._task = None

    def settle(self) -> None:
        """Let others run the core once it has nothing here that trades."""
        if all(connector.mode == "data" for connector in self._core.connectors.values()) and self._view is None:
            self.release()

    def release(self) -> None:
        """Let others run the core; a view ends."""
        self._view = None
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._task = None
        if self._file is not None and self._lock.held:
            self._file.remove()
        door, self._door = self._door, None
        self._file = self._telling = None
        try:
            if door is not None:
                door.close()
        finally:
            self._lock.release()

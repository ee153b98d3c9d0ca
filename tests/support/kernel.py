"""A real ipykernel, driven as JupyterLab drives one but without a browser, and the processes that it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from tests.support.guarded_core import alive

ROOT = Path(__file__).resolve().parents[2]
_MARK = "KIT_TEST_KERNEL"
_numbers = itertools.count(1)


class CellFailed(Exception):
    """A cell ended with an error; the text is its name and message."""


class RealKernel:
    """One kernel process, restarted and shut down the way the Jupyter server does it.

    ``async with`` starts it and leaves no process behind.
    """

    def __init__(self) -> None:
        self._mark = f"{os.getpid()}-{next(_numbers)}"
        self._manager = AsyncKernelManager(kernel_name="python3")
        self._client: AsyncKernelClient | None = None

    async def __aenter__(self) -> Self:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        await self._manager.start_kernel(env={**os.environ, _MARK: self._mark, "PYTHONPATH": path})
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._disconnect()
        if self._manager.has_kernel:
            await self._manager.shutdown_kernel(now=True)
        for pid in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _connect(self) -> None:
        client = self._client = self._manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=180)

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
            self._client = None

    @property
    def pid(self) -> int:
        """The kernel's process id."""
        return int(self._manager.provisioner.pid)

    @property
    def processes(self) -> list[int]:
        """The living processes that the kernel started, and itself, known by a mark in their environment."""
        wanted = f"{_MARK}={self._mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and alive(int(entry.name)):
                with contextlib.suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def begin(self, code: str, heard: asyncio.Event | None = None) -> asyncio.Task[str]:
        """Send a cell off; the task ends with what it printed. ``heard`` is set when it has printed something."""
        client = self._client
        assert client is not None
        message_id = client.execute(code, store_history=False)
        return asyncio.create_task(self._outcome(client, message_id, heard or asyncio.Event()))

    async def begun(self, code: str, timeout: float = 180.0) -> asyncio.Task[str]:
        """Send a cell off and wait until the kernel is at it; the task ends with what it printed after ``begun``."""
        heard = asyncio.Event()
        cell = self.begin(f"print('begun', flush=True)\n{code}", heard)
        await asyncio.wait_for(heard.wait(), timeout)
        return cell

    def queue(self, code: str) -> None:
        """Send a cell off, and do not listen to what it says."""
        assert self._client is not None
        self._client.execute(code, store_history=False)

    async def run(self, code: str, timeout: float = 180.0) -> str:
        """Run a cell and return what it printed; raises ``CellFailed``."""
        return await asyncio.wait_for(self.begin(code), timeout)

    async def _outcome(self, client: AsyncKernelClient, message_id: str, heard: asyncio.Event) -> str:
        printed, failed = "", ""
        while True:
            message: dict[str, Any] = await client.get_iopub_msg()
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    printed += content["text"]
                    heard.set()
                case "error":
                    failed = f"{content['ename']}: {content['evalue']}"
                case "status" if content["execution_state"] == "idle":
                    if failed:
                        raise CellFailed(failed)
                    return printed

    async def interrupt(self) -> None:
        """Press the stop button."""
        await self._manager.interrupt_kernel()

    async def restart(self) -> None:
        """Restart from the menu: the kernel is asked to end, has some two seconds for it, and is started anew."""
        self._disconnect()
        await self._manager.restart_kernel(now=False)
        await self._connect()

    async def shutdown(self) -> None:
        """Shut down from the menu."""
        self._disconnect()
        await self._manager.shutdown_kernel(now=False)

    def kill(self) -> None:
        """Kill the kernel's process group, as the system does when memory is short."""
        self._disconnect()
        os.killpg(os.getpgid(self.pid), signal.SIGKILL)

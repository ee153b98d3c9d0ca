"""Where trials run: an embedded Dask cluster of processes, or one that is running already."""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import dask
import distributed

from kit.backtest.sweep_trial import Outcome, failure, run_trial
from kit.core.clock import SYSTEM_TIME
from kit.errors import InvalidInput, NetworkUnavailable

logger = logging.getLogger(__name__)

_dask: Any = distributed  # parts of it have no types

CONNECT_TIMEOUT: Final = 15.0

CLOSE_TIMEOUT: Final = 5.0

RESULT_TIMEOUT: Final = 5.0
"""Seconds for an outcome to come from the worker that has it; with a worker that died it never does."""

NO_WORKERS: Final = 10.0
"""Seconds without any worker after which an embedded cluster is given one more."""


class Pool(Protocol):
    """Takes trials and hands back what came of them, in the order in which they end."""

    def submit(self, number: int, params: Mapping[str, Any]) -> None:
        """Start a trial, or queue it."""
        ...

    def next(self, timeout: float) -> tuple[int, Outcome] | None:
        """Return the next trial that ended; ``None`` if none did within ``timeout`` seconds."""
        ...

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """Give the trials that have ended by now."""
        ...


class DaskPool:
    """Trials as futures of a Dask cluster, which runs those of a dead worker again.

    An embedded ``cluster`` is watched: a worker that dies while it still starts, as by a trial that kills it at once,
    is not replaced by Dask, and without any worker a sweep would wait for ever.
    """

    def __init__(self, client: Any, packed: bytes, cluster: Any = None) -> None:
        self._client = client
        self._packed = packed
        self._cluster = cluster
        self._token = uuid.uuid4().hex[:12]
        self._ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._running: dict[int, Any] = {}
        self._seen_workers = self._looked = SYSTEM_TIME.monotonic()

    def submit(self, number: int, params: Mapping[str, Any]) -> None:
        """Start a trial, or queue it."""
        future = self._client.submit(
            run_trial, self._packed, dict(params), key=f"kit-trial-{self._token}-{number}", pure=False
        )
        self._running[number] = future  # Dask forgets a future that nobody holds
        self._await(number, future)

    def _await(self, number: int, future: Any) -> None:
        future.add_done_callback(lambda done: self._ended.put((number, done)))

    def next(self, timeout: float) -> tuple[int, Outcome] | None:
        """Return the next trial that ended; ``None`` if none did within ``timeout`` seconds, or it runs again."""
        self._look_after_workers()
        try:
            number, future = self._ended.get(timeout=timeout)
        except queue.Empty:
            return None
        outcome = self._outcome(number, future)
        if outcome is None:
            self._await(number, future)
            return None
        self._running.pop(number, None)
        return number, outcome

    def _outcome(self, number: int, future: Any) -> Outcome | None:
        """Return what came of a trial; ``None`` where its worker died with it, so that it is run again."""
        if future.status == "finished":
            with contextlib.suppress(TimeoutError):
                outcome: Outcome = future.result(timeout=RESULT_TIMEOUT)
                return outcome
            return None
        if future.status == "error":
            return failure(future.exception())
        if future.status == "pending":
            return None
        raise NetworkUnavailable(
            f"the Dask cluster lost trial {number} ({future.status}); is its scheduler still running?"
        )

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """Give the trials that have ended by now, also those of which no word has come here yet."""
        known = self._known_to_have_ended()
        until = SYSTEM_TIME.monotonic() + RESULT_TIMEOUT
        while True:
            left = until - SYSTEM_TIME.monotonic() if known & self._running.keys() else 0.0
            if (found := self.next(max(left, 0.0))) is not None:
                yield found
            elif left <= 0.0:
                return

    def _known_to_have_ended(self) -> set[int]:
        keys = {future.key: number for number, future in self._running.items()}
        try:
            holders = self._client.sync(
                self._client.scheduler.who_has, keys=list(keys), callback_timeout=RESULT_TIMEOUT
            )
        except (OSError, TimeoutError):  # without the scheduler's word, those that are here already
            return set()
        return {keys[key] for key, workers in holders.items() if workers and key in keys}

    def _look_after_workers(self) -> None:
        now = SYSTEM_TIME.monotonic()
        if self._cluster is None or now < self._looked + NO_WORKERS / 10:
            return
        self._looked = now
        if self._client.scheduler_info(n_workers=-1)["workers"]:
            self._seen_workers = now
        elif now > self._seen_workers + NO_WORKERS:
            logger.warning("no worker of the sweep is left; another one is started")
            self._cluster.scale(len(self._cluster.worker_spec) + 1)
            self._seen_workers = now

    def cancel(self) -> None:
        """Give up what has not ended."""
        self._client.cancel(list(self._running.values()))
        self._running.clear()


@contextlib.contextmanager
def open_pool(packed: bytes, *, workers: int, address: Any, room: Path) -> Iterator[DaskPool]:
    """Open a cluster of ``workers`` processes, or connect to the one at ``address``; closed afterwards.

    A cluster that was given is left running. Raises ``NetworkUnavailable`` where none answers.
    """
    with contextlib.ExitStack() as stack:
        cluster = None
        if address is None:
            cluster = stack.enter_context(_embedded(workers, room))
            client = stack.enter_context(_dask.Client(cluster, set_as_default=False))
        else:
            client = stack.enter_context(_connected(address))
        pool = DaskPool(client, packed, cluster)
        stack.callback(pool.cancel)
        yield pool


@contextlib.contextmanager
def _embedded(workers: int, room: Path) -> Iterator[Any]:
    """Start processes of their own: spawned, as forking a process with threads (a notebook's kernel) can deadlock."""
    settings = {
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.worker.daemon": True,
        "distributed.scheduler.worker-saturation": 1.0,  # what waits on a worker would be blamed for its death, too
        "distributed.scheduler.allowed-failures": 2,  # a trial that kills three workers is not tried on a fourth
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.scheduler.active-memory-manager.start": False,
        "distributed.admin.system-monitor.gil.enabled": False,
    }
    with _quiet():
        with dask.config.set(settings):
            cluster = _dask.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,  # a backtest holds the interpreter's lock nearly all the time
                worker_class=TrialNanny,
                host="127.0.0.1",
                security=True,  # other users of the machine can connect to its ports, but not give orders
                dashboard_address=None,
                worker_dashboard_address=None,
                # Dask's scheduler has a web server in any case; on a port that is free, with nothing on it.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                memory_limit=0,  # mapped feeds would count as a worker's memory, though any number of them share it
                local_directory=str(room / "workers"),
                preload=["kit.backtest.sweep_preload"],
                silence_logs=logging.CRITICAL,
            )
        try:
            yield cluster
        finally:
            _close(cluster)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Show nothing that Dask logs here, until its loop has ended: it tells of processes that are meant to end."""
    shown = [(handler, handler.level) for handler in logging.getLogger("distributed").handlers]
    for handler, _ in shown:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in shown:
            handler.setLevel(level)


def _close(cluster: Any) -> None:
    try:
        cluster.close(timeout=CLOSE_TIMEOUT)
    except TimeoutError:  # on a machine with too much to do; what the trials brought is worth more
        logger.warning("the sweep's workers did not end within %g s; they do with this process", CLOSE_TIMEOUT)


@contextlib.contextmanager
def _connected(address: Any) -> Iterator[Any]:
    if isinstance(address, distributed.Client):
        yield address
        return
    try:
        client = _dask.Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise NetworkUnavailable(
            f"no Dask scheduler answers at {address!r} ({error}); start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS`, or leave address away for processes on this machine"
        ) from error
    except ValueError as error:
        raise InvalidInput(f"address is {address!r}; give the scheduler's, as tcp://10.0.0.5:8786 ({error})") from error
    with client:
        yield client


class _MainHidden:
    """Keeps spawned processes from running the user's script again.

    ``multiprocessing`` imports the main module in each process that it spawns, for functions that are pickled by name.
    Here they travel by value, so nothing needs it; and a script without ``if __name__ == "__main__":`` would start
    the sweep once more in each worker. What is not found in the main module is not imported.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._kept: dict[str, Any] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                main = vars(self._main())
                self._kept = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
                main["__spec__"] = None

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                vars(self._main()).update(self._kept)

    @staticmethod
    def _main() -> ModuleType:
        return sys.modules["__main__"]


_MAIN_HIDDEN: Final = _MainHidden()


class TrialNanny(distributed.Nanny):
    """Starts a worker process, and another one when it dies."""

    async def instantiate(self) -> Any:
        """Start the process."""
        _keep_interrupts_from_children()
        with _MAIN_HIDDEN:
            return await super().instantiate()

    async def kill(self, timeout: float = 5.0, reason: str = "") -> None:
        """End the process at once: by then its trials have been fetched, or are given up."""
        worker = self.process
        if worker is not None and worker.process is not None:
            await worker.process.kill()
        await super().kill(timeout=timeout, reason=reason)


def _keep_interrupts_from_children() -> None:
    """Block SIGINT in the cluster's thread, and so in the processes started from it, until they ignore it themselves.

    Ctrl-C goes to the terminal's whole group; a worker that still imports would die of it, with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is threading.main_thread():
        return
    resource_tracker.ensure_running()  # starting it lifts the block again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

"""Where trials run: an embedded Dask cluster of processes, or one that is running already."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from kit.backtest.sweep_processes import TrialProcesses
from kit.backtest.sweep_trial import Outcome, failure, run_trial
from kit.core.clock import SYSTEM_TIME
from kit.errors import InvalidInput, NetworkUnavailable

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT: Final = 15.0

CLOSE_TIMEOUT: Final = 5.0

RESULT_TIMEOUT: Final = 5.0
"""Seconds for an outcome to come from the worker that has it; with a worker that died it never does."""


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

    Each is ``work(*given, params)`` on the cluster.
    """

    def __init__(self, client: Any, work: Callable[..., Outcome], *given: Any) -> None:
        self._client = client
        self._work = work
        self._given = given
        self._token = uuid.uuid4().hex[:12]
        self._ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._running: dict[int, Any] = {}

    def submit(self, number: int, params: Mapping[str, Any]) -> None:
        """Start a trial, or queue it."""
        future = self._client.submit(
            self._work, *self._given, dict(params), key=f"kit-trial-{self._token}-{number}", pure=False
        )
        self._running[number] = future  # Dask forgets a future that nobody holds
        self._await(number, future)

    def _await(self, number: int, future: Any) -> None:
        future.add_done_callback(lambda done: self._ended.put((number, done)))

    def next(self, timeout: float) -> tuple[int, Outcome] | None:
        """Return the next trial that ended; ``None`` if none did within ``timeout`` seconds, or it runs again."""
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

    def cancel(self) -> None:
        """Give up what has not ended."""
        self._client.cancel(list(self._running.values()))
        self._running.clear()


@contextlib.contextmanager
def open_pool(packed: bytes, *, workers: int, address: Any, room: Path) -> Iterator[DaskPool]:
    """Start ``workers`` processes on an embedded cluster, or connect to the one at ``address``; closed afterwards.

    A cluster that was given is left running. Raises ``NetworkUnavailable`` where none answers.
    """
    if address is not None:
        with _connected(address) as client, contextlib.ExitStack() as stack:
            pool = DaskPool(client, run_trial, packed)
            stack.callback(pool.cancel)
            yield pool
        return
    with contextlib.ExitStack() as stack:
        processes = TrialProcesses(packed, workers, room)  # before Dask is imported: they load meanwhile
        stack.callback(processes.close)
        client = stack.enter_context(_embedded(workers, room))
        token = uuid.uuid4().hex
        _processes[token] = processes
        stack.callback(_processes.pop, token)
        pool = DaskPool(client, _run_apart, token)
        stack.callback(processes.end)  # before the cluster closes, which waits for what is under way
        stack.callback(pool.cancel)
        yield pool


_processes: Final[dict[str, TrialProcesses]] = {}
"""Of the sweeps under way, by a token: Dask takes functions and arguments only that could travel."""


def _run_apart(token: str, params: Mapping[str, Any]) -> Outcome:
    return _processes[token].run(params)


@contextlib.contextmanager
def _embedded(workers: int, room: Path) -> Iterator[Any]:
    """Start a cluster in this process, whose threads each wait for a process of ours; give its client.

    It opens no port but that of the scheduler's web server, which Dask has in any case; with nothing on it, here.
    """
    import dask
    import distributed

    settings = {
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.scheduler.active-memory-manager.start": False,
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.worker.profile.enabled": False,
    }
    started: Any = distributed  # parts of it have no types

    class Threads(started.Worker):  # type: ignore[misc]
        """A worker without a web server, which would listen to the whole network."""

        def start_http_server(self, *_: object, **__: object) -> None:
            """Start none."""

    with _quiet():
        with dask.config.set(settings):
            cluster = started.LocalCluster(
                worker_class=Threads,
                processes=False,
                n_workers=1,
                threads_per_worker=workers,
                dashboard_address=None,
                worker_dashboard_address=None,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                memory_limit=0,
                local_directory=str(room / "workers"),
                silence_logs=logging.CRITICAL,
            )
        cluster.loop.asyncio_loop.set_exception_handler(_untold)
        try:
            with started.Client(cluster, set_as_default=False) as client:
                yield client
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


def _untold(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell what nobody waited for on the cluster's loop, but for waits that ran out as the loop ended.

    Those are Dask's own, such as of the senders of messages that wait for the next; they mean nothing, and would show
    in the user's cell some time later.
    """
    if isinstance(context.get("exception"), TimeoutError):
        logger.debug("on the sweep's cluster: %s", context.get("message"))
    else:
        loop.default_exception_handler(context)


def _close(cluster: Any) -> None:
    try:
        cluster.close(timeout=CLOSE_TIMEOUT)
    except TimeoutError:  # on a machine with too much to do; what the trials brought is worth more
        logger.warning("the sweep's cluster did not close within %g s; it ends with this process", CLOSE_TIMEOUT)


@contextlib.contextmanager
def _connected(address: Any) -> Iterator[Any]:
    import distributed

    if isinstance(address, distributed.Client):
        yield address
        return
    try:
        start: Any = distributed.Client
        client = start(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise NetworkUnavailable(
            f"no Dask scheduler answers at {address!r} ({error}); start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS`, or leave address away for processes on this machine"
        ) from error
    except ValueError as error:
        raise InvalidInput(f"address is {address!r}; give the scheduler's, as tcp://10.0.0.5:8786 ({error})") from error
    with client:
        yield client

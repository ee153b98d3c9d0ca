"""The processes of an embedded sweep: each runs one trial at a time, and is replaced when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cloudpickle

from kit.backtest.sweep_child import read_message, write_message
from kit.backtest.sweep_trial import Outcome, failure
from kit.errors import TryAgain
from kit.types.secret_variables import without_keys

ATTEMPTS: Final = 3
"""Processes that a trial may take with it before it has failed."""

END_TIMEOUT: Final = 5.0
"""Seconds for a process to end whose pipe was closed."""

_CODE: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from kit.backtest.sweep_child import main; main(sys.argv[2])"
)

_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class WorkerDied(TryAgain):
    """A worker process ended in the middle of a trial."""


class TrialProcess:
    """A process that runs the trials of a job; not started yet."""

    def __init__(self, job: Path) -> None:
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Tell whether it is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again if it has died. It ignores Ctrl-C, and ends with this process at the latest."""
        self.close()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
            # With this process's path, as strategies may be in modules beside a script or a notebook. Not with its
            # main module: what is defined there travels by value, and running a script again would sweep again.
            [sys.executable, "-c", _CODE, json.dumps([path for path in sys.path if isinstance(path, str)]), self._job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_ONE_THREAD | without_keys(os.environ),
            start_new_session=True,  # a terminal's Ctrl-C goes to its whole group
        )

    def run(self, params: Mapping[str, Any]) -> Outcome:
        """Run a trial. Raises ``WorkerDied``."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerDied("the worker process was not started")
        asked = cloudpickle.dumps(dict(params))
        try:
            write_message(process.stdin, asked)
            outcome: Outcome = pickle.loads(read_message(process.stdout))  # noqa: S301 - written by our own child
        except (OSError, EOFError, ValueError) as error:  # ValueError: its pipes were closed by ``end``
            self._await_end(process)
            raise WorkerDied(f"the worker process ended during the trial, with code {process.returncode}") from error
        return outcome

    @staticmethod
    def _await_end(process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:  # a trial closed its pipes, but it lives
            process.kill()
            process.wait()

    def end(self) -> None:
        """End it at once, whatever it is at."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End it, and free what it had; nobody may be waiting for it any more."""
        self.end()
        for pipe in (self._process.stdin, self._process.stdout) if self._process is not None else ():
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not written to it any more
                    pipe.close()


class TrialProcesses:
    """``count`` processes for the trials of a job, started at once; any thread may run a trial on them."""

    def __init__(self, packed: bytes, count: int, room: Path) -> None:
        job = room / "job"
        job.write_bytes(packed)
        self._processes = [TrialProcess(job) for _ in range(count)]
        self._idle: queue.SimpleQueue[TrialProcess] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._closed = False
        for process in self._processes:
            process.start()
            self._idle.put(process)

    def run(self, params: Mapping[str, Any]) -> Outcome:
        """Run a trial on an idle process; on another one when that dies, up to ``ATTEMPTS``.

        Raises ``WorkerDied`` where it died because all are ended.
        """
        process = self._idle.get()
        try:
            for _ in range(ATTEMPTS):
                self._revive(process)
                try:
                    return process.run(params)
                except WorkerDied as error:
                    died = error
            return failure(
                WorkerDied(f"{died}; so did {ATTEMPTS - 1} before it. Was it killed, as when memory runs out?")
            )
        finally:
            self._idle.put(process)

    def _revive(self, process: TrialProcess) -> None:
        with self._starting:
            if self._closed:
                raise WorkerDied("the sweep has ended")
            if not process.alive:
                process.start()

    def end(self) -> None:
        """End all processes at once; trials that wait for one end with ``WorkerDied``."""
        with self._starting:
            self._closed = True
        for process in self._processes:
            process.end()

    def close(self) -> None:
        """End all processes and free what they had; no trial may be under way any more."""
        self.end()
        for process in self._processes:
            process.close()

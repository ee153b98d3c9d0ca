"""What a sweep's process does: take trials from standard input, one after the other, and answer each on a pipe.

Not Dask's own kind of worker process: importing Dask takes longer than all that a trial needs.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
from pathlib import Path
from typing import IO, Final

LENGTH: Final = 8
"""Bytes that say how long a message is."""


def write_message(pipe: IO[bytes], message: bytes) -> None:
    """Write a message whole. Raises ``OSError`` when the other side is gone."""
    pipe.write(len(message).to_bytes(LENGTH, "big") + message)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> bytes:
    """Read a message whole. Raises ``EOFError`` when the other side is gone."""
    return _read(pipe, int.from_bytes(_read(pipe, LENGTH), "big"))


def _read(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError("the pipe was closed")
    return data


def main(job: str) -> None:
    """Run the trials of the packed job in the file ``job`` until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a strategy prints is no answer
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # Read beside the work, so that the process ends with its parent even in the middle of a trial.
    threading.Thread(target=_listen, args=(os.fdopen(os.dup(0), "rb"), asked), daemon=True).start()
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    packed = Path(job).read_bytes()

    from kit.backtest.sweep_trial import run_trial
    from kit.simulation.engine import warm_up

    warm_up()
    while True:
        write_message(answers, pickle.dumps(run_trial(packed, pickle.loads(asked.get()))))  # noqa: S301 - our parent's


def _listen(pipe: IO[bytes], asked: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            asked.put(read_message(pipe))
    except (EOFError, OSError):
        os._exit(0)

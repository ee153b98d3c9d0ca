"""Files of recorded sessions: compressed lines, written by a thread, readable after a crash."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from kit.errors import InvalidInput
from kit.storage.session_blocks import pack, unpack
from kit.storage.session_codec import dumps

logger = logging.getLogger(__name__)

SUFFIX: Final = ".session.gz"
FORMAT: Final = 2
FLUSH_INTERVAL: Final = 1.0
"""Seconds between two blocks: what a crash may cost."""

MOST_WAITING: Final = 500_000
"""Frames that may wait for the disk; beyond that the recording ends rather than fill the memory."""

_LEVEL: Final = 1


@dataclass(slots=True)
class Frame:
    """One thing that reached the core from outside, and what the core did within it.

    ``kind`` is what came ("tick", "market", "account", …), ``who`` the connector or strategy that it came to, ``data``
    its content as JSON values, ``at`` the wall clock in seconds. ``reads`` are the values that were asked of the world
    meanwhile (times, readiness, prices of a source), by reader, in order. ``acts`` are what was done: orders, cancels,
    errors. ``number`` counts the frames of a session from 0.
    """

    number: int
    kind: str
    who: str
    at: float
    data: Any = None
    reads: dict[str, list[Any]] = field(default_factory=dict)
    acts: list[dict[str, Any]] = field(default_factory=list)

    def line(self) -> bytes:
        """Return the frame as a line of JSON."""
        row: dict[str, Any] = {"n": self.number, "k": self.kind, "w": self.who, "t": self.at}
        if self.data is not None:
            row["d"] = self.data
        if self.reads:
            row["r"] = self.reads
        if self.acts:
            row["a"] = self.acts
        return dumps(row) + b"\n"

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Frame:
        """Return the frame of a line that was read."""
        return cls(row["n"], row["k"], row["w"], row["t"], row.get("d"), row.get("r", {}), row.get("a", []))


class SessionWriter:
    """Writes frames in a thread of its own, in blocks that each can be read without the next.

    ``put`` costs the caller an append to a queue. A write that fails ends the writing: ``error`` says why and what
    was written stays readable. Raises ``InvalidInput`` where the file cannot be made.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.error = ""
        self.frames = 0
        self.bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        except OSError as error:
            raise InvalidInput(f"the session cannot be written to {path}: {error}") from error
        self._waiting: deque[Frame] = deque()
        self._ended = threading.Event()
        self._blocks = 0
        self._write(dumps({"format": FORMAT, **header}) + b"\n")
        self._thread = threading.Thread(target=self._run, name=f"session {path.name}", daemon=True)
        self._thread.start()

    def put(self, frame: Frame) -> None:
        """Queue a frame; nothing in it may change afterwards."""
        if self.error:
            return
        self._waiting.append(frame)
        if len(self._waiting) > MOST_WAITING:
            self._fail(f"the disk does not keep up: {MOST_WAITING} frames wait")

    def close(self) -> None:
        """Write what waits and close the file; idempotent."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(FLUSH_INTERVAL):
            self._drain()
        self._drain()
        self._file.close()

    def _drain(self) -> None:
        if self.error or not self._waiting:
            return
        try:
            lines = [self._waiting.popleft().line() for _ in range(len(self._waiting))]
            self._write(b"".join(lines))
        except (OSError, InvalidInput) as error:
            self._fail(str(error))
        else:
            self.frames += len(lines)

    def _write(self, block: bytes) -> None:
        packed = pack(self._blocks, block, _LEVEL)
        self._file.write(packed)
        self._file.flush()
        self._blocks += 1
        self.bytes += len(packed)

    def _fail(self, reason: str) -> None:
        self.error = reason
        self._waiting.clear()
        logger.error("the session %s is recorded no further: %s", self.path, reason)


class SessionLog:
    """A recorded session: ``header`` and ``frames``, in order.

    ``whole`` tells that the recording was stopped, ``problem`` why it is not whole: after a crash the last second or
    so is missing, and what was before it is there.
    """

    def __init__(
        self, header: Mapping[str, Any], frames: list[Frame], problem: str = "", name: str = "session"
    ) -> None:
        self.header = dict(header)
        self.frames = frames
        self.problem = problem
        self.name = name

    @property
    def whole(self) -> bool:
        """Tell whether nothing is missing at the end."""
        return not self.problem

    @property
    def seconds(self) -> float:
        """Return the time from the first frame to the last."""
        return self.frames[-1].at - self.frames[0].at if self.frames else 0.0

    def of(self, *kinds: str) -> Iterator[Frame]:
        """Iterate over the frames of some kinds."""
        return (frame for frame in self.frames if frame.kind in kinds)

    def __repr__(self) -> str:
        counts = Counter(frame.kind for frame in self.frames)
        told = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(3))
        return f"<SessionLog {self.name}: {self.seconds:.0f} s, {told}{'' if self.whole else ', ' + self.problem}>"


def open_session(path: str | Path) -> SessionLog:
    """Read a recorded session: a file, or a folder, of which the latest session is read.

    Raises ``InvalidInput`` for what is no session, or is damaged elsewhere than at its end.
    """
    file = _find(Path(path))
    rows, problem = _read_rows(file)
    if not rows or "format" not in rows[0]:
        raise InvalidInput(f"{file} is no recorded session: it does not begin with the header of one")
    header, *rest = rows
    if header["format"] != FORMAT:
        raise InvalidInput(
            f"{file} has format {header['format']}, this version of kit reads {FORMAT}; use the one that wrote it"
        )
    frames = [Frame.read(row) for row in rest]
    for number, frame in enumerate(frames):
        if frame.number != number:
            raise InvalidInput(f"{file} is damaged: frame {number} is followed by number {frame.number}")
    if not problem and not (frames and frames[-1].kind == "end"):
        problem = "the recording was not stopped; the end is missing"
    return SessionLog(header, frames, problem, file.name)


def _find(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob(f"*{SUFFIX}"))
        if not found:
            raise InvalidInput(f"there is no recorded session (*{SUFFIX}) in {path}")
        return found[-1]
    if not path.is_file():
        raise InvalidInput(f"there is no file or folder {path}")
    return path


def _read_rows(file: Path) -> tuple[list[dict[str, Any]], str]:
    rows: list[dict[str, Any]] = []
    try:
        for block in unpack(file.read_bytes()):
            rows.extend(orjson.loads(line) for line in block.splitlines())
    except EOFError:
        return rows, "the end is cut off"
    except InvalidInput as error:
        if not rows:
            raise InvalidInput(
                f"{file} is no recorded session, or its beginning is damaged: it does not begin with the header of one"
            ) from error
        raise InvalidInput(f"{file} is {error}, after {_reached(rows)}; take a copy that is whole") from error
    return rows, ""


def _reached(rows: list[dict[str, Any]]) -> str:
    if len(rows) < 2:
        return "its header"
    return f"frame {rows[-1]['n']}, {rows[-1]['t'] - rows[1]['t']:.1f} s from the beginning"

"""The witness of a session: notes what enters the core from outside, what is asked of the world, and what is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from kit.core.time_source import Timer, TimeSource
from kit.storage.session_files import Frame

T = TypeVar("T")
Describe = Callable[..., Any]

_FROM_A_LOOP: Final = frozenset({"market", "account", "tick", "begin", "finish"})
"""What only a loop or a clock calls: inside of anything else it means that the loop ran within a callback."""


class Witness:
    """Replaces methods of live objects, until ``release``, by ones that note their calls.

    A call of an *entrance* that is not inside another one is a thing from outside: it makes a ``Frame``, which
    ``sink`` gets when the call is over. What an entrance calls in turn follows from it and makes no frame of its own;
    *acts* among it are noted in the frame, and so are *reads*: answers of the world that another run would not get.
    Answers that a port gives inside of ``submit`` or ``cancel`` are noted with that act.

    Only the thread that made the witness is watched. ``reentered`` counts entrances inside of entrances that only a
    loop calls: such a session cannot be replayed exactly.
    """

    def __init__(self, sink: Callable[[Frame], None], now: Callable[[], float]) -> None:
        self.reentered = 0
        self._sink = sink
        self._now = now
        self._thread = threading.get_ident()
        self._frame: Frame | None = None
        self._answers: list[dict[str, Any]] | None = None
        self._count = 0
        self._replaced: dict[tuple[int, str], tuple[Any, str, Any]] = {}

    # -- what is watched -----------------------------------------------------------------------------------------------

    def watches(self, target: object, name: str) -> bool:
        """Tell whether an attribute of an object was replaced already."""
        return (id(target), name) in self._replaced

    def replace(self, target: Any, name: str, value: Any) -> None:
        """Set an attribute of an object until ``release``."""
        self._replaced.setdefault((id(target), name), (target, name, vars(target).get(name, _ABSENT)))
        setattr(target, name, value)

    def let_go(self, *targets: object) -> None:
        """Give some objects back what was replaced: they are watched no more."""
        wanted = {id(target) for target in targets}
        for key in [key for key in self._replaced if key[0] in wanted]:
            self._put_back(*self._replaced.pop(key))

    def release(self) -> None:
        """Give every object back what was replaced."""
        for target, name, before in self._replaced.values():
            self._put_back(target, name, before)
        self._replaced.clear()

    @staticmethod
    def _put_back(target: Any, name: str, before: Any) -> None:
        if before is _ABSENT:
            vars(target).pop(name, None)
        else:
            setattr(target, name, before)

    def entrance(
        self,
        target: Any,
        name: str,
        kind: str,
        who: str,
        describe: Describe,
        after: Callable[[], None] | None = None,
    ) -> None:
        """Note calls of a method as frames of ``kind``; ``describe`` gets the arguments and returns the frame's data.

        ``after()`` is called when the call is over, still inside of the frame.
        """
        original = getattr(target, name)

        def entered(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return original(*args, **kwargs)
            if self._answers is not None:
                return self._answer(kind, who, describe(*args, **kwargs), lambda: original(*args, **kwargs))
            if self._frame is not None:
                self._look_for_loop(kind)
                return original(*args, **kwargs)
            frame = self._frame = Frame(self._count, kind, who, self._now())
            self._count += 1
            try:
                frame.data = describe(*args, **kwargs)
                result = original(*args, **kwargs)
                if after is not None:
                    after()
                return result
            except Exception as error:
                frame.acts.append({"a": "raised", "error": type(error).__name__})
                raise
            finally:
                self._frame = None
                self._sink(frame)

        self.replace(target, name, entered)

    def act(self, target: Any, name: str, describe: Describe, finish: Describe | None = None) -> None:
        """Note calls of a method as acts; ``finish`` gets the act and the arguments when the call is over."""
        original = getattr(target, name)

        def acted(*args: Any, **kwargs: Any) -> Any:
            if not self._watching:
                return original(*args, **kwargs)
            note = describe(*args, **kwargs)
            self.note(note)
            result = original(*args, **kwargs)
            if finish is not None:
                finish(note, *args, **kwargs)
            return result

        self.replace(target, name, acted)

    def reading(self, target: Any, name: str, reader: str) -> None:
        """Note the answers of a method as reads."""
        original = getattr(target, name)
        self.replace(target, name, lambda *args, **kwargs: self.read(reader, lambda: original(*args, **kwargs)))

    # -- what is noted -------------------------------------------------------------------------------------------------

    @property
    def _watching(self) -> bool:
        return self._frame is not None and threading.get_ident() == self._thread

    def note(self, act: dict[str, Any]) -> None:
        """Note an act in the open frame, if there is one."""
        if self._frame is not None:
            self._frame.acts.append(act)

    def add(self, kind: str, who: str, data: Any) -> None:
        """Make a frame of something that is no call."""
        frame = Frame(self._count, kind, who, self._now(), data)
        self._count += 1
        self._sink(frame)

    def read(self, reader: str, ask: Callable[[], T]) -> T:
        """Return what ``ask()`` answers, or raise what it raises, noted under ``reader`` in the open frame."""
        frame = self._frame if self._watching else None
        try:
            answer = ask()
        except Exception as error:
            if frame is not None:
                frame.reads.setdefault(reader, []).append({"raised": type(error).__name__, "reason": str(error)})
            raise
        if frame is not None:
            frame.reads.setdefault(reader, []).append(answer)
        return answer

    def send(self, act: str, order_id: str, send: Callable[[], None]) -> None:
        """Call a port, noting in the open frame what it threw or answered within the call."""
        if not self._watching or self._answers is not None:
            send()
            return
        answers = self._answers = []
        note: dict[str, Any] = {"a": act, "id": order_id}
        try:
            send()
        except Exception as error:
            note |= {"error": type(error).__name__, "reason": str(error)}
            raise
        finally:
            self._answers = None
            if answers:
                note["answers"] = answers
            if len(note) > 2:
                self.note(note)

    def _answer(self, kind: str, who: str, data: Any, call: Callable[[], T]) -> T:
        answers, self._answers = self._answers, None
        if answers is not None:
            answers.append({"k": kind, "w": who, "d": data})
        try:
            return call()
        finally:
            self._answers = answers

    def _look_for_loop(self, kind: str) -> None:
        if kind in _FROM_A_LOOP:
            self.reentered += 1
            self.note({"a": "reentered", "kind": kind})


class WitnessedTime:
    """A ``TimeSource`` whose answers are noted as the reads of one reader."""

    def __init__(self, witness: Witness, reader: str, source: TimeSource) -> None:
        self._witness = witness
        self._wall, self._steady = f"{reader}.time", f"{reader}.monotonic"
        self._source = source

    def time(self) -> float:
        """Return the wall clock."""
        return self._witness.read(self._wall, self._source.time)

    def monotonic(self) -> float:
        """Return the monotonic clock."""
        return self._witness.read(self._steady, self._source.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._source.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call later."""
        return self._source.call_later(seconds, callback)


class WitnessedPort:
    """An order port whose refusals and immediate answers are noted."""

    def __init__(self, witness: Witness, port: Any) -> None:
        self._witness = witness
        self._port = port

    def submit(self, request: Any) -> None:
        """Send an order."""
        self._witness.send("submit", request.client_order_id, lambda: self._port.submit(request))

    def cancel(self, request: Any) -> None:
        """Ask to cancel."""
        self._witness.send("drop", request.client_order_id, lambda: self._port.cancel(request))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class _Absent:
    pass


_ABSENT: Final = _Absent()

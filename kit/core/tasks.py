"""Owners of background tasks: each task has a name, somebody who ends it, and a place where its error shows."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from kit.errors import NotReady

logger = logging.getLogger(__name__)

T = TypeVar("T")
TaskErrorHandler: TypeAlias = Callable[[str, BaseException], None]

_ERRORS_KEPT = 50
# A second cancel is for tasks that swallowed the first; it comes late, because it also cuts clean-up short.
_FIRST_CANCEL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """The exception that ended a background task; ``name`` is the task's, with those of its supervisors in front."""

    name: str
    error: BaseException


class TaskSupervisor:
    """Start, name and end background tasks, and show their errors.

    A task is held by a strong reference until it is done. An exception of a task is logged once with its traceback,
    counted in ``error_count``, kept in ``errors`` (the last 50) and given to ``on_error(name, error)``; the same goes
    up to the supervisor's parents. All methods belong on the loop's thread; reading ``names`` and counts is safe
    anywhere. A supervisor serves one loop at a time.
    """

    def __init__(self, name: str, *, on_error: TaskErrorHandler | None = None) -> None:
        self.name = name
        self.on_error = on_error
        self.errors: deque[TaskFailure] = deque(maxlen=_ERRORS_KEPT)
        self._error_count = 0
        self._tasks: dict[asyncio.Task[Any], str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._parent: TaskSupervisor | None = None
        self._children: list[TaskSupervisor] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<TaskSupervisor {self.name}: {', '.join(self.names) or 'no tasks'}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the running tasks, oldest first; those of child supervisors as ``child/task``."""
        own = tuple(self._tasks.values())
        return own + tuple(f"{child.name}/{name}" for child in tuple(self._children) for name in child.names)

    @property
    def error_count(self) -> int:
        """Return how many tasks ended with an exception, here and in child supervisors."""
        return self._error_count

    def owns(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether ``task`` is one that runs here or in a child supervisor."""
        return task in self._tasks or any(child.owns(task) for child in tuple(self._children))

    @property
    def closed(self) -> bool:
        """Tell whether ``close`` was called."""
        return self._closed

    def __len__(self) -> int:
        return len(self._tasks) + sum(len(child) for child in tuple(self._children))

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start ``coro`` as a background task of the running loop and return the task.

        Raises ``NotReady``, and closes the coroutine, when the supervisor is closed, when no loop runs on this thread,
        or when another loop runs here than the one its other tasks live on.
        """
        try:
            loop = self._loop_for_spawn(name)
        except NotReady:
            coro.close()
            raise
        task = loop.create_task(coro, name=f"{self.path}/{name}")
        self._tasks[task] = name
        task.add_done_callback(self._on_done)
        return task

    @property
    def path(self) -> str:
        """Return the name with those of the parents in front, ``parent/child``."""
        return self.name if self._parent is None else f"{self._parent.path}/{self.name}"

    def child(self, name: str, *, on_error: TaskErrorHandler | None = None) -> TaskSupervisor:
        """Make a supervisor that is closed together with this one; raises ``NotReady`` when this one is closed."""
        if self._closed:
            raise NotReady(f"supervisor {self.path!r} is closed: it takes no child {name!r}; make a new one")
        child = TaskSupervisor(name, on_error=on_error)
        child._parent = self
        self._children.append(child)
        return child

    async def cancel(self, task: asyncio.Task[Any], timeout: float = 5.0) -> bool:
        """Cancel ``task``, wait at most ``timeout`` seconds for its end, and tell whether it ended.

        The task that calls this is not cancelled by itself: that returns ``False`` at once.
        """
        if task is asyncio.current_task():
            return False
        return not await _cancel_all({task}, timeout)

    async def close(self, timeout: float = 5.0) -> list[str]:
        """Cancel every task, here and in child supervisors; return the names of those that did not end in time.

        Waits at most ``timeout`` seconds. The task that calls this is left alone. From now on ``spawn`` refuses.
        """
        await _cancel_all(self._shut(), timeout)
        current = asyncio.current_task()
        left = [name for task, name in self._named_tasks() if task is not current]
        if self._parent is not None and not left:
            self._parent._forget(self)  # noqa: SLF001  # the same class
        if left:
            logger.error("supervisor %s: tasks did not end within %g s: %s", self.path, timeout, ", ".join(left))
        return left

    def _loop_for_spawn(self, name: str) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise NotReady(f"supervisor {self.path!r} is closed: it starts no task {name!r}; start the core again")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotReady(
                f"task {name!r} cannot start: no event loop runs on this thread; hop to the core's loop first"
            ) from None
        if self._tasks and loop is not self._loop:
            raise NotReady(
                f"task {name!r} cannot start: another event loop runs on this thread than the one supervisor "
                f"{self.path!r} lives on (a widget callback on a subshell thread?); hop to the core's loop first"
            )
        self._loop = loop
        return loop

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        name = self._tasks.pop(task, task.get_name())
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            where = f"task {self.path}/{name}"
            logger.error("%s failed", where, exc_info=error, extra={"where": where})
            self._record(name, error)

    def _record(self, name: str, error: BaseException) -> None:
        self._error_count += 1
        self.errors.append(TaskFailure(name, error))
        if self.on_error is not None:
            try:
                self.on_error(name, error)
            except Exception:  # an error sink that fails must not hide the error from the parents
                logger.exception("on_error of supervisor %s failed", self.path)
        if self._parent is not None:
            self._parent._record(f"{self.name}/{name}", error)  # noqa: SLF001  # the same class

    def _shut(self) -> set[asyncio.Task[Any]]:
        """Refuse new tasks, here and below, and return all tasks that run."""
        self._closed = True
        tasks = set(self._tasks)
        for child in self._children:
            tasks |= child._shut()  # noqa: SLF001  # the same class
        return {task for task in tasks if task is not asyncio.current_task()}

    def _named_tasks(self) -> list[tuple[asyncio.Task[Any], str]]:
        named = [(task, name) for task, name in self._tasks.items() if not task.done()]
        for child in self._children:
            named += [(task, f"{child.name}/{name}") for task, name in child._named_tasks()]  # noqa: SLF001
        return named

    def _forget(self, child: TaskSupervisor) -> None:
        if child in self._children:
            self._children.remove(child)


async def _cancel_all(tasks: set[asyncio.Task[Any]], timeout: float) -> set[asyncio.Task[Any]]:
    """Cancel the tasks, once and then once more, and return those that still run after ``timeout`` seconds."""
    pending = {task for task in tasks if not task.done()}
    for share in (_FIRST_CANCEL_SHARE, 1.0 - _FIRST_CANCEL_SHARE):
        if not pending:
            break
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=timeout * share)
    # Done callbacks of the supervisor run one turn of the loop later: let names and errors be up to date on return.
    await asyncio.sleep(0)
    return pending

"""What a click starts and what takes its time: one task at a time, its outcome kept for the page."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from kit.core.tasks import TaskSupervisor
from kit.errors import KitError, NotReady


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an errand ended: ``what`` was done, and what is to be said about it."""

    number: int
    what: str
    ok: bool
    text: str


class Errands:
    """Run coroutines of a core one at a time, on its loop; ``what`` is under way, ``outcome`` is that of the last.

    The tasks are not the core's, as one of them may be to stop it.
    """

    def __init__(self, name: str) -> None:
        self._supervisor = TaskSupervisor(name)
        self._count = 0
        self.what = ""
        self.outcome: Outcome | None = None

    def start(
        self,
        what: str,
        coroutine: Coroutine[Any, Any, Any],
        tell: Callable[[Any], str] = lambda _: "",
        *,
        breaks_in: bool = False,
    ) -> None:
        """Begin; ``tell(result)`` words the outcome.

        Raises ``NotReady`` while another one is under way; one that ``breaks_in`` waits for no other but itself.
        """
        if self.what == what or (self.what and not breaks_in):
            coroutine.close()
            raise NotReady(f"wait: {self.what}")
        self.what = what
        self.outcome = None
        self._supervisor.spawn(self._run(what, coroutine, tell), name=what)

    async def _run(self, what: str, coroutine: Coroutine[Any, Any, Any], tell: Callable[[Any], str]) -> None:
        ok, text = False, "it was ended before it was done"
        try:
            text = tell(await coroutine)
            ok = True
        except KitError as error:
            text = str(error)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise
        finally:
            if self.what == what:  # else another one broke in, and its outcome counts
                self.what = ""
                self._count += 1
                self.outcome = Outcome(self._count, what, ok, text)

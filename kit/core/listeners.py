"""Who is told of something, kept so that any thread may come and go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, ParamSpec

logger = logging.getLogger(__name__)

P = ParamSpec("P")


class Listeners(Generic[P]):
    """Functions that are called with the same arguments, in the order in which they were added.

    With a ``name``, a listener that fails is logged under it and the others are told all the same. Without one its
    exception reaches the teller; so it is where to log a failure would be to tell it again.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._known: tuple[Callable[P, object], ...] = ()
        # Re-entrant, as a panel that is collected while another is added takes its listener away.
        self._lock = threading.RLock()

    def add(self, listener: Callable[P, object]) -> Callable[[], None]:
        """Add a listener; returns the function that takes it away, which may be called more than once."""
        with self._lock:
            self._known = (*self._known, listener)

        def remove() -> None:
            with self._lock:
                self._known = tuple(known for known in self._known if known is not listener)

        return remove

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call those that are known now, on this thread; raises what one raises only where there is no name."""
        for listener in self._known:
            try:
                listener(*args, **kwargs)
            except Exception:  # a widget's defect must keep neither the others from hearing nor the teller from acting
                if not self._name:
                    raise
                logger.exception("a listener of %s failed", self._name)

    def __len__(self) -> int:
        return len(self._known)

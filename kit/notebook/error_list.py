"""Where errors of panels and their callbacks show: JupyterLab itself would show them nowhere."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

logger = logging.getLogger(__name__)

KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class PanelError:
    """One kind of failure: ``where`` it happened, the first ``error`` of it, and how often it came (``count``)."""

    where: str
    error: BaseException
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.where}: {type(self.error).__name__}: {self.error}{times}"


class ErrorList:
    """Keep the last 50 kinds of failures, each once with a count; the first of each is logged with its traceback.

    Safe from any thread.
    """

    def __init__(self) -> None:
        self._errors: OrderedDict[tuple[str, type, str], PanelError] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, where: str, error: BaseException) -> None:
        """Note a failure."""
        key = (where, type(error), str(error))
        with self._lock:
            known = self._errors.get(key)
            self._errors[key] = replace(known, count=known.count + 1) if known else PanelError(where, error)
            while len(self._errors) > KEPT:
                self._errors.popitem(last=False)
        if known is None:
            logger.error("%s failed", where, exc_info=error)

    def __len__(self) -> int:
        return len(self._errors)

    @property
    def items(self) -> tuple[PanelError, ...]:
        """Return the failures, oldest first."""
        with self._lock:
            return tuple(self._errors.values())

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._errors.clear()


ERRORS: Final = ErrorList()
"""The failures of all panels of this kernel."""

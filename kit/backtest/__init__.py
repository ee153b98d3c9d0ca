"""Backtests: the same core on a clock that does not wait, results, parity with live sessions, sweeps.

``kit.backtest(strategy, data, …)`` runs one; see ``kit.backtest.runner.backtest``. The package itself is what is
called, because a name cannot be a package here and a function there, depending on what was imported first.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any


class _Backtest(ModuleType):
    """A package that can be called."""

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        """Run a strategy on recorded order books; see ``kit.backtest.runner.backtest``."""
        from kit.backtest.runner import backtest

        return backtest(*args, **arguments)

    @property
    def __signature__(self) -> inspect.Signature:
        from kit.backtest.runner import backtest

        return inspect.signature(backtest)


sys.modules[__name__].__class__ = _Backtest

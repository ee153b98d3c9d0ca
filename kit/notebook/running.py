"""``kit.run``: awaits for cells that cannot."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Coroutine
from typing import Any, Final, TypeVar, cast

from kit.core.reentry import dangerous, kernel_version, patched
from kit.errors import InvalidInput, NotReady, NotSupported
from kit.trading.switch import TradingState
from kit.trading_core import TradingCore

T = TypeVar("T")

NEEDS_FORK: Final = (7, 2)
"""The first version of ipykernel on which only ``nest_asyncio2`` keeps every message."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result, also where a loop runs and ``await`` cannot be written.

    In a cell write ``await`` wherever that is possible: within ``kit.run`` clicks and other cells wait. Where no loop
    runs, this is ``asyncio.run``. Where one does, as in a notebook, asyncio is patched, once and for good, so that the
    loop can be entered again: with ``nest_asyncio2`` on ipykernel 7.2 and later, elsewhere with ``nest_asyncio``.

    Raises ``NotReady`` while a core trades live and within what a core itself runs, such as a hook, ``NotSupported``
    where asyncio was patched in a way that loses messages or where the patch is not installed, and ``InvalidInput`` for
    what is no coroutine.
    """
    if not inspect.iscoroutine(coroutine):
        raise InvalidInput(f"kit.run takes a coroutine, as in kit.run(core.start()), got {coroutine!r}")
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return cast("T", asyncio.run(coroutine))
    try:
        _check_not_within_a_core(loop)
        _check()
        _patch(loop)
    except BaseException:
        coroutine.close()
        raise
    return cast("T", loop.run_until_complete(coroutine))


def _check_not_within_a_core(loop: asyncio.AbstractEventLoop) -> None:
    task = asyncio.current_task()
    for core in TradingCore.all():
        if core.affinity.loop is loop and (core.configuration["loop"] == "thread" or core.supervisor.owns(task)):
            raise NotReady(
                f"kit.run() was called by what core {core.name!r} itself runs, such as a hook of its strategy: the "
                "core would wait for itself. Hooks are synchronous: call kit.run() or await in a cell; to act from "
                "within a hook, start a task, such as asyncio.get_running_loop().create_task(core.stop())"
            )


def _check() -> None:
    live = [core.name for core in TradingCore.all() if core.trading_state is TradingState.LIVE]
    if live:
        raise NotReady(
            f"kit.run() is refused while core {', '.join(live)} is live, as clicks would wait for its end: "
            "write 'await …' in the cell, or take the core off first"
        )
    if problem := dangerous():
        raise NotSupported(problem)


def _patch(loop: asyncio.AbstractEventLoop) -> None:
    names = ("nest_asyncio2",) if kernel_version() >= NEEDS_FORK else ("nest_asyncio", "nest_asyncio2")
    if patched():  # the first patch stays, whichever it is; the loop of this thread may still lack it
        names = ("nest_asyncio2",) if hasattr(asyncio, "_nest_asyncio2") else ("nest_asyncio",)
    for name in names:
        try:
            importlib.import_module(name).apply(loop)
        except ImportError:
            continue
        return
    raise NotSupported(f"kit.run() needs {names[0]} here: pip install {names[0].replace('_', '-')}")

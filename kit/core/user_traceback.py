"""Tracebacks that begin where the reader's own code begins: what called it is the kit's business."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_KIT: Final = f"{Path(__file__).resolve().parent.parent}{os.sep}"
_PATHS: Final = sysconfig.get_paths()
_LIBRARIES: Final = (_KIT, *{f"{_PATHS[name]}{os.sep}" for name in ("stdlib", "platstdlib")}, "<frozen")


def is_users(filename: str) -> bool:
    """Tell whether code of that file is the user's: a cell or a file of their own, none of the kit's or a library's."""
    return not filename.startswith(_LIBRARIES) and "-packages" + os.sep not in filename


def user_traceback(error: BaseException) -> str:
    """Return the traceback of ``error`` as text, from the first frame of the user's code on.

    Frames of the kit and of libraries above it are left out, those below it stay. An error that no user's code was
    part of shows whole, or only where it arose when it is the cause of one that shows the user's code.
    """
    report = traceback.TracebackException.from_exception(error)
    chain = list(_chain(report, set()))
    users = any(is_users(frame.filename) for link in chain for frame in link.stack)
    for link in chain:
        link.stack = _from_user(link.stack, users)
    return "".join(report.format()).rstrip()


def place_of(error: BaseException) -> tuple[str, int] | None:
    """Return file and line where ``error`` was raised, ``None`` for one that never was."""
    link = error.__traceback__
    if link is None:
        return None
    while link.tb_next is not None:
        link = link.tb_next
    return link.tb_frame.f_code.co_filename, link.tb_lineno


def _chain(report: traceback.TracebackException, seen: set[int]) -> Iterator[traceback.TracebackException]:
    if id(report) in seen:
        return
    seen.add(id(report))
    yield report
    for below in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if below is not None:
            yield from _chain(below, seen)


def _from_user(stack: traceback.StackSummary, users: bool) -> traceback.StackSummary:
    for number, frame in enumerate(stack):
        if is_users(frame.filename):
            return traceback.StackSummary.from_list(stack[number:])
    return traceback.StackSummary.from_list(stack[-1:]) if users else stack

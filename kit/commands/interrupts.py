"""Ctrl-C while a command is still loading."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Note a SIGINT that comes inside, and raise ``KeyboardInterrupt`` at the end.

    In the middle of an import it must not be raised: there it is now and then swallowed by what is being imported, or
    ends Python with a signal of its own. Nothing changes off the main thread, or where SIGINT is ignored or has
    another handler than Python's.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    noted = False

    def note(*_: object) -> None:
        nonlocal noted
        noted = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if noted:
        raise KeyboardInterrupt

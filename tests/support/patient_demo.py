"""`kit demo` that is patient with a busy machine, and goes on after its seconds until it has traded.

``python -m tests.support.patient_demo`` takes the arguments of ``kit``.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import kit
from kit.__main__ import main
from kit.commands import demo
from tests.support.patient import be_patient

_watch = demo._watch


def _traded(core: kit.TradingCore, market: Any) -> bool:
    book = market.order_book_tracker.status(demo.PAIR)
    created = core.session_logs[market.name].orders_created
    return core.clock.stats.ticks >= 2 and book.diffs > 5 and book.trades > 0 and created >= 2


async def watch(core: kit.TradingCore, market: Any, seconds: float, console: Any) -> float:
    core.disarm_rules = kit.DisarmRules(loop_lag=None, behind=None)
    began = time.monotonic()
    await _watch(core, market, seconds, console)
    while not _traded(core, market):
        await _watch(core, market, 0.2, console)
    return round(time.monotonic() - began, 3)


if __name__ == "__main__":
    be_patient()
    demo._watch = watch
    sys.exit(main())

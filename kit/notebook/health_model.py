"""How a core is, part by part."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.errors import NotSupported
from kit.notebook.core_model import CoreModel
from kit.notebook.formats import escape, html_table
from kit.notebook.health_rows import (
    Row,
    connector_rows,
    errors_row,
    guard_row,
    loop_row,
    past_incident,
    red_row,
    saving_rows,
    strategy_row,
    tick_row,
)
from kit.notebook.panel import Frame
from kit.notebook.refresh import INTERVAL
from kit.notebook.saving import widget_state_saving
from kit.notebook.subshell import red_path

if TYPE_CHECKING:
    from kit.trading_core import TradingCore

CALM: Final = 1.0
"""Seconds between two readings: figures that change faster can be read by nobody."""

MINUTE: Final = 60.0


class LoopWatch:
    """Notes by how much its calls come later than every ``INTERVAL`` seconds, for a minute."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque(maxlen=1000)
        self._before: float | None = None

    def note(self, now: float) -> None:
        """Note that the loop came by at ``now`` (monotonic)."""
        if self._before is not None:
            late = now - self._before - INTERVAL
            if late > 0:
                self._late.append((now, late))
        self._before = now

    def pause(self) -> None:
        """Expect no call until the next one."""
        self._before = None

    def worst(self, now: float) -> float:
        """Return the longest delay of the last minute, seconds."""
        while self._late and self._late[0][0] < now - MINUTE:
            self._late.popleft()
        return max((late for _, late in self._late), default=0.0)


class HealthModel(CoreModel):
    """The parts of a core, each with a figure and a verdict: good, look, bad, or off; read once a second."""

    def __init__(self, core: TradingCore, time_source: TimeSource = SYSTEM_TIME) -> None:
        super().__init__(core, "health")
        self._time_source = time_source
        self._watch = LoopWatch()
        self._next = 0.0
        self._last: list[list[str]] = []
        self._past = past_incident(core.guard)

    def frame(self, full: bool) -> Frame | None:
        """Return every line, or those that changed by their index; ``None`` when none did."""
        now = self._time_source.monotonic()
        if full:
            self._watch.pause()  # it was not called while nobody looked
        self._watch.note(now)
        if not full and now < self._next and not self.ended:
            return None
        self._next = now + CALM - INTERVAL / 2
        before, rows = self._last, [row.cells() for row in self.rows()]
        self._last = rows
        if full or len(rows) != len(before):
            return Frame({"rows": rows})
        changed = {str(index): row for index, row in enumerate(rows) if row != before[index]}
        return Frame({"changed": changed}, full=False) if changed else None

    def rows(self) -> list[Row]:
        """Return the lines of now."""
        core = self.core
        stats = core.clock.stats
        stalled = self._watch.worst(self._time_source.monotonic())
        live = any(connector.mode == "live" for connector in core.connectors.values())
        rows = [
            tick_row(stats, core.running, core.clock.tick_size),
            loop_row(stalled, stats.max_lag, core.guard),
            strategy_row(core.strategy, "" if core.read_only is None else str(core.read_only)),
        ]
        for name, connector in core.connectors.items():
            rows += connector_rows(name, connector, alone=len(core.connectors) == 1)
        items = core.errors.items
        return [
            *rows,
            guard_row(core.guard, live, self._past),
            red_row(red_path()),
            *saving_rows(widget_state_saving()),
            errors_row(len(items), str(items[-1]) if items else ""),
        ]

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse: nothing can be asked of it."""
        raise NotSupported(f"the health panel takes no command {message.get('do')!r}")

    def text(self) -> str:
        """Return a line for each part."""
        lines = [f"{row.verdict:<4}  {row.name}: {row.value}" for row in self.rows()]
        return "\n".join([self.name, *lines])

    def html(self) -> str:
        """Return the lines as a table."""
        rows = [[escape(cell) for cell in (row.name, row.value, row.verdict, row.detail)] for row in self.rows()]
        return html_table(["part", "figure", "verdict", "more"], rows, caption=self.name, left=4)

"""What a core's clock ticks, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from kit.connectors.connector import Connector
from kit.connectors.live_recordings import LiveRecordings
from kit.core.clock import Clock, ClockMode
from kit.core.time_iterator import TimeIterator
from kit.strategy.strategy_base import StrategyBase
from kit.trading.pnl_history import PnlHistory
from kit.trading.watching import ReadOnly


class ClockedCore(Protocol):
    """What is ticked of a core."""

    clock: Clock
    drivers: tuple[TimeIterator, ...]
    history: PnlHistory

    @property
    def read_only(self) -> ReadOnly | None:
        """Return who else runs the core, ``None`` where this process does."""
        ...

    @property
    def connectors(self) -> Mapping[str, Connector]:
        """Return the connectors by name."""
        ...

    @property
    def strategy(self) -> StrategyBase | None:
        """Return the strategy."""
        ...


class ClockMembers:
    """Keeps the children of a core's clock, and its recordings, in step with what connectors and strategy it has."""

    def __init__(self, core: ClockedCore, recordings: LiveRecordings) -> None:
        self._core = core
        self._recordings = recordings

    def sync(self) -> None:
        """Tick what there is: the connectors, then the strategy, so that it sees what they learnt in the same tick."""
        core, clock = self._core, self._core.clock
        strategies = () if core.strategy is None or core.read_only is not None else (core.strategy,)
        history = (core.history,) if core.connectors and clock.mode is ClockMode.REALTIME else ()
        wanted: list[Any] = [*core.drivers, *history, *core.connectors.values(), *strategies]
        for child in clock.children:
            if child not in wanted:
                clock.remove_iterator(child)
        missing = [child for child in wanted if child not in clock.children]
        if core.strategy is not None and missing and core.strategy not in missing:
            clock.remove_iterator(core.strategy)
            missing.append(core.strategy)
        for child in missing:
            clock.add_iterator(child)
        self._recordings.follow(core.connectors)

    def __repr__(self) -> str:
        return f"<ClockMembers: {', '.join(child.name for child in self._core.clock.children) or 'none'}>"

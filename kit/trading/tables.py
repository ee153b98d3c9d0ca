"""What a core knows as pandas tables, each of one moment, whatever thread asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from kit.connectors.connector import Connector
from kit.core.affinity import LoopAffinity
from kit.core.clock import Clock
from kit.core.tasks import TaskSupervisor
from kit.guard.guard import Guard
from kit.orders.frames import balance_rows, balances_table, fill_rows, fills_table, order_rows, orders_table
from kit.orders.session_log import PairTotals, pnl_frame
from kit.strategy.strategy_base import StrategyBase
from kit.trading.session_records import SessionRecords, current_marks
from kit.trading.switch_board import SwitchBoard

if TYPE_CHECKING:
    import pandas as pd


class TabledCore(Protocol):
    """What tables are made of."""

    name: str
    affinity: LoopAffinity
    clock: Clock
    supervisor: TaskSupervisor
    switch: SwitchBoard
    _records: SessionRecords

    @property
    def running(self) -> bool: ...  # noqa: D102
    @property
    def connectors(self) -> Mapping[str, Connector]: ...  # noqa: D102
    @property
    def guard(self) -> Guard | None: ...  # noqa: D102
    @property
    def strategy(self) -> StrategyBase | None: ...  # noqa: D102
    @property
    def unattended(self) -> tuple[str, ...]: ...  # noqa: D102


class CoreTables:
    """Mixed into a core: its tables.

    What they show is read on the core's loop, so it is all of one moment; the table is built where it is asked for.
    """

    @property
    def orders(self: TabledCore) -> pd.DataFrame:
        """Return this session's orders, oldest first, one row each."""
        return orders_table(
            self.affinity.read(
                lambda: order_rows(
                    (log.connector_name, log.mode, order) for log in self._records.logs for order in log.all_orders()
                )
            )
        )

    @property
    def fills(self: TabledCore) -> pd.DataFrame:
        """Return this session's fills, oldest first, one row each."""
        fills = self.affinity.read(
            lambda: [(log.connector_name, log.mode, fill) for log in self._records.logs for fill in log.fills]
        )
        return fills_table(fill_rows(sorted(fills, key=lambda row: row[2].timestamp)))

    @property
    def balances(self: TabledCore) -> pd.DataFrame:
        """Return the balances of every account: connector, asset, total, available."""
        return balances_table(
            self.affinity.read(
                lambda: balance_rows(
                    (name, side.mode, side.balances)
                    for name, connector in self.connectors.items()
                    for side in connector.sides
                )
            )
        )

    @property
    def pnl(self: TabledCore) -> pd.DataFrame:
        """Return profit and loss of this session's fills, one row a pair, at the mid price of now or of the stop."""
        return pnl_frame(self.affinity.read(_totals, self))

    @property
    def status(self: TabledCore) -> pd.DataFrame:
        """Return the health of every part as a table: part, item, value; nested items have dotted names."""
        import pandas as pd

        parts = self.affinity.read(_parts, self)
        rows = [(part, item, value) for part, values in parts.items() for item, value in _flatten(values)]
        return pd.DataFrame(rows, columns=["part", "item", "value"], dtype=object)


def _totals(core: TabledCore) -> list[tuple[str, str, PairTotals, Decimal]]:
    records = core._records  # noqa: SLF001  # this is the core's own side
    marks, unknown = records.marks | current_marks(core.connectors), Decimal("NaN")
    return [
        (
            log.connector_name,
            log.mode,
            dataclasses.replace(totals),
            marks.get((log.connector_name, totals.trading_pair), unknown),
        )
        for log in records.logs
        for totals in log.totals.values()
    ]


def _parts(core: TabledCore) -> dict[str, Any]:
    guard, strategy = core.guard, core.strategy
    parts: dict[str, Any] = {
        "core": {
            "name": core.name,
            "running": core.running,
            "trading_state": core.switch.state.value,
            "went_back": core.switch.reason,
            "tasks": len(core.supervisor),
            "unattended": ", ".join(core.unattended),
        },
        "clock": core.clock.stats,
        "guard": guard.state if guard is not None else {"alive": False, "problems": "switched off"},
    }
    if strategy is not None:
        parts["strategy"] = {
            "name": strategy.name,
            "paused": strategy.paused,
            "pause_reason": strategy.pause_reason,
            "errors_in_a_row": strategy.consecutive_errors,
        }
    return parts | {name: connector.status for name, connector in core.connectors.items()}


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for name, item in value.items():
        yield from _flatten(item, f"{prefix}.{name}" if prefix else str(name))

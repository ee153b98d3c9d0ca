"""What the health panel judges: each part of a core in one line, with a plain verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from kit.core.network_iterator import NetworkStatus
from kit.notebook.html_parts import quantity
from kit.notebook.saving import ADVICE
from kit.notebook.subshell import RedPath

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.core.ticks import ClockStats
    from kit.guard.guard import Guard
    from kit.market.tracked_book import BookStatus
    from kit.strategy.strategy_base import StrategyBase

Verdict = Literal["good", "look", "bad", "off"]

LATE: Final = (0.05, 0.25)
"""Lateness of ticks (p99, seconds) from which on to look, and from which on it is bad."""

SETTLED: Final = 100
"""Ticks before which their p99 is that of the start, when much is loaded: no reason to call it bad."""

STALL: Final = (0.25, 1.0)
"""Seconds that the loop stood still, within a minute: look, bad."""

USED: Final = (0.7, 0.9)
"""Share of a rate limit that is used: look, bad."""

PAST: Final = 200
"""Lines of the guard's file that are searched for what it did last."""

SILENT: Final = 5.0
"""Seconds without news of a book from which on to look; whether it is stale the connector tells."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what is judged, the verdict, the figure, and more words for who wants to know."""

    name: str
    verdict: Verdict
    value: str
    detail: str = ""

    def cells(self) -> list[str]:
        """Return the line as texts."""
        return [self.name, self.verdict, self.value, self.detail]


def seconds(value: float) -> str:
    """Return a duration as people read it: ms below a second, one decimal below a minute, then minutes or hours."""
    if not math.isfinite(value):
        return "—"
    if value < 0.9995:
        return f"{value * 1000:.{1 if value < 0.00995 else 0}f} ms"
    if value < 60:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def graded(value: float, limits: tuple[float, float]) -> Verdict:
    """Return good below the first limit, look below the second, else bad."""
    return "good" if value < limits[0] else "look" if value < limits[1] else "bad"


def tick_row(stats: ClockStats, running: bool, tick_size: float) -> Row:
    """Judge the lateness of ticks."""
    if not running:
        return Row("ticks", "off", "stopped", "the clock does not run: core.start()")
    skipped = f"{stats.ticks_skipped:,} skipped, " if stats.ticks_skipped else ""
    late = f"{stats.ticks_late:,} late, {seconds(stats.max_lateness)} at most"
    detail = f"{quantity(stats.ticks, 'tick')} of {tick_size:g} s; {skipped}{late}"
    value = f"p99 {seconds(stats.p99_lateness)}, last {seconds(stats.last_lateness)}"
    verdict = graded(max(stats.p99_lateness, stats.last_lateness / 2), LATE)
    if verdict == "bad" and stats.ticks < SETTLED:
        verdict = "look"
    return Row("ticks", verdict, value, detail)


def loop_row(worst: float, max_lag: float, guard: Guard | None) -> Row:
    """Judge how long the loop stood still within the last minute."""
    limit = "" if guard is None else f"; the guard acts after {seconds(guard.stall_limit)}"
    value = f"{seconds(worst)} at most" if worst >= LATE[0] else "no stall"
    return Row("loop", graded(worst, STALL), value, f"in the last minute; ever {seconds(max_lag)}{limit}")


def connector_rows(name: str, connector: Connector, *, alone: bool) -> Iterator[Row]:
    """Judge connection, private stream, feeds and rate limits of a connector; ``alone``: there is no other one."""
    prefix = "" if alone else f"{name} "
    port = connector.status["port"]
    counters: Mapping[str, Any] = port if isinstance(port, Mapping) else {}
    yield _network_row(name, connector, counters)
    if connector.mode != "data":
        yield _account_row(f"{prefix}account", connector)
    for pair in connector.trading_pairs:
        yield feed_row(f"{prefix}{pair}", connector.order_book_tracker.status(pair))
    if (row := limits_row(f"{prefix}rate limits", counters.get("limits"))) is not None:
        yield row


def _network_row(name: str, connector: Connector, port: Mapping[str, Any]) -> Row:
    status = connector.network_status
    again = int(port.get("reconnects", 0))
    times = quantity(again, "reconnect") if again else ""
    if status is NetworkStatus.CONNECTED:
        trip = port.get("round_trip")
        clock = port.get("clock_offset")
        facts = [times or "no reconnects"]
        if isinstance(trip, float) and math.isfinite(trip):
            facts.append(f"round trip {seconds(trip)}")
        if isinstance(clock, float) and math.isfinite(clock):
            facts.append(f"its clock is {abs(clock) * 1000:.0f} ms {'ahead' if clock > 0 else 'behind'}")
        return Row(name, "good", f"connected{f', {times}' if times else ''}", "; ".join(facts))
    word = "closed" if status is NetworkStatus.STOPPED else "no connection"
    return Row(name, "bad", word, connector.last_error or times)


def _account_row(label: str, connector: Connector) -> Row:
    if connector.trading_refused:
        return Row(label, "bad", "refused", connector.trading_refused)
    stream = connector.user_stream_tracker
    if stream is None:
        return Row(label, "off", "none")
    state = stream.status
    lost = f"{quantity(state.losses, 'lost connection')}; " if state.losses else ""
    orders = quantity(len(connector.order_tracker.lost_orders), "order")
    detail = f"{lost}{orders} lost; {state.last_error}".rstrip("; ")
    if state.ready:
        return Row(label, "good", f"{connector.mode}, streaming", detail)
    return Row(label, "bad", f"{connector.mode}, not in step", detail)


def feed_row(label: str, status: BookStatus) -> Row:
    """Judge a book's feed."""
    counts = {"gaps": status.gaps, "resyncs": status.resyncs, "bad messages": status.rejected + status.crossed}
    troubles = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    detail = f"{quantity(status.diffs, 'change')}, {quantity(status.trades, 'trade')}; {troubles or 'no gaps'}"
    if status.age is None or not status.synced:
        return Row(label, "bad", "waits for a snapshot", status.last_error or detail)
    value = f"{status.age:z.1f} s old"
    if status.stale:
        return Row(label, "bad", f"stale, {value}", detail)
    return Row(label, "look" if status.age >= SILENT else "good", value, detail)


def limits_row(label: str, limits: object) -> Row | None:
    """Judge the fullest rate limit; ``None`` where there is none."""
    usage = limits.get("usage") if isinstance(limits, Mapping) else None
    if not isinstance(limits, Mapping) or not isinstance(usage, Mapping) or not usage:
        return None
    shares = {limit: used / allowed for limit, (used, allowed) in usage.items() if allowed}
    fullest = max(shares, key=lambda limit: shares[limit])
    used, allowed = usage[fullest]
    waiting, refused = int(limits.get("waiting", 0)), int(limits.get("refusals", 0))
    verdict = graded(shares[fullest], USED)
    if verdict == "good" and waiting:
        verdict = "look"
    detail = f"{used:,} of {allowed:,} {fullest}; {waiting} wait; refused {refused} times"
    return Row(label, verdict, f"{shares[fullest]:.0%} used", detail)


def past_incident(guard: Guard | None) -> str:
    """Return what a guard of this core's name did last, also in an earlier run, nothing where none had to act."""
    entries = [] if guard is None else guard.log(PAST)
    for entry in reversed(entries):
        if entry.event == "done":
            return f"last at {datetime.fromtimestamp(entry.timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC: {entry.text}"
    return ""


def guard_row(guard: Guard | None, live: bool, past: str = "") -> Row:
    """Judge the guard; ``past`` is what an earlier one did."""
    if guard is None:
        return Row("guard", "look" if live else "off", "switched off", "this core was made with guard=False")
    state = guard.state
    report = f"last: {state.last_report}" if state.last_report is not None else past or "never had to act"
    again = f"; started again {state.restarts} times" if state.restarts else ""
    if not state.accounts:
        return Row("guard", "off", "not needed", f"nothing is live; {report}")
    if not state.alive:
        return Row("guard", "bad", "not alive", f"orders are not guarded; see core.guard_log{again}")
    if not state.prepared:
        why = "; ".join(f"{name}: {what}" for name, what in state.problems.items())
        return Row("guard", "look", "alive, not prepared", f"{why}{again}")
    return Row("guard", "good", "alive, prepared", f"{report}; acts after {seconds(guard.stall_limit)} of stall{again}")


def red_row(path: RedPath) -> Row:
    """Judge the red button's way while a cell runs."""
    verdict: Verdict = "good" if path.works else "look"
    word, _, why = path.text.partition(": ")
    return Row("red button", verdict, word, why)


def strategy_row(strategy: StrategyBase | None, elsewhere: str = "") -> Row:
    """Judge the strategy; ``elsewhere`` tells which process runs the core, if not this one."""
    if elsewhere:
        return Row("strategy", "off", "acts where it runs", elsewhere)
    if strategy is None:
        return Row("strategy", "off", "none", "core.strategy = …")
    if strategy.consecutive_errors:
        error = str(strategy.last_error or "")
        return Row("strategy", "bad", f"{strategy.consecutive_errors} failed ticks in a row", error)
    if strategy.paused:
        return Row("strategy", "look", "paused", strategy.pause_reason)
    return Row("strategy", "good", "acts" if strategy.clock is not None else "waits for the clock")


def saving_rows(saving: bool | None) -> list[Row]:
    """Judge what JupyterLab writes into the notebook file; no line where it is as it should be."""
    return [Row("notebook file", "look", "holds what is typed into widgets", ADVICE)] if saving else []


def errors_row(count: int, last: str) -> Row:
    """Judge the list of errors."""
    if not count:
        return Row("errors", "good", "none")
    return Row("errors", "look", quantity(count, "kind"), f"last: {last}; see core.errors")

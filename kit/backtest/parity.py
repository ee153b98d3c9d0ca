"""Parity: whether a recorded session, replayed offline, takes the same decisions."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kit.backtest.parity_html import report_html
from kit.backtest.session_replay import SessionReplay, quietly
from kit.errors import InvalidInput
from kit.storage.session_codec import plain
from kit.storage.session_files import Frame, SessionLog, open_session
from kit.strategy.session_recorder import SessionRecording
from kit.strategy.session_spec import source_hash, values_of

if TYPE_CHECKING:
    import pandas as pd

    from kit.backtest.parity_fills import FillReport

Act = dict[str, Any]

_NOT_COMPARED: Final = frozenset({"submit", "drop", "params", "started"})
"""What the session brought about in the replay, so that it tells nothing."""

_REMEMBERED: Final = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """One act of the core: ``live`` as it was recorded, ``replay`` as it came out; ``None`` where there was none.

    ``number`` is the frame's, ``time`` the wall clock and ``tick`` the last tick's time, in seconds; ``during`` what
    the core was doing.
    """

    number: int
    time: float
    tick: float | None
    during: str
    live: Act | None
    replay: Act | None

    @property
    def equal(self) -> bool:
        """Tell whether both did the same."""
        return self.live == self.replay


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that differs, with what was known: best bid and ask by pair, parameters in force, what came before."""

    decision: Decision
    prices: dict[str, tuple[float, float]]
    params: dict[str, Any]
    before: tuple[str, ...]

    def __str__(self) -> str:
        decision = self.decision
        prices = ", ".join(f"{pair} {bid:.12g} / {ask:.12g}" for pair, (bid, ask) in self.prices.items())
        return (
            f"frame {decision.number}, during {decision.during} at {decision.time:.6f} (tick {decision.tick}):\n"
            f"  live:   {told(decision.live)}\n  replay: {told(decision.replay)}\n"
            f"  best prices: {prices}\n  before: {'; '.join(self.before)}"
        )


@dataclass(slots=True)
class ParityReport:
    """What came of a replay. ``equal``: every decision was the same; ``first`` is the first that was not.

    ``decisions`` are all, ``differences`` those that differ, with context (the first ``MOST_DIFFERENCES``). ``notes``
    name what may spoil the comparison: a changed class, a session that is not whole. ``fills`` compares simulated
    fills with the real ones, ``None`` where there was nothing to compare or it was not asked for.
    """

    session: str
    strategy: str
    seconds: float
    ticks: int = 0
    frames: int = 0
    param_changes: int = 0
    decisions: list[Decision] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fills: FillReport | None = None

    @property
    def equal(self) -> bool:
        """Tell whether every decision was the same."""
        return not self.differences

    @property
    def first(self) -> Difference | None:
        """Return the first decision that differs."""
        return self.differences[0] if self.differences else None

    @property
    def differing(self) -> int:
        """Return how many decisions differ."""
        return sum(not decision.equal for decision in self.decisions)

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame of all decisions, a row each.

        Columns: frame, time (UTC), tick (UTC), during, connector, action, order_id, pair, side, type, price, amount
        (of live, else of the replay; text), equal, replay (what the replay did, where it differs).
        """
        import pandas as pd

        frame = pd.DataFrame([_row(decision) for decision in self.decisions], columns=list(_COLUMNS))
        for name in ("time", "tick"):
            frame[name] = pd.to_datetime(frame[name], unit="s", utc=True)
        return frame

    def __str__(self) -> str:
        verdict = "the same decisions" if self.equal else f"{self.differing} of {len(self.decisions)} decisions differ"
        lines = [
            (
                f"{self.session}, {self.strategy}: {verdict} ({len(self.decisions)} in {self.ticks} ticks, "
                f"{self.seconds:.0f} s, {self.frames} frames, {self.param_changes} changes of parameters)"
            ),
            *(f"note: {note}" for note in self.notes),
        ]
        if self.first is not None:
            lines.append(f"first difference: {self.first}")
        if self.fills is not None:
            lines.append(str(self.fills))
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return report_html(self)


MOST_DIFFERENCES: Final = 1000
_COLUMNS: Final = (
    "frame",
    "time",
    "tick",
    "during",
    "connector",
    "action",
    "order_id",
    "pair",
    "side",
    "type",
    "price",
    "amount",
    "equal",
    "replay",
)


def parity(
    session: SessionLog | SessionRecording | str | Path, strategy: Any = None, *, fills: bool = True
) -> ParityReport:
    """Replay a recorded session through its strategy alone and compare every decision; then compare fills.

    ``session`` is what ``core.record_session`` wrote: a path (of a folder: its latest session), the recording itself,
    or an open ``SessionLog``. ``strategy`` is the strategy's class, needed where it cannot be imported, as from a
    notebook's cell, or a function ``(markets: dict of connectors by name) -> strategy``; ``None`` imports the class.
    The replay runs in this thread, without a pause: call it when nothing is live on the same loop.

    ``fills`` also replays the recorded orders through the simulated exchange, once per queue model (see
    ``kit.backtest.parity_fills``). Raises ``InvalidInput`` for what is no session, or cannot be replayed.
    """
    log = _log(session)
    with quietly():
        report = _compare(log, strategy)
        if fills:
            from kit.backtest.parity_fills import compare_fills

            report.fills = compare_fills(log)
    return report


def _log(session: SessionLog | SessionRecording | str | Path) -> SessionLog:
    if isinstance(session, SessionLog):
        return session
    if isinstance(session, SessionRecording):
        return open_session(session.path)
    if isinstance(session, str | Path):
        return open_session(session)
    raise InvalidInput(f"session is {session!r}; give the path of a recorded session, or its folder")


def _compare(log: SessionLog, strategy: Any) -> ParityReport:
    replay = SessionReplay(log, strategy)
    report = ParityReport(
        log.name, ", ".join(_strategies(log)) or "no strategy", log.seconds, notes=_notes(log, strategy)
    )
    tick: float | None = None
    before: deque[str] = deque(maxlen=_REMEMBERED)
    for recorded, replayed in replay.run():
        report.frames += 1
        if recorded.kind == "tick":
            tick = recorded.data["ts"]
            report.ticks += 1
        report.param_changes += sum(act["a"] == "params" for act in recorded.acts)
        for decision in _decisions(recorded, replayed, tick):
            report.decisions.append(decision)
            if not decision.equal and len(report.differences) < MOST_DIFFERENCES:
                report.differences.append(_with_context(decision, replay, before))
        before.append(_brief(recorded))
    return report


def _decisions(recorded: Frame, replayed: Frame, tick: float | None) -> Iterator[Decision]:
    live, other = _compared(recorded), _compared(replayed)
    for ours, theirs in itertools.zip_longest(live, other):
        yield Decision(recorded.number, recorded.at, tick, recorded.kind, ours, theirs)


def _compared(frame: Frame) -> list[Act]:
    return [plain(act) for act in frame.acts if act["a"] not in _NOT_COMPARED]


def _with_context(decision: Decision, replay: SessionReplay, before: deque[str]) -> Difference:
    strategy = replay.core.strategy
    prices = {
        f"{name} {pair}": (book.get_price(False), book.get_price(True))
        for name, connector in replay.core.connectors.items()
        for pair, book in connector.order_book_tracker.order_books.items()
    }
    params = {} if strategy is None else values_of(strategy.params.model)
    return Difference(decision, prices, params, tuple(before))


def _brief(frame: Frame) -> str:
    kind = f"{frame.kind} {frame.data[0]}" if frame.kind in ("market", "account") else frame.kind
    return f"{frame.number} {kind}"


def _specs(log: SessionLog) -> list[dict[str, Any]]:
    first = [log.frames[0].data["strategy"]] if log.frames else []
    return [spec for spec in [*first, *(frame.data for frame in log.of("swap"))] if spec]


def _strategies(log: SessionLog) -> list[str]:
    return list(dict.fromkeys(spec["class"] for spec in _specs(log)))


def _notes(log: SessionLog, strategy: Any) -> list[str]:
    notes = [] if log.whole else [log.problem]
    specs = _specs(log)
    if not specs:
        notes.append("no strategy ran in this session")
    seen: set[int] = set()
    for spec in specs:
        if spec["used"] and spec["object"] not in seen:
            notes.append(f"{spec['name']} had run before the session; what it remembered of that is not recorded")
        seen.add(spec["object"])
    if isinstance(strategy, type) and (changed := [spec for spec in specs if _changed(spec, strategy)]):
        notes.append(
            f"the class {strategy.__name__} is not the one that ran: its source differs ({changed[0]['hash']})"
        )
    elif strategy is None:
        notes += _imported_changes(specs)
    for frame in log.of("end"):
        if frame.data["reentered"]:
            notes.append(
                f"the loop ran {frame.data['reentered']} times within a callback (kit.run inside a hook?); what "
                "came in there is not replayed"
            )
    if (kit := log.header["kit"]) != _version():
        notes.append(f"recorded by kit {kit}, replayed by {_version()}")
    return list(dict.fromkeys(notes))


def _imported_changes(specs: list[dict[str, Any]]) -> Iterator[str]:
    from kit.strategy.session_spec import find_class

    for spec in specs:
        kind = find_class(spec)
        if _changed(spec, kind):
            yield f"the class {kind.__name__} has changed since the session: its source differs ({spec['hash']})"


def _changed(spec: dict[str, Any], kind: type) -> bool:
    now = source_hash(kind)
    return bool(spec["hash"] and now) and spec["hash"] != now


def _version() -> str:
    from importlib.metadata import version

    return version("kit-trading")


def told(act: Act | None) -> str:
    """Say in words what was done."""
    if act is None:
        return "nothing"
    if act["a"] == "place":
        order = act["order"]
        return (
            f"{order['trade_type']} {order['amount']} {order['trading_pair']} at {order['price']} "
            f"({order['order_type']}, {order['time_in_force']}) as {order['client_order_id']} on {act['w']}, "
            f"created {act['created']}"
        )
    return " ".join(f"{value}" for name, value in act.items() if value is not None)


def _row(decision: Decision) -> tuple[Any, ...]:
    act = decision.live or decision.replay or {}
    order = act.get("order", {})
    return (
        decision.number,
        decision.time,
        decision.tick,
        decision.during,
        act.get("w", ""),
        act.get("a", ""),
        act.get("id", order.get("client_order_id", "")),
        order.get("trading_pair", ""),
        order.get("trade_type", ""),
        order.get("order_type", ""),
        order.get("price", ""),
        order.get("amount", ""),
        decision.equal,
        "" if decision.equal else told(decision.replay),
    )

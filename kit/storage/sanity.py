"""What is odd about market events: order, ids, values, books, latency; found by looking, reported as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kit.storage.crossed_books import crossed_books
from kit.storage.events import NANOSECONDS, EventKind, MarketEvents

if TYPE_CHECKING:
    import pandas as pd

ERROR: Final = "error"
NOTE: Final = "note"
_CONTIGUOUS: Final = 0.99
"""Trade ids are taken for consecutive numbers when this share of their steps is 1."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of oddity: how often, and the first row (local time in ns) where it shows.

    ``severity`` is ``"error"`` where a simulation would go wrong, ``"note"`` where real streams are like that at times.
    """

    problem: str
    severity: str
    count: int
    first_row: int
    first_time: int
    detail: str


@dataclass(frozen=True)
class SanityReport:
    """What ``check`` found; empty when nothing was."""

    rows: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Tell whether no problem is an error."""
        return not any(problem.severity == ERROR for problem in self.problems)

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame: problem, severity, count, first_row, first_time (UTC), detail; errors first."""
        import pandas as pd

        ranked = sorted(self.problems, key=lambda problem: problem.severity != ERROR)
        columns = list(Problem.__dataclass_fields__)
        frame = pd.DataFrame([[getattr(one, name) for name in columns] for one in ranked], columns=columns)
        frame["first_time"] = pd.to_datetime(frame["first_time"].astype("int64"), unit="ns", utc=True)
        return frame

    def __repr__(self) -> str:
        told = "; ".join(f"{one.severity}: {one.problem} ({one.count:,})" for one in self.problems) or "nothing odd"
        return f"<SanityReport of {self.rows:,} rows: {told}>"

    def _repr_html_(self) -> str:
        found = "no errors" if self.ok else "errors"
        table: str = self.frame().to_html(index=False) if self.problems else ""
        return f"<p>{self.rows:,} rows: {found}, {len(self.problems)} kinds of oddities</p>{table}"


def check(events: MarketEvents, *, late: float = 1.0, silence: float = 60.0, books: bool = True) -> SanityReport:
    """Look events over and report what is odd about them.

    Errors: local times that go back; prices or amounts that are negative, infinite or not a number, or a price of 0;
    unknown kinds and sides; update ids that go back without a GAP row; crossed books. Notes: exchange times that go
    back or are not told; events that arrive before they happened (see ``correct_clock``); latency more than ``late``
    seconds above the median; more than ``silence`` seconds without any row; GAP rows between others (a recorder's own
    start and end are none); missing or double trade ids; trades of unknown side; a level told twice in a message; books
    with bid = ask; book updates before any snapshot.
    ``books=False`` leaves out the replay of the book, which takes about a second for a million rows.
    """
    found = [*_values(events), *_order(events), *_times(events, late, silence), *_ids(events), *_trades(events)]
    if books:
        found += _books(events)
    return SanityReport(len(events), tuple(found))


def _problem(
    events: MarketEvents, name: str, severity: str, rows: NDArray[np.int64], detail: str = ""
) -> Iterator[Problem]:
    """Yield the problem if there are rows of it."""
    if len(rows):
        first = int(rows[0])
        yield Problem(name, severity, len(rows), first, int(events.local_ts[first]), detail)


def _where(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(mask)


def _falls(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of values below the one before."""
    return np.flatnonzero(values[1:] < values[:-1]) + 1


def _values(events: MarketEvents) -> Iterator[Problem]:
    known = np.isin(events.kind, [int(kind) for kind in EventKind])
    yield from _problem(events, "unknown kind", ERROR, _where(~known), "not an EventKind")
    yield from _problem(events, "unknown side", ERROR, _where(np.abs(events.side) > 1), "neither 1, -1 nor 0")
    wordless = np.isin(events.kind, (EventKind.CLEAR, EventKind.GAP))
    sided = np.isin(events.kind, (EventKind.DEPTH, EventKind.SNAPSHOT, EventKind.BBO))
    yield from _problem(events, "level without a side", ERROR, _where(sided & (events.side == 0)))
    for name in ("price", "amount"):
        column = getattr(events, name)
        yield from _problem(events, f"{name} not finite", ERROR, _where(~np.isfinite(column) & ~wordless))
        yield from _problem(events, f"{name} negative", ERROR, _where((column < 0) & ~wordless))
    yield from _problem(events, "price zero", ERROR, _where((events.price == 0) & known & ~wordless))


def _order(events: MarketEvents) -> Iterator[Problem]:
    yield from _problem(events, "local time goes back", ERROR, _falls(events.local_ts), "sort by local time")
    told = _where(events.exch_ts > 0)
    yield from _problem(events, "exchange time not told", NOTE, _where(events.exch_ts <= 0))
    times = events.exch_ts[told]
    places = _falls(times)
    most = int(np.max(times[places - 1] - times[places])) / NANOSECONDS if len(places) else 0
    detail = f"by up to {most:.3f} s: streams overtook each other"
    yield from _problem(events, "exchange time goes back", NOTE, told[places], detail)


def _times(events: MarketEvents, late: float, silence: float) -> Iterator[Problem]:
    told = _where(events.exch_ts > 0)
    if len(told):
        latency = (events.local_ts[told] - events.exch_ts[told]) / NANOSECONDS
        median = float(np.median(latency))
        detail = f"least latency {latency.min():.3f} s: the clocks differ; correct_clock(events) adds a constant"
        yield from _problem(events, "arrives before it happened", NOTE, told[latency < 0], detail)
        detail = f"more than {late:g} s above the median of {median:.3f} s, up to {latency.max():.3f} s"
        yield from _problem(events, "late", NOTE, told[latency > median + late], detail)
    steps = np.diff(events.local_ts) / NANOSECONDS
    longest = float(steps.max()) if len(steps) else 0.0
    detail = f"nothing for more than {silence:g} s, at most {longest:.1f} s"
    yield from _problem(events, "silence", NOTE, _where(steps > silence) + 1, detail)


def _ids(events: MarketEvents) -> Iterator[Problem]:
    told = events.kind == EventKind.GAP
    gaps = _where(told)
    if not told.all():  # a recorder marks its own start and end; before and after it nothing is missing
        gaps = gaps[(gaps > int(np.argmin(told))) & (gaps < len(told) - 1 - int(np.argmin(told[::-1])))]
    yield from _problem(events, "gap", NOTE, gaps, "updates are missing; the book is right again after a snapshot")
    starts = np.isin(events.kind, (EventKind.SNAPSHOT, EventKind.CLEAR, EventKind.GAP))
    depth = events.kind == EventKind.DEPTH
    first_start = int(np.argmax(starts)) if starts.any() else len(events)
    unbased = _where(depth[:first_start])
    yield from _problem(events, "update before a snapshot", NOTE, unbased, "the book is incomplete until the first one")
    rows = _where(depth & (events.update_id > 0))
    epoch = np.cumsum(starts)[rows]
    ids = events.update_id[rows]
    back = _falls(ids)
    back = back[epoch[back] == epoch[back - 1]]
    yield from _problem(events, "update id goes back", ERROR, rows[back], "updates twice, or files out of order")
    twice = _repeated(ids, events.side[rows], events.price[rows])
    yield from _problem(events, "level twice in a message", NOTE, rows[twice], "the last one counts")


def _repeated(ids: NDArray[np.int64], side: NDArray[np.int8], price: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return, ascending, the places of levels that came before under the same id."""
    order = np.lexsort((price, side, ids))
    same = (
        (ids[order][1:] == ids[order][:-1])
        & (side[order][1:] == side[order][:-1])
        & (price[order][1:] == price[order][:-1])
    )
    return np.sort(order[1:][same])


def _trades(events: MarketEvents) -> Iterator[Problem]:
    trades = events.kind == EventKind.TRADE
    yield from _problem(
        events, "trade without a side", NOTE, _where(trades & (events.side == 0)), "left out where books are replayed"
    )
    empty = _where(trades & (events.amount == 0))
    yield from _problem(events, "trade of nothing", NOTE, empty)
    rows = _where(trades & (events.update_id > 0))
    order = np.argsort(events.update_id[rows], kind="stable")
    steps = np.diff(events.update_id[rows][order])
    again = np.sort(rows[order][1:][steps == 0])
    yield from _problem(events, "trade id twice", NOTE, again, "the same trade more than once")
    if len(steps) and np.mean(steps == 1) >= _CONTIGUOUS:
        holes = steps > 1
        missing = int((steps[holes] - 1).sum())
        after = np.sort(rows[order][1:][holes])
        yield from _problem(events, "trade ids missing", NOTE, after, f"{missing} trades between those told")


def _books(events: MarketEvents) -> Iterator[Problem]:
    crossed, locked = crossed_books(events)
    yield from _problem(events, "crossed book", ERROR, crossed, "best bid above best ask at the end of a message")
    yield from _problem(events, "zero spread", NOTE, locked, "best bid equals best ask")
    tickers = _where((events.kind[:-1] == EventKind.BBO) & (events.kind[1:] == EventKind.BBO))
    pairs = tickers[(events.side[tickers] == 1) & (events.side[tickers + 1] == -1)]
    wrong = pairs[events.price[pairs] >= events.price[pairs + 1]]
    yield from _problem(events, "crossed ticker", NOTE, wrong)

"""Which queue model explains a session's fills best: its orders, replayed into the simulated exchange.

Each recorded order is laid into the matching engine at the time at which the exchange took it, and taken off when the
exchange did; between, the recorded market decides what fills. An order that was filled whole is left for ``GRACE``
seconds more, so that a fill that comes late shows as late rather than as none.

A live account's orders stand in the recorded books too. What of a level is our own is taken off it, by the exchange's
times of our own orders and fills; books are published some time after they change, so that at these edges the rest is
a little off. Orders on the book while the stream was lost are left out.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kit.backtest.session_events import session_events
from kit.backtest.session_orders import RealFill, RealOrder, session_orders
from kit.errors import InvalidInput
from kit.simulation.engine import FillKind, MatchingEngine
from kit.simulation.feed import FeedColumns
from kit.simulation.queue_models import LogProb, LogProb2, PowerProb, PowerProb2, PowerProb3, QueueModel, RiskAverse
from kit.storage.events import BUY, SELL, EventKind, MarketEvents
from kit.storage.session_codec import build
from kit.storage.session_files import SessionLog
from kit.types.market import TradeType, TradingRule

if TYPE_CHECKING:
    import pandas as pd

GRACE: Final = 5.0
"""Seconds that an order rests on in the simulation after it was filled whole in reality."""

MODELS: Final[tuple[QueueModel, ...]] = (
    RiskAverse(),
    PowerProb(),
    PowerProb2(),
    PowerProb3(),
    LogProb(),
    LogProb2(),
)

_NEVER: Final = 1 << 62
_LEVELS: Final = (EventKind.DEPTH, EventKind.SNAPSHOT)


@dataclass(frozen=True, slots=True)
class ModelFit:
    """How one queue model's fills compare with the real ones.

    Per order, the n-th part of the amount filled in reality is compared with the n-th part filled in the simulation.
    ``matched`` real fills are covered by simulated amount at least by half, ``missed`` ones are not; ``invented`` are
    simulated fills that real amount does not cover by half. ``amount_error`` is the sum over orders of |real -
    simulated| times price, by the real sum (infinite where nothing filled in reality but something here).
    ``time_error`` is the mean |real - simulated| time of what both filled, weighted by amount, in seconds; NaN if
    nothing.
    """

    model: str
    matched: int
    missed: int
    invented: int
    real_value: float
    simulated_value: float
    amount_error: float
    time_error: float


@dataclass(slots=True)
class FillReport:
    """Simulated fills against real ones. ``fits`` by model, the best first; ``left_out`` orders by reason."""

    orders: int
    real_fills: int
    fits: list[ModelFit] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_order: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> str:
        """Return the model of the smallest error in amount, of several that in time; empty without real fills.

        Models that do equally well are all named: then the session's orders do not tell them apart.
        """
        if not (self.fits and self.real_fills):
            return ""
        first = self.fits[0]
        return ", ".join(fit.model for fit in self.fits if _key(fit) == _key(first))

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame, a row a model, with the columns of ``ModelFit``."""
        import pandas as pd

        return pd.DataFrame(self.fits, columns=list(ModelFit.__dataclass_fields__))

    def orders_frame(self) -> pd.DataFrame:
        """Return a DataFrame, a row an order: order_id, connector, pair, side, price, amount, real, then each model.

        ``real`` and the models' columns are filled base amounts (float).
        """
        import pandas as pd

        return pd.DataFrame(self.by_order)

    def __str__(self) -> str:
        left = "".join(f"; {count} orders left out: {reason}" for reason, count in self.left_out.items())
        best = f"; best explained by {self.best}" if self.best else ""
        head = f"fills: {self.real_fills} real ones of {self.orders} orders{left}{best}"
        lines = [
            f"  {fit.model}: {fit.matched} matched, {fit.missed} missed, {fit.invented} invented, amount off by "
            f"{fit.amount_error:.1%}, time by {fit.time_error:.3f} s"
            for fit in self.fits
        ]
        return "\n".join([head, *lines, *(f"  note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        left = "".join(f"<li>{count} orders left out: {escape(reason)}</li>" for reason, count in self.left_out.items())
        table: Any = self.frame().round(4)
        best = f", best explained by {escape(self.best)}" if self.best else ""
        return (
            f"<p>{self.real_fills} real fills of {self.orders} orders{best}</p>{table.to_html(index=False, border=0)}"
            f"<ul>{left}{notes}</ul>"
        )


def compare_fills(log: SessionLog, models: Sequence[QueueModel] = MODELS) -> FillReport | None:
    """Replay a session's orders through the simulated exchange, once per model; ``None`` where none were placed."""
    orders = session_orders(log)
    if not orders:
        return None
    rules, modes = _connectors(log)
    report = FillReport(len(orders), 0)
    taken: list[_Replayed] = []
    for (connector, pair), group in _by_market(orders).items():
        shown = modes[connector] == "live"
        events = session_events(log, connector, pair, clock="exchange" if shown else "local")
        played = _playable(group, events, report)
        if shown:
            events = without_own(events, played)
        if not played or not len(events):
            continue
        rule = rules[connector][pair]
        try:
            feed = FeedColumns.from_events(events, rule.min_price_increment, rule.min_base_amount_increment)
        except InvalidInput as error:
            report.notes.append(f"{connector} {pair} could not be simulated: {error}")
            continue
        taken.append(_Replayed(rule, feed, played))
    _note_assumptions(report, modes.values())
    _fit(report, taken, models)
    return report


@dataclass(slots=True)
class _Replayed:
    rule: TradingRule
    feed: FeedColumns
    orders: list[RealOrder]


def _connectors(log: SessionLog) -> tuple[dict[str, dict[str, TradingRule]], dict[str, str]]:
    rules: dict[str, dict[str, TradingRule]] = {}
    modes: dict[str, str] = {}
    for frame in log.of("start", "sync"):
        for state in frame.data["connectors"]:
            modes[state["name"]] = state["mode"]
            found = rules.setdefault(state["name"], {})
            found |= {pair: build(TradingRule, rule) for pair, rule in state["rules"].items()}
    for frame in log.of("market.add"):
        rules[frame.who] |= {pair: build(TradingRule, rule) for pair, rule in frame.data["rules"].items()}
    return rules, modes


def _by_market(orders: Iterable[RealOrder]) -> dict[tuple[str, str], list[RealOrder]]:
    groups: dict[tuple[str, str], list[RealOrder]] = defaultdict(list)
    for order in orders:
        groups[order.connector, order.request.trading_pair].append(order)
    return groups


def _playable(orders: Sequence[RealOrder], events: MarketEvents, report: FillReport) -> list[RealOrder]:
    gaps = events.exch_ts[events.kind == EventKind.GAP]
    snapshots = events.exch_ts[events.kind == EventKind.CLEAR]
    outages = [(int(gap), int(min(snapshots[snapshots > gap], default=_NEVER))) for gap in gaps]
    first = int(events.exch_ts[0]) if len(events) else _NEVER
    played = []
    for order in orders:
        reason = ""
        if order.arrived is None:
            reason = "the exchange did not take them"
        elif order.arrived < first or any(order.arrived <= end and _left(order) >= begin for begin, end in outages):
            reason = "the book was not known meanwhile"
        if reason:
            report.left_out[reason] = report.left_out.get(reason, 0) + 1
        else:
            lost = min((begin for begin, _ in outages if begin > _left(order)), default=_NEVER)
            played.append(replace(order, ended=lost) if lost < _end_of(order) else order)
            report.real_fills += len(order.fills)
    return played


def _left(order: RealOrder) -> int:
    """Return when an order really left the exchange."""
    if order.ended is None and order.fills and order.filled >= order.request.amount:
        return order.fills[-1].ns
    return _end_of(order)


def _last(order: RealOrder) -> int:
    if order.fills and order.filled >= order.request.amount:
        return order.fills[-1].ns + round(GRACE * 1e9)
    return _NEVER


def without_own(events: MarketEvents, orders: Sequence[RealOrder]) -> MarketEvents:
    """Take from each level what our own orders showed there at its time (exchange's clock)."""
    shown: dict[tuple[int, float], list[tuple[int, float]]] = defaultdict(list)
    for order in orders:
        request = order.request
        if request.price is None or order.arrived is None:
            continue
        steps = shown[BUY if request.trade_type is TradeType.BUY else SELL, float(request.price)]
        left = request.amount
        steps.append((order.arrived, float(left)))
        for fill in order.fills:
            left -= fill.amount
            steps.append((fill.ns, -float(fill.amount)))
        if order.ended is not None and left:
            steps.append((order.ended, -float(left)))
    sums = {key: _summed(steps) for key, steps in shown.items()}
    amount = events.amount.copy()
    rows = np.flatnonzero(np.isin(events.kind, _LEVELS) & np.isin(events.price, [price for _, price in sums]))
    for row in rows.tolist():
        found = sums.get((int(events.side[row]), float(events.price[row])))
        if found is not None and amount[row] > 0:
            times, totals = found
            place = bisect.bisect_right(times, int(events.exch_ts[row])) - 1
            own = totals[place] if place >= 0 else 0.0
            # What is left of rounding is no level.
            rest = amount[row] - own
            amount[row] = rest if rest > 1e-9 * amount[row] else 0.0
    columns = {name: getattr(events, name) for name in ("exch_ts", "local_ts", "kind", "side", "price")}
    return MarketEvents(
        events.exchange, events.trading_pair, **columns, amount=amount, update_id=events.update_id, flags=events.flags
    )


def _summed(steps: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    steps.sort()
    return [ns for ns, _ in steps], list(np.cumsum([change for _, change in steps]))


def _note_assumptions(report: FillReport, modes: Iterable[str]) -> None:
    if "live" in modes:
        report.notes.append(
            "our own orders are taken off the recorded books by the exchange's times; books are published a little "
            "after they change"
        )
    report.notes.append(
        f"orders rest from when the exchange took them until it took them off, or {GRACE:g} s after their last "
        "fill (less where the book was lost)"
    )


# -- the simulation --------------------------------------------------------------------------------------------------


def simulate(
    rule: TradingRule, feed: FeedColumns, orders: Sequence[RealOrder], queue: QueueModel
) -> list[list[RealFill]]:
    """Return each order's fills under a queue model."""
    engine = MatchingEngine(tick_size=rule.min_price_increment, lot_size=rule.min_base_amount_increment, queue=queue)
    engine.load(feed)
    fills: list[list[RealFill]] = [[] for _ in orders]
    requests = [(order.arrived or 0, 0, number) for number, order in enumerate(orders)]
    requests += [(_end_of(order), 1, number) for number, order in enumerate(orders)]
    for ns, is_end, number in sorted(requests):
        _take(engine, ns, rule, fills)
        if is_end:
            engine.cancel(number + 1)
            continue
        request = orders[number].request
        tick = 0 if request.price is None else int(request.price / rule.min_price_increment)
        lots = int(request.amount / rule.min_base_amount_increment)
        engine.submit(number + 1, request.trade_type, tick, lots, request.order_type, request.time_in_force, now_ns=ns)
        _book(engine, rule, fills)
    return fills


def _end_of(order: RealOrder) -> int:
    return order.ended if order.ended is not None else _last(order)


def _take(engine: MatchingEngine, ns: int, rule: TradingRule, fills: list[list[RealFill]]) -> None:
    # Nobody ever looks at the view, so nothing need be kept for it.
    while engine.advance(min(ns, _NEVER - 1), _NEVER):
        _book(engine, rule, fills)


def _book(engine: MatchingEngine, rule: TradingRule, fills: list[list[RealFill]]) -> None:
    for fill in engine.take_fills():
        if fill.kind != FillKind.EXPIRED:
            price, amount = rule.min_price_increment * fill.tick, rule.min_base_amount_increment * fill.lots
            fills[fill.order_id - 1].append(RealFill(fill.exch_ns, price, amount))


# -- the comparison --------------------------------------------------------------------------------------------------


def _fit(report: FillReport, replayed: Sequence[_Replayed], models: Sequence[QueueModel]) -> None:
    columns: dict[str, dict[str, float]] = {}
    for model in models:
        pairs: list[tuple[RealOrder, list[RealFill]]] = []
        for market in replayed:
            pairs += zip(market.orders, simulate(market.rule, market.feed, market.orders, model), strict=True)
        report.fits.append(fit_of(repr(model), pairs))
        for order, fills in pairs:
            row = columns.setdefault(order.request.client_order_id, {})
            row[repr(model)] = float(sum((fill.amount for fill in fills), Decimal(0)))
    report.fits.sort(key=_key)
    for market in replayed:
        report.by_order += [_row(order, columns[order.request.client_order_id]) for order in market.orders]


def _key(fit: ModelFit) -> tuple[float, float]:
    late = fit.time_error
    return fit.amount_error, round(late, 3) if late >= 0 else float("inf")


def _row(order: RealOrder, models: Mapping[str, float]) -> dict[str, Any]:
    request = order.request
    return {
        "order_id": request.client_order_id,
        "connector": order.connector,
        "pair": request.trading_pair,
        "side": request.trade_type.value,
        "price": None if request.price is None else float(request.price),
        "amount": float(request.amount),
        "real": float(order.filled),
        **models,
    }


def fit_of(model: str, pairs: Sequence[tuple[RealOrder, list[RealFill]]]) -> ModelFit:
    """Compare the fills of orders with simulated ones; see ``ModelFit``."""
    matched = missed = invented = 0
    real_value = simulated_value = difference = late = common = 0.0
    for order, simulated in pairs:
        covered_real, covered_simulated, off = _overlap(order.fills, simulated)
        hits = sum(part >= fill.amount / 2 for part, fill in zip(covered_real, order.fills, strict=True))
        matched += hits
        missed += len(order.fills) - hits
        invented += sum(part < fill.amount / 2 for part, fill in zip(covered_simulated, simulated, strict=True))
        price = order.request.price or (order.fills or simulated or [RealFill(0, Decimal(0), Decimal(0))])[0].price
        real, other = order.filled, sum((fill.amount for fill in simulated), Decimal(0))
        real_value += float(real * price)
        simulated_value += float(other * price)
        difference += float(abs(real - other) * price)
        late += sum(float(amount * price) * abs(seconds) for amount, seconds in off)
        common += sum(float(amount * price) for amount, _ in off)
    amount_error = difference / real_value if real_value else float("inf") if difference else 0.0
    return ModelFit(
        model,
        matched,
        missed,
        invented,
        real_value,
        simulated_value,
        amount_error,
        late / common if common else float("nan"),
    )


def _overlap(
    real: Sequence[RealFill], simulated: Sequence[RealFill]
) -> tuple[list[Decimal], list[Decimal], list[tuple[Decimal, float]]]:
    """Lay two rows of fills beside each other by cumulative amount: what of each is covered, and (amount, s late)."""
    ours, theirs = [Decimal(0)] * len(real), [Decimal(0)] * len(simulated)
    off: list[tuple[Decimal, float]] = []
    i = j = 0
    while i < len(real) and j < len(simulated):
        part = min(real[i].amount - ours[i], simulated[j].amount - theirs[j])
        off.append((part, (simulated[j].ns - real[i].ns) / 1e9))
        ours[i] += part
        theirs[j] += part
        i, j = i + (ours[i] >= real[i].amount), j + (theirs[j] >= simulated[j].amount)
    return ours, theirs, off

"""Real fills against simulated ones: orders and books of a session, what of them is our own, which model fits."""

from decimal import Decimal

import numpy as np
import pytest

from kit.backtest.parity_fills import MODELS, compare_fills, fit_of, without_own
from kit.backtest.session_events import session_events
from kit.backtest.session_orders import RealFill, RealOrder, session_orders
from kit.simulation.queue_models import LogProb2, PowerProb, RiskAverse
from kit.storage.events import BUY, EventKind, MarketEvents
from kit.storage.session_codec import plain, tagged
from kit.storage.session_files import Frame, SessionLog
from kit.types.market import OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost, TradeType, TradingRule
from kit.types.orders import OrderRequest, OrderState, OrderType, OrderUpdate, TradeUpdate

PAIR = "BTC/USDT"
RULE = TradingRule(PAIR, "BTC", "USDT", Decimal("0.5"), Decimal("0.1"))
T0 = 1_700_000_000.0


class Made:
    """A session written by hand; seconds count from ``T0``."""

    def __init__(self, mode="live", bids=((100.0, 4.0),), asks=((101.0, 4.0),)):
        book = {
            "bids": bids,
            "asks": asks,
            "update_id": 1,
            "timestamp": T0,
            "sync_error": None,
            "pending": [],
        }
        state = {"name": "ex", "mode": mode, "rules": {PAIR: RULE}, "books": {PAIR: book}, "pairs": [PAIR]}
        self.frames = []
        self.ids = 1
        self.add("start", 0.0, {"connectors": [state], "gone": [], "strategy": None, "clock": None})

    def add(self, kind, at, data, acts=()):
        acts = [plain(act) for act in acts]
        self.frames.append(Frame(len(self.frames), kind, "ex", T0 + at, plain(data), {}, acts))

    def levels(self, at, bids=(), asks=()):
        self.ids += 1
        self.add("market", at, tagged(OrderBookDiff(PAIR, self.ids, T0 + at, tuple(bids), tuple(asks))))

    def trade(self, at, price, amount, side=TradeType.SELL):
        self.add("market", at, tagged(PublicTrade(PAIR, str(at), T0 + at, side, price, amount)))

    def buy(self, at, price, amount="1", order_id="o1"):
        request = OrderRequest(order_id, PAIR, TradeType.BUY, OrderType.LIMIT, Decimal(amount), Decimal(price))
        self.add("tick", at, {"ts": T0 + at}, [{"a": "place", "w": "ex", "order": request, "created": T0 + at}])
        self.told(at, OrderState.OPEN, order_id)

    def told(self, at, state, order_id="o1"):
        self.add("account", at + 0.1, tagged(OrderUpdate(PAIR, state, T0 + at, order_id, f"E{order_id}")))

    def filled(self, at, price, amount, order_id="o1", trade_id="t"):
        update = TradeUpdate(
            trade_id, PAIR, T0 + at, Decimal(price), Decimal(amount), Decimal(1), exchange_order_id=f"E{order_id}"
        )
        self.add("account", at + 0.1, tagged(update))
        self.add("trade update", at + 0.2, tagged(update))

    @property
    def log(self):
        header = {"core": "c", "tick_size": 1.0, "tag": "aaaaa", "salt": "bbb", "kit": "0"}
        return SessionLog(header, self.frames)


def test_orders_are_read_once_by_the_exchanges_times():
    made = Made()
    made.buy(1.0, "100")
    made.filled(2.0, "100", "0.4")
    made.told(3.0, OrderState.CANCELED)
    made.buy(4.0, "99", order_id="o2")
    order, other = session_orders(made.log)
    assert (order.arrived, order.ended) == ((T0 + 1) * 1e9, (T0 + 3) * 1e9)
    assert [(fill.ns, fill.amount) for fill in order.fills] == [((T0 + 2) * 1e9, Decimal("0.4"))]
    assert (other.ended, other.fills) == (None, [])


def test_events_are_what_the_book_took():
    made = Made()
    made.levels(1.0, [(100.0, 3.0), (99.0, 7.0)])
    made.trade(1.5, 100.0, 1.0)
    made.add("market", 2.0, tagged(StreamLost(PAIR, T0 + 2, "planned")))
    made.ids = 10
    made.levels(2.5, [(98.0, 1.0)])
    made.add("market", 3.0, tagged(OrderBookSnapshot(PAIR, 9, T0 + 3, ((100.0, 2.0),), ((101.0, 2.0),))))
    made.levels(4.0, [(97.0, 1.0)])
    events = session_events(made.log, "ex", PAIR)
    kinds = [EventKind(kind).name for kind in events.kind]
    assert kinds == [
        *["CLEAR", "SNAPSHOT", "SNAPSHOT"],
        *["DEPTH", "DEPTH", "TRADE", "GAP"],
        *["CLEAR", "SNAPSHOT", "SNAPSHOT", "SNAPSHOT", "DEPTH"],
    ]
    assert 98.0 in events.price[7:11]  # it waited for the snapshot that it follows
    assert list(events.exch_ts) == sorted(events.exch_ts)
    assert len(session_events(made.log, "ex", "ETH/USDT")) == 0


def events(rows):
    return MarketEvents.from_rows(
        "ex", PAIR, [(ns, ns, kind, side, price, amount, 0, 0) for ns, kind, side, price, amount in rows]
    )


def real(arrived, ended, fills=(), amount="1", price="100", order_id="o1"):
    request = OrderRequest(order_id, PAIR, TradeType.BUY, OrderType.LIMIT, Decimal(amount), Decimal(price))
    made = [RealFill(ns, Decimal(price), Decimal(part)) for ns, part in fills]
    return RealOrder("ex", request, arrived, arrived, ended, made)


def test_own_amounts_are_taken_off_the_levels():
    depth = EventKind.DEPTH
    seen = events(
        [
            (5, depth, BUY, 100.0, 3.0),
            (15, depth, BUY, 100.0, 4.0),
            (15, depth, -1, 100.0, 4.0),
            (15, depth, BUY, 99.0, 4.0),
            (25, depth, BUY, 100.0, 3.6),
            (35, depth, BUY, 100.0, 1.0),
            (45, depth, BUY, 100.0, 1.0),
        ]
    )
    cleaned = without_own(seen, [real(10, 40, [(20, "0.4")])])
    assert np.allclose(cleaned.amount, [3.0, 3.0, 4.0, 4.0, 3.0, 0.4, 1.0])
    only_ours = without_own(events([(15, depth, BUY, 100.0, 1.0)]), [real(10, None)])
    assert list(only_ours.amount) == [0.0]


def test_fits_count_by_cumulative_amount():
    order = real(0, None, [(10, "0.4"), (20, "0.6")])
    second = 1_000_000_000
    simulated = [RealFill(10 + second, Decimal(100), Decimal("0.5"))]
    fit = fit_of("m", [(order, simulated), (real(0, None), [RealFill(5, Decimal(100), Decimal("0.2"))])])
    assert (fit.matched, fit.missed, fit.invented) == (1, 1, 1)
    assert fit.real_value == 100
    assert fit.amount_error == pytest.approx(0.7)
    assert fit.time_error == pytest.approx(1.0, rel=1e-6)
    assert fit_of("m", []).amount_error == 0
    assert fit_of("m", [(real(0, None), simulated)]).amount_error == float("inf")


def queue_session(mode, filled):
    """We stand behind 4; 3 of them cancel; then 2 are sold: whether we fill depends on who cancelled."""
    made = Made(mode)
    made.buy(1.0, "100")
    ours = 1.0 if mode == "live" else 0.0
    made.levels(1.1, [(100.0, 4.0 + ours)])
    made.levels(2.0, [(100.0, 1.0 + ours)])
    made.trade(3.0, 100.0, 2.0)
    if filled:
        made.filled(3.0, "100", "1")
        made.levels(3.1, [(100.0, 0.0)])
    else:
        made.levels(3.1, [(100.0, ours)])
    made.told(5.0, OrderState.CANCELED)
    made.levels(6.0, [(100.0, 2.0)])
    made.levels(20.0, [(99.0, 2.0)])
    return made


@pytest.mark.parametrize("mode", ["live", "paper"])
def test_the_model_that_explains_the_fills_is_named(mode):
    report = compare_fills(queue_session(mode, filled=True).log)
    assert report.real_fills == 1
    by_model = report.frame().set_index("model")
    assert by_model.loc[repr(RiskAverse())]["matched"] == 1  # 1 was left ahead of us of the 2 that were sold
    assert (by_model["invented"] == 0).all()
    assert set(report.best.split(", ")) <= set(by_model.index)
    assert report.orders_frame()["real"].to_list() == [1.0]


def test_what_a_model_misses_or_invents_shows():
    made = Made("paper")
    made.buy(1.0, "100")
    made.levels(1.5, [(100.0, 9.0)])  # five more behind us
    made.levels(2.0, [(100.0, 4.0)])  # five leave: before or behind us?
    made.trade(3.0, 100.0, 3.0)
    made.filled(3.0, "100", "1")
    made.levels(20.0, [(99.0, 2.0)])
    report = compare_fills(made.log, [RiskAverse(), PowerProb(0.2), LogProb2()])
    fits = {fit.model: fit for fit in report.fits}
    assert fits[repr(RiskAverse())].missed == 1
    assert fits[repr(RiskAverse())].amount_error == 1.0
    assert report.fits[-1].model == repr(RiskAverse()) or all(fit.missed for fit in report.fits)
    made.frames = [frame for frame in made.frames if "TradeUpdate" not in str(frame.data)]
    assert compare_fills(made.log, [RiskAverse()]).best == ""


def test_orders_that_met_a_lost_book_are_left_out():
    made = queue_session("live", filled=True)
    made.add("market", 21.0, tagged(StreamLost(PAIR, T0 + 21, "planned")))
    made.buy(22.0, "99", order_id="o2")
    made.add("market", 23.0, tagged(OrderBookSnapshot(PAIR, 99, T0 + 23, ((100.0, 2.0),), ((101.0, 2.0),))))
    made.buy(24.0, "99", order_id="o3")
    made.frames.append(Frame(len(made.frames), "tick", "ex", T0 + 25, {"ts": T0 + 25}, {}, []))
    report = compare_fills(made.log, [LogProb2()])
    assert report.left_out == {"the book was not known meanwhile": 1}
    assert len(report.orders_frame()) == 2
    assert "left out" in str(report)
    assert "LogProb2" in report._repr_html_()


def test_a_session_without_orders_has_no_fills():
    assert compare_fills(Made().log) is None
    assert len(MODELS) == 6


def test_fills_shortly_before_the_book_is_lost_or_the_session_ends_count():
    made = Made()
    made.buy(1.0, "100")
    made.levels(1.5, bids=[(100.0, 5.0)])
    made.trade(2.0, 100.0, 5.0)
    made.filled(2.0, "100", "1")
    made.levels(2.1, bids=[(100.0, 0.0), (99.5, 4.0)])
    made.add("market", 3.0, tagged(StreamLost(PAIR, T0 + 3, "lost")))
    report = compare_fills(made.log)
    assert report.left_out == {}
    assert report.real_fills == 1
    assert report.fits[0].matched == 1

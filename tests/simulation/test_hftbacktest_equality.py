"""Fill by fill the same as hftbacktest 2.4.4 on the recorded perpetual feed, for its six queue models.

On the spot feed within 3 %: there the order of receipt differs from the exchange's in places, which hftbacktest replays
with two books and we with one. Its answers are stored in ``data/``; ``benchmarks/peers/hftbacktest_vectors.py`` wrote
them and states the strategy, which is played here again on our simulated venue.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.simulation.exchange_models import NoPartialFill
from kit.simulation.feed import FeedColumns
from kit.simulation.fees import Fees
from kit.simulation.latency import ConstantLatency
from kit.simulation.queue_models import LogProb, LogProb2, PowerProb, PowerProb2, PowerProb3, RiskAverse
from kit.simulation.venue import SimulatedVenue
from kit.storage.clock_offset import correct_clock
from kit.storage.importers import import_raw
from kit.types.market import TradeType, TradingRule
from kit.types.orders import CancelRequest, OrderRequest, OrderState, OrderType, OrderUpdate, TradeUpdate
from tests.support.recordings import FUTURES, SPOT, recordings

PAIR = "BTC/USDT"
QTY = Decimal("0.01")
MODELS = {
    "risk_averse": RiskAverse(),
    "power_prob_3": PowerProb(3),
    "log_prob": LogProb(),
    "power_prob2_3": PowerProb2(3),
    "log_prob2": LogProb2(),
    "power_prob3_3": PowerProb3(3),
}
RULES = {
    "usdm": TradingRule(PAIR, "BTC", "USDT", Decimal("0.1"), Decimal("0.001")),
    "spot": TradingRule(PAIR, "BTC", "USDT", Decimal("0.01"), Decimal("0.00001")),
}
FILES = {"usdm": FUTURES, "spot": SPOT}


def answers(market: str) -> list[dict[str, Any]]:
    path = Path(__file__).parent / "data" / f"hftbacktest_{market}.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))["runs"]


@functools.cache
def feed_of(market: str) -> FeedColumns:
    events = import_raw(recordings(*FILES[market]), exchange="binance", trading_pair=PAIR)
    rule = RULES[market]
    return FeedColumns.from_events(correct_clock(events), rule.min_price_increment, rule.min_base_amount_increment)


class JoinTheTouch:
    """The strategy of the stored answers, on our venue."""

    def __init__(self, market: str, model: str) -> None:
        rule = RULES[market]
        self.tick_size = rule.min_price_increment
        self.venue = SimulatedVenue(
            {PAIR: rule},
            {"BTC": 1000, "USDT": 10**9},
            fees=Fees(Decimal("-0.00005"), Decimal("0.0007")),
            fee_in="quote",
            queue=MODELS[model],
            latency=ConstantLatency(0.01, 0.01),
            exchange=NoPartialFill(),
        )
        self.engine = self.venue.load(PAIR, feed_of(market))
        self.venue.attach_account_sink(self.hear)
        self.states: dict[str, OrderState] = {}
        self.sides: dict[str, tuple[int, int]] = {}
        self.working: dict[int, str] = {}
        self.fills: list[tuple[int, int, int, int]] = []  # order, side, tick, exchange time in ms
        self.touches: list[tuple[int, int]] = []
        self.placed = 0
        self.base, self.quote, self.fee = Decimal(0), Decimal(0), Decimal(0)

    def hear(self, message: Any) -> None:
        if isinstance(message, OrderUpdate):
            self.states[message.client_order_id] = message.state
        elif isinstance(message, TradeUpdate):
            side, tick = self.sides[message.client_order_id]
            assert message.price == tick * self.tick_size
            self.fills.append((int(message.client_order_id), side, tick, round(message.timestamp * 1000)))
            self.base += side * message.amount
            self.quote -= side * message.quote_amount
            self.fee += message.fee.amount_of("USDT")

    def tick(self) -> None:
        bid, ask = (round(Decimal(repr(side.top)) / self.tick_size) for side in (self.engine.bids, self.engine.asks))
        self.touches.append((bid, ask))
        for side, best in ((1, bid), (-1, ask)):
            name = self.working.get(side)
            if name is not None and self.states[name].is_done:
                name = None
            if name is None:
                self.placed += 1
                self.place(str(self.placed), side, best)
            elif self.sides[name][1] != best:
                self.venue.cancel(CancelRequest(name, PAIR))

    def place(self, name: str, side: int, tick: int) -> None:
        self.working[side] = name
        self.sides[name] = side, tick
        self.states[name] = OrderState.PENDING_CREATE
        trade_type = TradeType.BUY if side > 0 else TradeType.SELL
        self.venue.submit(OrderRequest(name, PAIR, trade_type, OrderType.LIMIT_MAKER, QTY, tick * self.tick_size))


def named(run: dict[str, Any]) -> str:
    return f"{run['model']}-{run['step_ns'] // 10**6}ms"


def play(market: str, run: dict[str, Any]) -> JoinTheTouch:
    ours = JoinTheTouch(market, run["model"])
    first, step = run["first_tick_ns"], run["step_ns"]
    for now in range(first, first + run["ticks"] * step, step):
        ours.venue.advance(now)
        ours.tick()
    return ours


@pytest.mark.parametrize("run", answers("usdm"), ids=named)
def test_same_fills(run: dict[str, Any]):
    ours = play("usdm", run)
    if run["touches"]:
        np.testing.assert_array_equal(ours.touches, run["touches"])
    theirs = [(order, side, tick, time // 10**6) for order, side, tick, time in run["fills"]]
    assert sorted(ours.fills) == sorted(theirs)
    assert ours.placed == run["placed"]
    assert float(ours.base) == pytest.approx(run["position"], abs=1e-9)
    assert float(ours.quote) == pytest.approx(run["balance"], abs=1e-3)
    assert float(ours.fee) == pytest.approx(run["fee"], abs=1e-6)


@pytest.mark.parametrize("run", answers("spot"), ids=named)
def test_nearly_the_same_fills_on_spot(run: dict[str, Any]):
    ours = play("spot", run)
    if run["touches"]:
        differ = (np.array(ours.touches) != run["touches"]).any(axis=1)
        assert differ.mean() < 0.01
    # By side, price and time, as one order more or less shifts the numbers of all later ones.
    theirs = Counter((side, tick, time // 10**6) for _, side, tick, time in run["fills"])
    mine = Counter(fill[1:] for fill in ours.fills)
    different = ((mine - theirs) + (theirs - mine)).total() / 2
    assert different <= 0.03 * len(run["fills"])
    assert len(ours.fills) == pytest.approx(len(run["fills"]), rel=0.03)

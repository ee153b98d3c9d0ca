"""Fill by fill the same as hftbacktest 2.4.4 on the recorded perpetual feed, for its six queue models.

Its answers are stored in ``data/``; ``benchmarks/peers/hftbacktest_vectors.py`` wrote them and states the strategy,
which is played here again on our simulated venue.
"""

from __future__ import annotations

import gzip
import json
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
from tests.support.market_recordings import recording

PAIR = "BTC/USDT"
TICK, LOT, QTY = Decimal("0.1"), Decimal("0.001"), Decimal("0.01")
MODELS = {
    "risk_averse": RiskAverse(),
    "power_prob_3": PowerProb(3),
    "log_prob": LogProb(),
    "power_prob2_3": PowerProb2(3),
    "log_prob2": LogProb2(),
    "power_prob3_3": PowerProb3(3),
}
ANSWERS = Path(__file__).parent / "data" / "hftbacktest_usdm.json.gz"
RUNS = json.loads(gzip.decompress(ANSWERS.read_bytes()))["runs"]
RULE = TradingRule(PAIR, "BTC", "USDT", TICK, LOT)


@pytest.fixture(scope="module")
def feed() -> FeedColumns:
    events = import_raw([recording("binance_usdm_btcusdt_20240808.raw.gz")], exchange="binanceusdm", trading_pair=PAIR)
    return FeedColumns.from_events(correct_clock(events), TICK, LOT)


class JoinTheTouch:
    """The strategy of the stored answers, on our venue."""

    def __init__(self, feed: FeedColumns, model: str) -> None:
        self.venue = SimulatedVenue(
            {PAIR: RULE},
            {"BTC": 1000, "USDT": 10**9},
            fees=Fees(Decimal("-0.00005"), Decimal("0.0007")),
            fee_in="quote",
            queue=MODELS[model],
            latency=ConstantLatency(0.01, 0.01),
            exchange=NoPartialFill(),
        )
        self.engine = self.venue.load(PAIR, feed)
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
            assert message.price == tick * TICK
            self.fills.append((int(message.client_order_id), side, tick, round(message.timestamp * 1000)))
            self.base += side * message.amount
            self.quote -= side * message.quote_amount
            self.fee += message.fee.amount_of("USDT")

    def tick(self) -> None:
        bid, ask = (round(Decimal(repr(side.top)) / TICK) for side in (self.engine.bids, self.engine.asks))
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
        self.venue.submit(OrderRequest(name, PAIR, trade_type, OrderType.LIMIT_MAKER, QTY, tick * TICK))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['model']}-{run['step_ns'] // 10**6}ms")
def test_same_fills(feed: FeedColumns, run: dict[str, Any]):
    ours = JoinTheTouch(feed, run["model"])
    first, step = run["first_tick_ns"], run["step_ns"]
    for now in range(first, first + run["ticks"] * step, step):
        ours.venue.advance(now)
        ours.tick()
    if run["touches"]:
        np.testing.assert_array_equal(ours.touches, run["touches"])
    theirs = [(order, side, tick, time // 10**6) for order, side, tick, time in run["fills"]]
    assert sorted(ours.fills) == sorted(theirs)
    assert ours.placed == run["placed"]
    assert float(ours.base) == pytest.approx(run["position"], abs=1e-9)
    assert float(ours.quote) == pytest.approx(run["balance"], abs=1e-3)
    assert float(ours.fee) == pytest.approx(run["fee"], abs=1e-6)

"""Time nautilus_trader on a feed: python run_nautilus.py EVENTS.npy [MAX_ROWS], in the peers' environment.

One ``OrderBookDeltas`` object a message (its faster way) and one ``TradeTick`` a trade; building the objects is not
counted, only ``engine.run()``. Prints a JSON line per case.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, BookAction, BookType, OmsType, OrderSide
from nautilus_trader.model.identifiers import TradeId, TraderId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

LOCAL, BUY = 1 << 30, 1 << 29
SPREAD, LEVEL_SPREAD, REFRESH, QTY = 0.00005, 0.00005, 30, 0.01


def objects(rows: np.ndarray, instrument) -> list:
    """Return the feed as nautilus sees it: messages are runs of depth rows of one exchange time."""
    found, deltas = [], []
    rows = rows[(rows["ev"] & LOCAL) != 0]
    kinds = (rows["ev"] & 0xFF).tolist()
    buys = ((rows["ev"] & BUY) != 0).tolist()
    columns = (rows["exch_ts"].tolist(), rows["local_ts"].tolist(), rows["px"].tolist(), rows["qty"].tolist())
    key, last = instrument.id, 0

    def flush() -> None:
        if deltas:
            found.append(OrderBookDeltas(key, deltas.copy()))
            deltas.clear()

    for sequence, (kind, buy, event, local, price, amount) in enumerate(zip(kinds, buys, *columns, strict=True), 1):
        if kind == 2 or event != last:
            flush()
        last = event
        if kind == 2:
            side = AggressorSide.BUYER if buy else AggressorSide.SELLER
            trade = TradeTick(
                key, Price(price, 1), Quantity(max(amount, 0.001), 3), side, TradeId(str(sequence)), event, local
            )
            found.append(trade)
        elif kind == 3:
            deltas.append(OrderBookDelta.clear(key, sequence, event, local))
        elif kind in (1, 4):
            action = BookAction.UPDATE if amount else BookAction.DELETE
            order = BookOrder(OrderSide.BUY if buy else OrderSide.SELL, Price(price, 1), Quantity(amount, 3), 0)
            deltas.append(OrderBookDelta(key, action, order, 0, sequence, event, local))
    flush()
    return found


class Grid(Strategy):
    """Look each second; with levels, cancel and quote anew every REFRESH seconds."""

    def __init__(self, instrument, levels: int) -> None:
        super().__init__()
        self.instrument, self.levels, self.next_refresh, self.ticks = instrument, levels, 0, 0

    def on_start(self) -> None:
        self.subscribe_order_book_deltas(self.instrument.id, BookType.L2_MBP)
        self.clock.set_timer("tick", pd.Timedelta(seconds=1), callback=self.on_second)

    def on_second(self, event) -> None:
        self.ticks += 1
        if not self.levels or event.ts_event < self.next_refresh:
            return
        book = self.cache.order_book(self.instrument.id)
        bid, ask = book.best_bid_price(), book.best_ask_price()
        if bid is None or ask is None:
            return
        if self.cache.orders_open(strategy_id=self.id):
            self.cancel_all_orders(self.instrument.id)
            return
        mid = (float(bid) + float(ask)) / 2
        for level in range(self.levels):
            spread = SPREAD + level * LEVEL_SPREAD
            for side, price in ((OrderSide.BUY, mid * (1 - spread)), (OrderSide.SELL, mid * (1 + spread))):
                order = self.order_factory.limit(
                    self.instrument.id, side, Quantity(QTY, 3), Price(price, 1), post_only=True
                )
                self.submit_order(order)
        self.next_refresh = event.ts_event + REFRESH * 1_000_000_000


def peak_mb() -> float:
    # Not getrusage: its maximum includes what the parent held when it forked.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(name: str, data: list, events: int, instrument, levels: int) -> None:
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("BENCH-001"), logging=LoggingConfig(bypass_logging=True), run_analysis=False
        )
    )
    engine.add_venue(
        Venue("BINANCE"),
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(10_000_000, USDT)],
        base_currency=None,
        default_leverage=Decimal(10),
        book_type=BookType.L2_MBP,
        trade_execution=True,
    )
    engine.add_instrument(instrument)
    engine.add_data(data)
    strategy = Grid(instrument, levels)
    engine.add_strategy(strategy)
    cpu = time.process_time()
    engine.run()
    cpu = time.process_time() - cpu
    fills = sum(order.filled_qty > 0 for order in engine.cache.orders())
    memory = peak_mb()
    answer = {"case": name, "events": events, "cpu": cpu, "ticks": strategy.ticks, "fills": fills, "peak_mb": memory}
    answer["orders"] = len(engine.cache.orders())
    print(json.dumps(answer), flush=True)
    engine.dispose()


def main() -> None:
    rows = np.load(sys.argv[1], mmap_mode="r")[: int(sys.argv[2]) if len(sys.argv) > 2 else None]
    instrument = TestInstrumentProvider.btcusdt_perp_binance()
    data = objects(rows, instrument)
    events = int(((rows["ev"] & (1 << 31)) != 0).sum())
    for name, levels in (("empty", 0), ("1 level", 1), ("3 levels", 3), ("20 levels", 20)):
        measure(name, data, events, instrument, levels)


if __name__ == "__main__":
    main()

"""Time hftbacktest on a feed: python run_hftbacktest.py EVENTS.npz, in the peers' environment; a JSON line per case.

The data are read before the clock starts and every case runs once on a second of data first, so that neither reading
nor compilation counts. Cases: a step of one second with an empty strategy; the same grid of quotes that
``benchmarks/backtest.py`` gives to PureMarketMaking, compiled by numba; both on the two kinds of book.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from hftbacktest import GTX, LIMIT, BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
from numba import njit

TICK_SIZE, LOT_SIZE, QTY = 0.1, 0.001, 0.01
SPREAD, LEVEL_SPREAD, REFRESH = 0.00005, 0.00005, 30
SECOND = 1_000_000_000
LATENCY = 10_000_000


def open_backtest(data: np.ndarray, *, vector: bool):
    asset = BacktestAsset().data(data).linear_asset(1.0).constant_order_latency(LATENCY, LATENCY)
    asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0002, 0.0005)
    asset = asset.tick_size(TICK_SIZE).lot_size(LOT_SIZE).last_trades_capacity(0)
    if vector:
        prices = data["px"][data["px"] > 0]
        middle = float(np.median(prices))
        return ROIVectorMarketDepthBacktest([asset.roi_lb(middle * 0.95).roi_ub(middle * 1.05)])
    return HashMapMarketDepthBacktest([asset])


@njit
def empty(hbt):
    ticks = 0
    while hbt.elapse(1_000_000_000) == 0:
        ticks += 1
    return ticks, 0


@njit
def grid(hbt, levels):
    """Quote ``levels`` a side around the mid, anew every REFRESH seconds once the old orders are gone."""
    ticks, placed, number, next_refresh = 0, 0, 1, 0
    while hbt.elapse(1_000_000_000) == 0:
        ticks += 1
        hbt.clear_inactive_orders(0)
        now = hbt.current_timestamp
        orders = hbt.orders(0)
        if now < next_refresh:
            continue
        if len(orders) > 0:
            values = orders.values()
            while values.has_next():
                order = values.get()
                if order.cancellable:
                    hbt.cancel(0, order.order_id, False)
            continue
        depth = hbt.depth(0)
        mid = (depth.best_bid + depth.best_ask) / 2
        for level in range(levels):
            spread = SPREAD + level * LEVEL_SPREAD
            bid = np.floor(mid * (1 - spread) / TICK_SIZE) * TICK_SIZE
            ask = np.floor(mid * (1 + spread) / TICK_SIZE) * TICK_SIZE
            hbt.submit_buy_order(0, number, bid, QTY, GTX, LIMIT, False)
            hbt.submit_sell_order(0, number + 1, ask, QTY, GTX, LIMIT, False)
            number += 2
            placed += 2
        next_refresh = now + REFRESH * 1_000_000_000
    return ticks, placed


def peak_mb() -> float:
    # Not getrusage: its maximum includes what the parent held when it forked.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(name: str, data: np.ndarray, small: np.ndarray, vector: bool, levels: int) -> None:
    def play(part: np.ndarray):
        hbt = open_backtest(part, vector=vector)
        cpu, wall = time.process_time(), time.perf_counter()
        ticks, placed = grid(hbt, levels) if levels else empty(hbt)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        state = hbt.state_values(0)
        fills = int(state.num_trades)
        hbt.close()
        return {"cpu": cpu, "wall": wall, "ticks": int(ticks), "orders": int(placed), "fills": fills}

    play(small)
    best = min((play(data) for _ in range(2)), key=lambda run: run["cpu"])
    memory = peak_mb()
    print(json.dumps({"case": name, "book": "vector" if vector else "hash map", **best, "peak_mb": memory}), flush=True)


def main() -> None:
    data = np.load(sys.argv[1])["data"] if sys.argv[1].endswith(".npz") else np.load(sys.argv[1])
    small = data[:200_000].copy()
    for vector in (True, False):
        for name, levels in (("empty", 0), ("1 level", 1), ("3 levels", 3), ("20 levels", 20)):
            measure(name, data, small, vector, levels)


if __name__ == "__main__":
    main()

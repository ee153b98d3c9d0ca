"""Write what hftbacktest answers to a simple strategy on a recorded feed, as the reference of our equality test.

Runs in the peers' own environment (see README.md): python hftbacktest_vectors.py RAW_FILE OUT.json.gz

The strategy joins the touch: at each tick of the clock (multiples of STEP from the first whole second after the first
event on), for each side: an order of its own whose price is not the best price of that side any more is cancelled;
where no order is left, a new post-only order is placed at the best price. Orders are 0.01 BTC, one a side. (Before that
second hftbacktest shows a book made of the changes that came before the snapshot, which nobody should trade on.)
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
from hftbacktest import GTX, LIMIT, BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data.utils import binancefutures

TICK_SIZE, LOT_SIZE, QTY = (0.1, 0.001, 0.01) if "usdm" in sys.argv[1] else (0.01, 0.00001, 0.01)
ENTRY = RESPONSE = 10_000_000
FILLED, CANCELED, EXPIRED = 3, 4, 2
MODELS = {
    "risk_averse": lambda asset: asset.risk_adverse_queue_model(),
    "power_prob_3": lambda asset: asset.power_prob_queue_model(3.0),
    "log_prob": lambda asset: asset.log_prob_queue_model(),
    "power_prob2_3": lambda asset: asset.power_prob_queue_model2(3.0),
    "log_prob2": lambda asset: asset.log_prob_queue_model2(),
    "power_prob3_3": lambda asset: asset.power_prob_queue_model3(3.0),
}


def play(data: np.ndarray, model: str, step: int) -> dict:
    asset = BacktestAsset().data(data).linear_asset(1.0).constant_order_latency(ENTRY, RESPONSE)
    asset = MODELS[model](asset).no_partial_fill_exchange().trading_value_fee_model(-0.00005, 0.0007)
    hbt = HashMapMarketDepthBacktest([asset.tick_size(TICK_SIZE).lot_size(LOT_SIZE).last_trades_capacity(0)])
    first = int(data["local_ts"][(data["ev"] & (1 << 30)) != 0][0])
    hbt.elapse(1)
    now = hbt.current_timestamp
    assert abs(now - first) < 1_000_000_000, (now, first)
    hbt.elapse(1_000_000_000 - now % 1_000_000_000)
    first_tick = int(hbt.current_timestamp)
    working: dict[int, int] = {}
    fills, touches, number, placed = [], [], 0, 0
    while True:
        depth, orders = hbt.depth(0), hbt.orders(0)
        touches.append((int(depth.best_bid_tick), int(depth.best_ask_tick)))
        for side in list(working):
            order = orders.get(working[side])
            if order.status == FILLED:
                fills.append((working[side], side, int(order.price_tick), int(order.exch_timestamp)))
            if order.status in (FILLED, CANCELED, EXPIRED):
                del working[side]
        hbt.clear_inactive_orders(0)
        for side, best in ((1, int(depth.best_bid_tick)), (-1, int(depth.best_ask_tick))):
            if side in working:
                if orders.get(working[side]).price_tick != best:
                    hbt.cancel(0, working[side], False)
            else:
                number += 1
                send = hbt.submit_buy_order if side > 0 else hbt.submit_sell_order
                assert send(0, number, best * TICK_SIZE, QTY, GTX, LIMIT, False) == 0
                working[side], placed = number, placed + 1
        if hbt.elapse(step) != 0:
            break
    state = hbt.state_values(0)
    result = {
        "model": model,
        "step_ns": step,
        "first_tick_ns": first_tick,
        "ticks": len(touches),
        "placed": placed,
        "fills": fills,
        "position": round(state.position, 6),
        "balance": round(state.balance, 6),
        "fee": round(state.fee, 8),
        "trades": int(state.num_trades),
        "touches": touches if model == "risk_averse" else None,
    }
    hbt.close()
    return result


if __name__ == "__main__":
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    data = (
        np.load(source)["data"]
        if source.suffix == ".npz"
        else binancefutures.convert(str(source), combined_stream=True)
    )
    runs = [play(data, model, step) for step in (1_000_000_000, 100_000_000) for model in MODELS]
    for run in runs:
        print(
            run["model"],
            run["step_ns"],
            run["placed"],
            len(run["fills"]),
            run["trades"],
            run["position"],
            run["balance"],
        )
    with gzip.GzipFile(target, "wb", mtime=0) as file:
        file.write(json.dumps({"source": source.name, "rows": len(data), "runs": runs}).encode())

"""Time frames through the guarded ``ccxt.pro.binance`` and, in the same run, through ccxt's own class.

Usage: ``python benchmarks/ccxt_frames.py [recorded.raw.gz] [--rounds N] [--json]``

Both sides take text frames as they come off the socket and decode, handle and store them; ours also makes the kit's
messages and hands them to a sink, which ccxt's side has nothing to compare with. Process time, so that other programs
do not count. Without a file the frames are synthetic: 57 levels a depth frame, as in the recorded spot stream.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import importlib
import json
import random
import time
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from kit.connectors.ccxt_books import SEQUENCES, BookTap
from kit.connectors.ccxt_convert import order_update, public_trade, trade_update
from kit.connectors.ccxt_exchange import guarded_class, make_instance
from kit.connectors.ccxt_profiles import profile_of
from kit.core.clock import SYSTEM_TIME
from kit.core.time_synchronizer import TimeSynchronizer
from kit.types.ports import Credentials

PAIR = "BTC/USDT"
MARKET = {"id": "BTCUSDT", "lowercaseId": "btcusdt", "symbol": PAIR, "base": "BTC", "quote": "USDT", "baseId": "BTC"}
MARKET |= {
    "quoteId": "USDT",
    "type": "spot",
    "spot": True,
    "active": True,
    "precision": {"amount": 1e-5, "price": 0.01},
}
MARKET |= dict.fromkeys(("swap", "future", "option", "contract", "margin"), False) | {"linear": None, "inverse": None}
WS_API = "wss://ws-api.binance.com:443/ws-api/v3"


class Frame:
    """A received text message."""

    __slots__ = ("data", "type")

    def __init__(self, message: Any) -> None:
        self.data, self.type = orjson.dumps(message).decode(), 1


def depth_and_trades(path: Path | None) -> tuple[dict[str, Any], list[Frame], list[Frame]]:
    """Return a snapshot, depth frames that follow it, and trade frames."""
    if path is None:
        return synthetic()
    snapshot, depth, trades = {}, [], []
    with gzip.open(path, "rb") as lines:
        for line in lines:
            message = orjson.loads(line.partition(b" ")[2])
            message = message.get("data", message)
            if "lastUpdateId" in message:
                snapshot = message
            elif message.get("e") == "depthUpdate":
                depth.append(message)
            elif message.get("e") == "trade":
                trades.append(Frame(message))
    return snapshot, [Frame(one) for one in depth if one["u"] > snapshot["lastUpdateId"]], trades


def synthetic(count: int = 3000, levels: int = 57) -> tuple[dict[str, Any], list[Frame], list[Frame]]:
    """Make frames around a price that stands still."""
    rng = random.Random(7)

    def level(sign: int) -> list[str]:
        return [f"{60_000 + sign * (1 + rng.expovariate(1 / 20)):.2f}", f"{rng.choice((0, rng.random())):.5f}"]

    sides = {key: [level(sign) for _ in range(1000)] for key, sign in (("bids", -1), ("asks", 1))}
    depth = [
        {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": number, "u": number}
        | {key: [level(sign) for _ in range(levels // 2)] for key, sign in (("b", -1), ("a", 1))}
        for number in range(2, count + 2)
    ]
    trade = {"e": "trade", "E": 1, "s": "BTCUSDT", "p": "60000.00", "q": "0.01000", "T": 1, "m": True, "M": True}
    trades = [Frame(trade | {"t": number}) for number in range(count)]
    return {"lastUpdateId": 1} | sides, [Frame(one) for one in depth], trades


def reports(count: int = 2000) -> list[Frame]:
    """Make private frames: each order is told as new and as filled."""
    event = {
        "e": "executionReport",
        "E": 1,
        "s": "BTCUSDT",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.01",
        "p": "60000",
    }
    event |= {"C": "", "L": "60000", "n": "0.00001", "N": "BTC", "T": 1, "m": True, "Y": "600", "Z": "600", "P": "0"}
    frames = []
    for number in range(count // 2):
        same = event | {"i": number, "c": f"id{number}"}
        frames.append(Frame({"event": same | {"x": "NEW", "X": "NEW", "z": "0", "l": "0", "t": -1}}))
        frames.append(Frame({"event": same | {"x": "TRADE", "X": "FILLED", "z": "0.01", "l": "0.01", "t": number}}))
    return frames


def instance(ours: bool) -> Any:
    """Return ccxt's own exchange, or the guarded one with a sink."""
    credentials = Credentials("key", "secret")
    if not ours:
        guarded_class("binance")
        return importlib.import_module("ccxt.pro.binance").binance({"apiKey": "key", "secret": "secret"})
    exchange = make_instance(
        "binance",
        profile_of("binance"),
        TimeSynchronizer(),
        SYSTEM_TIME,
        credentials=credentials,
        endpoint_url=None,
        recv_window=2.5,
    )
    sink: list[Any] = []
    taps = exchange.kit_taps
    taps.on_book = BookTap(sink.append, SEQUENCES["binance"]).on_resolve
    taps.on_trade = lambda item: sink.append(public_trade(item))
    taps.on_order = lambda item: sink.append(order_update(item, now=0.0))
    taps.on_fill = lambda item: sink.append(trade_update(item, now=0.0))
    return exchange


async def seconds_per_frame(frames: list[Frame], snapshot: dict[str, Any], *, ours: bool, private: bool) -> float:
    """Put the frames through an exchange and return the process time of one."""
    exchange = instance(ours)
    exchange.timeout_on_exit = 0
    exchange.set_markets([MARKET])
    client = exchange.client(WS_API if private else "wss://stream.binance.com:9443/ws/0")
    client.subscriptions["spot"] = True
    exchange.orderbooks[PAIR] = book = exchange.order_book({}, 1000)
    book.reset(exchange.parse_order_book(snapshot, PAIR) | {"nonce": snapshot["lastUpdateId"]})
    handle = client.handle_message
    start = time.process_time()
    for frame in frames:
        handle(frame)
    spent = time.process_time() - start
    await exchange.close()
    return spent / len(frames)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    snapshot, depth, trades = depth_and_trades(options.file)
    results = {}
    for name, frames in (("depth", depth), ("trade", trades), ("private", reports())):
        times: dict[str, list[float]] = {"ccxt": [], "kit": []}
        for _ in range(options.rounds):
            for side, of in times.items():
                spent = seconds_per_frame(frames, snapshot, ours=side == "kit", private=name == "private")
                of.append(asyncio.run(spent) * 1e6)
        row = {
            f"{side}_us_{kind}": pick(of)
            for side, of in times.items()
            for kind, pick in (("min", min), ("med", median))
        }
        results[name] = row | {"ratio": min(times["kit"]) / min(times["ccxt"])}
    if options.json:
        print(json.dumps(results))
        return
    for name, row in results.items():
        print(f"{name:8}", "  ".join(f"{key} {value:.2f}" for key, value in row.items()))


if __name__ == "__main__":
    main()

"""Backtests over ten million events, against other backtesters on the same feed in the same run.

    uv run python benchmarks/backtest.py [RAW_FILE] [--copies 21] [--rounds 2]

RAW_FILE is a recorded feed of Binance's perpetual (default: the one in ../shared/data, or in KIT_SHARED_DATA); it is
repeated with later times, each copy beginning with its snapshot. Every case is a process of its own; what is compiled
is compiled before the clock starts, and the data are at hand as each backtester likes them best (ours memory-mapped,
theirs in memory). Events are those of the exchange, counted once. Peers are skipped where ``peers/.env`` is absent.

Our strategies are plain Python with Decimal money, the peers' are what each is fastest with: compiled for hftbacktest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("KIT_SHARED_DATA") or HERE.parents[1] / "shared" / "data")
PEERS = HERE / "peers" / ".env" / "bin" / "python"
PAIR, EXCHANGE = "BTC/USDT", "binanceusdm"
TICK_SIZE, LOT_SIZE = "0.1", "0.001"
LEVELS = {"1 level": 1, "3 levels": 3, "20 levels": 20}


def rules() -> dict[str, Any]:
    from decimal import Decimal

    from kit.types.market import TradingRule

    fees = {"maker_fee": Decimal("0.0002"), "taker_fee": Decimal("0.0005")}
    return {PAIR: TradingRule(PAIR, "BTC", "USDT", Decimal(TICK_SIZE), Decimal(LOT_SIZE), **fees)}


def tiled(path: Path, copies: int) -> Iterator[Any]:
    """Yield the feed ``copies`` times, each later than the one before."""
    from kit.storage.clock_offset import correct_clock
    from kit.storage.importers import import_raw

    events = correct_clock(import_raw([path], exchange=EXCHANGE, trading_pair=PAIR))
    span = int(events.local_ts[-1] - min(events.local_ts[0], events.exch_ts.min())) + 10_000_000
    for copy in range(copies):
        yield replace(events, exch_ts=events.exch_ts + copy * span, local_ts=events.local_ts + copy * span)


def prepare(path: Path, copies: int, folder: Path) -> int:
    """Write the feed for ours and for the peers; returns the number of events."""
    from kit.storage.events import MarketEvents
    from kit.storage.exporters import to_hftbacktest
    from kit.storage.recording_writer import RecordingWriter

    parts = list(tiled(path, copies))
    count = sum(len(part) for part in parts)
    began = time.process_time()
    with RecordingWriter(folder / "recording") as writer:
        for part in parts:
            writer.append(part)
    print(f"recording: {count / 1e6:.2f} M events written in {time.process_time() - began:.1f} s of CPU, ", end="")
    size = sum(file.stat().st_size for file in (folder / "recording").rglob("*.parquet"))
    print(f"{size / count:.2f} bytes an event")
    if PEERS.exists():
        np.save(folder / "peers.npy", to_hftbacktest(MarketEvents.concat(parts)))
    return count


def peak_mb() -> float:
    # Not getrusage: its maximum includes what the parent held when it forked.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def play(case: str, folder: Path) -> dict[str, Any]:
    """Run one case of ours and return its figures."""
    import kit
    from kit.backtest.result import Result
    from kit.backtest.runner import merge
    from kit.backtest.runner import prepare as put_together

    class Empty(kit.Strategy):
        def on_tick(self, timestamp: float) -> None:
            pass

    spread = "0.00005"
    quotes = {"bid_spread": spread, "ask_spread": spread, "order_level_spread": spread, "order_amount": "0.01"}
    quotes |= {"order_refresh_time": 30, "filled_order_delay": 30, "order_levels": LEVELS.get(case, 1)}
    strategy, parameters = (Empty, {}) if case == "empty" else (kit.PureMarketMaking, quotes)
    options: dict[str, Any] = {
        "rules": rules(),
        "balances": {"BTC": 1000, "USDT": 100_000_000},
        "queue": "RiskAverse",
        "exchange": "NoPartialFill",
        "latency": 0.01,
    }
    recording = folder / "recording"
    warm = kit.backtest(strategy, recording, **options, **parameters, end=first_second(recording) + 20, progress=False)
    del warm
    session = put_together(merge(strategy, parameters, data=recording, **DEFAULTS | options))
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in session.steps():
        pass
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    ticks = session.ticks
    session.close()
    result = Result(session.run)
    memory = peak_mb()
    return {
        "case": case,
        "cpu": cpu,
        "wall": wall,
        "ticks": ticks,
        "orders": len(result.orders),
        "fills": len(result.fills),
        "peak_mb": memory,
    }


DEFAULTS: dict[str, Any] = {
    "start": None,
    "end": None,
    "fees": None,
    "tick_size": 1.0,
    "seed": 0,
}


def first_second(recording: Path) -> float:
    import kit

    return kit.open_recording(recording).span(PAIR)[0]


def kernel() -> dict[str, Any]:
    """Time the bare kernel in one call, without orders, and the sum of the columns that it reads."""
    from kit.simulation.engine import MatchingEngine
    from kit.simulation.feed import FeedColumns

    kept = (Path(os.environ["KIT_CACHE"]) / "feeds").rglob("code.npy")
    # Runs that start later in the recording keep a shorter feed of their own.
    feed = FeedColumns.open(max(kept, key=lambda path: path.stat().st_size).parent)
    columns = [np.ascontiguousarray(getattr(feed, name)) for name in ("code", "tick", "qty")]
    times: dict[str, list[float]] = {"cpu": [], "sum": []}
    for _ in range(3):
        engine = MatchingEngine(tick_size=TICK_SIZE, lot_size=LOT_SIZE)
        engine.load(feed)
        began = time.process_time()
        engine.step(engine.last_local_ns)
        times["cpu"].append(time.process_time() - began)
        began = time.process_time()
        for column in columns:
            column.sum()
        times["sum"].append(time.process_time() - began)
    return {"case": "kernel alone", "cpu": min(times["cpu"]), "sum": min(times["sum"])}


def ask(command: list[str], **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        print(f"failed: {' '.join(command[1:3])}: {done.stderr.strip().splitlines()[-1:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def report(who: str, run: dict[str, Any], events: int) -> None:
    speed = run.get("events", events) / run["cpu"] / 1e6
    rest = "".join(
        f"{run[name]:>9,.0f}" if name in run else " " * 9 for name in ("ticks", "orders", "fills", "peak_mb")
    )
    print(f"{who:<28}{run['case']:<14}{run['cpu']:>8.2f}{speed:>9.2f}{rest}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", nargs="?", type=Path, default=SHARED / "binance_usdm_btcusdt_20240808.raw.gz")
    parser.add_argument("--copies", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(kernel() if options.case == "kernel" else play(options.case, options.folder)))
        return
    if not options.raw.is_file():
        sys.exit(f"there is no recorded feed {options.raw}: name one, or set KIT_SHARED_DATA")
    with tempfile.TemporaryDirectory() as room:
        compare(Path(room), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    events = prepare(options.raw, options.copies, folder)
    print(f"{'':<42}{'CPU s':>8}{'M ev/s':>9}{'ticks':>9}{'orders':>9}{'fills':>9}{'peak MB':>9}")
    best: dict[tuple[str, str], float] = {}
    for _ in range(options.rounds):
        for who, run in (*ours(folder), *hftbacktest(folder)):
            report(who, run, events)
            best[who, run["case"]] = min(run["cpu"], best.get((who, run["case"]), np.inf))
    if not PEERS.exists():
        print("no peers: make their environment with benchmarks/peers/setup.sh")
        return
    script = str(HERE / "peers" / "run_nautilus.py")
    for run in ask([str(PEERS), script, str(folder / "peers.npy"), str(events // options.copies)]):
        report("nautilus_trader", run, events)
    for (who, case), seconds in best.items():
        if who != "kit" and ("kit", case) in best:
            print(f"{case}: {seconds / best['kit', case]:.2f} times as fast as {who}")


def ours(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # The first process converts the recording and keeps the columns; its figures are not those of a replay.
    ask([sys.executable, __file__, "--case", "empty", "--folder", str(folder)], KIT_CACHE=str(folder / "cache"))
    for case in ("empty", *LEVELS, "kernel"):
        command = [sys.executable, __file__, "--case", case, "--folder", str(folder)]
        for run in ask(command, KIT_CACHE=str(folder / "cache")):
            yield "kit", run
            if "sum" in run:
                print(f"{'':<28}{run['cpu'] / run['sum']:.1f} times the sum of the same columns")


def hftbacktest(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if PEERS.exists():
        for run in ask([str(PEERS), str(HERE / "peers" / "run_hftbacktest.py"), str(folder / "peers.npy")]):
            yield f"hftbacktest {run['book']}", run


if __name__ == "__main__":
    main()

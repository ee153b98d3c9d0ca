"""A sweep of 16 market-making runs on two workers, against the same on one, in interleaved rounds.

    uv run python benchmarks/sweep.py [RAW_FILE] [--copies 21] [--rounds 3]

RAW_FILE is a recorded feed of Binance's perpetual (default: the one in ../shared/data, or in KIT_SHARED_DATA), repeated
with later times. A time is that of the whole call: starting processes, all trials with in-sample and held-out runs,
closing. "Spinning" is what the machine itself gives two busy processes of plain Python at that moment, the least that
the ratio can be; rounds in which it is above 0.65 do not count, unless all are. "By CPU" is the ratio
of CPU seconds, the workers' divided by their number: what two free processors would come to. All tables must be the
same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("KIT_SHARED_DATA") or HERE.parents[1] / "shared" / "data")
PAIR, EXCHANGE = "BTC/USDT", "binanceusdm"
TARGET = 0.6
QUIET = 0.65  # spinning above it: the machine had no two processors to give, so the round tells nothing
SPREADS = ["0.00002", "0.00005", "0.0001", "0.0002"]
OPTIONS: dict[str, Any] = {
    "rules": {"min_price_increment": "0.1", "min_base_amount_increment": "0.001", "maker_fee": "0.0002"},
    "balances": {"BTC": 100, "USDT": 10_000_000},
    "latency": 0.01,
    "order_amount": "0.01",
    "order_refresh_time": 30,
    "progress": False,
}
SPIN = "for _ in range(12_000_000): pass"


def record(path: Path, copies: int, folder: Path) -> int:
    """Write the feed, repeated, as a recording; returns the number of events."""
    from kit.storage.clock_offset import correct_clock
    from kit.storage.importers import import_raw
    from kit.storage.recording_writer import RecordingWriter

    events = correct_clock(import_raw([path], exchange=EXCHANGE, trading_pair=PAIR))
    span = int(events.local_ts[-1] - min(events.local_ts[0], events.exch_ts.min())) + 10_000_000
    with RecordingWriter(folder) as writer:
        for copy in range(copies):
            writer.append(replace(events, exch_ts=events.exch_ts + copy * span, local_ts=events.local_ts + copy * span))
    return len(events) * copies


def spin(processes: int, total: int = 8) -> float:
    """The time of ``total`` busy loops, ``processes`` at once."""
    began = time.perf_counter()
    for _ in range(total // processes):
        running = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
        for process in running:
            process.wait()
    return time.perf_counter() - began


def once(workers: int, folder: Path) -> dict[str, Any]:
    """Sweep in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--once", str(workers), "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def cpu_seconds() -> tuple[float, float]:
    """What this process and those that it waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return used[0].ru_utime + used[0].ru_stime, used[1].ru_utime + used[1].ru_stime


def sweep(workers: int, folder: Path) -> None:
    import kit

    kit.backtest  # noqa: B018 - imports are not part of the sweep
    import kit.backtest.sweep_workers

    space = {"bid_spread": SPREADS, "ask_spread": SPREADS}
    began, before = time.perf_counter(), cpu_seconds()
    result = kit.sweep(kit.PureMarketMaking, folder, space, workers=workers, **OPTIONS)
    wall, after = time.perf_counter() - began, cpu_seconds()
    own, children = (end - start for start, end in zip(before, after, strict=True))
    busy = sum(trial.outcome.seconds for trial in result.trials if trial.outcome)
    print(
        json.dumps(
            {
                "wall": wall,
                "busy": busy,
                "cpu": own + children / workers,
                "table": result.frame().to_csv(),
                "shown": repr(result),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", nargs="?", type=Path, default=SHARED / "binance_usdm_btcusdt_20240808.raw.gz")
    parser.add_argument("--copies", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", type=int)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.once:
        sweep(arguments.once, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as room:
        os.environ["KIT_CACHE"] = str(Path(room) / "cache")
        folder = Path(room) / "recording"
        count = record(arguments.raw, arguments.copies, folder)
        once(1, folder)  # converts the feed and compiles the kernel
        print(f"16 runs over {count / 1e6:.1f} M events, in-sample and held-out; seconds of the whole call")
        print(
            f"{'round':>5} {'one':>7} {'two':>7} {'ratio':>6} {'by CPU':>7} {'spinning':>9} "
            f"{'start, stop':>12} {'load':>6}"
        )
        rounds, tables = [], set()
        for number in range(arguments.rounds):
            one, two = once(1, folder), once(2, folder)
            tables |= {one["table"], two["table"]}
            ratio, machine = two["wall"] / one["wall"], spin(2) / spin(1)
            rounds.append((ratio, machine, two["cpu"] / one["cpu"]))
            rest = one["wall"] - one["busy"]
            print(
                f"{number + 1:>5} {one['wall']:>7.1f} {two['wall']:>7.1f} {ratio:>6.2f} "
                f"{rounds[-1][2]:>7.2f} {machine:>9.2f} {rest:>12.1f} {os.getloadavg()[0]:>6.1f}",
                flush=True,
            )
        quiet = [one for one in rounds if one[1] <= QUIET] or rounds
        ratio, machine, cpu = (statistics.median(column) for column in zip(*quiet, strict=True))
        print(
            f"median ratio {ratio:.2f} (target {TARGET}), spinning {machine:.2f}, by CPU {cpu:.2f}, "
            f"of {len(quiet)} rounds"
        )
        print("tables are the same" if len(tables) == 1 else "TABLES DIFFER")
        sys.exit(0 if ratio <= TARGET and len(tables) == 1 else 1)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()

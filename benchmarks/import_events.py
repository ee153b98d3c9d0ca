"""Time the importer of raw streams against ``json.loads`` and ``orjson.loads`` of the same lines, in the same run.

Usage: ``python benchmarks/import_events.py FILE.raw.gz [FILE …] [--pair BTC/USDT:USDT] [--rounds N] [--json]``

CPU seconds. The importer's include unpacking, the sequence rules and the columns; the decoders' are decoding alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from kit.storage.importers import import_raw


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def bodies(files: list[Path]) -> list[bytes]:
    return [line.partition(b" ")[2] for path in files for line in gzip.open(path)]


def measure(files: list[Path], pair: str, rounds: int) -> dict[str, float]:
    """Return the best of several rounds, each holding all three, since loads of other programs come in bursts."""
    lines = bodies(files)
    best = dict.fromkeys(("importer", "json", "orjson"), float("inf"))
    rows = 0
    for _ in range(rounds):
        took, events = cpu(lambda: import_raw(files, exchange="binance", trading_pair=pair))
        rows = len(events)
        best["importer"] = min(best["importer"], took)
        for name, loads in (("json", json.loads), ("orjson", orjson.loads)):
            took, _ = cpu(lambda loads=loads: [None for line in lines if loads(line) is None])
            best[name] = min(best[name], took)
    return {
        "rows": rows,
        "lines": len(lines),
        "importer_s": best["importer"],
        "rows_per_s": rows / best["importer"],
        "times_json_loads": best["importer"] / best["json"],
        "times_orjson_loads": best["importer"] / best["orjson"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--pair", default="BTC/USDT:USDT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.files, options.pair, options.rounds)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['rows']:,} rows of {result['lines']:,} lines in {result['importer_s']:.2f} s of CPU")
    print(f"{result['rows_per_s']:,.0f} rows/s")
    print(f"against json.loads of the same lines x {result['times_json_loads']:.2f}, orjson.loads x ", end="")
    print(f"{result['times_orjson_loads']:.2f}")


if __name__ == "__main__":
    main()

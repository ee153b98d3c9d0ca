"""Time ``import kit`` as users pay for it: in a fresh process, against starting Python and against ``import pandas``.

Run ``python benchmarks/import_time.py``. The target is below 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 7
CASES = {"start Python": "pass", "import kit": "import kit", "import pandas": "import pandas"}


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):  # in turn, so that a slow moment of the machine meets all alike
        for name, code in CASES.items():
            times[name].append(seconds(code))
    start = statistics.median(times["start Python"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:14} {median * 1000:8.1f} ms   {(median - start) * 1000:8.1f} ms more than starting Python")


if __name__ == "__main__":
    main()

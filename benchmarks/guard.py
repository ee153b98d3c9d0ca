"""Measure how long orders stay open on the exchange when the kernel that owns them is blocked, killed or restarted.

Run ``python benchmarks/guard.py [--stall-limit 10] [--rounds 1]``: real kernels with a live core, its guard and resting
orders, and a test exchange of its own process that tells when none of them is open any more. Seconds count from sending
the cell (or the signal, or the request) to the answer of the exchange that holds none. The targets: the stall limit
and 2 s for a blocked kernel, 2 s for a killed one.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kit.guard.guard import STALL_LIMIT
from kit.testnet import Testnet
from tests.support.guarded_kernel import BLOCKS, GuardedKernel, guarded_kernel
from tests.support.stack import fill_book

Times = dict[str, list[float]]


async def one_round(testnet: Testnet, stall_limit: float, times: Times) -> None:
    async with guarded_kernel(testnet, "measured", stall_limit) as guarded:
        for name in BLOCKS:
            times[f"blocked by {name}"].append(await guarded.block(name))
        began = time.monotonic()
        times["restarted"].append(await ended(guarded, guarded.kernel.restart()))
        print(f"  restart: {time.monotonic() - began:.1f} s until the new kernel was ready", flush=True)
        await guarded.set_up()
        began = time.monotonic()
        guarded.kernel.kill()
        times["killed (SIGKILL)"].append(await guarded.none_open(2.0, began))


async def ended(guarded: GuardedKernel, action: Awaitable[None]) -> float:
    began = time.monotonic()
    task = asyncio.ensure_future(action)
    took = await guarded.none_open(4.4, began)
    await task
    return took


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stall-limit", type=float, default=STALL_LIMIT)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    times: Times = defaultdict(list)
    async with await Testnet.start("guard benchmark", flow=False) as testnet:
        await fill_book(testnet)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}, stall limit {options.stall_limit:g} s", flush=True)
            await one_round(testnet, options.stall_limit, times)
    print(f"{'kernel':32}{'median':>8}{'most':>8}{'target':>8}   seconds until no order was open")
    for name, taken in times.items():
        target = f"{options.stall_limit + 2:8.1f}" if name.startswith("blocked") else "     2.0"
        print(f"{name:32}{statistics.median(taken):8.2f}{max(taken):8.2f}{target}")


if __name__ == "__main__":
    asyncio.run(main())

"""Cost of one ``AsyncThrottler.acquire`` with 100, 1000 and 2000 requests in the window.

Run ``python benchmarks/throttler.py``. The cost must not grow with the window: the last column, the ratio to the first
row, stays near 1 (in the reference, whose cost grows with the window, it is 10 and 20).
"""

import asyncio
from time import perf_counter

from kit.core.manual_time import ManualTime
from kit.core.throttler import AsyncThrottler, LinkedLimit, RateLimit

REQUESTS = 20_000
ROUNDS = 5


async def cost(in_window: int) -> float:
    """Return the seconds per request while ``in_window`` requests stay in the window, old ones leaving as new come."""
    time = ManualTime()
    weight = RateLimit("weight", 10 * in_window, 60.0)
    order = RateLimit("order", 10 * in_window, 60.0, linked=(LinkedLimit("weight"),))
    throttler = AsyncThrottler([weight, order], time_source=time)
    pause = 60.0 / in_window
    for _ in range(2 * in_window):
        time.jump(pause)
        await throttler.acquire("order")
    spent = 0.0
    for _ in range(REQUESTS):
        time.jump(pause)
        begin = perf_counter()
        await throttler.acquire("order")
        spent += perf_counter() - begin
    assert abs(throttler.usage["order"][0] - in_window) <= 1
    return spent / REQUESTS


def main() -> None:
    sizes = (100, 1000, 2000)
    rounds = [[asyncio.run(cost(size)) for size in sizes] for _ in range(ROUNDS)]
    best = [min(column) for column in zip(*rounds, strict=True)]
    print(f"{'in window':>10} {'us/acquire':>11} {'ratio':>6}")
    for size, seconds in zip(sizes, best, strict=True):
        print(f"{size:>10} {seconds * 1e6:>11.2f} {seconds / best[0]:>6.2f}")


if __name__ == "__main__":
    main()

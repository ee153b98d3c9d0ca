"""Time of one tick of ``PureMarketMaking``, all Decimal arithmetic and the mock market's answers included.

The unit is a fixed Decimal workload timed in the same run (one yardstick, some 450 us on a small shared machine), so
that figures compare between machines. Rows: 1 and 10 levels, each

* resting: orders rest, no proposal is built (the price is read, orders are looked after);
* tolerance: the proposal is rebuilt every tick and found within the tolerance of what rests;
* refreshed: every tick cancels all orders and places all anew, events included;
* everything: refreshed, with inventory skew, order optimization and transaction costs.

The reference's compiled code took what stands in the column "reference", in yardsticks; the last column says how many
times faster this is. Run: ``uv run python benchmarks/pmm_tick.py [--profile ROW]``.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kit.core.clock import Clock, ClockMode
from kit.strategy.pure_market_making import PureMarketMaking
from tests.support.mock_market import MockMarket

D = Decimal

EVERYTHING = {
    "inventory_skew_enabled": True,
    "inventory_range_multiplier": 20,
    "order_optimization_enabled": True,
    "add_transaction_costs": True,
}
KINDS: dict[str, dict[str, object]] = {
    "resting": {"order_refresh_time": 1e9},
    "tolerance": {"order_refresh_time": 0.5, "order_refresh_tolerance": "0.01"},
    "refreshed": {"order_refresh_time": 0.5},
    "everything": {"order_refresh_time": 0.5, **EVERYTHING},
}
REFERENCE = {
    ("resting", 1): 0.27,
    ("resting", 10): 0.38,
    ("tolerance", 1): 0.67,
    ("tolerance", 10): 2.6,
    ("refreshed", 1): 1.3,
    ("refreshed", 10): 4.4,
    ("everything", 10): 7.2,
}


def yardstick(rounds: int = 1000, repeats: int = 200) -> float:
    """The fastest time of 1,000 rounds of a price, its rounding and a cost, in seconds."""
    ref, one, spread, q, amount = D("61685.99"), D(1), D("0.0012"), D("0.01"), D("0.0125")
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(rounds):
            price = ref * (one - spread)
            price = (price // q) * q
            price * amount
        best = min(best, time.perf_counter() - start)
    return best


def prepare(kind: str, levels: int) -> tuple[PureMarketMaking, float]:
    market = MockMarket(balances={"HBOT": D(500), "ETH": D(48000)}, fee=(D("0.001"), D("0.001")))
    strategy = PureMarketMaking(
        market,
        bid_spread="0.01",
        ask_spread="0.01",
        order_amount="1",
        order_levels=levels,
        order_level_spread="0.001",
        max_order_age=1e9,
        **KINDS[kind],
    )
    clock = Clock(ClockMode.BACKTEST)
    clock.add_iterator(market)
    clock.add_iterator(strategy)
    clock.backtest_til(3)
    assert len(strategy.active_orders) == 2 * levels
    return strategy, 3.0


def check(strategy: PureMarketMaking, kind: str, levels: int, before: tuple[str, ...]) -> None:
    """Make sure that the row measured what it says."""
    now = tuple(order.client_order_id for order in strategy.active_orders)
    assert len(now) == 2 * levels
    assert (now == before) is (kind in ("resting", "tolerance"))
    assert bool(strategy.trail) is (kind != "resting")
    assert strategy.health.total_errors == 0


def measure(kind: str, levels: int, ticks: int, rounds: int) -> tuple[float, float]:
    """The best mean time of a tick and the best time of the yardstick, in seconds.

    Rounds of both are a few milliseconds long and take turns, so that both find the machine's quiet moments.
    """
    strategy, now = prepare(kind, levels)
    best = unit = float("inf")
    for _ in range(rounds):
        unit = min(unit, yardstick(repeats=4))
        before = tuple(order.client_order_id for order in strategy.active_orders)
        start = time.perf_counter()
        for _ in range(ticks):
            now += 1.0
            strategy.tick(now)
        best = min(best, (time.perf_counter() - start) / ticks)
        check(strategy, kind, levels, before)
    return best, unit


def profile(kind: str, levels: int, ticks: int = 2000) -> None:
    strategy, now = prepare(kind, levels)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(ticks):
        now += 1.0
        strategy.tick(now)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(28)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", nargs=2, metavar=("ROW", "LEVELS"), help="show where a row's time goes instead")
    given = parser.parse_args()
    if given.profile:
        profile(given.profile[0], int(given.profile[1]))
        return
    print(f"{'row':<12}{'levels':>7}{'us':>9}{'yardsticks':>12}{'reference':>11}{'faster':>9}")
    for kind in KINDS:
        for levels in (1, 10):
            took, unit = measure(kind, levels, ticks=40 if levels == 1 else 10, rounds=500)
            ratio = took / unit
            reference = REFERENCE.get((kind, levels))
            told = f"{reference:>11}{reference / ratio:>8.1f}x" if reference else f"{'-':>11}{'-':>9}"
            print(f"{kind:<12}{levels:>7}{took * 1e6:>9.1f}{ratio:>12.3f}{told}")
    print(f"one yardstick: {yardstick() * 1e6:.0f} us at best")


if __name__ == "__main__":
    main()

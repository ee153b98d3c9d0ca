"""What a pre-flight finds where one question is answered late, or the guard's first try fails."""

from types import SimpleNamespace

import pytest

from kit.trading.preflight import PATIENCE, Preflight
from kit.trading.switch import TradingState

REFUSED = "NetworkUnavailable: no answer"


def finding(checks, name):
    return next(check for check in checks if check.name == name)


class Guard:
    """A guard that has tried its account without success until ``prepared`` at a time."""

    running, alive, log_path, stall_limit, accounts = True, True, "guard.log", 10.0, ()

    def __init__(self, time, prepared):
        self._time, self._prepared = time, time.monotonic() + prepared
        self.met = 0

    @property
    def state(self):
        ready = self._time.monotonic() >= self._prepared
        return SimpleNamespace(prepared=ready, alive=True, pid=7, problems={} if ready else {"main account": REFUSED})

    async def meet(self, timeout):
        self.met += 1
        return 0.002


def slow_at_first(bench, times):
    """Have the exchange take two seconds for its time, so many times; returns the answers so far."""
    answered = []

    async def fetch_server_time():
        if len(answered) < times:
            await bench.time.sleep(2.0)
        answered.append(bench.time.time())
        return bench.time.time()

    bench.paper.fetch_server_time = fetch_server_time
    return answered


async def test_one_late_answer_is_asked_for_again(bench):
    answered = slow_at_first(bench, 1)
    checks = await bench.do(bench.switch.arm())
    assert finding(checks, "clock skew").outcome == "passed"
    assert len(answered) == 2
    assert bench.switch.state is TradingState.ARMED


async def test_answers_that_are_late_three_times_keep_it_from_going_live(bench):
    answered = slow_at_first(bench, 3)
    skew = finding(await bench.do(bench.switch.arm()), "clock skew")
    assert (skew.outcome, len(answered)) == ("failed", 3)
    assert "3 times and took 2.00 s" in skew.text
    assert bench.switch.state is TradingState.PAPER


async def find(bench):
    """Run a pre-flight of the bench's account; returns what was found of the guard."""
    preflight = Preflight(bench, [(bench.market, bench.market.side)], bench.time)
    return finding(await bench.do(preflight.run()), "guard")


@pytest.mark.parametrize(("prepared", "outcome"), [(PATIENCE - 2, "passed"), (PATIENCE + 2, "failed")])
async def test_a_guard_whose_first_try_failed_may_try_again(bench, prepared, outcome):
    guard = bench.guarding.guard = Guard(bench.time, prepared)
    found = await find(bench)
    assert found.outcome == outcome
    assert (REFUSED in found.text) == (outcome == "failed")
    assert guard.met == (outcome == "passed")


async def test_where_the_key_is_refused_nobody_waits_for_the_guard(bench):
    guard = bench.guarding.guard = Guard(bench.time, PATIENCE - 2)
    bench.market.side.refused = "invalid key"
    found = await find(bench)
    assert (found.outcome, guard.met) == ("failed", 0)
    assert REFUSED in found.text

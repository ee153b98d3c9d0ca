import asyncio

import pytest

from kit.core.clock import SYSTEM_TIME
from kit.core.manual_time import ManualTime
from kit.errors import InvalidInput


async def test_sleepers_wake_in_order_of_time_and_see_their_own_time() -> None:
    manual = ManualTime(start=100.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await manual.sleep(seconds)
        woken.append((name, manual.time()))

    tasks = [asyncio.create_task(sleeper(*case)) for case in [("c", 3.0), ("a", 1.0), ("b", 2.0)]]
    await manual.advance(2.5)
    assert woken == [("a", 101.0), ("b", 102.0)]
    assert manual.pending == 1
    await manual.advance(0.5)
    assert woken[-1] == ("c", 103.0)
    await asyncio.gather(*tasks)


async def test_what_a_woken_task_sleeps_next_is_within_the_same_advance() -> None:
    manual = ManualTime()
    beats: list[float] = []

    async def beat() -> None:
        while True:
            await manual.sleep(1.0)
            beats.append(manual.monotonic())

    task = asyncio.create_task(beat())
    await manual.advance(5.0)
    task.cancel()
    await manual.settle()
    assert beats == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert manual.pending == 0


async def test_jump_wakes_nobody_until_the_next_advance() -> None:
    manual = ManualTime()
    task = asyncio.create_task(manual.sleep(1.0))
    await manual.settle()
    manual.jump(10.0)
    await asyncio.sleep(0)
    assert not task.done()
    await manual.advance(0.0)
    assert task.done()
    assert manual.monotonic() == 10.0


async def test_settle_follows_long_chains_of_tasks() -> None:
    manual = ManualTime()

    async def chain(depth: int) -> int:
        return 0 if depth == 0 else 1 + await asyncio.create_task(chain(depth - 1))

    task = asyncio.create_task(chain(100))
    await manual.settle()
    assert task.result() == 100


async def test_timers_are_called_once_and_can_be_taken_back() -> None:
    manual = ManualTime()
    calls: list[str] = []
    manual.call_later(1.0, lambda: calls.append("kept"))
    manual.call_later(1.0, lambda: calls.append("taken back")).cancel()
    await manual.advance(3.0)
    assert calls == ["kept"]


def test_a_wall_step_moves_only_the_wall() -> None:
    manual = ManualTime(start=50.0)
    manual.step_wall(-20.0)
    assert manual.time() == 30.0
    assert manual.monotonic() == 0.0


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
async def test_time_does_not_go_back(seconds: float) -> None:
    manual = ManualTime()
    with pytest.raises(InvalidInput, match="forward"):
        await manual.advance(seconds)
    with pytest.raises(InvalidInput, match="forward"):
        manual.jump(seconds)


async def test_no_sleep_still_lets_others_run() -> None:
    for source in (ManualTime(), SYSTEM_TIME):
        ran = asyncio.Event()
        asyncio.get_running_loop().call_soon(ran.set)
        await source.sleep(-1.0)
        assert ran.is_set()

import asyncio
import math

import pytest

from kit.core.clock import SYSTEM_TIME
from kit.core.manual_time import ManualTime
from kit.core.waiting import wait_for


async def test_a_result_in_time_is_returned_and_leaves_no_timer() -> None:
    time = ManualTime()

    async def answer() -> int:
        await time.sleep(4.9)
        return 7

    task = asyncio.create_task(wait_for(answer(), 5.0, time))
    await time.advance(4.9)
    assert task.result() == 7
    assert time.pending == 0


async def test_time_out_cancels_what_was_awaited() -> None:
    time = ManualTime()
    ended: list[float] = []

    async def silent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(time.monotonic())

    task = asyncio.create_task(wait_for(silent(), 5.0, time))
    await time.advance(4.99)
    assert not task.done()
    await time.advance(0.02)
    assert isinstance(task.exception(), TimeoutError)
    assert ended == [5.0]


async def test_an_error_passes_through() -> None:
    async def bad() -> None:
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        await wait_for(bad(), 5.0, ManualTime())


async def test_a_blocked_loop_does_not_use_up_the_time() -> None:
    time = ManualTime()
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(wait_for(answer, 5.0, time))
    await time.advance(1.0)
    time.jump(600.0)  # a cell computes for ten minutes; meanwhile the answer came into the socket's buffer
    await time.advance(1.0)
    assert not task.done()
    answer.set_result("in time")
    await time.settle()
    assert task.result() == "in time"


async def test_our_own_cancellation_is_not_a_time_out() -> None:
    time = ManualTime()
    task = asyncio.create_task(wait_for(asyncio.Event().wait(), 5.0, time))
    await time.advance(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.pending == 0


async def test_infinity_never_expires() -> None:
    time = ManualTime()
    task = asyncio.create_task(wait_for(time.sleep(1e6), math.inf, time))
    await time.advance(1e6)
    assert task.done()


async def test_it_works_on_the_systems_time() -> None:
    with pytest.raises(TimeoutError):
        await wait_for(asyncio.Event().wait(), 0.01, SYSTEM_TIME)
    assert await wait_for(asyncio.sleep(0, "quick"), 5.0, SYSTEM_TIME) == "quick"

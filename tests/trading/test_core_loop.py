import asyncio
import threading

import pytest

from kit.errors import InvalidInput
from kit.trading.core_loop import CoreLoop, checked_kind


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kit core")]


async def test_the_kernels_loop_is_the_one_that_runs_here():
    loop = CoreLoop("kernel", "main")
    assert loop.find() is asyncio.get_running_loop()
    assert not await loop.end()
    assert threads() == []


async def test_a_thread_has_a_loop_of_its_own_until_it_ends():
    loop = CoreLoop("thread", "x")
    assert threads() == []  # not before it is needed
    own = loop.find()
    assert loop.find() is own
    assert own is not asyncio.get_running_loop()
    assert threads() == ["kit core x"]

    async def where():
        return threading.current_thread().name, asyncio.get_running_loop()

    future = asyncio.run_coroutine_threadsafe(where(), own)
    assert await asyncio.wrap_future(future) == ("kit core x", own)
    assert await loop.end()
    assert threads() == []
    assert own.is_closed()
    assert loop.find() is not own
    await loop.end()


async def test_what_is_left_on_the_loop_is_cancelled():
    loop = CoreLoop("thread", "x")
    ended = []

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(threading.current_thread().name)

    future = asyncio.run_coroutine_threadsafe(forever(), loop.find())
    await loop.end()
    assert ended == ["kit core x"]
    assert future.cancelled()


async def test_it_may_be_ended_from_itself():
    loop = CoreLoop("thread", "x")

    async def end():
        await loop.end()
        await asyncio.sleep(0)
        return "to its end"

    future = asyncio.run_coroutine_threadsafe(end(), loop.find())
    assert await asyncio.wrap_future(future) == "to its end"
    async with asyncio.timeout(60):
        while threads():
            await asyncio.sleep(0.005)


async def test_two_that_need_it_first_get_one_thread():
    loop = CoreLoop("thread", "x")
    found = []

    def find():
        with loop.changing:
            found.append(loop.find())

    askers = [threading.Thread(target=find) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(set(map(id, found))) == 1
    assert threads() == ["kit core x"]
    await loop.end()


async def test_its_clock_does_not_care_what_this_thread_does():
    loop = CoreLoop("thread", "x")

    async def tick():
        for _ in range(20):
            await asyncio.sleep(0.01)
        return "ticked"

    future = asyncio.run_coroutine_threadsafe(tick(), loop.find())
    assert future.result(60) == "ticked"  # the blocking is what is tested
    await loop.end()


def test_other_kinds_are_refused():
    with pytest.raises(InvalidInput, match=r"loop is 'own'.*'kernel'.*'thread'"):
        checked_kind("own")

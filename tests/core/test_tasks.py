import asyncio
import gc
import logging
import threading

import pytest

from kit.core.tasks import TaskSupervisor
from kit.errors import NotReady
from tests.support.kit_logs import kit_records


async def forever() -> None:
    await asyncio.Event().wait()


async def fails(message: str = "boom") -> None:
    raise ValueError(message)


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_tasks_are_named_and_counted_until_they_are_done() -> None:
    supervisor = TaskSupervisor("core")
    gate = asyncio.Event()
    task = supervisor.spawn(gate.wait(), name="gate")
    supervisor.spawn(forever(), name="other")
    assert supervisor.names == ("gate", "other")
    assert len(supervisor) == 2
    assert task.get_name() == "core/gate"
    gate.set()
    assert await task is True
    await turns()
    assert supervisor.names == ("other",)
    assert await supervisor.close() == []
    assert len(supervisor) == 0
    assert supervisor.error_count == 0


async def test_a_task_that_nobody_else_holds_survives_garbage_collection() -> None:
    supervisor = TaskSupervisor("core")
    done: list[bool] = []

    async def work() -> None:
        await turns(2)
        gc.collect()
        await turns(2)
        done.append(True)

    supervisor.spawn(work(), name="work")
    gc.collect()
    await turns(10)
    assert done == [True]


async def test_an_exception_is_logged_once_counted_kept_and_told(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[str, BaseException]] = []
    supervisor = TaskSupervisor("core", on_error=lambda name, error: told.append((name, error)))
    with caplog.at_level(logging.ERROR):
        supervisor.spawn(fails(), name="bad")
        await turns()
    assert [(failure.name, str(failure.error)) for failure in supervisor.errors] == [("bad", "boom")]
    assert supervisor.error_count == 1
    assert [(name, str(error)) for name, error in told] == [("bad", "boom")]
    assert len(kit_records(caplog)) == 1
    assert "core/bad" in caplog.text
    assert "ValueError: boom" in caplog.text  # the traceback
    assert supervisor.names == ()


async def test_errors_are_bounded_and_the_count_is_not() -> None:
    supervisor = TaskSupervisor("core")
    for number in range(70):
        supervisor.spawn(fails(str(number)), name=str(number))
    await turns()
    assert supervisor.error_count == 70
    assert len(supervisor.errors) == 50
    assert supervisor.errors[-1].name == "69"


async def test_an_error_handler_that_fails_hides_nothing() -> None:
    def bad_handler(_name: str, _error: BaseException) -> None:
        raise RuntimeError("handler")

    parent = TaskSupervisor("core")
    child = parent.child("net", on_error=bad_handler)
    child.spawn(fails(), name="bad")
    await turns()
    assert child.error_count == 1
    assert [failure.name for failure in parent.errors] == ["net/bad"]


async def test_cancel_ends_one_task_and_waits_for_its_clean_up() -> None:
    supervisor = TaskSupervisor("core")
    cleaned: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns(5)
            cleaned.append("tidy")

    task = supervisor.spawn(tidy(), name="tidy")
    other = supervisor.spawn(forever(), name="other")
    await turns()
    assert await supervisor.cancel(task) is True
    assert cleaned == ["tidy"]
    assert supervisor.names == ("other",)
    assert await supervisor.cancel(task) is True
    assert not other.done()
    await supervisor.close()


async def test_close_reports_those_that_do_not_end() -> None:
    supervisor = TaskSupervisor("core")
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    supervisor.spawn(forever(), name="tame")
    supervisor.child("net").spawn(stubborn(), name="stubborn")
    await turns()
    assert await supervisor.close(timeout=0.05) == ["net/stubborn"]
    assert supervisor.names == ("net/stubborn",)
    release.set()
    await turns()
    assert len(supervisor) == 0


async def test_close_cancels_a_second_time_what_swallowed_the_first() -> None:
    supervisor = TaskSupervisor("core")
    cancels = 0

    async def swallows_one() -> None:
        nonlocal cancels
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancels += 1
        await asyncio.Event().wait()

    supervisor.spawn(swallows_one(), name="once")
    await turns()
    assert await supervisor.close(timeout=0.1) == []
    assert cancels == 1


async def test_a_closed_supervisor_refuses_and_closes_the_coroutine() -> None:
    parent = TaskSupervisor("core")
    child = parent.child("net")
    await parent.close()
    for supervisor in (parent, child):
        coro = forever()
        with pytest.raises(NotReady, match="closed"):
            supervisor.spawn(coro, name="late")
        with pytest.raises(RuntimeError, match=r"already awaited|cannot reuse"):
            await coro
        assert supervisor.closed
    with pytest.raises(NotReady, match="closed"):
        parent.child("late")
    assert await parent.close() == []


async def test_children_are_closed_with_the_parent_and_can_be_closed_alone() -> None:
    parent = TaskSupervisor("core")
    first, second = parent.child("first"), parent.child("second")
    one = first.spawn(forever(), name="one")
    two = second.spawn(forever(), name="two")
    assert parent.names == ("first/one", "second/two")
    assert two.get_name() == "core/second/two"
    await first.close()
    assert one.cancelled()
    assert not two.done()
    assert parent.names == ("second/two",)
    await parent.close()
    assert two.cancelled()


async def test_the_task_that_closes_is_not_cancelled_by_itself() -> None:
    supervisor = TaskSupervisor("core")
    other = supervisor.spawn(forever(), name="other")

    async def stop() -> list[str]:
        assert not await supervisor.cancel(stopper)
        return await supervisor.close(timeout=1.0)

    stopper = supervisor.spawn(stop(), name="stop")
    assert await stopper == []
    assert other.cancelled()


async def test_a_spawn_on_another_threads_loop_is_refused() -> None:
    supervisor = TaskSupervisor("core")
    supervisor.spawn(forever(), name="here")
    refusals: list[str] = []

    def on_subshell() -> None:
        async def callback() -> None:
            coro = forever()
            try:
                supervisor.spawn(coro, name="there")
            except NotReady as error:
                refusals.append(str(error))

        asyncio.run(callback())

    def on_plain_thread() -> None:
        try:
            supervisor.spawn(forever(), name="there")
        except NotReady as error:
            refusals.append(str(error))

    for target in (on_subshell, on_plain_thread):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert len(refusals) == 2
    assert "another event loop" in refusals[0]
    assert "no event loop" in refusals[1]
    await supervisor.close()


def test_an_idle_supervisor_may_move_to_another_loop() -> None:
    supervisor = TaskSupervisor("core")

    async def main() -> int:
        return await supervisor.spawn(asyncio.sleep(0, result=7), name="task")

    assert [asyncio.run(main()), asyncio.run(main())] == [7, 7]

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Iterator

import pytest

from kit.core.affinity import LoopAffinity
from kit.errors import AmbiguousOutcome, NotReady


class CoreThread:
    """A loop in a thread of its own, as the core's; the test's thread is the stranger."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.close()

    def stop(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()


@pytest.fixture
def core() -> Iterator[CoreThread]:
    thread = CoreThread()
    yield thread
    thread.stop()


def test_without_a_loop_everything_is_here() -> None:
    affinity = LoopAffinity(None)
    seen: list[int] = []
    assert affinity.here
    affinity.call(seen.append, 1)
    assert seen == [1]
    assert affinity.run_sync(lambda: 5) == 5

    async def coro() -> int:
        return 7

    assert asyncio.run(affinity.run(coro())) == 7


async def test_on_the_loop_calls_are_direct_and_errors_come_back() -> None:
    affinity = LoopAffinity(asyncio.get_running_loop())
    seen: list[int] = []
    assert affinity.here
    assert affinity.loop is asyncio.get_running_loop()
    affinity.call(seen.append, 1)
    assert seen == [1]
    with pytest.raises(ZeroDivisionError):
        affinity.call(lambda: 1 / 0)
    assert await affinity.run(asyncio.sleep(0, "x")) == "x"


def test_from_another_thread_calls_hop(core: CoreThread) -> None:
    affinity = LoopAffinity(core.loop)
    assert not affinity.here
    threads: list[threading.Thread] = []
    done = threading.Event()
    affinity.call(lambda: (threads.append(threading.current_thread()), done.set()))
    assert done.wait(60)
    assert threads == [core.thread]
    assert affinity.run_sync(threading.current_thread) is core.thread
    with pytest.raises(ZeroDivisionError):
        affinity.run_sync(lambda: 1 / 0)
    with pytest.raises(TimeoutError, match="its own"):
        affinity.run_sync(_raise, TimeoutError("its own"))


def _raise(error: BaseException) -> None:
    raise error


def test_an_error_of_a_call_that_nobody_waits_for_is_logged(core: CoreThread, caplog: pytest.LogCaptureFixture) -> None:
    affinity = LoopAffinity(core.loop)
    with caplog.at_level(logging.ERROR):
        affinity.call(lambda: 1 / 0)
        affinity.run_sync(lambda: None)  # in order: the failing call was made before
    assert "ZeroDivisionError" in caplog.text


async def test_a_coroutine_runs_on_the_cores_loop_from_another_running_loop(core: CoreThread) -> None:
    affinity = LoopAffinity(core.loop)
    assert not affinity.here  # a loop runs here, but another

    async def where() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), threading.current_thread()

    assert await affinity.run(where()) == (core.loop, core.thread)

    async def fails() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        await affinity.run(fails())


async def test_cancelling_the_caller_cancels_the_coroutine_on_the_cores_loop(core: CoreThread) -> None:
    affinity = LoopAffinity(core.loop)
    started, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(affinity.run(wait()))
    while not started.is_set():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(cancelled.wait, 60)


def test_a_blocked_loop_times_out_and_the_call_is_taken_back(core: CoreThread) -> None:
    affinity = LoopAffinity(core.loop)
    release, blocked = threading.Event(), threading.Event()
    called: list[bool] = []
    affinity.call(lambda: (blocked.set(), release.wait(60)))
    assert blocked.wait(60)
    with pytest.raises(NotReady, match="a cell blocks the loop"):
        affinity.run_sync(called.append, True, timeout=0.02)
    release.set()
    affinity.run_sync(lambda: None)
    assert called == []


def test_a_call_that_began_but_does_not_end_is_ambiguous(core: CoreThread, monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = LoopAffinity(core.loop)
    release, began = threading.Event(), threading.Event()

    class Began(concurrent.futures.Future[object]):
        """Its time begins to run when the call has begun, however late a busy machine calls."""

        def result(self, timeout: float | None = None) -> object:
            assert began.wait(60)
            return super().result(timeout)

    monkeypatch.setattr(concurrent.futures, "Future", Began)
    with pytest.raises(AmbiguousOutcome, match="did not end"):
        affinity.run_sync(lambda: (began.set(), release.wait(60)), timeout=0.05)
    release.set()


async def test_a_loop_that_ended_is_told_at_once(core: CoreThread) -> None:
    affinity = LoopAffinity(core.loop)
    await asyncio.to_thread(core.stop)

    async def coro() -> None: ...

    for attempt in (lambda: affinity.call(print), lambda: affinity.run_sync(print)):
        with pytest.raises(NotReady, match="not running"):
            attempt()
    with pytest.raises(NotReady, match="not running"):
        await affinity.run(coro())  # and the coroutine is closed: no warning


def test_between_runs_its_own_thread_counts_as_here() -> None:
    runner = asyncio.Runner()

    async def make() -> LoopAffinity:
        return LoopAffinity(asyncio.get_running_loop())

    affinity = runner.run(make())
    assert affinity.here
    assert affinity.run_sync(lambda: 3) == 3
    elsewhere: list[bool] = []
    thread = threading.Thread(target=lambda: elsewhere.append(affinity.here))
    thread.start()
    thread.join()
    assert elsewhere == [False]
    runner.close()

import asyncio
import gc
import logging
import sys

import pytest

from kit.core.error_list import ErrorList
from kit.core.tasks import TaskSupervisor
from kit.trading import log_feed
from kit.trading.log_book import LogBook
from kit.trading.log_feed import CoreLog

logger = logging.getLogger("kit.somewhere")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Keep what cores of other tests left out of this."""
    kept = set(log_feed._listening)
    log_feed._listening.clear()
    yield
    log_feed._listening.update(kept)


def core_log():
    log = CoreLog(LogBook(), ErrorList())
    log.listen()
    return log


def lines(log):
    return [(entry.level, entry.source, entry.text) for entry in log.book.entries()]


def test_records_reach_every_core_and_the_handlers_of_before(caplog):
    one, other = core_log(), core_log()
    logger.warning("late by %s s", 3)
    assert lines(one) == lines(other) == [(logging.WARNING, "somewhere", "late by 3 s")]
    assert caplog.messages == ["late by 3 s"]


def test_info_reaches_the_log_where_nobody_set_up_logging(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    kit, log = logging.getLogger("kit"), core_log()
    logger.info("connected")
    logger.warning("late")
    kit.setLevel(logging.NOTSET)
    assert lines(log) == [(logging.INFO, "somewhere", "connected"), (logging.WARNING, "somewhere", "late")]
    assert capsys.readouterr().err == "late\n"  # as without the kit's handler


def test_a_root_logger_that_was_set_up_shows_no_more_than_before(caplog):
    caplog.set_level(logging.WARNING)
    log = core_log()
    logger.info("connected")
    assert lines(log) == []
    with caplog.at_level(logging.INFO):
        logger.info("asked for")
    assert caplog.messages == ["asked for"]
    assert len(lines(log)) == 1


async def test_records_of_a_core_and_its_tasks_are_its_own():
    one, other = core_log(), core_log()
    tasks = TaskSupervisor("one")

    async def later():
        await asyncio.sleep(0)
        logger.warning("from a task")
        raise ZeroDivisionError("planned")

    async def begin():
        logger.warning("from the call")
        tasks.spawn(later(), name="later")

    await one.run(begin())
    async with asyncio.timeout(60):
        while not one.errors.items:
            await asyncio.sleep(0)
    assert [text.partition("\n")[0] for _, _, text in lines(one)] == [
        "from the call",
        "from a task",
        "task one/later failed",
    ]
    assert lines(other) == []
    (failure,) = one.errors.items
    assert failure.where == "task one/later"
    assert failure.traceback.splitlines()[1].startswith(f'  File "{__file__}"')
    assert len(other.errors) == 0


async def test_results_errors_and_cancellation_come_through():
    log = core_log()

    async def answer(value):
        await asyncio.sleep(0)
        if value is None:
            raise KeyError("none")
        return value

    assert await log.run(answer(3)) == 3
    with pytest.raises(KeyError):
        await log.run(answer(None))
    inner = asyncio.Event()
    ended = []

    async def forever():
        inner.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(log.run(forever()))
    await inner.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_what_the_background_logs_is_not_written_below_a_cell(monkeypatch, capsys):
    log = core_log()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    tasks = TaskSupervisor("one")
    done = asyncio.Event()

    async def later():
        logger.warning("behind")
        done.set()

    async def begin():
        logger.warning("in front")
        tasks.spawn(later(), name="later")

    await log.run(begin())
    await done.wait()
    logger.warning("of nobody")
    assert capsys.readouterr().err.splitlines() == ["in front", "of nobody"]
    assert [text for _, _, text in lines(log)] == ["in front", "behind", "of nobody"]


def test_a_core_that_is_gone_hears_nothing():
    log = core_log()
    book = log.book
    del log
    logger.warning("anybody?")
    assert len(book) == 0


async def test_errors_of_tasks_that_nobody_looks_after_show_with_a_count(caplog):
    gc.collect()  # tasks that earlier tests have left are not of this one
    log = core_log()

    async def mine():
        raise ZeroDivisionError("planned")

    for _ in range(2):
        task = asyncio.ensure_future(mine())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()
    (failure,) = log.errors.items
    assert failure.where == "Task exception was never retrieved"
    assert failure.count == 2
    (entry,) = [entry for entry in log.book.entries() if entry.source == "asyncio"]
    assert entry.count == 2
    assert "raise ZeroDivisionError" in entry.text

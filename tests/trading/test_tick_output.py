import asyncio
import io
import logging
import sys
import threading
import warnings

import pytest

from kit.core.clock import Clock
from kit.core.error_list import ErrorList
from kit.core.manual_time import ManualTime
from kit.core.pubsub import PubSub
from kit.core.time_iterator import TimeIterator
from kit.trading import tick_output
from kit.trading.log_book import LogBook
from kit.trading.log_feed import CoreLog
from kit.trading.tick_output import TickOutput
from kit.types.events import ClockLateEvent, MarketEvent
from tests.support.counted import calls


@pytest.fixture
def book():
    return LogBook()


@pytest.fixture(autouse=True)
def interactive(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)


def lines(book):
    return [(entry.level, entry.source, entry.text, entry.count) for entry in book.entries()]


class Quoter(TimeIterator):
    def tick(self, timestamp):
        print("mid", 100)
        print("unfinished", end="")
        self.warn()

    def warn(self):  # as the standard library shows it; pytest takes warnings.warn for itself
        sys.stderr.write(warnings.formatwarning("thin book", UserWarning, __file__, 1, "line of code"))


async def test_what_a_tick_prints_goes_to_the_log_and_not_to_the_page(book, capsys):
    source = ManualTime(100.0)
    clock = Clock(tick_size=1.0, time_source=source)
    CoreLog(book, ErrorList()).watch(clock)
    clock.add_iterator(Quoter())
    run = asyncio.create_task(clock.run_til(103.0))
    await source.advance(4.0)
    await run
    entries = lines(book)
    assert (logging.INFO, "Quoter.tick", "mid 100", 3) in entries
    assert (logging.INFO, "Quoter.tick", "unfinished", 3) in entries
    (warning,) = [entry for entry in entries if entry[0] == logging.WARNING]
    assert warning[2] == f"{__file__}:1: UserWarning: thin book\n  line of code"
    assert warning[3] == 3
    assert len(entries) == 3
    assert capsys.readouterr() == ("", "")
    print("a cell again")
    assert capsys.readouterr().out == "a cell again\n"


def test_listeners_print_to_the_log(book, capsys):
    pubsub = PubSub()
    CoreLog(book, ErrorList()).watch_events(pubsub)

    def listener(event):
        print(event.lateness)
        raise ZeroDivisionError

    pubsub.add_listener(MarketEvent.ClockLate, listener)
    pubsub.trigger_event(MarketEvent.ClockLate, ClockLateEvent(1.0, 2.0, 3))
    assert lines(book) == [(logging.INFO, "listener", "2.0", 1)]
    assert "2.0" not in capsys.readouterr().out


def test_in_a_script_it_shows_on_the_terminal_too(book, capsys, monkeypatch):
    monkeypatch.setattr(tick_output, "is_interactive", lambda: False)
    with TickOutput(book):
        print("seen")
    assert capsys.readouterr().out == "seen\n"
    assert len(book) == 1


def test_other_threads_print_where_they_did(book, capsys):
    with TickOutput(book):
        thread = threading.Thread(target=print, args=("cell",))
        thread.start()
        thread.join()
    assert capsys.readouterr().out == "cell\n"
    assert len(book) == 0


def test_whoever_keeps_or_replaces_the_stream_meanwhile_does_no_harm(book, capsys):
    output = TickOutput(book)
    with output:
        kept = sys.stdout
    print("later", file=kept)
    assert capsys.readouterr().out == "later\n"
    before = sys.stdout
    with output:
        sys.stdout = sys.__stdout__
    assert sys.stdout is sys.__stdout__
    sys.stdout = before


def test_entered_within_itself_and_left_by_an_error(book):
    output = TickOutput(book)
    before = sys.stdout

    def tick():
        with output:
            with output:
                print("inner")
            print("outer")
            raise KeyError

    with pytest.raises(KeyError):
        tick()
    assert sys.stdout is before
    assert [text for _, _, text, _ in lines(book)] == ["inner", "outer"]


def test_a_log_record_within_comes_once(book, monkeypatch, capsys):
    log = CoreLog(book, ErrorList())
    log.listen()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with log.here(), TickOutput(book):
        logging.getLogger("kit.strategy.Quoter").warning("thin")
    assert lines(book) == [(logging.WARNING, "strategy.Quoter", "thin", 1)]


def test_it_costs_next_to_nothing(book):
    output = TickOutput(book)

    def enter():
        with output:
            pass

    enter()
    assert calls(enter) < 40


def test_a_cell_that_begins_during_another_threads_tick_prints_below_itself(book, monkeypatch):
    class KernelStream(io.StringIO):
        parent = "cell 1"

        def set_parent(self, parent):
            self.parent = parent

    stream = KernelStream()
    monkeypatch.setattr(sys, "stdout", stream)
    with TickOutput(book):
        # What ipykernel does when it begins to run a cell.
        assert hasattr(sys.stdout, "set_parent")
        sys.stdout.set_parent("cell 2")
        assert not hasattr(sys.stdout, "set_child")
    assert stream.parent == "cell 2"


def test_what_stood_in_for_a_stream_goes_after_it_without_a_word(book, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    with TickOutput(book):
        kept = sys.stdout
    stream.close()
    kept.close()  # as its end does, which from Python 3.13 on shows what is raised there
    assert kept.closed

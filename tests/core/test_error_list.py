import logging

import pytest

from kit.core.error_list import KEPT, ErrorList
from kit.errors import InvalidInput
from kit.strategy.params import Params, param


class Hours:
    now = 100.0

    def __call__(self):
        return self.now


def raised(text, kind=ValueError):
    try:
        raise kind(text)
    except kind as error:
        return error


def test_the_same_failure_is_listed_once_with_a_count():
    time = Hours()
    errors = ErrorList(time)
    for time.now in (100.0, 101.0, 102.0):
        errors.note("quoter", raised(f"at {time.now}"))
    (failure,) = errors.items
    assert (failure.where, failure.count, failure.first_time, failure.last_time) == ("quoter", 3, 100.0, 102.0)
    assert str(failure) == "quoter: ValueError: at 102.0 (3 times)"
    errors.note("other", raised("x"))
    errors.note("quoter", raised("x", KeyError))
    assert [item.count for item in errors.items] == [3, 1, 1]


def test_the_first_of_a_kind_is_logged_and_the_rest_counted(caplog):
    errors = ErrorList()
    for _ in range(3):
        errors.add("panel", raised("no"))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "ValueError: no" in caplog.text


def test_it_is_bounded_and_forgets_what_came_least_lately():
    errors = ErrorList()
    errors.note("steady", ValueError("steady"))
    for number in range(KEPT + 10):
        errors.note("x", ValueError(str(number)))
        errors.note("steady", ValueError("steady"))
    assert len(errors) == KEPT
    assert errors.items[-1].count == KEPT + 11
    errors.clear()
    assert errors.items == ()
    assert repr(errors) == "no errors"


def test_listeners_hear_of_each_until_they_leave():
    errors = ErrorList()
    heard = []
    leave = errors.add_listener(lambda failure: heard.append(failure.count))
    errors.note("x", ValueError())
    errors.note("x", ValueError())
    leave()
    errors.note("x", ValueError())
    assert heard == [1, 2]


def test_it_is_a_table_and_a_picture():
    errors = ErrorList(Hours())
    errors.note("quoter", raised("<b>"))
    row = errors.frame().iloc[0]
    assert (row["where"], row["error"], row["text"], row["count"]) == ("quoter", "ValueError", "<b>", 1)
    assert "raise kind(text)" in row["traceback"]
    assert str(row["first"]) == "1970-01-01 00:01:40+00:00"
    assert "&lt;b&gt;" in errors._repr_html_()
    assert ErrorList().frame().empty


class Wide(Params):
    width: int = param(1, ge=0)


def test_the_traceback_begins_at_the_users_line_and_keeps_what_is_below():
    errors = ErrorList()

    class Hooks:  # what the kit calls
        def hook(self):
            Wide(width=-1)  # the user's line

    from kit.core.pubsub import PubSub
    from kit.types.events import ClockLateEvent, MarketEvent

    pubsub = PubSub(on_error=lambda _tag, listener, error: errors.note(listener.__qualname__, error))
    pubsub.add_listener(MarketEvent.ClockLate, lambda _: Hooks().hook())
    pubsub.trigger_event(MarketEvent.ClockLate, ClockLateEvent(1.0, 2.0, 3))
    (failure,) = errors.items
    lines = failure.traceback.splitlines()
    frames = [line for line in lines if line.lstrip().startswith("File ")]
    assert __file__ in frames[0]
    assert "Wide(width=-1)  # the user's line" in failure.traceback
    assert "pubsub.py" not in failure.traceback
    assert any("params.py" in frame for frame in frames)
    assert isinstance(failure.error, InvalidInput)


def test_an_error_without_users_code_shows_whole():
    errors = ErrorList()
    with pytest.raises(InvalidInput) as caught:
        raise_in_kit()
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next.tb_next)
    errors.note("x", error)
    assert "pubsub.py" in errors.items[0].traceback


def raise_in_kit():
    from kit.core.pubsub import PubSub

    PubSub().add_listener("no tag", print)

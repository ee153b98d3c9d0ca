import pytest

from kit.core.listeners import Listeners


def test_all_are_told_in_order_until_they_are_taken_away():
    listeners = Listeners()
    heard = []
    remove = listeners.add(lambda word: heard.append(f"first {word}"))
    listeners.add(lambda word: heard.append(f"second {word}"))
    listeners.tell("a")
    remove()
    remove()
    listeners.tell("b")
    assert heard == ["first a", "second a", "second b"]
    assert len(listeners) == 1


def test_who_comes_or_goes_meanwhile_does_not_disturb():
    listeners = Listeners()
    heard = []
    removes = []
    listeners.add(lambda: removes.pop()() if removes else listeners.add(lambda: heard.append("new")))
    removes.append(listeners.add(lambda: heard.append("gone")))
    listeners.tell()
    assert heard == ["gone"]
    listeners.tell()
    assert heard == ["gone"]
    listeners.tell()
    assert heard == ["gone", "new"]


def test_a_failing_one_is_logged_under_the_name_and_the_others_hear(caplog):
    listeners = Listeners("the bell")
    heard = []
    listeners.add(lambda: 1 / 0)
    listeners.add(lambda: heard.append("rung"))
    listeners.tell()
    assert heard == ["rung"]
    assert "a listener of the bell failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_without_a_name_the_teller_gets_the_error():
    listeners = Listeners()
    listeners.add(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        listeners.tell()

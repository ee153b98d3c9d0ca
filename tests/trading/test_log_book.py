import logging

import pytest

from kit.trading.log_book import KEPT, REPEAT_SECONDS, LogBook


class Hours:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Hours()


@pytest.fixture
def book(time):
    return LogBook(time)


def texts(entries):
    return [entry.text for entry in entries]


def test_entries_come_by_level_and_number(book):
    book.add(logging.DEBUG, "a", "fine")
    first = book.add(logging.INFO, "a", "one")
    book.add(logging.WARNING, "b", "two")
    assert texts(book.entries()) == ["one", "two"]
    assert texts(book.entries(logging.WARNING)) == ["two"]
    assert texts(book.entries(after=first.number)) == ["two"]
    assert texts(book.entries(after=book.number)) == []
    assert texts(book.entries(logging.DEBUG)) == ["fine", "one", "two"]


def test_repeated_lines_are_counted_and_move_to_the_end(book, time):
    for _ in range(3):
        book.add(logging.INFO, "quoter", "a")
        book.add(logging.INFO, "quoter", "b")
        time.now += 1.0
    assert [(entry.text, entry.count, entry.time) for entry in book.entries()] == [("a", 3, 102.0), ("b", 3, 102.0)]
    seen = book.number
    book.add(logging.INFO, "quoter", "a")
    assert [(entry.text, entry.count) for entry in book.entries(after=seen)] == [("a", 4)]
    time.now += REPEAT_SECONDS + 1
    book.add(logging.INFO, "quoter", "a")
    assert [(entry.text, entry.count) for entry in book.entries()] == [("b", 3), ("a", 4), ("a", 1)]


def test_it_is_bounded(book):
    for number in range(KEPT * 2):
        book.add(logging.INFO, "x", str(number))
    assert len(book) == KEPT
    assert book.entries()[0].text == str(KEPT)
    assert len(book._last) == KEPT
    book.clear()
    assert len(book) == 0
    assert book.entries(after=0) == ()
    assert book.add(logging.INFO, "x", "0").number == KEPT * 2 + 1


def test_listeners_hear_of_each_until_they_leave(book):
    heard = []
    leave = book.add_listener(heard.append)
    book.add(logging.INFO, "x", "one")
    leave()
    book.add(logging.INFO, "x", "two")
    assert texts(heard) == ["one"]


def test_it_shows_as_text_html_and_table(book):
    assert repr(book) == "an empty log"
    book.add(logging.WARNING, "quoter", "<b>")
    assert repr(book) == "00:01:40 WARNING quoter: <b>"
    assert "&lt;b&gt;" in book._repr_html_()
    row = book.frame().iloc[0]
    assert (row["level"], row["source"], row["text"], row["count"]) == ("WARNING", "quoter", "<b>", 1)
    assert book.frame(logging.ERROR).empty

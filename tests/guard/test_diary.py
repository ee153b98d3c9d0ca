import logging
import os

import pytest

from kit.guard import diary as diary_module
from kit.guard.diary import Diary, diary_path, open_diary, read_diary


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_STATE", str(tmp_path / "state"))
    return diary_path("my core/1")


def write(path, *notes):
    descriptor = open_diary(path)
    diary = Diary(descriptor, lambda: 1.5)
    diary.hide("hunter2", 'a"b\nc', None)
    for event, text in notes:
        diary.note(event, text)
    return diary, descriptor


def test_entries_are_read_back_from_a_file_for_the_owner_only(path):
    _, descriptor = write(path, ("start", "one"), ("stop", "two"))
    os.write(descriptor, b"Fatal Python error: words of the interpreter\n")
    os.close(descriptor)
    assert path.name.startswith("my-core-1-")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [(entry.event, entry.text) for entry in read_diary(path)] == [
        ("start", "one"),
        ("stop", "two"),
        ("output", "Fatal Python error: words of the interpreter"),
    ]
    assert [entry.event for entry in read_diary(path, 1)] == ["output"]


def test_secrets_do_not_show_however_they_come(path):
    diary, descriptor = write(path, ("cancel", "with hunter2"), ("cancel", 'with a"b\nc'))
    try:
        raise ValueError("hunter2")
    except ValueError:
        diary.handle(logging.LogRecord("x", logging.ERROR, "", 0, "%s", ("hunter2",), __import__("sys").exc_info()))
    os.close(descriptor)
    text = path.read_text()
    assert "hunter2" not in text
    assert "b\\nc" not in text
    assert text.count("***") == 5  # the source line is in the traceback, too


def test_no_file_is_no_entry_and_a_large_one_is_put_aside(path, monkeypatch):
    assert read_diary(path) == []
    monkeypatch.setattr(diary_module, "_LARGEST", 10)
    for text in ("old", "new"):
        os.close(write(path, ("start", text))[1])
    assert [entry.text for entry in read_diary(path)] == ["old", "new"]
    assert path.read_text().count("\n") == 1


def test_a_full_disk_does_not_stop_the_guard():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    Diary(descriptor, lambda: 1.5).note("cancel", "into a full disk")
    os.close(descriptor)

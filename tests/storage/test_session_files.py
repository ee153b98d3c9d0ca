"""Files of sessions: written by a thread in blocks, readable whatever happened to the end."""

import contextlib
import gzip
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from kit.errors import InvalidInput
from kit.storage import session_files
from kit.storage.session_blocks import pack
from kit.storage.session_files import SUFFIX, Frame, SessionWriter, open_session


@pytest.fixture
def by_hand(monkeypatch):
    """Let no block be written but when the test says so, and at the end."""
    monkeypatch.setattr(session_files, "FLUSH_INTERVAL", 3600.0)


def frames(count, start=0):
    return [Frame(n, "market", "ex", 100.0 + n, ["x", n], {"ex.book": [n + 0.5]}, []) for n in range(start, count)]


def write(path, entries, *, end=True):
    writer = SessionWriter(path, {"core": "c"})
    for frame in entries:
        writer.put(frame)
    if end:
        writer.put(Frame(len(entries), "end", "c", 200.0, {"reentered": 0}))
    writer.close()
    return writer


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / f"one{SUFFIX}"
    writer = write(path, frames(50))
    assert writer.frames == 51
    assert writer.bytes == path.stat().st_size
    log = open_session(path)
    assert log.whole
    assert log.header["core"] == "c"
    assert log.frames[:50] == frames(50)
    assert log.seconds == 100.0
    assert [frame.number for frame in log.of("end")] == [50]
    assert open_session(tmp_path).frames == log.frames
    assert "50 market" in repr(log)


@pytest.mark.parametrize("share", [0.99, 0.9, 0.5])
def test_a_cut_off_end_costs_the_end_only(tmp_path, by_hand, share):
    path = tmp_path / f"cut{SUFFIX}"
    writer = SessionWriter(path, {"core": "c"})
    for frame in frames(2000):
        writer.put(frame)
        if frame.number % 100 == 99:
            writer._drain()  # a block of its own, as after every second
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    log = open_session(path)
    assert not log.whole
    assert "cut off" in log.problem or "not stopped" in log.problem
    assert len(log.frames) >= 2000 * share - 220
    assert log.frames == frames(2000)[: len(log.frames)]


def test_damage_in_the_middle_is_told(tmp_path):
    path = tmp_path / f"bad{SUFFIX}"
    write(path, [*frames(10), *frames(30, start=20)])
    with pytest.raises(InvalidInput, match="damaged: frame 10 is followed by number 20"):
        open_session(path)


@pytest.fixture
def in_blocks(tmp_path, by_hand):
    writer = SessionWriter(tmp_path / f"blocks{SUFFIX}", {"core": "c"})
    ends = [writer.bytes]
    for frame in frames(40):
        writer.put(frame)
        if frame.number % 10 == 9:
            writer._drain()
            ends.append(writer.bytes)
    writer.put(Frame(40, "end", "c", 200.0))
    writer.close()
    return writer.path, ends


def test_any_changed_byte_is_told_with_its_place(in_blocks):
    path, ends = in_blocks
    whole = path.read_bytes()
    for at in [*range(ends[0], ends[0] + 50), *range(ends[0] + 50, len(whole), 7), *range(len(whole) - 10, len(whole))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        begin = max(end for end in ends if end <= at)
        with pytest.raises(
            InvalidInput, match=f"damaged in its block {ends.index(begin) + 1}, .* byte {begin:,}, after"
        ):
            open_session(path)
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(InvalidInput, match="its beginning is damaged"):
        open_session(path)


def test_the_error_says_how_far_the_session_reads(in_blocks):
    path, ends = in_blocks
    whole = path.read_bytes()
    path.write_bytes(whole[: ends[2] + 40] + b"?" + whole[ends[2] + 41 :])
    with pytest.raises(InvalidInput, match=r"after frame 19, 19\.0 s from the beginning; take a copy"):
        open_session(path)


@pytest.mark.parametrize("zeros", [0, 5000])
def test_an_end_that_was_not_written_is_no_damage(in_blocks, zeros):
    """A process that is killed leaves a short file, a machine without power one that ends in zeros."""
    path, ends = in_blocks
    whole = path.read_bytes()
    for at in [
        *range(ends[0], ends[0] + 50),
        *range(ends[0] + 50, len(whole), 7),
        *range(len(whole) - 10, len(whole) - 3),
    ]:
        path.write_bytes(whole[:at] + bytes(zeros))
        log = open_session(path)
        assert not log.whole
        assert len(log.frames) >= 10 * sum(end <= at for end in ends[1:])
        assert log.frames[:40] == frames(40)[: len(log.frames)]


def test_any_gzip_tool_reads_it(in_blocks):
    lines = gzip.decompress(in_blocks[0].read_bytes()).splitlines()
    assert len(lines) == 42


def test_what_is_no_session_is_told(tmp_path):
    path = tmp_path / f"no{SUFFIX}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidInput, match="no recorded session"):
        open_session(path)
    path.write_bytes(pack(0, b'{"format": 99}\n', 1))
    with pytest.raises(InvalidInput, match="format 99"):
        open_session(path)
    with pytest.raises(InvalidInput, match="no file or folder"):
        open_session(tmp_path / "none")


def test_a_file_is_never_overwritten(tmp_path):
    path = tmp_path / f"one{SUFFIX}"
    write(path, [])
    with pytest.raises(InvalidInput, match="cannot be written"):
        SessionWriter(path, {})


def test_a_disk_that_fails_ends_the_recording_not_the_core(tmp_path, by_hand, monkeypatch, caplog):
    writer = SessionWriter(tmp_path / f"full{SUFFIX}", {})

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr(writer, "_write", full)
    writer.put(frames(1)[0])
    writer.close()
    assert "no space left" in writer.error
    assert "recorded no further" in caplog.text
    writer.put(frames(1)[0])  # harmless


def test_a_disk_that_is_too_slow_ends_the_recording(tmp_path, by_hand, monkeypatch):
    monkeypatch.setattr(session_files, "MOST_WAITING", 10)
    writer = SessionWriter(tmp_path / f"slow{SUFFIX}", {})
    for frame in frames(20):
        writer.put(frame)
    writer.close()
    assert "does not keep up" in writer.error
    assert open_session(writer.path).frames == []


def test_a_killed_process_loses_only_what_was_not_written_yet(tmp_path):
    """It is written again and again, by itself: every second, as the constant says."""
    assert session_files.FLUSH_INTERVAL <= 2.0
    path = tmp_path / f"killed{SUFFIX}"
    code = f"""
        import time
        from pathlib import Path
        from kit.storage.session_files import Frame, SessionWriter
        writer = SessionWriter(Path({str(path)!r}), {{"core": "c"}})
        number = 0
        while True:
            writer.put(Frame(number, "market", "ex", time.time(), ["x", number]))
            number += 1
            time.sleep(0.002)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    try:
        first = written(path, process, 0)
        second = written(path, process, first)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    log = open_session(path)
    assert not log.whole
    assert len(log.frames) >= second > first
    assert [frame.data[1] for frame in log.frames] == list(range(len(log.frames)))


def written(path, process, more_than):
    """Wait until a process has written more frames than so many; returns how many."""
    end = time.monotonic() + 120
    while True:
        assert process.poll() is None
        assert time.monotonic() < end
        with contextlib.suppress(InvalidInput):  # it is not there yet, or its header is not
            if len(found := open_session(path).frames) > more_than:
                return len(found)
        time.sleep(0.05)

"""Which way a click takes while a cell runs, by version of ipykernel and by where messages really came."""

import threading

import pytest

from kit.core.manual_time import ManualTime
from kit.notebook.subshell import Evidence, judge, red_path, route


class Comm:
    def _reply_subshell_for(self, data, default):
        return "where it was last written from"


def test_a_routed_comm_is_handled_where_the_page_asks():
    comm = Comm()
    assert route(comm)
    assert comm._reply_subshell_for({"content": {"id": "a"}}, "the page's subshell") == "the page's subshell"
    assert comm._reply_subshell_for({}, None) is None


def test_older_kernels_need_no_route():
    assert not route(object())
    assert not route(None)


@pytest.mark.parametrize(
    ("version", "subshells", "routed", "seen", "works", "text"),
    [
        ("7.4.0", True, True, "subshell", True, "works here: ipykernel 7.4.0, subshell"),
        ("7.3.1", True, False, "subshell", True, "works here: ipykernel 7.3.1, subshell"),
        ("7.4.0", True, True, "", True, "should work: ipykernel 7.4.0, no message came yet"),
        ("7.0.1", True, False, "", None, "not tried: ipykernel 7.0.1, no message came yet"),
        ("7.1.0", True, False, "", True, "should work: ipykernel 7.1.0, no message came yet"),
        ("7.5.0", True, True, "", None, "not tried: ipykernel 7.5.0, no message came yet"),
        ("8.0.0a1", True, False, "subshell", False, "waits for the cell's end: ipykernel 8.0.0a1 cannot be told"),
        ("7.4.0", True, True, "main", False, "waits for the cell's end: this page uses no subshell"),
        ("6.31.0", False, False, "main", False, "waits for the cell's end: ipykernel 6.31.0 has no subshells"),
        ("7.4.0", False, True, "", False, "waits for the cell's end: ipykernel 7.4.0 has no subshells"),
    ],
)
def test_the_verdict_by_version(version, subshells, routed, seen, works, text):
    path = judge(version, subshells, routed, seen)
    assert path.works is works
    assert str(path).startswith(text)


def test_without_a_kernel_nobody_promises_anything():
    assert red_path().works is None
    assert "core.red_button()" in red_path().text


async def test_the_first_second_of_a_page_is_no_evidence_against_it():
    time = ManualTime()
    evidence = Evidence(time)
    evidence.note()
    await time.advance(0.9)
    evidence.note()
    assert evidence.thread == ""
    thread = threading.Thread(target=evidence.note)
    thread.start()
    thread.join()
    assert evidence.thread == "subshell"
    await time.advance(0.2)
    evidence.note()
    assert evidence.thread == "main"

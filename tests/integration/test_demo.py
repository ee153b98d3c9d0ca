"""`kit demo` as a process: what it reports, and what an interrupt at any moment leaves behind: nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
KEYS = {
    *("seconds", "ticks", "ticks_late", "book_updates", "trades", "orders_created", "fills", "orders_cancelled"),
    *("open_orders_on_exchange", "tasks_left", "base_total", "quote_total", "pnl_quote"),
    *("fills_match_exchange", "ledger_balanced"),
}


@contextmanager
def demo(errors, *arguments, python=(), module="kit"):
    """Run the demo so that whatever it leaves can be found; its standard error goes to a file."""
    with errors.open("a") as stream:
        process = subprocess.Popen(
            [sys.executable, *python, "-m", module, "demo", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={**os.environ, "KIT_DEMO_TEST": (mark := f"{os.getpid()}-{time.monotonic_ns()}")},
        )
    try:
        yield process, lambda: processes_marked(mark, process.pid)
    finally:
        for left in processes_marked(mark):
            left.kill()
        process.communicate()


def processes_marked(mark, *but):
    """Return the processes that inherited an environment, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in but and process.environ().get("KIT_DEMO_TEST") == mark:
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def wait_for(condition, what, timeout=120.0):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)
    return value


@pytest.fixture
def errors(tmp_path):
    return tmp_path / "errors"


def test_a_demo_of_three_seconds(errors):
    """Three, and until it has traded: how much comes of a few seconds is chance."""
    began = time.monotonic()
    with demo(errors, "--seconds", "3", "--json", module="tests.support.patient_demo") as (process, others):
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, errors.read_text()
        assert others() == []
    summary = json.loads(out.splitlines()[-1])
    assert set(summary) >= KEYS
    assert 3 <= summary["seconds"] < time.monotonic() - began
    assert 2 <= summary["ticks"] <= summary["seconds"] + 1
    assert summary["book_updates"] > 5
    assert summary["trades"] > 0
    assert summary["orders_created"] >= 2
    assert summary["fills_match_exchange"] is True
    assert summary["ledger_balanced"] is True
    assert summary["open_orders_on_exchange"] == 0
    assert summary["tasks_left"] == 0
    assert "Traceback" not in errors.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to one process")
@pytest.mark.parametrize(
    ("moments", "number"),
    [
        ((0.3,), signal.SIGINT),
        ((2.0,), signal.SIGINT),
        ((4.0,), signal.SIGINT),
        ((0.3, 0.35), signal.SIGINT),
        ((3.0, 3.05, 3.1), signal.SIGINT),
        ((1.0,), signal.SIGTERM),
    ],
    ids=str,
)
def test_interrupted(moments, number, errors):
    """The moments count from when Python has started; what the command imports is interrupted, too."""
    with demo(errors, "--seconds", "600", "--json", python=("-X", "importtime")) as (process, others):
        wait_for(lambda: "kit.commands.arguments" in errors.read_text(), "the commands are being imported")
        if number == signal.SIGTERM:  # what is there before the exchange is started ends by it as any program does
            wait_for(lambda: psutil.Process(process.pid).children(), "the exchange is started")
        began = time.monotonic()
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            process.send_signal(number)
        out, _ = process.communicate(timeout=180)
        assert process.returncode == 130, errors.read_text()[-5000:]
        assert others() == []
    assert "Traceback" not in errors.read_text()
    assert not out.strip().endswith("}")

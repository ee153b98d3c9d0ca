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
PYTHON_STARTED = 0.1
"""Seconds of CPU after which Python and the imports of ``kit.__main__`` itself, which take 0.07, are through."""


@contextmanager
def demo(*arguments, **options):
    """Run the demo in a session of its own, so that whatever it leaves can be found."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kit", "demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KIT_DEMO_TEST": (mark := f"{os.getpid()}-{time.monotonic_ns()}")},
        **options,
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


def wait_for(condition, what, timeout=30.0):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)
    return value


def test_a_demo_of_six_seconds():
    with demo("--seconds", "6", "--json") as (process, others):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert others() == []
    summary = json.loads(out.splitlines()[-1])
    assert set(summary) >= KEYS
    assert 6 <= summary["seconds"] < 8
    assert 5 <= summary["ticks"] <= 7
    assert summary["book_updates"] > 20
    assert summary["trades"] > 0
    assert summary["orders_created"] >= 2
    assert summary["fills_match_exchange"] is True
    assert summary["ledger_balanced"] is True
    assert summary["open_orders_on_exchange"] == 0
    assert summary["tasks_left"] == 0
    assert "Traceback" not in err


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
def test_interrupted(moments, number):
    """The moments count from when Python has started; what the command imports is interrupted, too."""
    with demo("--seconds", "30", "--json") as (process, others):
        wait_for(lambda: sum(psutil.Process(process.pid).cpu_times()[:2]) >= PYTHON_STARTED, "Python starts")
        if number == signal.SIGTERM:  # what is there before the exchange is started ends by it as any program does
            wait_for(lambda: psutil.Process(process.pid).children(), "the exchange is started")
        began = time.monotonic()
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
        took = time.monotonic() - began - moments[-1]
        assert process.returncode == 130, err
        assert others() == []
    assert "Traceback" not in err
    assert took < 15
    assert not out.strip().endswith("}")

"""Sweeps on real worker processes."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import kit
from kit.backtest.sweep_driver import Driver
from kit.backtest.sweep_errors import SweepFailed
from kit.errors import NetworkUnavailable
from tests.support.made_market import BALANCES, RULES, made_events

ROOT = Path(__file__).resolve().parents[2]
COMMON = {"rules": RULES, "balances": BALANCES, "progress": False}
PMM = {"order_amount": "0.01", "order_refresh_time": 3}


PATIENCE = 120.0
ASLEEP = 600.0


def is_tracker(process):
    """Tell multiprocessing's tracker of semaphores, of a cluster of one's own: it stays as long as this process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return "resource_tracker" in " ".join(process.cmdline())
    return False


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    yield
    left = set(psutil.Process().children(recursive=True)) - before
    assert not psutil.wait_procs([child for child in left if not is_tracker(child)], timeout=PATIENCE)[1]
    assert not list((tmp_path / "cache" / "sweeps").glob("*"))


@pytest.fixture(scope="module")
def events():
    return made_events(40)


def test_the_same_table_on_one_worker_and_on_two(events):
    space = {"bid_spread": ["0.00001", "0.00002"], "ask_spread": ["0.00001", "0.0001", "-1"]}
    tables = [
        kit.sweep(kit.PureMarketMaking, events, space, workers=workers, **COMMON, **PMM).frame() for workers in (1, 2)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert tables[0].state.tolist() == ["done", "done", "failed"] * 2


def test_a_dead_workers_trials_run_again(events, tmp_path):
    marks = str(tmp_path)

    # Defined here, as in a notebook's cell: it can only travel by value.
    def dies_once(markets, number):
        import os
        import signal
        from pathlib import Path

        import kit

        mark = Path(marks) / f"died{number}"
        if number in (1, 2) and not mark.exists():
            mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return kit.PureMarketMaking(
            markets["binance"], "BTC/USDT", bid_spread="0.00001", ask_spread="0.00001", order_amount="0.01"
        )

    result = kit.sweep(dies_once, events, {"number": [0, 1, 2, 3]}, objective="fills", **COMMON)
    dead = [int((tmp_path / f"died{number}").read_text()) for number in (1, 2)]
    assert len(set(dead)) == 2
    assert os.getpid() not in dead
    assert result.frame().state.tolist() == ["done"] * 4
    assert result.frame().drop(columns="number").duplicated().tolist() == [False, True, True, True]


def test_a_trial_that_kills_every_worker_fails_alone(events):
    def deadly(markets, number):
        import os
        import signal

        import kit

        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return kit.PureMarketMaking(
            markets["binance"], "BTC/USDT", bid_spread="0.00001", ask_spread="0.00001", order_amount="0.01"
        )

    result = kit.sweep(deadly, events, {"number": [0, 1]}, workers=1, objective="fills", **COMMON)
    assert result.frame().state.tolist() == ["done", "failed"]
    assert "worker" in result.frame().error[1].lower()


def test_what_a_strategy_prints_is_no_answer(events):
    def noisy(markets, number):
        import os

        import kit

        print("\0" * 100)
        os.write(1, b"\xff" * 100)
        return kit.PureMarketMaking(
            markets["binance"], "BTC/USDT", bid_spread="0.00001", ask_spread="0.00001", order_amount="0.01"
        )

    result = kit.sweep(noisy, events, {"number": [0]}, workers=1, objective="fills", **COMMON)
    assert result.frame().state.tolist() == ["done"]


def test_processes_end_with_their_parent(tmp_path):
    """Also when it is killed, in the middle of a trial."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(root=str(ROOT), reached=str(tmp_path / "reached"), asleep=ASLEEP)))
    environment = {**os.environ, "KIT_CACHE": str(tmp_path / "left")}  # nobody is there to remove the sweep's folder
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        _await(tmp_path / "reached", process)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.wait()
    assert len(children) == 2
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]  # the trials would have slept for much longer


def test_a_strategy_of_a_configurations_file(events, tmp_path):
    (tmp_path / "mine.py").write_text("import kit\n\nclass Mine(kit.PureMarketMaking):\n    pass\n")
    (tmp_path / "run.toml").write_text("strategy = 'mine.py:Mine'\n[params]\norder_amount = 0.01\nask_spread = 0.1\n")
    result = kit.sweep(tmp_path / "run.toml", events, {"bid_spread": ["0.00001"]}, workers=1, **COMMON)
    assert result.frame().state.tolist() == ["done"]
    assert result.setting["strategy"] == "Mine"


def test_errors_travel_with_their_kind(events):
    with pytest.raises(SweepFailed, match="bid_spread") as caught:
        kit.sweep(kit.PureMarketMaking, events, {"bid_spread": ["-1"]}, workers=1, **COMMON, **PMM)
    assert isinstance(caught.value.__cause__, ValueError)


async def test_the_loop_goes_on_during_a_sweep_and_cancelling_keeps_what_is_done(events, tmp_path, monkeypatch):
    turns, told = 0, []
    take = Driver._take
    monkeypatch.setattr(Driver, "_take", lambda self, pool, ended: (take(self, pool, ended), told.append(ended)))

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    reached = str(tmp_path / "reached")

    def slow_at_three(markets, number):
        import time
        from pathlib import Path

        import kit

        if number == 3:
            Path(reached).touch()
            time.sleep(600)
        return kit.PureMarketMaking(
            markets["binance"], "BTC/USDT", bid_spread="0.00001", ask_spread="0.00001", order_amount="0.01"
        )

    beside = asyncio.create_task(others())
    work = asyncio.create_task(
        kit.sweep_async(slow_at_three, events, {"number": range(5)}, workers=1, objective="fills", **COMMON)
    )
    while turns <= 20 or not Path(reached).exists() or sum(ended is not None for ended in told) < 3:
        assert not work.done()
        await asyncio.sleep(0.05)
    work.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await work
    beside.cancel()
    partial = caught.value.partial
    assert partial.interrupted
    assert partial.frame().state.tolist() == ["done"] * 3 + ["not run"] * 2


SCRIPT = """
    import json, sys, time
    sys.path.insert(0, {root!r})
    import kit
    from pathlib import Path
    from tests.support.made_market import BALANCES, RULES, made_events

    print("main", flush=True)

    def slow_from_three(markets, number):
        if number >= 3:
            Path({reached!r}).touch()
            time.sleep({asleep})
        return kit.PureMarketMaking(
            markets["binance"], "BTC/USDT", bid_spread="0.00001", ask_spread="0.00001", order_amount="0.01"
        )

    result = kit.sweep(slow_from_three, made_events(20), {{"number": range(6)}}, workers=2, objective="fills",
                       rules=RULES, balances=BALANCES)
    print(json.dumps({{"states": result.frame().state.tolist(), "interrupted": result.interrupted}}), flush=True)
"""


def _await(reached, process):
    deadline = time.monotonic() + 2 * PATIENCE
    while not reached.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_keeps_what_is_done_in_a_script_without_a_main_guard(tmp_path):
    script, reached = tmp_path / "script.py", tmp_path / "reached"
    script.write_text(textwrap.dedent(SCRIPT.format(root=str(ROOT), reached=str(reached), asleep=ASLEEP)))
    process = subprocess.Popen(
        [sys.executable, "-W", "error::ResourceWarning", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _await(reached, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        out, err = process.communicate(timeout=PATIENCE)  # the trials under way would have slept for much longer
    finally:
        process.kill()
    lines = out.splitlines()
    assert lines[0] == "main", (out, err)
    assert len(lines) == 2, (out, err)  # no worker ran the script again
    told = json.loads(lines[1])
    assert told["interrupted"], (out, err)
    assert "done" in told["states"][:3], (out, err)
    assert told["states"][3:] == ["not run"] * 3, (out, err)
    assert process.returncode == 0, (out, err)
    assert "Traceback" not in err, err


def test_a_cluster_of_ones_own(events):
    from distributed import LocalCluster

    space = {"bid_spread": ["0.00001", "0.00002"]}
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, worker_dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        for _ in range(2):  # it is left running
            there = kit.sweep(
                kit.PureMarketMaking,
                events,
                space,
                address=cluster.scheduler_address,
                ask_spread="0.1",
                **COMMON,
                **PMM,
            )
        with cluster.get_client() as client:
            again = kit.sweep(kit.PureMarketMaking, events, space, address=client, ask_spread="0.1", **COMMON, **PMM)
            assert client.submit(lambda: 1).result() == 1
    here = kit.sweep(kit.PureMarketMaking, events, space, workers=1, ask_spread="0.1", **COMMON, **PMM)
    pd.testing.assert_frame_equal(there.frame(), here.frame())
    pd.testing.assert_frame_equal(again.frame(), here.frame())


def test_no_cluster_there(events, monkeypatch):
    monkeypatch.setattr("kit.backtest.sweep_workers.CONNECT_TIMEOUT", 1.0)
    with pytest.raises(NetworkUnavailable, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        kit.sweep(kit.PureMarketMaking, events, {"bid_spread": [1]}, address="tcp://127.0.0.1:9", **COMMON, **PMM)


def test_nobody_listens_to_the_outside(events):
    seen = set()
    done = threading.Event()

    def watch():
        while not done.is_set():
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                with contextlib.suppress(psutil.Error):  # it has ended
                    connections = process.net_connections(kind="tcp")
                    seen.update(one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN)
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        space = {"bid_spread": ["0.00001"]}
        kit.sweep(kit.PureMarketMaking, events, space, workers=1, ask_spread="0.1", **COMMON, **PMM)
    finally:
        done.set()
        watcher.join()
    assert seen <= {"127.0.0.1"}

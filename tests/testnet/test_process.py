import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import aiohttp
import psutil
import pytest

import kit.testnet
from kit.errors import InvalidInput, NotReady
from kit.testnet import Testnet, process
from kit.types.ports import Credentials, Endpoint
from tests.support.kit_logs import kit_records

ROOT = Path(kit.testnet.__file__).parents[2]
QUIET = {"flow": False, "symbols": ["BTC/USDT"]}


PATIENCE = 60.0


def lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pid):
    """Wait for the end of a process that is not our child."""
    end = time.monotonic() + PATIENCE
    while lives(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


async def test_it_runs_answers_and_stops(caplog):
    caplog.set_level(logging.DEBUG)
    async with await Testnet.start("one", **QUIET) as testnet:
        assert testnet.running
        assert testnet.url.startswith("http://127.0.0.1:")
        assert isinstance(testnet, Endpoint)
        status = await testnet.status()
        assert (status["name"], status["pid"], status["symbols"]) == ("one", testnet.pid, ["BTCUSDT"])
        assert testnet.pid != os.getpid()
        async with (
            aiohttp.ClientSession() as session,
            session.get(testnet.url + "/api.binance.com/api/v3/ping") as ping,
        ):
            assert ping.status == 200
        assert repr(testnet) == f"Testnet('one', {testnet.url}, running)"
    assert not testnet.running
    assert repr(testnet).endswith("stopped)")
    assert not psutil.pid_exists(testnet.pid)
    await testnet.stop()
    assert testnet.credentials.secret not in caplog.text + repr(testnet) + repr(testnet.credentials)


async def test_asking_again_hands_back_the_running_one_and_another_configuration_replaces_it(caplog):
    first, same = await asyncio.gather(*(Testnet.start("again", **QUIET) for _ in range(2)))
    try:
        assert first is same
        assert await Testnet.start("again", **QUIET) is first
        assert kit_records(caplog) == []
        second = await Testnet.start("again", **QUIET, seed=2)
        assert not first.running
        assert second.running
        assert "replacing test exchange 'again'" in caplog.text
    finally:
        await first.stop()
        await second.stop()


async def test_names_do_not_disturb_each_other():
    one, two = await asyncio.gather(Testnet.start("left", **QUIET), Testnet.start("right", **QUIET))
    try:
        assert one.url != two.url
        assert one.credentials != two.credentials
        await one.stop()
        assert (await two.status())["name"] == "right"
    finally:
        await two.stop()


async def test_one_that_died_is_replaced():
    first = await Testnet.start("mortal", **QUIET)
    os.kill(first.pid, signal.SIGKILL)
    while first.running:
        await asyncio.sleep(0.01)
    second = await Testnet.start("mortal", **QUIET)
    try:
        assert second is not first
        assert second.running
    finally:
        await second.stop()


def test_it_works_from_any_loop():
    async def begin():
        return await Testnet.start("loops", **QUIET)

    testnet = asyncio.run(begin())
    try:
        assert asyncio.run(testnet.status())["name"] == "loops"
        assert asyncio.run(begin()) is testnet
        found = []
        thread = threading.Thread(target=lambda: found.append(asyncio.run(begin())))
        thread.start()
        thread.join(PATIENCE)
        assert found == [testnet]
    finally:
        testnet.stop_now()  # needs no loop at all
        testnet.stop_now()
    assert not testnet.running


async def test_settings_reach_the_exchange():
    async with await Testnet.start("set", **QUIET, deposits={"BTC": "1.5"}, limits={"orders_10s": 7}) as testnet:
        ledger = await testnet.ledger()
        assert list(ledger.balances["main"]) == ["BTC"]
        url = testnet.url + "/api/v3/exchangeInfo"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            info = await response.json()
        assert [limit["limit"] for limit in info["rateLimits"]] == [6000, 7, 200_000]
        assert [symbol["symbol"] for symbol in info["symbols"]] == ["BTCUSDT"]


@pytest.mark.parametrize(
    "values", [{"speed": -1}, {"symbols": ["DOGE/USDT"]}, {"deposits": {"BTC": "much"}}, {"replay": ["none"]}]
)
async def test_bad_values_start_nothing(values):
    with pytest.raises(InvalidInput):
        await Testnet.start("bad", **values)
    assert "bad" not in process._registry._running


async def test_a_process_that_does_not_come_up_says_why(monkeypatch):
    monkeypatch.setattr(process, "_environment", lambda: {"PYTHONPATH": "/nowhere", "PATH": os.environ["PATH"]})
    monkeypatch.setattr(process.sys, "executable", sys._base_executable)
    monkeypatch.chdir("/")
    with pytest.raises(NotReady, match="No module named"):
        await Testnet.start("broken", **QUIET)
    assert "broken" not in process._registry._starting


async def test_a_cancelled_start_leaves_no_process(monkeypatch):
    children = []

    class Silent(process._Child):
        def __init__(self, config):
            super().__init__(config)
            children.append(self)

        def first_line(self):
            """Wait for the end: this one does not say that it has come up."""
            with contextlib.suppress(subprocess.TimeoutExpired):  # else a thread would wait for ever
                self._process.wait(PATIENCE)
            return b""

    monkeypatch.setattr(process, "_Child", Silent)
    starting = asyncio.ensure_future(Testnet.start("cancelled", **QUIET))
    while not children:
        assert not starting.done()
        await asyncio.sleep(0)
    waiting = asyncio.ensure_future(Testnet.start("cancelled", **QUIET))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert children[0].running
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not children[0].running
    assert "cancelled" not in process._registry._starting


async def test_nothing_is_left_open_and_no_task_behind():
    gc.collect()
    tasks, descriptors = len(asyncio.all_tasks()), psutil.Process().num_fds()
    threads = threading.active_count()
    async with await Testnet.start("clean", **QUIET) as testnet:
        await testnet.stats()
    del testnet
    gc.collect()
    async with asyncio.timeout(PATIENCE):  # a socket that was closed is open until the loop's next turns
        while len(asyncio.all_tasks()) > tasks or psutil.Process().num_fds() > descriptors + 1:
            await asyncio.sleep(0.01)  # one more: the pool's threads may have opened the loop's waker
    assert threading.active_count() <= threads + 6  # threads of the loop's own pool stay


PARENT = """
import asyncio, sys, time
from kit.testnet import Testnet

async def main():
    testnet = await Testnet.start("orphan", flow=False)
    print(testnet.pid, testnet.url, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def parent_process(code=PARENT):
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    pid, url = parent.stdout.readline().split()
    return parent, int(pid), url


def test_it_ends_when_its_parent_is_killed():
    parent, pid, _ = parent_process()
    try:
        assert psutil.pid_exists(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert gone(pid)


def test_it_ends_when_its_parent_ends_although_a_grandchild_holds_the_pipe():
    code = PARENT.replace("import asyncio", "import os, asyncio").replace(
        "    await asyncio.sleep(600)",
        "    if os.fork() == 0:\n        time.sleep(600)\n        os._exit(0)\n    os._exit(0)",
    )
    parent, pid, _ = parent_process(code)
    try:
        parent.wait()
        assert gone(pid)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)  # the grandchild; the session is ours
        parent.stdout.close()


def test_ctrl_c_reaches_the_parent_first():
    code = PARENT.replace(
        "    await asyncio.sleep(600)",
        """    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        print(testnet.running, (await testnet.status())["name"], flush=True)
        await testnet.stop()
        print(testnet.running, flush=True)""",
    )
    parent, pid, _ = parent_process(code)
    try:
        os.killpg(parent.pid, signal.SIGINT)  # what a terminal does: to the whole group
        assert parent.stdout.readline().split() == ["True", "orphan"]
        assert parent.stdout.readline().split() == ["False"]
        parent.wait(PATIENCE)
        assert not lives(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def by_hand(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "kit.testnet", "--no-flow", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_by_hand_it_needs_no_parent_and_ends_on_ctrl_c():
    import orjson

    running = by_hand("--json", "--deposit", "BTC=2")
    try:
        facts = orjson.loads(running.stdout.readline())
        client = kit.testnet.process.TestnetClient(facts["url"], Credentials(facts["api_key"], facts["secret"]))
        time.sleep(1.2)  # longer than the parent check of one that has a parent; its stdin has ended
        assert str(asyncio.run(client.ledger()).balances["main"]["BTC"].total) == "2.00000000"
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 0
        assert facts["secret"] not in running.stderr.read()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
        running.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speed", "0"], "finite and above zero"),
        (["--deposit", "BTC"], "ASSET=AMOUNT"),
        (["--symbols", "A/B"], "it lists"),
    ],
)
def test_bad_arguments_are_explained(arguments, said):
    done = by_hand(*arguments)
    output, errors = done.communicate(timeout=PATIENCE)
    assert done.returncode == 2
    assert said in errors
    assert "Traceback" not in errors
    assert output == ""

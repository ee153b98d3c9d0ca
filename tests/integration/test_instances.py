"""One process at a time runs the core of a name; others see it read-only. Real processes, a real exchange."""

import asyncio
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from kit.connectors.client_order_ids import tag_of
from kit.trading.instance_lock import core_file, free_name
from kit.trading.state_file import StateFile
from tests.support.terminal import kit_command

_names = itertools.count(1)


class Process:
    def __init__(self, testnet, name, mode):
        keys = testnet.credentials
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.instanced_core"),
                *(name, testnet.url, keys.api_key, keys.secret, mode),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.pid = self._process.pid

    async def ask(self, word="look", timeout=180.0):
        self._process.stdin.write(word + "\n")
        line = await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), timeout)
        return json.loads(line)

    async def until(self, condition, what, timeout=60.0):
        end = time.monotonic() + timeout
        while not condition(facts := await self.ask()):
            assert time.monotonic() < end, f"waited {timeout:g} s for {what}: {facts}"
            await asyncio.sleep(0.1)
        return facts

    def kill(self):
        self._process.kill()
        self._process.wait()

    def close(self):
        self.kill()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def start(testnet, request):
    name, mode = f"instance {next(_names)}", getattr(request, "param", "live")
    processes = []

    def begin():
        processes.append(Process(testnet, name, mode))
        return processes[-1]

    begin.name = name
    begin.mode = mode
    yield begin
    for process in processes:
        process.close()


@pytest.mark.parametrize("start", ["live", "paper"], indirect=True)
async def test_a_second_process_sees_what_the_first_does_and_takes_over_when_it_is_killed(start, testnet):
    owner, other = start(), start()
    facts = await owner.ask("connect")
    assert facts["view"] is None
    facts = await owner.until(lambda facts: len(facts["open"]) == 2, "two open orders")

    await other.ask("connect")
    seen = await other.until(lambda seen: len(seen["open"]) == 2, "the running core's orders")
    assert seen["open"] == facts["open"]
    if start.mode == "live":
        assert await other.ask("table") == {"open": facts["open"]}
    assert seen["view"]["pid"] == owner.pid
    assert seen["modes"] == {"binance": "data"}
    assert not seen["acted"]
    assert f"(pid {owner.pid}, since " in seen["view"]["text"]
    assert not seen["view"]["ended"]
    if start.mode == "live":
        assert len(await testnet.open_orders(tag_of(start.name))) == 2  # the view has placed none
    file = core_file(start.name, "json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = file.read_text()
    assert testnet.credentials.secret not in content
    assert testnet.credentials.api_key not in content

    owner.kill()
    await other.until(lambda seen: seen["view"]["ended"], "the end of the other process")
    seen = await other.ask("connect")
    assert seen["view"] is None
    assert seen["modes"] == {"binance": start.mode}
    await other.until(lambda seen: seen["acted"], "orders of its own")
    await other.ask("stop")
    assert not file.exists()
    if start.mode == "live":
        assert await testnet.open_orders(tag_of(start.name)) == []


@pytest.mark.parametrize("start", ["live", "paper"], indirect=True)
async def test_the_red_button_in_a_terminal_empties_the_exchange_and_takes_the_core_off(start, testnet):
    owner, view = start(), start()
    await owner.ask("connect")
    await owner.until(lambda facts: len(facts["open"]) == 2, "two open orders")
    await view.ask("connect")
    listed = await kit_command("red", "--list", start.name)
    assert f"{start.name}: in instanced_core.py (pid {owner.pid}, since " in listed  # not the view
    said = await kit_command("red", "--patience=120", start.name)
    assert f"{start.name}: core off; binance: 2 orders cancelled" in said
    if start.mode == "live":
        assert await testnet.open_orders(tag_of(start.name)) == []
    facts = await owner.ask()
    assert (facts["open"], facts["state"]) == ([], "off")
    await owner.ask("stop")
    assert not core_file(start.name, "red").exists()


async def test_stop_lets_another_process_run_it_at_once(start):
    owner, other = start(), start()
    await owner.ask("connect")
    assert (await other.ask("connect"))["view"] is not None
    await owner.ask("stop")
    seen = await other.until(lambda seen: seen["view"]["ended"], "the end over there")
    assert "run the cells again" in seen["view"]["text"]
    assert (await other.ask("connect"))["view"] is None
    assert (await owner.ask("connect"))["view"]["pid"] == other.pid


async def test_a_forked_child_does_not_keep_the_lock(start):
    owner = start()
    await owner.ask("connect")
    child = (await owner.ask("fork"))["child"]
    try:
        assert free_name(start.name) == f"{start.name} 2"
        owner.kill()
        assert free_name(start.name) == start.name
        assert StateFile(core_file(start.name, "json")).read().instance.alive is False
    finally:
        os.kill(child, signal.SIGKILL)

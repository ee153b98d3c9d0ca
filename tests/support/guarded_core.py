"""A process that runs a core with a guard, does what its standard input says, and can be killed.

``python -m tests.support.guarded_core``: the first line is a JSON object (name, url, api_key, secret, stall_limit,
orders). It answers with one JSON line when the orders rest and the guard is prepared, then acts on one word a line.
What blocks its loop blocks it until the process is interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import kit
from tests.support.patient import be_patient

PAIR = "BTC/USDT"
PRICE = Decimal(50_000)


class _Address:
    def __init__(self, url: str, credentials: kit.Credentials) -> None:
        self.url, self.credentials = url, credentials


def _spin() -> None:
    while True:
        pass


BLOCKS: dict[str, Callable[[], Any]] = {
    "sleep": lambda: time.sleep(600),
    "spin": _spin,
    "c-call": lambda: sum(range(10**10)),  # holds the GIL for a minute or more
}


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def _rest(market: Any, count: int) -> None:
    ids = [market.buy(PAIR, Decimal("0.001"), kit.OrderType.LIMIT, PRICE - number) for number in range(count)]
    while any(market.in_flight_orders[order_id].current_state is not kit.OrderState.OPEN for order_id in ids):
        await asyncio.sleep(0.01)


def _press(guard: Any) -> None:
    """Block the loop until a thread has pressed the button and heard what came of it."""
    heard = threading.Event()

    def press() -> None:
        report = guard.cancel_now("the red button").result(60)
        _say(cancelled=report.count, verified=report.verified, cause=report.cause)
        heard.set()

    threading.Timer(0.2, press).start()
    heard.wait(90)


async def main() -> NoReturn:
    wanted = json.loads(sys.stdin.readline())
    endpoint = _Address(wanted["url"], kit.Credentials(wanted["api_key"], wanted["secret"]))
    core = kit.TradingCore(wanted["name"], tables=False, stall_limit=wanted["stall_limit"])
    market = await core.add_connector("binance", [PAIR], mode="live", endpoint=endpoint)
    guard = core.guard
    assert guard is not None
    while not guard.state.prepared:
        await asyncio.sleep(0.01)
    await _rest(market, wanted["orders"])
    _say(guard=guard.state.pid, log=str(guard.log_path))
    while True:
        word = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if word in BLOCKS:
            with contextlib.suppress(KeyboardInterrupt):
                BLOCKS[word]()
            _say(done=word)
        elif word == "rest":
            await _rest(market, wanted["orders"])
            _say(guard=guard.state.pid)
        elif word == "button":
            _press(guard)
        elif word == "exit":
            sys.exit()  # as a kernel that shuts down: nothing is stopped


class GuardedCore:
    """The process as a test holds it."""

    def __init__(self, testnet: kit.Testnet, name: str, *, stall_limit: float = 300.0, orders: int = 3) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.guarded_core"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        keys = testnet.credentials
        facts = {"name": name, "url": testnet.url, "api_key": keys.api_key, "secret": keys.secret}
        self.say(json.dumps(facts | {"stall_limit": stall_limit, "orders": orders}))

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")

    async def hear(self, timeout: float = 180.0) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), timeout)
        return dict(json.loads(line))

    def interrupt(self) -> None:
        """End what blocks it."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it as the kernel does: SIGKILL to its group, which the guard is not of."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def alive(pid: int) -> bool:
    """Tell whether a process lives; an ended one that nobody has reaped does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    be_patient()
    # As in a kernel: when it exits, nothing is cancelled and no ``finally`` runs.
    asyncio.new_event_loop().run_until_complete(main())

"""``Testnet``: a handle on a test exchange that runs as a process of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import subprocess  # the child is this package, run by this interpreter
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from kit.errors import NotReady
from kit.testnet.client import TestnetClient
from kit.testnet.config import DEFAULT_DEPOSITS, TestnetConfig, amounts, wire_symbol
from kit.testnet.rate_limits import Limits
from kit.types.drawn import Drawn
from kit.types.ports import Credentials
from kit.types.secret_variables import without_keys

log = logging.getLogger(__name__)
child_log = logging.getLogger("kit.testnet.child")

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARNING": logging.WARNING}


class _Child:
    """The process: spawned without a loop, so that any loop, or none, can end it."""

    def __init__(self, config: TestnetConfig) -> None:
        command = [
            sys.executable,
            "-m",
            "kit.testnet",
            "--parent",
            str(os.getpid()),
            "--config",
            config.to_json().decode(),
        ]
        self._process = subprocess.Popen(  # noqa: S603 (our own module and configuration)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the parent's terminal is the parent's to act on
            env=_environment(),
        )
        self.last_lines: deque[str] = deque(maxlen=50)
        self._log_reader = threading.Thread(target=self._read_log, name=f"testnet {config.name} log", daemon=True)
        self._log_reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self._process.poll() is None

    def first_line(self) -> bytes:
        """Wait for the first line on stdout; empty when the process ended without one."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def end(self) -> int:
        """Ask the process to end, insist when it does not, and clean up; returns the exit code. Blocks for seconds."""
        process = self._process
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        for insist in (process.terminate, process.kill):
            try:
                process.wait(_STOP_TIMEOUT_S)
                break
            except subprocess.TimeoutExpired:
                insist()
        code = process.wait()
        self._log_reader.join(_STOP_TIMEOUT_S)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        return code

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def _read_log(self) -> None:
        """Pass the child's log on to ours."""
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self.last_lines.append(line)
            level, _, text = line.partition(" ")
            child_log.log(_LEVELS.get(level, logging.ERROR), "%s", text if level in _LEVELS else line)


def _paths(files: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    return tuple(str(Path(file).absolute()) for file in files)


def _environment() -> dict[str, str]:
    """Return the child's environment: ours without keys, and the way to this package however the parent found it."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {**without_keys(os.environ), "PYTHONPATH": root if not path else f"{root}{os.pathsep}{path}"}


class Testnet(Drawn, TestnetClient):
    """A test exchange on loopback, as a process of its own.

    Made by ``start``. It is an ``Endpoint``: ``url`` and ``credentials`` tell where it is and how to sign in. Its
    methods look inside it and act on its market; they work from any event loop. It ends by ``stop``, at the end of an
    ``async with`` block, and in any case with this process.
    """

    __test__ = False  # the name begins with Test, which pytest would collect

    def __init__(self, config: TestnetConfig, child: _Child, url: str, credentials: Credentials) -> None:
        super().__init__(url, credentials)
        self.config = config
        self._child = child

    @classmethod
    async def start(
        cls,
        name: str = "main",
        *,
        seed: int = 1,
        replay: Iterable[str | os.PathLike[str]] | None = None,
        speed: float = 1.0,
        flow: bool = True,
        symbols: Sequence[str] = ("BTC/USDT", "ETH/USDT"),
        deposits: Mapping[str, Decimal | int | str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> Testnet:
        """Start a test exchange, or hand back the running one of that name.

        A running one with another configuration is replaced, which is logged. ``replay`` are recorded files that play
        on BTC/USDT, one after the other, ``speed`` times as fast as recorded; ``flow`` lets random traders act on the
        other pairs. ``deposits`` is what the account of ``credentials`` starts with, in whole units of each asset.
        ``limits`` overrides rate limits (``weight``, ``orders_10s``, ``orders_day``, ``ban_after``, ``ban_seconds``).

        Raises ``InvalidInput`` for bad values and ``NotReady`` when the process does not come up.
        """
        config = TestnetConfig(
            name=name,
            seed=seed,
            replay=_paths(replay or ()),
            speed=speed,
            flow=flow,
            symbols=tuple(wire_symbol(pair) for pair in symbols),
            deposits=dict(DEFAULT_DEPOSITS) if deposits is None else amounts(deposits),
            limits=Limits(**(limits or {})),
        )
        return await _registry.get(config)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.config.name

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self._child.running

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    async def stop(self) -> None:
        """End the process and wait for its end; idempotent."""
        _registry.forget(self)
        await asyncio.to_thread(self._child.end)

    def stop_now(self) -> None:
        """End the process without a loop, blocking for up to some seconds; idempotent."""
        _registry.forget(self)
        self._child.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"Testnet({self.name!r}, {self.url}, {state})"


async def _spawn(config: TestnetConfig) -> Testnet:
    """Start the process and wait until it answers; leaves none behind when that fails or is cancelled."""
    child = _Child(config)
    try:
        line = await asyncio.wait_for(asyncio.to_thread(child.first_line), _START_TIMEOUT_S)
        facts: dict[str, Any] = orjson.loads(line)
    except BaseException as error:
        child.kill()
        await asyncio.to_thread(child.end)
        if isinstance(error, orjson.JSONDecodeError | TimeoutError):
            said = "\n".join(child.last_lines) or "(nothing)"
            raise NotReady(f"the test exchange {config.name!r} did not come up; it said: {said}") from error
        raise
    return Testnet(config, child, facts["url"], Credentials(facts["api_key"], facts["secret"]))


class _Registry:
    """The test exchanges that this process started, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Testnet] = {}
        self._starting: dict[str, concurrent.futures.Future[None]] = {}
        self._owner = os.getpid()
        atexit.register(self._end_all)

    async def get(self, config: TestnetConfig) -> Testnet:
        """Return the running exchange of that configuration, or start it; one start a name at a time."""
        while True:
            with self._lock:
                pending = self._starting.get(config.name)
                if pending is None:
                    mine = self._starting[config.name] = concurrent.futures.Future()
                    mine.set_running_or_notify_cancel()  # a waiter that is cancelled must not cancel it
                    break
            await asyncio.wrap_future(pending)
        try:
            return await self._get(config)
        finally:
            with self._lock:
                del self._starting[config.name]
            mine.set_result(None)

    async def _get(self, config: TestnetConfig) -> Testnet:
        known = self._running.get(config.name)
        if known is not None and known.running:
            if known.config == config:
                return known
            log.warning("replacing test exchange %r: it was asked for with another configuration", config.name)
        if known is not None:
            await known.stop()
        testnet = await _spawn(config)
        self._running[config.name] = testnet
        return testnet

    def forget(self, testnet: Testnet) -> None:
        """Take an exchange out, so that the next start makes a new one."""
        if self._running.get(testnet.name) is testnet:
            del self._running[testnet.name]

    def _end_all(self) -> None:
        if os.getpid() != self._owner:
            return  # a fork of the process that they belong to
        for testnet in list(self._running.values()):
            testnet.stop_now()


_registry = _Registry()

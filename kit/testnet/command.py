"""The ``kit testnet`` command: its arguments, and running an exchange until it is told to stop.

The first line on stdout is one JSON object (``--json``, or started by ``Testnet.start``) that tells where the exchange
is and how to sign in; the log goes to stderr. Started by ``Testnet.start`` the process ends with its parent; started
by hand it ends on Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from kit.errors import InvalidInput, KitError
from kit.testnet.config import DEFAULT_DEPOSITS, TestnetConfig, amount, wire_symbol

if TYPE_CHECKING:
    from kit.testnet.server import TestnetServer

log = logging.getLogger(__name__)

_PARENT_CHECK_S = 1.0
_LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument("--name", default="main", help="what it is called (default: main)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: the system chooses)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random traders (default: 1)")
    parser.add_argument("--replay", nargs="+", default=[], metavar="FILE", help="recorded streams to play on BTC/USDT")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than recorded (default: 1)")
    parser.add_argument("--no-flow", action="store_true", help="no random traders: nothing happens by itself")
    parser.add_argument("--symbols", nargs="+", default=["BTC/USDT", "ETH/USDT"], help="pairs to list")
    parser.add_argument("--deposit", nargs="+", default=[], metavar="ASSET=AMOUNT", help="what the account starts with")
    parser.add_argument("--json", action="store_true", help="print the first line as JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """Run an exchange by hand until Ctrl-C; returns the exit code. Raises ``KitError`` for bad arguments."""
    return serve(_config(options), as_json=options.json)


def serve(config: TestnetConfig, *, as_json: bool, parent: int | None = None) -> int:
    """Run an exchange until it is told to stop, or until ``parent`` (a process id) has gone; returns the exit code."""
    try:
        asyncio.run(_serve(config, parent=parent, as_json=as_json))
    except OSError as error:
        log.error("%s", error)
        return 1
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command as a program of its own; returns the exit code."""
    parser = argparse.ArgumentParser(prog="kit testnet", description="A crypto exchange on loopback, for tests.")
    configure(parser)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    try:
        if options.config:
            return serve(TestnetConfig.from_json(options.config), as_json=True, parent=options.parent)
        return run(options)
    except KitError as error:
        log.error("%s", error)
        return 2


def _config(options: argparse.Namespace) -> TestnetConfig:
    deposits: dict[str, Decimal] = {}
    for item in options.deposit:
        asset, sign, value = item.partition("=")
        if not sign:
            raise InvalidInput(f"deposit {item!r} is not of the form ASSET=AMOUNT, such as USDT=100000")
        deposits[asset.upper()] = amount(value)
    return TestnetConfig(
        name=options.name,
        seed=options.seed,
        replay=tuple(options.replay),
        speed=options.speed,
        flow=not options.no_flow,
        symbols=tuple(wire_symbol(pair) for pair in options.symbols),
        deposits=deposits or dict(DEFAULT_DEPOSITS),
        port=options.port,
    )


def _announce(server: TestnetServer, *, as_json: bool) -> None:
    """Tell on stdout where the exchange is; the parent reads the first line."""
    account = server.account
    facts: dict[str, Any] = {"url": server.url, "pid": os.getpid(), "name": account.name}
    facts |= {"api_key": account.api_key, "secret": account.secret}
    lines = [orjson.dumps(facts).decode()] if as_json else [f"{name:8} {value}" for name, value in facts.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


async def _watch_parent(parent: int, stopped: asyncio.Event) -> None:
    """Set ``stopped`` when stdin ends or the parent is another process than it was."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), _PARENT_CHECK_S)
                return
    finally:
        transport.close()
        stopped.set()


async def _serve(config: TestnetConfig, *, parent: int | None, as_json: bool) -> None:
    from kit.testnet.server import TestnetServer

    server = TestnetServer(config, wall=time.time, monotonic=time.monotonic)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stopped.set)
    watcher = None
    try:
        await server.start()
        _announce(server, as_json=as_json)
        if parent is not None:
            watcher = asyncio.create_task(_watch_parent(parent, server.stopped), name="parent")
        await server.stopped.wait()
    finally:
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        await server.stop()

"""Runs a test exchange as a process of its own: ``kit testnet``, or ``python -m kit.testnet``.

The first line on stdout is one JSON object that tells where the exchange is and how to sign in; the log goes to
stderr. Started by ``Testnet.start`` the process ends with its parent; started by hand it ends on Ctrl-C.
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
from typing import Any

import orjson

from kit.errors import KitError
from kit.testnet.config import DEFAULT_DEPOSITS, TestnetConfig, amount, wire_symbol
from kit.testnet.control import credentials
from kit.testnet.rate_limits import Limits
from kit.testnet.server import TestnetServer

_PARENT_CHECK_S = 1.0
_LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kit testnet", description="A crypto exchange on loopback, for tests.")
    parser.add_argument("--name", default="main", help="what it is called (default: main)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: the system chooses)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random traders (default: 1)")
    parser.add_argument(
        "--replay", nargs="+", default=[], metavar="FILE", help="recorded raw streams to play on BTC/USDT"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than recorded (default: 1)")
    parser.add_argument("--no-flow", action="store_true", help="no random traders: nothing happens by itself")
    parser.add_argument("--symbols", nargs="+", default=["BTC/USDT", "ETH/USDT"], help="pairs to list")
    parser.add_argument("--deposit", nargs="+", default=[], metavar="ASSET=AMOUNT", help="what the account starts with")
    parser.add_argument("--json", action="store_true", help="print the first line as JSON, for programs")
    parser.add_argument("--config", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _config(options: argparse.Namespace) -> TestnetConfig:
    if options.config:
        return TestnetConfig.from_json(options.config)
    deposits: dict[str, Decimal] = {}
    for item in options.deposit:
        asset, _, value = item.partition("=")
        deposits[asset.upper()] = amount(value)
    return TestnetConfig(
        name=options.name,
        seed=options.seed,
        replay=tuple(options.replay),
        speed=options.speed,
        flow=not options.no_flow,
        symbols=tuple(wire_symbol(pair) for pair in options.symbols),
        deposits=deposits or dict(DEFAULT_DEPOSITS),
        limits=Limits(),
        port=options.port,
    )


def _announce(server: TestnetServer, *, as_json: bool) -> None:
    """Tell on stdout where the exchange is; the parent reads the first line."""
    facts: dict[str, Any] = {"url": server.url, "pid": os.getpid(), **credentials(server.account)}
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
    server = TestnetServer(config, wall=time.time, monotonic=time.monotonic)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stopped.set)
    await server.start()
    _announce(server, as_json=as_json)
    watcher = None if parent is None else asyncio.create_task(_watch_parent(parent, server.stopped), name="parent")
    try:
        await server.stopped.wait()
    finally:
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        await server.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a test exchange until it is told to stop; returns the exit code."""
    options = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    try:
        config = _config(options)
        asyncio.run(_serve(config, parent=options.parent, as_json=options.json or options.parent is not None))
    except (KitError, OSError) as error:
        logging.getLogger(__name__).error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

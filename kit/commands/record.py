"""`kit record`: record markets without a strategy, until Ctrl-C or for a while."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import math
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.commands.arguments import positive
from kit.commands.endpoints import endpoint_of
from kit.commands.interrupts import held

if TYPE_CHECKING:
    from rich.console import Console

    from kit.storage.recorder import Recorder, RecorderStatus

_LOOK_EVERY = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit record`."""
    parser.add_argument("--exchange", required=True, help="the exchange, by ccxt's id, such as binance")
    parser.add_argument("--pair", required=True, nargs="+", help="the pairs, such as BTC/USDT")
    parser.add_argument("--hours", type=positive, help="how long (default: until Ctrl-C)")
    parser.add_argument("--out", type=Path, default=Path("recording"), help="the folder (default: ./recording)")
    parser.add_argument(
        "--endpoint", metavar="URL|testnet", help="a stand-in for the exchange; 'testnet' runs kit's own meanwhile"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Record; exit code 0 at the end, 1 when rows were lost, 130 when Ctrl-C came before the hours were over."""
    with held():
        from rich.console import Console

        import kit.storage.recorder
        import kit.trading_core  # noqa: F401

        console = Console(stderr=True)
    try:
        return asyncio.run(_record(args, console))
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("interrupted before anything was recorded")
        return 130


async def _record(args: argparse.Namespace, console: Console) -> int:
    from kit.trading_core import TradingCore

    ended = asyncio.Event()
    connecting = asyncio.current_task()

    def interrupt() -> None:
        ended.set()
        if recorder is None and connecting is not None and not connecting.cancelling():
            connecting.cancel()

    recorder: Recorder | None = None
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
    async with AsyncExitStack() as stack:
        core = TradingCore("record", tables=False)
        await asyncio.to_thread(_check_folder, args.out)
        endpoint = await endpoint_of(args.endpoint, stack, "record")
        stack.push_async_callback(core.stop)
        with console.status(f"connecting to {args.exchange}…"):
            await core.add_connector(args.exchange, args.pair, endpoint=endpoint)
        recorder = core.record(args.out)
        try:
            interrupted = await _watch(recorder, ended, args.hours, console)
        finally:
            status = await recorder.close()
    _show(args, status, console)
    if status.lost:
        return 1
    return 130 if interrupted and args.hours is not None else 0


def _check_folder(folder: Path) -> None:
    """Look over what is recorded there already: what cannot be read would spoil what comes."""
    from kit.storage.recordings import open_recording

    if folder.exists() and next(folder.rglob("*.parquet"), None) is not None:
        open_recording(folder)


async def _watch(recorder: Recorder, ended: asyncio.Event, hours: float | None, console: Console) -> bool:
    """Show how it goes until the end; return whether it was interrupted."""
    loop = asyncio.get_running_loop()
    end = math.inf if hours is None else loop.time() + hours * 3600
    with console.status("recording…") as line:
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, _LOOK_EVERY)):
                    await ended.wait()
                return True
            except TimeoutError:
                line.update(_line(recorder.status(), left))
    return False


def _line(status: RecorderStatus, left: float) -> str:
    lost = f", [bold red]{status.lost:,} lost[/]" if status.lost else ""
    time = f", {left / 3600:.2f} h left" if math.isfinite(left) else ", Ctrl-C ends it"
    return f"{status.events:,} events, {status.bytes / 1e6:,.1f} MB, {status.behind:.0f} s behind{lost}{time}"


def _show(args: argparse.Namespace, status: RecorderStatus, console: Console) -> None:
    from kit.storage.recordings import open_recording

    recording = open_recording(args.out)
    if args.json:
        facts: dict[str, Any] = dataclasses.asdict(status) | {"folder": str(args.out)}
        print(json.dumps(facts))  # noqa: T201  (the command's output)
        return
    console.print(f"{status.events:,} events in {args.out}, {status.lost:,} lost; read them with:")
    for exchange, pair in recording.markets:
        start, end = recording.span(pair, exchange)
        console.print(f"  kit.open_recording({str(args.out)!r}).events({pair!r})  # {exchange}, {end - start:.0f} s")

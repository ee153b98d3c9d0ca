"""`kit demo`: the whole lifecycle against the loopback exchange, watched in the terminal."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from kit.commands.arguments import positive
from kit.commands.interrupts import held
from kit.types.events import MarketEvent

if TYPE_CHECKING:
    from rich.console import Console

    from kit.connectors.connector import Connector
    from kit.testnet import Testnet
    from kit.trading_core import TradingCore

PAIR: Final = "BTC/USDT"
FRAMES_PER_SECOND: Final = 4


@dataclasses.dataclass
class Summary:
    """What the demo did; amounts are in the pair's base and quote."""

    seconds: float = 0.0
    ticks: int = 0
    ticks_late: int = 0
    book_updates: int = 0
    trades: int = 0
    orders_created: int = 0
    fills: int = 0
    orders_cancelled: int = 0
    open_orders_on_exchange: int = 0
    tasks_left: int = 0
    base_total: str = "0"
    quote_total: str = "0"
    pnl_quote: str = "0"
    fills_match_exchange: bool = False
    ledger_balanced: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether nothing is left behind and both sides agree."""
        return (
            self.open_orders_on_exchange == 0
            and self.tasks_left == 0
            and self.fills_match_exchange
            and self.ledger_balanced
        )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit demo`."""
    parser.add_argument("--seconds", type=positive, default=30.0, help="how long to trade (default 30)")
    parser.add_argument("--replay", nargs="+", metavar="FILE", help="replay recorded streams instead of synthetic flow")
    parser.add_argument("--speed", type=positive, default=1.0, help="speed of the replay (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the synthetic flow (default 1)")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Run the demo; exit code 0 when nothing is left behind and both sides agree, 130 when interrupted."""
    with held():
        from rich.console import Console

        # With --json, standard output belongs to programs; people still see the view.
        console = Console(stderr=args.json)
    try:
        summary = asyncio.run(_interruptible(args, console))
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("interrupted: nothing is left behind")
        return 130
    _print_summary(console, summary)
    if args.json:
        print(json.dumps(dataclasses.asdict(summary)))  # noqa: T201  (the command's output)
    return 0 if summary.ok else 1


async def _interruptible(args: argparse.Namespace, console: Console) -> Summary:
    """Run the demo; the first SIGINT or SIGTERM cancels it, and what that cleans up cannot be interrupted again."""
    task = asyncio.ensure_future(demo(args, console))

    def interrupt() -> None:
        if not task.cancelling():
            console.print("interrupted: cancelling orders, ending processes…")
            task.cancel()

    if sys.platform != "win32":  # there asyncio.run cancels its main task, which is as good for one SIGINT
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
    return await task


async def demo(args: argparse.Namespace, console: Console) -> Summary:
    """Trade on a testnet for a while and return what happened, both sides compared."""
    from kit.testnet import Testnet
    from kit.trading.instance_lock import free_name
    from kit.trading_core import TradingCore

    before = set(asyncio.all_tasks())
    summary = Summary()
    with console.status("starting the exchange and connecting…"):
        testnet = await Testnet.start(name="demo", seed=args.seed, replay=args.replay, speed=args.speed)
    try:
        core = TradingCore(free_name("demo"), tables=False)
        try:
            market = await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet)
            core.strategy = _strategy(market)
            await core.start()
            summary.seconds = await _watch(core, market, args.seconds, console)
            await _settle(core, market, testnet, summary)
        finally:
            report = await core.stop()
        summary.tasks_left = len(report.tasks_left)
        summary.open_orders_on_exchange = len(await testnet.open_orders())
    finally:
        await testnet.stop()
    # Closed sockets need a turn of the loop to end their tasks.
    await asyncio.sleep(0.1)
    summary.tasks_left += len({task for task in asyncio.all_tasks() if not task.done()} - before)
    return summary


def _strategy(market: Connector) -> Any:
    from kit.strategy.pure_market_making import PureMarketMaking

    # Narrow, so that a demo of seconds sees fills also where a recording moves by no more than a few ticks.
    return PureMarketMaking(
        market,
        PAIR,
        bid_spread="0.00005",
        ask_spread="0.00005",
        order_amount="0.01",
        order_levels=2,
        order_level_spread="0.0002",
        order_refresh_time=4,
        filled_order_delay=1,
    )


async def _watch(core: TradingCore, market: Connector, seconds: float, console: Console) -> float:
    """Show the view for a while; return the seconds that passed."""
    from rich.live import Live

    from kit.commands.demo_view import render

    loop = asyncio.get_running_loop()
    start = loop.time()
    end = start + seconds
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while (left := end - loop.time()) > 0:
            live.update(render(core, market, PAIR, left), refresh=console.is_terminal)
            await asyncio.sleep(min(left, 1 / FRAMES_PER_SECOND))
    return round(loop.time() - start, 3)


async def _settle(core: TradingCore, market: Connector, testnet: Testnet, summary: Summary) -> None:
    """Stop trading, wait for the last fills, and compare our books with the exchange's."""
    stats = core.clock.stats
    summary.ticks, summary.ticks_late = stats.ticks, stats.ticks_late
    book = market.order_book_tracker.status(PAIR)
    summary.book_updates, summary.trades = book.diffs + book.snapshots, book.trades
    core.strategy = None
    await market.cancel_all(10.0)
    log = core.session_logs[market.name]
    summary.orders_created = log.orders_created
    summary.orders_cancelled = log.counts[MarketEvent.OrderCancelled]
    summary.fills = len(log.fills)
    summary.base_total = f"{market.get_balance('BTC'):f}"
    summary.quote_total = f"{market.get_balance('USDT'):f}"
    mark = market.get_mid_price(PAIR)
    pnl = sum((totals.pnl(mark) for totals in log.totals.values()), Decimal(0))
    summary.pnl_quote = f"{pnl:.8f}"
    ours = sorted((fill.exchange_trade_id, fill.price, fill.amount) for fill in log.fills)
    theirs = sorted((fill.trade_id, fill.price, fill.amount) for fill in await testnet.fills())
    summary.fills_match_exchange = ours == theirs
    summary.ledger_balanced = (await testnet.ledger()).balanced


def _print_summary(console: Console, summary: Summary) -> None:
    from rich.table import Table

    table = Table(title="kit demo", show_header=False)
    for name, value in dataclasses.asdict(summary).items():
        table.add_row(name.replace("_", " "), str(value))
    console.print(table)

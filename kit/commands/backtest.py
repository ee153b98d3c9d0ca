"""`kit backtest`: run the backtest that a TOML file describes."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.commands.interrupts import held

if TYPE_CHECKING:
    from kit.backtest.result import Result

_EXAMPLE = """\
An example:

  strategy = "PureMarketMaking"     # one of kit's, "module:Class" or "file.py:Class"
  start = 2024-08-08T23:55:00Z      # optional, as end
  balances = {BTC = 1, USDT = 60000}
  latency = 0.05                    # seconds each way; or {request = 0.02, answer = 0.03}
  queue = {model = "PowerProb", n = 3}

  [data.binance]
  "BTC/USDT" = "recording"          # a recording's folder, or files of any form that kit imports

  [params]                          # preset = "calm" here: those of a preset, or of its file, with changes
  bid_spread = 0.0005
  ask_spread = 0.0005
  order_amount = 0.01
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit backtest`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="what to run: the arguments of kit.backtest")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the result as a page")


def run(args: argparse.Namespace) -> int:
    """Run the backtest; exit code 0 when it came to its end, 130 when interrupted."""
    with held():
        from kit.backtest.runner import backtest
    try:
        result = backtest(args.config, progress=sys.stderr.isatty())
    except KeyboardInterrupt:
        print("interrupted: nothing is left behind", file=sys.stderr)  # noqa: T201  (the command's output)
        return 130
    if args.html is not None:
        result.to_html(args.html)
    if args.json:
        print(json.dumps(summary(result)))  # noqa: T201  (the command's output)
    else:
        _show(result)
    return 0


def summary(result: Result) -> dict[str, Any]:
    """Return a result as JSON values; what is not known is ``None``. Times are in seconds since the epoch."""
    run = result.run
    return {
        "strategy": run.strategy,
        "markets": [{"exchange": market.connector, "trading_pair": market.trading_pair} for market in run.markets],
        "start": _number(run.started),
        "end": _number(run.ended),
        "counts": {name: _number(value) for name, value in run.counts.items()},
        "orders": len(run.orders),
        "fills": len(run.fills),
        "quote_asset": run.quote_asset,
        "statistics": {str(name): _number(value) for name, value in result.stats["value"].items()},
        "parameters": dict(run.parameters),
        "assumptions": dict(run.assumptions),
        "notes": result.notes,
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _show(result: Result) -> None:
    from rich.console import Console
    from rich.table import Table

    console, shown = Console(), summary(result)
    table = Table(title=f"kit backtest: {result.title}", show_header=False)
    for part in ("statistics", "assumptions"):
        for name, value in shown[part].items():
            table.add_row(name, f"{value:.8g}" if isinstance(value, float) else str(value))
        table.add_section()
    console.print(table)
    for note in shown["notes"]:
        console.print(note)

"""The `kit` command."""

from __future__ import annotations

import argparse
import importlib
import logging
import signal
import sys
from collections.abc import Sequence

from kit.commands.interrupts import held
from kit.errors import KitError

_COMMANDS = {
    "backtest": "run a strategy on recorded order books, as a TOML file describes it",
    "demo": "run the whole lifecycle against a loopback exchange and watch it",
    "doctor": "look over this machine: versions, kernel, keys, folders, clock",
    "keys": "store API keys where the kit finds them, list, try and remove them",
    "lab": "open JupyterLab: the quickstart notebook left, its cockpit right",
    "notebook": "make a notebook to write a strategy in",
    "red": "press the red button of cores that other processes run: cancel all, switch off",
    "record": "record order books and trades into files, without a strategy",
    "testnet": "run the loopback exchange until interrupted",
}


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with every subcommand."""
    parser = argparse.ArgumentParser(prog="kit", description="Live crypto trading from a Jupyter notebook.")
    parser.add_argument("--verbose", "-v", action="store_true", help="show the log of every part on standard error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in _COMMANDS.items():
        module = importlib.import_module(f"kit.commands.{name}")
        command = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    try:
        with held():
            parser = build_parser()
        code = _run(parser.parse_args(arguments))
    except KeyboardInterrupt:
        code = 130
    if code == 130 and arguments is None:
        # Everything is cleaned up; one more Ctrl-C must not kill Python while it ends, with another exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _run(args: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        return int(args.run(args))
    except KitError as error:
        print(f"kit {args.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

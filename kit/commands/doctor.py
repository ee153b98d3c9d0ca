"""`kit doctor`: what this machine has, what it lacks, and what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kit.commands.doctor_checks import Finding

_MARKS: Final = {"good": "[green]ok  [/]", "look": "[yellow]look[/]", "bad": "[red]bad [/]"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit doctor`."""
    parser.add_argument("--exchange", default="binance", help="whose clock to compare with, by ccxt's id (binance)")
    parser.add_argument("--endpoint", metavar="URL|testnet", help="a stand-in for the exchange")
    parser.add_argument("--offline", action="store_true", help="ask no exchange")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Look at everything; exit code 0 when nothing is bad, else 1."""
    from kit.commands.doctor_checks import CHECKS, clock, look

    findings = [look(check) for check in CHECKS]
    if not args.offline:
        findings.append(asyncio.run(clock(args.exchange, args.endpoint)))
    healthy = all(finding.verdict != "bad" for finding in findings)
    if args.json:
        facts = {"ok": healthy, "findings": [dataclasses.asdict(finding) for finding in findings]}
        print(json.dumps(facts))  # noqa: T201  (the command's output)
    else:
        _show(findings)
    return 0 if healthy else 1


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(_MARKS[finding.verdict], finding.name, escape(finding.text))
    Console(highlight=False).print(table)

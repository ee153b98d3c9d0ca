"""`kit keys`: put API keys where the kit finds them, list them, try them, forget them."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import getpass
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.commands.endpoints import endpoint_of
from kit.errors import InvalidInput, MissingCredentials

if TYPE_CHECKING:
    from kit.config.key_names import KeyName
    from kit.connectors.key_check import KeyReport
    from kit.types.ports import Credentials

_NAME = "the exchange by ccxt's id, and the account if not main: binance, or binance/hedge"
_ORDER = """\
Keys are looked for in this order, and the first one is used:

  1. environment variables: KIT_BINANCE_KEY and KIT_BINANCE_SECRET (KIT_BINANCE_PASSWORD where the exchange has one);
     of another account: KIT_BINANCE_HEDGE_KEY, ...
  2. the operating system's keyring
  3. an encrypted file in the config folder; its passphrase is asked for, or taken from KIT_PASSPHRASE

A key is never an argument: `kit keys add` asks for it without showing it, or reads it line by line from a pipe.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `kit keys`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _ORDER
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="ask for a key and store it")
    add.add_argument("name", metavar="EXCHANGE[/ACCOUNT]", help=_NAME)
    add.add_argument("--store", choices=("keyring", "file"), help="where to (default: the keyring if there is one)")
    add.add_argument("--secret-file", type=Path, metavar="FILE", help="read the secret from a file, such as a PEM key")
    listing = actions.add_parser("list", help="list what is stored, without the keys")
    check = actions.add_parser("check", help="ask the exchange what a key may do; places no order")
    check.add_argument("name", metavar="EXCHANGE[/ACCOUNT]", help=_NAME)
    check.add_argument(
        "--endpoint",
        metavar="URL|testnet",
        help="a stand-in for the exchange; 'testnet' runs kit's own meanwhile, with its own key. The stored key goes "
        "to a URL only when you confirm it or say --yes",
    )
    check.add_argument("--pair", help="a pair that the account may trade (default: a usual one)")
    check.add_argument("--yes", action="store_true", help="send the stored key to --endpoint without asking")
    remove = actions.add_parser("remove", help="forget a key, wherever the kit keeps it")
    remove.add_argument("name", metavar="EXCHANGE[/ACCOUNT]", help=_NAME)
    for action in (add, listing, check, remove):
        action.add_argument("--json", action="store_true", help="print the outcome as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; exit code 0 when it is done, or the key may trade; 1 when not."""
    from kit.config import ask_with

    if sys.stdin.isatty():
        ask_with(_ask_passphrase)
    actions = {"add": _add, "list": _list, "check": _check, "remove": _remove}
    return actions[args.action](args)


def _ask_passphrase(path: Path, new: bool) -> str:
    if not new:
        return getpass.getpass(f"Passphrase of {path}: ")
    first = getpass.getpass(f"A passphrase for the new encrypted file {path} (several words are best): ")
    if getpass.getpass("The same once more: ") != first:
        raise InvalidInput("the two passphrases differ; nothing was stored")
    return first


def _add(args: argparse.Namespace) -> int:
    from kit.config import store
    from kit.config.key_names import KeyName
    from kit.connectors.key_check import needs_password

    name = KeyName.parse(args.name)
    credentials = _ask_key(name, args.secret_file, needs_password(name.exchange))
    keys = store()
    where = keys.add(name, credentials, args.store)
    kept = keys.keyring.backend if where == "keyring" else str(keys.file.path)
    used = next(key.where for key in keys.stored() if key.used and KeyName(key.exchange, key.account) == name)
    _say(
        args,
        {"exchange": name.exchange, "account": name.account, "where": where, "kept": kept, "used": used == where},
        f"{name} is stored in the {where} ({kept})"
        + ("" if used == where else f"; but the one in the {used} comes first"),
    )
    return 0


def _ask_key(name: KeyName, secret_file: Path | None, password: bool) -> Credentials:
    from kit.config.key_names import checked

    ask = getpass.getpass if sys.stdin.isatty() else _next_line
    api_key = ask(f"API key of {name} (not shown): ")
    if secret_file is None:
        secret = ask("Secret (not shown): ")
    else:
        try:
            secret = secret_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{secret_file} cannot be read: {type(error).__name__}") from None
    return checked(api_key, secret, ask("Password of the key (not shown): ") if password else None)


def _next_line(_prompt: str) -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _list(args: argparse.Namespace) -> int:
    from kit.config import store

    keys = store()
    stored, problems = keys.survey()
    if args.json:
        facts = {"keys": [dataclasses.asdict(key) for key in stored], "problems": problems}
        print(json.dumps(facts))  # noqa: T201  (the command's output)
        return 1 if problems else 0
    from rich.console import Console
    from rich.table import Table

    table = Table("exchange", "account", "where", "", box=None, pad_edge=False)
    for key in stored:
        table.add_row(key.exchange, key.account, key.where, "" if key.used else "not used: another place comes first")
    console = Console()
    console.print(table if stored else "no key is stored; add one with: kit keys add EXCHANGE")
    for problem in problems:
        console.print(problem, style="red", soft_wrap=True, highlight=False, markup=False)
    places = f"keyring: {keys.keyring.problem or keys.keyring.backend}; file: {keys.file.path}"
    console.print(places, style="dim", soft_wrap=True, highlight=False)
    return 1 if problems else 0


def _remove(args: argparse.Namespace) -> int:
    from kit.config import store
    from kit.config.environment import variables
    from kit.config.key_names import KeyName

    name = KeyName.parse(args.name)
    keys = store()
    places = keys.remove(name)
    left = keys.environment.find(name) is not None
    text = f"{name} is removed from the {' and the '.join(places)}" if places else f"no key of {name} is stored"
    if left:
        text += f"; the one in {variables(name)[0]} and {variables(name)[1]} stays until you unset them"
    _say(args, {"exchange": name.exchange, "account": name.account, "removed": list(places), "left": left}, text)
    return 0 if places else 1


def _check(args: argparse.Namespace) -> int:
    report = asyncio.run(_ask_exchange(args))
    facts: dict[str, Any] = dataclasses.asdict(report)
    words = {True: "yes", False: "no", None: "not known"}
    offset = "" if report.clock_offset is None else f", its clock is {report.clock_offset:+.3f} s from this one"
    lines = [f"{args.name}: may read: {words[report.can_read]}, may trade: {words[report.can_trade]}{offset}"]
    if report.can_read:
        lines.append(f"assets: {', '.join(report.assets) or 'none'}")
    if report.problem:
        lines.append(report.problem)
    _say(args, facts, "\n".join(lines))
    return 0 if report.can_trade else 1


async def _ask_exchange(args: argparse.Namespace) -> KeyReport:
    from kit.config import find_credentials, missing_credentials
    from kit.config.key_names import KeyName
    from kit.connectors.key_check import check_key

    name = KeyName.parse(args.name)
    async with AsyncExitStack() as stack:
        endpoint = await endpoint_of(args.endpoint, stack, "key check")
        credentials = endpoint.credentials if endpoint is not None else None
        if credentials is None:
            credentials = find_credentials(name.exchange, name.account)
            if credentials is None:
                raise missing_credentials(name.exchange)
            if endpoint is not None and not args.yes:
                _confirm(f"Send the stored key of {name} to {endpoint.url}? ")
        return await check_key(name.exchange, credentials, endpoint=endpoint, pair=args.pair)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty() or input(question).strip().lower() not in ("y", "yes"):
        raise MissingCredentials("the stored key is not sent to the endpoint; say --yes to send it")


def _say(args: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    print(json.dumps(facts) if args.json else text)  # noqa: T201  (the command's output)

"""`kit notebook new`: a notebook to write a strategy in."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from kit.commands.notebook_template import strategy_notebook
from kit.errors import InvalidInput


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit notebook`."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = commands.add_parser("new", help="make a strategy notebook", description="Make a strategy notebook.")
    new.add_argument("name", metavar="NAME", help='what the strategy is called, such as "wide quotes"')
    new.add_argument("--folder", type=Path, default=Path(), help="where to put it (default: here)")


def run(args: argparse.Namespace) -> int:
    """Make the notebook and say where it is; an existing file is left as it is, with exit code 1."""
    path = new_notebook(args.name, args.folder)
    print(f"{path} is made; open it with: kit lab --notebooks {path.parent} --notebook {path.name}")  # noqa: T201
    return 0


def new_notebook(name: str, folder: Path) -> Path:
    """Write a strategy notebook and return its path; raises ``InvalidInput`` where it would overwrite a file."""
    stem = name.removesuffix(".ipynb").strip()
    if not stem or stem.startswith(".") or {"/", os.sep, "\0"} & set(stem):
        raise InvalidInput(f"NAME is {name!r}; give a name such as wide_quotes, and the folder with --folder")
    path = folder / f"{stem}.ipynb"
    content = json.dumps(strategy_notebook(stem.replace("_", " ")), indent=1, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content + "\n")
    except FileExistsError:
        raise InvalidInput(f"{path} is there already and stays as it is; take another name") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error}") from error
    return path

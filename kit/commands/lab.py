"""`kit lab`: JupyterLab with a notebook left and its cockpit right."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.commands.lab_workspace import NAME, cockpit_cell, prepare
from kit.errors import InvalidInput, NotSupported

QUICKSTART = "00_quickstart.ipynb"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit lab`."""
    parser.add_argument(
        "--notebooks",
        type=Path,
        metavar="FOLDER",
        help="the folder to open (default: the notebooks of this checkout, else a copy of them in ./kit-notebooks)",
    )
    parser.add_argument(
        "--notebook", metavar="NAME", help=f"the notebook to open, in that folder (default: {QUICKSTART})"
    )
    parser.add_argument("jupyter", nargs="*", metavar="-- OPTION", help="options handed on to `jupyter lab`")


def notebooks_folder() -> Path:
    """Return the folder with the tutorial notebooks: the checkout's own, else a copy beside the user's work.

    An existing copy is never overwritten, as users edit it.
    """
    checkout = Path(__file__).resolve().parents[2] / "notebooks"
    if (checkout / QUICKSTART).exists():
        return checkout
    shipped = Path(sys.prefix) / "share" / "kit-trading" / "notebooks"
    if not (shipped / QUICKSTART).exists():
        raise NotSupported(f"no tutorial notebooks in {checkout} nor in {shipped}; name a folder with --notebooks")
    copy = Path.cwd() / "kit-notebooks"
    copy.mkdir(exist_ok=True)
    for notebook in shipped.glob("*.ipynb"):
        if not (copy / notebook.name).exists():
            shutil.copy(notebook, copy)
    return copy


def run(args: argparse.Namespace) -> int:
    """Run JupyterLab until it ends; returns its exit code. Ctrl-C ends its kernels, then itself, without asking."""
    folder = (args.notebooks or notebooks_folder()).absolute()
    if not folder.is_dir():
        raise InvalidInput(f"--notebooks is {folder}, which is no folder")
    wanted = args.notebook or (QUICKSTART if (folder / QUICKSTART).exists() else None)
    if wanted is not None and not (folder / wanted).is_file():
        raise InvalidInput(f"there is no notebook {wanted} in {folder}; kit notebook new makes one")
    with tempfile.TemporaryDirectory(prefix="kit-lab-", ignore_cleanup_errors=True) as prepared:
        variables: dict[str, str] = {}
        options = [f"--ServerApp.root_dir={folder}"]
        if wanted is not None:
            path = Path(wanted).as_posix()
            variables = prepare(Path(prepared), path, cockpit_cell(folder / path))
            options.append(f"--LabApp.default_url=/lab/workspaces/{NAME}")
        return _call([sys.executable, "-m", "jupyterlab", *options, *args.jupyter], variables)


def _call(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run JupyterLab and wait for its end, which Ctrl-C, a closed terminal or SIGTERM ask for by SIGTERM.

    At that one it ends its kernels in order and asks nobody; SIGINT it takes in different ways, by where it runs. So
    its process group is not the terminal's.
    """
    posix = sys.platform != "win32"
    server: subprocess.Popen[bytes] | None = None
    asked = False

    def end(_number: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        if posix and server is not None:
            server.terminate()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if posix else (signal.SIGINT,)
    previous = {number: signal.signal(number, end) for number in numbers}
    try:
        server = subprocess.Popen(  # noqa: S603  (our own interpreter, the user's own options)
            command, env={**os.environ, **variables}, process_group=0 if posix else None
        )
        if posix and asked:  # while it was being started
            server.terminate()
        return server.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

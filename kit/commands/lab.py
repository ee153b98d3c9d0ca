"""`kit lab`: JupyterLab on the quickstart notebook."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from kit.errors import NotSupported

QUICKSTART = "00_quickstart.ipynb"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit lab`."""
    parser.add_argument(
        "--notebooks",
        type=Path,
        help="the folder to open (default: the notebooks of this checkout, else a copy of them in ./kit-notebooks)",
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
    """Run JupyterLab until it ends; returns its exit code.

    Ctrl-C is JupyterLab's to handle: it asks back, and shuts its kernels down in order.
    """
    folder = args.notebooks or notebooks_folder()
    start = folder / QUICKSTART if (folder / QUICKSTART).exists() else folder
    command = [sys.executable, "-m", "jupyterlab", str(start), *args.jupyter]
    # A handler, not SIG_IGN, which the child would inherit.
    previous = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.call(command)  # noqa: S603  (our own interpreter, the user's own options)
    finally:
        signal.signal(signal.SIGINT, previous)

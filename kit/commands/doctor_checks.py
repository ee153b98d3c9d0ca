"""What `kit doctor` looks at, each part by itself: one that breaks is a finding, too."""

from __future__ import annotations

import importlib.metadata
import sys
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kit.commands.endpoints import endpoint_of
from kit.errors import KitError

Verdict = Literal["good", "look", "bad"]

PACKAGES: Final = (
    "ccxt",
    "numpy",
    "pandas",
    "numba",
    "pyarrow",
    "pydantic",
    "plotly",
    "jupyterlab",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "keyring",
    "cryptography",
)
SKEW: Final = (0.5, 2.0)
"""Seconds that the exchange's clock may differ from this one's until one looks, and until it is bad."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: how it is, in a word and in a sentence that says what to do where something is to be done."""

    name: str
    verdict: Verdict
    text: str


def versions() -> Finding:
    """Look at Python and the packages that matter."""
    found, missing = [f"Python {sys.version.split()[0]}"], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding("versions", "bad", f"not installed: {', '.join(missing)}; install kit-trading anew")
    import kit

    return Finding("versions", "good", f"kit {kit.__version__}, {', '.join(found)}")


def kernel() -> Finding:
    """Look whether the kernel that notebooks get is this Python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Finding("kernel", "bad", "Jupyter knows no kernel python3; install ipykernel into this environment")
    if Path(command).name == command or Path(command).absolute() == Path(sys.executable).absolute():
        return Finding("kernel", "good", f"notebooks run on {sys.executable}")
    return Finding(
        "kernel",
        "look",
        f"notebooks run on {command}, not on this Python ({sys.executable}); kit must be installed there",
    )


def red_button() -> Finding:
    """Look whether the red button can reach a kernel that a cell blocks."""
    from ipykernel.comm.comm import BaseComm

    from kit.notebook.subshell import judge

    version = importlib.metadata.version("ipykernel")
    path = judge(version, int(version.partition(".")[0]) >= 7, hasattr(BaseComm, "_reply_subshell_for"), "")
    text = f"{path.text.removesuffix(', no message came yet')}; kit.notebook.red_path() tells in a notebook"
    return Finding("red button", "good" if path.works else "look", text)


def reentry() -> Finding:
    """Look at what lets a cell run the event loop within itself."""
    import ipykernel  # noqa: F401  # whose version the rule asks for

    from kit.core.reentry import dangerous, kernel_version
    from kit.notebook.running import NEEDS_FORK

    if problem := dangerous():
        return Finding("kit.run", "bad", problem)
    fork = "nest_asyncio2" if kernel_version() >= NEEDS_FORK else "nest_asyncio"
    version = importlib.metadata.version(fork.replace("_", "-"))
    return Finding("kit.run", "good", f"{fork} {version}, loaded when it is first used; top-level await needs neither")


def keys() -> Finding:
    """Look at the places for keys; never at a key."""
    from kit.config import store

    stored = store()
    found, problems = stored.survey()
    if problems:
        return Finding("keys", "bad", "; ".join(problems))
    names = [f"{key.exchange}/{key.account} ({key.where})" for key in found if key.used]
    locked = stored.file.locked
    ring = stored.keyring.problem or stored.keyring.backend
    file = f"{stored.file.path}{', locked' if locked else ''}" if stored.file.exists else "none"
    return Finding("keys", "good", f"{', '.join(names) or 'none stored'}; keyring: {ring}; encrypted file: {file}")


def folders() -> Finding:
    """Look whether settings and state can be written."""
    from kit.config import config_folder
    from kit.guard.diary import state_folder

    for folder in (config_folder(), state_folder()):
        probe = folder / f".{uuid.uuid4().hex}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            return Finding(
                "folders", "bad", f"{folder} cannot be written: {error.strerror}; set KIT_CONFIG or KIT_STATE"
            )
    return Finding("folders", "good", f"settings: {config_folder()}; state: {state_folder()}")


def compiled() -> Finding:
    """Look whether the simulation's kernel is compiled already."""
    from kit.simulation import kernel
    from kit.simulation.warming import is_at_hand

    if is_at_hand(kernel.run) and is_at_hand(kernel.act):
        return Finding("compiled code", "good", "is there: backtests and paper trading start at once")
    return Finding("compiled code", "look", "not there yet: the first backtest or paper account takes half a minute")


def saving() -> Finding:
    """Look whether JupyterLab writes the widgets' state into notebooks."""
    from kit.notebook.saving import ADVICE, saving_in_settings

    if saving_in_settings():
        return Finding("notebook files", "look", ADVICE)
    return Finding("notebook files", "good", "JupyterLab does not save the state of widgets")


CHECKS: Final[tuple[Callable[[], Finding], ...]] = (
    versions,
    kernel,
    reentry,
    red_button,
    saving,
    keys,
    folders,
    compiled,
)


def look(check: Callable[[], Finding]) -> Finding:
    """Return what a check finds, or how it broke."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # a doctor that dies tells nothing about the rest
        return Finding(
            check.__name__.replace("_", " "), "bad", f"could not be looked at: {type(error).__name__}: {error}"
        )


async def clock(exchange_id: str, endpoint: str | None) -> Finding:
    """Look how far this machine's clock is from an exchange's."""
    name = f"clock and {exchange_id}"
    from kit.connectors.ccxt_exchange import CcxtExchange
    from kit.core.clock import SYSTEM_TIME
    from kit.core.tasks import TaskSupervisor

    async with AsyncExitStack() as stack:
        supervisor = TaskSupervisor("doctor")
        stack.push_async_callback(supervisor.close)
        exchange = CcxtExchange(exchange_id, supervisor, endpoint=await endpoint_of(endpoint, stack, "doctor"))
        stack.push_async_callback(exchange.close)
        try:
            await exchange.fetch_server_time()  # opens the connection, whose time is not the clock's
            before = SYSTEM_TIME.time()
            there = await exchange.fetch_server_time()
            after = SYSTEM_TIME.time()
        except KitError as error:
            return Finding(name, "look", f"not reached: {error}")
    offset, trip = there - (before + after) / 2, after - before
    certain = abs(offset) - trip / 2  # the rest may be the way of the answer
    verdict: Verdict = "good" if certain < SKEW[0] else "look" if certain < SKEW[1] else "bad"
    advice = "" if verdict == "good" else "; set this machine's clock by NTP, else orders are refused"
    return Finding(name, verdict, f"its clock is {offset:+.3f} s from this one's, an answer takes {trip:.3f} s{advice}")

"""A real JupyterLab on loopback, driven in headless Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browser.exchange import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 30_000
"""Milliseconds that a page has to show what is expected of it: a machine that runs other tests beside takes long."""

_STEP = 60_000
"""Milliseconds that one act on a page may take, such as a click on a button that is not enabled yet."""

RULES = (
    "kit.DisarmRules(loop_lag=None, behind=None, book_silence=None, account_silence=None, rejections=None,"
    " armed_for=600)"
)
"""Rules by which no machine disarms a core by standing still for some seconds; with a ``stall_limit`` of 120."""

RUN = """import asyncio
for attempt in range(20):
    try:
        await core.start()
        break
    except kit.NotReady:  # a check fails where the machine stands still just then
        await asyncio.sleep(0.5)
await core.start()
"""
"""What starts the core of a cell."""

# Lines of the quickstart that a machine under load may fail by, or that wait for a reader, and what stands in for them.
_UNHURRIED = {
    "core = kit.TradingCore()\n": f"core = kit.TradingCore(stall_limit=120)\ncore.disarm_rules = {RULES}\n",
    "await core.start()": RUN,
    "await asyncio.sleep(8)\n": "await asyncio.sleep(2)\n",
    "await asyncio.sleep(3)\n": "await asyncio.sleep(2)\n",
    "await asyncio.sleep(5)\n": "await asyncio.sleep(2)\n",
}

_CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
_SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
_LAB_OPTIONS = [
    "--no-browser",
    "--allow-root",
    "--ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--IdentityProvider.token=",  # for tests only: the server listens on loopback and dies with the test
    "--ServerApp.password=",
    "--ServerApp.disable_check_xsrf=True",
    "--LabApp.expose_app_in_browser=True",
    "--JupyterNotebookApp.expose_app_in_browser=True",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
]


def copy_quickstart(folder: Path) -> None:
    """Copy the quickstart into a folder, with a core that a machine under load does not disarm."""
    name = "00_quickstart.ipynb"
    notebook = json.loads((ROOT / "notebooks" / name).read_text())
    lines = [line for cell in notebook["cells"] for line in cell["source"] if cell["cell_type"] == "code"]
    assert all(lines.count(line) == 1 for line in _UNHURRIED)
    for cell in notebook["cells"]:
        cell["source"] = [_UNHURRIED.get(line, line) for line in cell["source"]]
    (folder / name).write_text(json.dumps(notebook))


def free_port() -> int:
    """Return a port that nothing listens on, below those that the system gives to whoever asks for any."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class LabServer:
    """JupyterLab on the notebooks of ``root``, with every setting and state in ``state``; or what ``kit lab`` opens."""

    def __init__(self, root: Path, state: Path, *, kit_lab: bool = False) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.root = root
        self._log = (state / "server.log").open("w")
        start = ["kit", "lab", f"--notebooks={root}", "--"] if kit_lab else ["jupyter", "lab"]
        folder = [] if kit_lab else [f"--ServerApp.root_dir={root}"]
        command = [sys.executable, "-m", *start, *_LAB_OPTIONS, f"--port={port}", *folder]
        self._process = subprocess.Popen(
            command, env=self._environment(state), stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._await_start(state)

    @staticmethod
    def _environment(state: Path) -> dict[str, str]:
        for name, values in _SETTINGS.items():
            path = state / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        return os.environ | {variable: str(state / folder) for variable, folder in folders.items()}

    def _await_start(self, state: Path, timeout: float = 180.0) -> None:
        end = time.monotonic() + timeout
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=10).close()
                return
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError((state / "server.log").read_text()) from None
                time.sleep(0.1)

    def end_kernels(self) -> None:
        """Shut every kernel down, as from the list of running ones."""
        with urllib.request.urlopen(f"{self.url}/api/kernels", timeout=60) as answer:
            kernels = json.load(answer)
        for kernel in kernels:
            request = urllib.request.Request(f"{self.url}/api/kernels/{kernel['id']}", method="DELETE")
            with contextlib.suppress(urllib.error.HTTPError):  # it has ended by itself
                urllib.request.urlopen(request, timeout=60).close()

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Yield a headless Chromium."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=_CHROMIUM_OPTIONS, timeout=180_000
        )
        try:
            yield chromium
        finally:
            chromium.close()


def new_page(chromium: Any, width: int, height: int) -> Any:
    """Open a page that has time."""
    context = chromium.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(_STEP)
    return context.new_page()


def await_kernel(page: Any, timeout: float = 180_000) -> None:
    """Wait until the kernel of the page's notebook is idle."""
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=timeout,
    )


def resize(page: Any, width: int, height: int, panel: Any) -> None:
    """Change the size of a page, and wait until a panel has taken its new width and keeps it."""
    page.set_viewport_size({"width": width, "height": height})

    def settled() -> bool:
        before = panel.bounding_box()
        page.wait_for_timeout(400)
        after = panel.bounding_box()
        return bool((before["x"], before["width"]) == (after["x"], after["width"]) and after["width"] <= width)

    until(settled, f"the page is laid out anew in {width} pixels")


def open_notebook(page: Any, server: LabServer, name: str, timeout: float = 180_000) -> None:
    """Open a notebook and wait until its kernel is idle."""
    page.goto(f"{server.url}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=timeout)
    await_kernel(page, timeout)


def run_all(page: Any, timeout: float = 300_000) -> None:
    """Run every cell and wait for the end."""
    page.evaluate(
        """() => { window.ranAll = false;
        window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ranAll = true; });
        return null; }"""
    )
    page.wait_for_function("() => window.ranAll === true", timeout=timeout)


def cell(page: Any, containing: str) -> Any:
    """Return the code cell whose source contains a text."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    return cells.filter(has=page.locator(".jp-InputArea", has_text=containing)).first

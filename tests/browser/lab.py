"""A real JupyterLab on loopback, driven in headless Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_PATIENCE = 20_000
"""Milliseconds that a page has to show what is expected of it: a machine that runs other tests beside takes long."""

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
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
]


class LabServer:
    """JupyterLab on the notebooks of ``root``, with every setting and state in ``state``; or what ``kit lab`` opens."""

    def __init__(self, root: Path, state: Path, *, kit_lab: bool = False) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
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

    def _await_start(self, state: Path, timeout: float = 60.0) -> None:
        end = time.monotonic() + timeout
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError((state / "server.log").read_text()) from None
                time.sleep(0.1)

    def end_kernels(self) -> None:
        """Shut every kernel down, as from the list of running ones."""
        with urllib.request.urlopen(f"{self.url}/api/kernels", timeout=10) as answer:
            kernels = json.load(answer)
        for kernel in kernels:
            request = urllib.request.Request(f"{self.url}/api/kernels/{kernel['id']}", method="DELETE")
            urllib.request.urlopen(request, timeout=20).close()

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a headless Chromium."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=_CHROMIUM_OPTIONS)
        try:
            yield chromium
        finally:
            chromium.close()


def open_notebook(page: Any, server: LabServer, name: str, timeout: float = 60_000) -> None:
    """Open a notebook and wait until its kernel is idle."""
    page.goto(f"{server.url}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=timeout)
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=timeout,
    )


def run_all(page: Any, timeout: float = 120_000) -> None:
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

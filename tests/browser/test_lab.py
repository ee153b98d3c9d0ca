"""`kit lab` in a real browser: Run all, and the cockpit is live at the right."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.lab import CHROMIUM, await_kernel, browser, copy_quickstart, free_port, new_page
from tests.browser.leftovers import left_of, running

SCREENSHOTS = Path(__file__).parent / "screenshots"
PLACES = {
    "KIT_STATE": "state",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "IPYTHONDIR": "ipython",
}
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); return null; }"


@pytest.fixture
def kit_lab(tmp_path):
    """Run `kit lab` on a copy of the quickstart; yield its address and its process."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    SCREENSHOTS.mkdir(exist_ok=True)
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    copy_quickstart(notebooks)
    port = free_port()
    command = [
        *(sys.executable, "-m", "kit", "lab", "--notebooks", str(notebooks), "--", "--no-browser", "--allow-root"),
        *(f"--port={port}", "--ip=127.0.0.1", "--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True"),
        "--IdentityProvider.token=",  # for tests only: the server listens on loopback and dies with the test
    ]
    environment = os.environ | {name: str(tmp_path / place) for name, place in PLACES.items()}
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(url, process), "JupyterLab to come up", timeout=180)
        yield url, process
    finally:
        for left in [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        process.wait()


def answers(url, process):
    assert process.poll() is None
    try:
        urllib.request.urlopen(f"{url}/api/status", timeout=10).close()
    except OSError:
        return False
    return True


def test_run_all_makes_a_live_cockpit_right(kit_lab, tmp_path):
    url, process = kit_lab
    with browser() as chromium:
        page = new_page(chromium, 1500, 950)
        page.goto(url)
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=180_000)
        await_kernel(page)
        right = page.locator(".jp-LinkedOutputView")
        expect(right).to_have_count(1)
        began = time.monotonic()
        page.evaluate(RUN_ALL)
        expect(right.locator(".banner").first).to_contain_text("LIVE ON TESTNET", timeout=180_000)
        expect(right.locator(".kit-orders tbody tr").first).to_be_visible(timeout=60_000)
        print(f"live {time.monotonic() - began:.1f} s after Run all")
        left, beside = page.locator(".jp-NotebookPanel").bounding_box(), right.bounding_box()
        assert left["x"] + left["width"] <= beside["x"]
        await_kernel(page)
        expect(right.locator(".banner").first).to_contain_text("LIVE ON TESTNET")  # nothing has stopped it
        page.screenshot(path=SCREENSHOTS / "kit-lab.png")
    children = running(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    assert left_of(children, tmp_path / PLACES["KIT_STATE"]) == []

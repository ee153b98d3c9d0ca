"""Voilà serves the quickstart: the first page trades, a second one is a view of it."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.lab import CHROMIUM, browser, copy_quickstart, free_port, new_page
from tests.browser.leftovers import left_of, running

SCREENSHOTS = Path(__file__).parent / "screenshots"

SHOWN = 480_000
"""Milliseconds that a page has to show the cockpit. The kernel starts and runs the whole notebook meanwhile; and where
it does not tell all widgets within 4 s, the page asks for them one by one, which takes half as long again."""


class VoilaServer:
    """Voilà on a copy of the quickstart, with a state folder of its own."""

    def __init__(self, folder):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "voila.log"
        copy_quickstart(folder)
        places = {
            "KIT_STATE": "state",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        environment = os.environ | {name: str(folder / place) for name, place in places.items()}
        self._output = self.log.open("w")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "voila", "00_quickstart.ipynb", "--no-browser", "--Voila.ip=127.0.0.1"),
                *(f"--port={port}", "--Voila.port_retries=0", "--Voila.log_level=INFO"),
            ],
            cwd=folder,
            env=environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def await_start(self):
        until(self._answers, f"Voilà comes up; its log is {self.log}", timeout=180)

    def _answers(self):
        assert self._process.poll() is None, self.log.read_text()
        try:
            urllib.request.urlopen(f"{self.url}/voila/static/", timeout=10).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def processes(self):
        """Return the server's processes, kernels, exchanges, guards, with their command lines."""
        return running(self._process.pid)

    def stop(self):
        """End it and return what of it still runs after a while."""
        processes = self.processes()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(90)
        finally:
            self._process.kill()
            self._output.close()
        return left_of(processes, self.log.parent / "state")


@pytest.fixture
def voila(tmp_path):
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    SCREENSHOTS.mkdir(exist_ok=True)
    server = VoilaServer(tmp_path)
    try:
        server.await_start()
        yield server
    finally:
        server.stop()


RENDERER = re.compile(r"/@jupyter-widgets/jupyterlab-manager/static/.*\.js")


def let_the_renderer_wait(page):
    """Let ipywidgets' renderer wait for a model for as long as it takes.

    It gives up after 2 s without a last look, for good where the models have come meanwhile ("model not found"). On
    the quickstart's page they come after some 2.2 s, as plotly draws first, so a busy browser may lose this race.
    """

    def serve(route):
        answer = route.fetch(timeout=180_000)
        route.fulfill(response=answer, body=re.sub(r"(Date\.now\(\)-\w+<)2e3", r"\g<1>9e5", answer.text()))

    page.route(RENDERER, serve)


def open_page(chromium, url):
    """Return the page and its cockpit; without one the test says what the page said."""
    page, said = new_page(chromium, 1000, 1400), []
    let_the_renderer_wait(page)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text[:200]}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("websocket", lambda socket: (said.append(socket.url), watch(socket, said)))
    page.goto(url, wait_until="commit", timeout=180_000)
    cockpit = page.locator(".kit-cockpit").first
    try:
        cockpit.wait_for(timeout=SHOWN)
    except PlaywrightTimeoutError:
        pytest.fail("no cockpit; the page said:\n" + "\n".join(line for line in said if "ersion" not in line))
    return page, cockpit


def watch(socket, said, most=40):
    """Note the kinds of the first messages of a socket, and its end."""
    noted = 0

    def note(way, payload):
        nonlocal noted
        found = re.search(rb'"msg_type": ?"(\w+)"', payload if isinstance(payload, bytes) else payload.encode())
        if noted < most and found:
            noted += 1
            said.append(f"{way} {found[1].decode()}, {len(payload)} bytes")

    socket.on("framesent", lambda payload: note("sent", payload))
    socket.on("framereceived", lambda payload: note("received", payload))
    socket.on("close", lambda _: said.append("the socket was closed"))


def test_the_first_page_trades_and_a_second_one_is_a_view(voila):
    with browser() as chromium:
        show_both(chromium, voila)
    assert voila.stop() == []


def show_both(chromium, voila):
    first, cockpit = open_page(chromium, voila.url)
    banner = cockpit.locator(".banner").first
    expect(banner).to_contain_text("LIVE ON TESTNET", timeout=60_000)
    expect(cockpit.locator("canvas").first).to_be_visible()
    rows = cockpit.locator(".kit-orders tbody tr")
    expect(rows.first).to_be_visible(timeout=60_000)
    first.screenshot(path=SCREENSHOTS / "voila-first.png")

    second, view = open_page(chromium, voila.url)
    banner = view.locator(".banner").first
    expect(banner).to_contain_text("READ ONLY", timeout=60_000)
    expect(banner).to_contain_text(re.compile(r"Core 'main' runs in .* \(pid \d+, since .*; this is a view of it"))
    expect(view.locator(".kit-orders tbody tr").first).to_be_visible(timeout=60_000)
    for button in ("Start", "Stop"):
        for found in view.get_by_role("button", name=button, exact=True).all():
            expect(found).to_be_disabled()
    second.screenshot(path=SCREENSHOTS / "voila-second.png")
    expect(cockpit.locator(".banner").first).to_contain_text("LIVE ON TESTNET")

    assert sum("ipykernel_launcher" in command for command in voila.processes().values()) == 2

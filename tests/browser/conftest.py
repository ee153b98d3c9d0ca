import shutil
from pathlib import Path

import pytest

from tests.browser import lab as lab_module
from tests.browser.exchange import Exchange

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    if not lab_module.CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    root, state = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("lab")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, root)
    lab_module.copy_quickstart(root)
    server = lab_module.LabServer(root, state)
    yield server
    server.stop()


# Not of the whole session: while Playwright is there, no coroutine test can run.
@pytest.fixture(scope="module")
def chromium(lab):
    with lab_module.browser() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def exchange(lab):
    exchange = Exchange("browser tests")
    exchange.tell(lab.root)
    yield exchange
    exchange.stop()


@pytest.fixture
def page(chromium, lab):
    page = lab_module.new_page(chromium, 1280, 1000)
    yield page
    page.context.close()
    lab.end_kernels()


@pytest.fixture
def screenshot(page):
    SCREENSHOTS.mkdir(exist_ok=True)
    return lambda name: page.screenshot(path=SCREENSHOTS / f"{name}.png")

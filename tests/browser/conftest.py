import shutil
from pathlib import Path

import pytest

from tests.browser import lab as lab_module

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if not lab_module.CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    root, state = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("state")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, root)
    server = lab_module.LabServer(root, state)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chromium(lab):
    with lab_module.browser() as chromium:
        yield chromium


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    yield context.new_page()
    context.close()


@pytest.fixture
def screenshot(page):
    SCREENSHOTS.mkdir(exist_ok=True)
    return lambda name: page.screenshot(path=SCREENSHOTS / f"{name}.png")

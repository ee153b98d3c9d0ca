"""Keys and presets in a real JupyterLab: typed, kept, found again, and in no file of the notebook's."""

import contextlib
import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.notebook import Notebook

NAME = "keys.ipynb"
CELLS = [
    "import kit\nimport kit.notebook as panels\nimport kit.notebook.saving",
    "panels.keys()",
    """from decimal import Decimal

class Walker(kit.Strategy):
    class Params(kit.Params):
        spread: Decimal = kit.param("0.001", gt=0, lt="0.05", step="0.0001", unit="fraction", doc="distance from mid")
        levels: int = kit.param(2, ge=1, le=10, step=1, doc="orders on each side")
        calm: bool = kit.param(True)

strategy = Walker()
panels.controls(strategy)""",
]
KEY, SECRET, PHRASE = "typed-api-key-4711", "typed-secret-0815", "typed four words"


# Two clicks on a button that forgets the first one after some seconds.
CLICK_TWICE = """button => {
    if (button.textContent === 'remove') button.click();
    const asked = button.textContent;
    button.click();
    return asked; }"""


def spread(numbers):
    return max(numbers) - min(numbers)


@pytest.fixture
def notebook(lab, page):
    # The panel's file of keys and the presets go into the tests' config folder, which the kernel inherits.
    notebook = Notebook.write(page, lab, NAME, CELLS)
    notebook.run_all()
    yield notebook
    for path in Path(os.environ["KIT_CONFIG"]).glob("keys.json*"):
        path.unlink()


def test_a_key_is_typed_and_in_no_file_in_plain_text(notebook, page, lab, screenshot):
    kernel = notebook.ask
    panel = page.locator(".kit-keys")
    expect(panel.locator("details")).to_have_attribute("open", "")
    assert kernel("print(kit.notebook.saving.widget_state_saving())") == "False"
    notebook.command("@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    saving = "print(kit.notebook.saving.widget_state_saving())"
    until(lambda: kernel(saving) == "True", "it is known that state is saved", timeout=60)
    told = "print(kit.notebook.saving._word.page)"
    until(lambda: kernel(told) == "True", "the page itself told, not a file of settings on this machine", timeout=60)

    def entry(name):
        return panel.locator(f"input[data-name={name}]")

    # What is missing is asked for; passphrases that differ are told and nothing is stored.
    panel.get_by_role("button", name="Store the key").click()
    expect(panel.locator(".entries .said")).to_have_text("enter the exchange")
    screenshot("keys-empty-light")
    for name, text in (("exchange", "binance"), ("key", KEY), ("secret", SECRET), ("passphrase", PHRASE)):
        entry(name).fill(text)
    entry("again").fill("another one")
    entry("again").press("Enter")
    expect(panel.locator(".entries .said")).to_have_text("the two passphrases differ")
    assert entry("passphrase").input_value() == ""
    entry("passphrase").fill(PHRASE)
    entry("again").fill(PHRASE)
    screenshot("keys-typed-light")
    entry("again").press("Enter")
    for name in ("key", "secret", "password", "passphrase", "again"):
        assert entry(name).input_value() == ""  # at once, not when the answer is there
    expect(panel.locator("tbody tr")).to_have_count(1, timeout=60_000)
    expect(panel.locator(".entries .said")).to_contain_text("binance/main is stored in the file")
    expect(entry("passphrase")).to_be_hidden()
    screenshot("keys-stored-light")
    found = kernel(
        f"import kit.config\nprint(kit.config.find_credentials('binance') == kit.Credentials('{KEY}', '{SECRET}'))"
    )
    assert found == "True"

    # The notebook is saved with the state of its widgets, and holds nothing of it; nor does any file around.
    notebook.command("docmanager:save")
    until(lambda: "widget-state" in notebook.path.read_text(), "the state of the widgets is in the notebook")
    for folder in (lab.root, lab.root.parent, Path(os.environ["KIT_CONFIG"]), Path(os.environ["KIT_STATE"])):
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # what others that run here have deleted since
                if path.is_file() and path.stat().st_size < 5_000_000:
                    content = path.read_bytes()
                    for typed in (KEY, SECRET, PHRASE):
                        assert typed.encode() not in content, path

    # Removing takes a second click.
    notebook.theme("Dark")
    screenshot("keys-stored-dark")
    remove = panel.get_by_role("button", name="remove binance/main")
    remove.click()
    assert kernel("print(kit.config.find_credentials('binance') is None)") == "False"
    assert remove.evaluate(CLICK_TWICE) == "really?"
    expect(panel.locator(".none")).to_be_visible()
    notebook.command("@jupyter-widgets/jupyterlab-manager:saveWidgetState")
    notebook.theme("Light")


def test_presets_in_the_form(notebook, page, screenshot):
    kernel = notebook.ask
    form = page.locator(".kit-controls")
    said = form.locator(".said")
    form.locator("[data-name=spread] input[type=text]").fill("0.4")
    form.locator("[data-name=levels] input[type=text]").fill("5")
    form.locator(".preset-name").fill("wide")
    form.locator(".preset-name").press("Enter")
    expect(said).to_have_text("saved as wide")
    assert kernel("print(strategy.params.spread, strategy.params.levels)") == "0.001 2"
    form.get_by_role("button", name="Revert").click()
    expect(form.locator("[data-name=levels] input[type=text]")).to_have_value("2")
    screenshot("presets-saved-light")

    # Loading fills the form and applies nothing; Apply applies it as one set.
    form.get_by_label("preset to load").select_option("wide")
    form.get_by_role("button", name="Load").click()
    expect(said).to_have_text("wide changes 2 values; Apply applies it")
    expect(form.locator("[data-name=spread] input[type=text]")).to_have_value("0.4")
    screenshot("presets-loaded-light")
    assert kernel("print(strategy.params.spread, strategy.params.levels)") == "0.001 2"
    form.get_by_role("button", name="Apply 2 changes").press("Enter")
    expect(said).to_have_text("applied")
    assert kernel("print(strategy.params.spread, strategy.params.levels)") == "0.004 5"

    # One that is there is replaced by a second click; a set that is wrong is not kept.
    form.locator("[data-name=levels] input[type=text]").fill("7")
    form.locator(".preset-name").fill("wide")
    form.get_by_role("button", name="Save as").click()
    expect(said).to_contain_text("once more replaces it")
    form.get_by_role("button", name="Replace").click()
    expect(said).to_have_text("saved as wide")
    form.locator("[data-name=levels] input[type=text]").fill("70")
    form.locator(".preset-name").fill("wrong")
    form.get_by_role("button", name="Save as").click()
    expect(form.locator("[data-name=levels]")).to_contain_text("out of range")
    assert kernel("print(list(kit.presets('Walker')['preset']))") == "['wide']"
    # In a panel as narrow as a side bar the presets stay on one line.
    form.evaluate("element => { element.style.width = '330px'; }")
    parts = form.locator(".presets > *").all()
    until(lambda: spread([part.bounding_box()["y"] for part in parts]) < 8, "the presets are on one line")
    screenshot("presets-narrow-light")
    form.evaluate("element => { element.style.width = ''; }")
    # What is saved in code shows.
    kernel("strategy.params.save('calm')")
    expect(form.get_by_label("preset to load").locator("option")).to_have_text(["preset…", "calm", "wide"])

"""One notebook in JupyterLab, as a user has it open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from tests.browser.lab import LabServer, open_notebook, run_all

# The colours on a canvas, but for the ground: nothing drawn is nothing found.
COLOURS = """canvas => {
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    const found = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) found.add(data.slice(i, i + 3).join());
    return found.size; }"""

# What the notebook holds, whether or not it is drawn yet.
_ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .flatMap(cell => cell.model.type === 'code' ? cell.model.outputs.toJSON() : [])
    .filter(output => output.output_type === 'error')
    .map(output => `${output.ename}: ${output.evalue}`)"""

# Ask the kernel, as a cell would, and return what it prints, or its error.
_ASK = """async code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    let text = '';
    const future = kernel.requestExecute({ code, store_history: false });
    future.onIOPub = message => {
        if (message.header.msg_type === 'stream' && message.content.name === 'stdout') text += message.content.text;
        if (message.header.msg_type === 'error') text += message.content.ename + ': ' + message.content.evalue;
    };
    const limit = new Promise((_, fail) => setTimeout(() => fail(new Error('no answer within 180 s')), 180000));
    await Promise.race([future.done, limit]);
    return text; }"""

_BEGIN = """code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const cell = kernel.requestExecute({ code, store_history: false });
    window.blocked = null;
    cell.onIOPub = message => { if (message.header.msg_type === 'execute_input') window.blocked = true; };
    cell.done.finally(() => { window.blocked = false; });
    return null; }"""

_RUN_CELL = """number => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.deselectAll();
    notebook.activeCellIndex = number;
    window.jupyterapp.commands.execute('notebook:run-cell');
    return null; }"""

# When the cell that shows the cockpit began to run, and when the depth chart was drawn; ms of the page's clock.
_IDLE = """() => {
    const all = [...(window.jupyterapp?.shell.widgets('main') ?? [])];
    const notebook = window.notebook = all.find(widget => widget.content?.widgets && widget.sessionContext);
    return notebook?.sessionContext.session?.kernel?.status === 'idle'; }"""
_RUN_ALL_AT = """() => {
    const { notebook, jupyterapp: { shell, commands } } = window;
    const seen = window.seen = { cells: [], began: performance.now() };
    notebook.sessionContext.iopubMessage.connect((_, message) => {
        if (message.header.msg_type === 'execute_input') seen.cells.push(performance.now());
    });
    const look = () => {
        for (const canvas of document.querySelectorAll('.kit-cockpit .kit-depth canvas')) {
            if (!canvas.width || seen.depth) continue;
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const colours = new Set();
            for (let i = 0; i < data.length; i += 16) if (data[i + 3] > 200) colours.add(data.slice(i, i + 3).join());
            if (colours.size > 4) seen.depth = performance.now();
        }
        if (!seen.cockpit && document.querySelector('.kit-cockpit')) seen.cockpit = performance.now();
        if (!seen.depth) setTimeout(look, 20);
    };
    look();
    shell.activateById(notebook.id);
    window.ranAll = false;
    commands.execute('notebook:run-all-cells').finally(() => { window.ranAll = true; });
    return null; }"""


@dataclass(frozen=True)
class StartTimes:
    """Seconds from Run all, and from the start of the cell that shows it, to the first frame of the depth chart."""

    live: float
    depth: float


def run_all_at(page: Any) -> None:
    """Wait for the page's one notebook and its kernel, and run every cell, noting when what shows."""
    page.wait_for_function(_IDLE, timeout=90_000)
    page.evaluate(_RUN_ALL_AT)


def start_times(page: Any, timeout: float = 60.0) -> StartTimes:
    """Wait for the cockpit after ``run_all_at`` and return how long it took."""
    page.wait_for_function("() => window.seen.depth", timeout=timeout * 1000)
    seen = page.evaluate("() => window.seen")
    cell = max(at for at in seen["cells"] if at <= seen["cockpit"])
    return StartTimes((seen["depth"] - seen["began"]) / 1000, (seen["depth"] - cell) / 1000)


class Notebook:
    """A notebook with a kernel of its own."""

    def __init__(self, page: Any, lab: LabServer, name: str) -> None:
        self.page, self.lab, self.name = page, lab, name

    @classmethod
    def write(cls, page: Any, lab: LabServer, name: str, cells: list[str]) -> Notebook:
        """Write a notebook of these cells, and open it."""
        content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(content, lab.root / name)
        return cls(page, lab, name).open()

    @property
    def path(self) -> Path:
        """The file."""
        return self.lab.root / self.name

    def open(self) -> Notebook:
        """Show it in light colours, whatever an earlier test left, and wait for its kernel."""
        open_notebook(self.page, self.lab, self.name)
        if self.page.evaluate("() => document.body.dataset.jpThemeLight") != "true":
            self.theme("Light")
        return self

    def run_all(self, timeout: float = 300.0) -> None:
        """Run every cell and wait for the end."""
        run_all(self.page, timeout * 1000)

    def errors(self) -> list[str]:
        """Return the errors that the cells ended with."""
        return list(self.page.evaluate(_ERRORS))

    def begin_cell(self, number: int) -> None:
        """Start one cell and do not wait for its end."""
        self.page.evaluate(_RUN_CELL, number)

    def ask(self, code: str) -> str:
        """Run code in the kernel, as a cell would, and return what it printed."""
        return str(self.page.evaluate(_ASK, code)).strip()

    def sleep(self, seconds: float) -> None:
        """Have a cell block the kernel, and wait until it does."""
        self.page.evaluate(_BEGIN, f"import time\ntime.sleep({seconds})")
        self.page.wait_for_function("() => window.blocked === true")

    @property
    def sleeps(self) -> bool:
        """Whether the cell of ``sleep`` has not ended."""
        return bool(self.page.evaluate("() => window.blocked"))

    def interrupt(self) -> None:
        """Press the stop button, and wait for the end of the cell of ``sleep``."""
        self.command("notebook:interrupt-kernel")
        self.page.wait_for_function("() => window.blocked === false")

    def command(self, name: str) -> None:
        """Run a command of JupyterLab and wait for its end."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name).then(() => null)", name)

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme (``Light`` or ``Dark``) and wait until it shows."""
        change = (
            "name => { window.jupyterapp.commands.execute('apputils:change-theme', { theme: name }); return null; }"
        )
        self.page.evaluate(change, f"JupyterLab {name}")
        light = "true" if name == "Light" else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")
        # The style sheet comes later than the attribute, and panels repaint by it.
        dark = "const c = getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim();"
        is_light = f"() => {{ {dark} return /^(white|#fff|rgb\\(255)/.test(c) === {light}; }}"
        self.page.wait_for_function(is_light)
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

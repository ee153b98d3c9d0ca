"""A panel on an empty page, without JupyterLab: the test is the kernel."""

from __future__ import annotations

from typing import Any

_SHOW = """async ([source, snapshot, kernel]) => {
    const listeners = new Set();
    window.tell = message => { for (const listener of listeners) listener(message, []); };
    const model = {
        get: name => name === 'snapshot' ? snapshot : undefined,
        widget_manager: kernel ? { kernel: {} } : {},
        send: async message => {
            if (message.kind === 'view') window.visible = message.visible;
            if (window.toKernel) for (const answer of await window.toKernel(message)) window.tell(answer);
        },
        on: (_, listener) => listeners.add(listener),
        off: (_, listener) => listeners.delete(listener),
    };
    const script = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    const { default: widget } = await import(script);
    window.leave = widget.render({ model, el: document.body });
    window.painted = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))); }"""


def show(page: Any, widget: Any, *, snapshot: str = "", kernel: bool = False) -> None:
    """Draw a widget's class; ``kernel`` tells its manager's word for whether there is one.

    The page then has ``tell(message)``, ``painted()``, ``leave()`` and ``visible``; what the panel says goes to a
    function ``toKernel`` if the page has one, which returns the messages to answer with.
    """
    page.add_style_tag(content=widget._css)
    page.evaluate(_SHOW, [widget._esm, snapshot, kernel])

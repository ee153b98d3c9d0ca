"""The only folder that knows Jupyter: how books, orders and the core show themselves there."""

from kit.notebook.panels import cockpit, controls, depth, health, ladder, orders, red_button, switch
from kit.notebook.plots import plot_depth
from kit.notebook.subshell import red_path

__all__ = [
    "cockpit",
    "controls",
    "depth",
    "health",
    "ladder",
    "orders",
    "plot_depth",
    "red_button",
    "red_path",
    "switch",
]

"""The only folder that knows Jupyter: how books, orders and the core show themselves there."""

from kit.notebook.panels import (
    balances,
    cockpit,
    controls,
    depth,
    health,
    keys,
    ladder,
    log,
    orders,
    pnl,
    price,
    red_button,
    switch,
)
from kit.notebook.plots import plot_depth, plot_pnl
from kit.notebook.subshell import red_path

__all__ = [
    "balances",
    "cockpit",
    "controls",
    "depth",
    "health",
    "keys",
    "ladder",
    "log",
    "orders",
    "plot_depth",
    "plot_pnl",
    "pnl",
    "price",
    "red_button",
    "red_path",
    "switch",
]

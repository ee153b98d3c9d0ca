"""The only folder that knows Jupyter: how books, orders and the core show themselves there."""

from kit.notebook.panels import controls, depth, ladder, orders
from kit.notebook.plots import plot_depth

__all__ = ["controls", "depth", "ladder", "orders", "plot_depth"]

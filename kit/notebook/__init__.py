"""The only folder that knows Jupyter: how books, orders and the core show themselves there."""

from kit.notebook.error_list import ERRORS
from kit.notebook.panels import controls, depth, ladder, orders
from kit.notebook.plots import plot_depth

errors = ERRORS

__all__ = ["controls", "depth", "errors", "ladder", "orders", "plot_depth"]

"""The only folder that knows Jupyter: how books, orders and the core show themselves there."""

from kit.notebook.plots import plot_depth

__all__ = ["plot_depth"]

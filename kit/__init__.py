"""Live crypto trading from a Jupyter notebook: safe, fast and pleasant."""

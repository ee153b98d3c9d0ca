"""Frozen values that every other part speaks: markets, orders, events, and the ports between them."""

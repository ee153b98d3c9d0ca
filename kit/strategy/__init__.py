"""Strategies: parameters, proposals, the base class and pure market making."""

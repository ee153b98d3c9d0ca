"""Venues behind three ports, and the connector that a strategy sees."""

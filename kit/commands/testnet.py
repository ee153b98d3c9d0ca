"""`kit testnet`: the loopback exchange by itself."""

from kit.testnet.command import configure, run

__all__ = ["configure", "run"]

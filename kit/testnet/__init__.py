"""An exchange on loopback that speaks real exchanges' wire protocols.

``Testnet`` runs one as a process of its own; ``kit testnet`` runs one by hand.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.testnet.process import Testnet as Testnet

__all__ = ["Testnet"]


def __getattr__(name: str) -> object:
    if name == "Testnet":  # loaded when it is asked for: it brings aiohttp along
        from kit.testnet.process import Testnet

        return Testnet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

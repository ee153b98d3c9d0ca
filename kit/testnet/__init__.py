"""An exchange on loopback that speaks real exchanges' wire protocols.

``Testnet`` runs one as a process of its own; ``kit testnet`` runs one by hand.
"""

from kit.testnet.process import Testnet

__all__ = ["Testnet"]

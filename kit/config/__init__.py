"""Settings and credentials of this machine's user.

Keys are looked for in the environment (``KIT_BINANCE_KEY``, ``KIT_BINANCE_SECRET``), then in the operating system's
keyring, then in an encrypted file in the config folder. Nothing here shows a key, and only ``find_credentials`` returns
one.
"""

from kit.config.folders import config_folder
from kit.config.passphrases import ask_with
from kit.config.store import find_credentials, missing_credentials, store, unlock

__all__ = ["ask_with", "config_folder", "find_credentials", "missing_credentials", "store", "unlock"]

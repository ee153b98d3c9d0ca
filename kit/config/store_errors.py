"""What can go wrong with stored keys."""

from __future__ import annotations

from kit.errors import FixInput, InvalidInput, MissingCredentials


class StoreLocked(MissingCredentials):
    """The encrypted file holds the key, but nobody has said its passphrase in this process."""


class WrongPassphrase(InvalidInput):
    """The passphrase does not open the encrypted file."""


class StoreDamaged(FixInput):
    """A file of the kit's cannot be understood, or was changed by something else."""


class StoreUnwritable(FixInput):
    """The file of keys, or its folder, cannot be written."""


class NoKeyring(FixInput):
    """This machine has no keyring that the kit may use."""

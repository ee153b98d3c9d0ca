"""Encryption under a passphrase: scrypt makes the key, AES-GCM hides and seals.

Nothing here is invented: scrypt as in RFC 7914 with the work that OWASP recommends (n = 2^17, r = 8, p = 1: 128 MB and
half a second), AES-256-GCM with a random nonce for every text. The label of each text is sealed with it, so that texts
cannot be swapped.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

WORK: Final = 2**17
"""How many times scrypt mixes; twice the number is twice the time and the memory."""

_LARGEST_WORK: Final = 2**20


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a passphrase becomes a key: scrypt's work and salt."""

    work: int
    salt: bytes

    @classmethod
    def fresh(cls, work: int = WORK) -> Recipe:
        """Return a recipe with a salt that was never used."""
        return cls(work, os.urandom(16))

    @classmethod
    def read(cls, values: Any) -> Recipe:
        """Read what ``as_dict`` wrote; raises ``ValueError``, ``KeyError`` or ``TypeError`` for anything else."""
        work, salt = values["n"], base64.b64decode(values["salt"], validate=True)
        if values["name"] != "scrypt" or type(work) is not int or len(salt) < 16:
            raise ValueError("unknown recipe")
        if not 2 <= work <= _LARGEST_WORK or work & (work - 1):
            raise ValueError("unreasonable work")
        return cls(work, salt)

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return {"name": "scrypt", "n": self.work, "r": 8, "p": 1, "salt": base64.b64encode(self.salt).decode()}

    def key(self, passphrase: str) -> SealKey:
        """Return the key: half a second of work at the usual setting."""
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        return SealKey(Scrypt(salt=self.salt, length=32, n=self.work, r=8, p=1).derive(passphrase.encode()))


@dataclass(frozen=True, slots=True)
class SealKey:
    """A key made from a passphrase; it shows nothing of itself."""

    _raw: bytes = field(repr=False)

    def seal(self, label: str, plain: bytes) -> dict[str, str]:
        """Return ``plain`` hidden and sealed together with its label, as JSON values."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        data = AESGCM(self._raw).encrypt(nonce, plain, label.encode())
        return {"nonce": base64.b64encode(nonce).decode(), "data": base64.b64encode(data).decode()}

    def open(self, label: str, sealed: Mapping[str, str]) -> bytes | None:
        """Return what was sealed, or ``None`` when it was under another key or label, or was changed since."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            nonce, data = (base64.b64decode(sealed[name], validate=True) for name in ("nonce", "data"))
            return AESGCM(self._raw).decrypt(nonce, data, label.encode())
        except (InvalidTag, ValueError, KeyError, TypeError):
            return None

    def __reduce__(self) -> Any:
        raise TypeError("a key is never pickled")

"""The names under which keys are kept: an exchange and an account there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kit.errors import InvalidInput
from kit.types.ports import Credentials

MAIN: Final = "main"
"""The account that is meant where none is named."""

_EXCHANGE: Final = re.compile(r"[a-z0-9_]{1,40}")
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PEM: Final = re.compile(r"(-----BEGIN [A-Z ]+-----)([A-Za-z0-9+/=\s]+)(-----END [A-Z ]+-----)")


@dataclass(frozen=True, slots=True, order=True)
class KeyName:
    """An exchange by ccxt's id, and what the user calls the account there; raises ``InvalidInput``."""

    exchange: str
    account: str = MAIN

    def __post_init__(self) -> None:
        if not _EXCHANGE.fullmatch(self.exchange):
            raise InvalidInput(
                f"{self.exchange!r} cannot be an exchange: give ccxt's id in small letters, such as 'binance'"
            )
        if not _ACCOUNT.fullmatch(self.account):
            raise InvalidInput(
                f"{self.account!r} cannot name an account: 1 to 40 letters, digits, '-' and '_', such as 'main'"
            )

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read ``exchange`` or ``exchange/account``."""
        exchange, slash, account = text.partition("/")
        return cls(exchange, account if slash else MAIN)

    def __str__(self) -> str:
        return f"{self.exchange}/{self.account}"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """Where a key is kept, without the key: ``where`` is ``environment``, ``keyring`` or ``file``.

    ``used`` tells whether this is the one that is found; another place may come first.
    """

    exchange: str
    account: str
    where: str
    used: bool = True


def checked(api_key: str, secret: str, password: str | None = None) -> Credentials:
    """Return credentials without the white space that came along with them; raises ``InvalidInput``, naming no value.

    A secret may be a whole PEM block (RSA, Ed25519), also one whose line breaks were lost in a one-line field.
    """
    api_key, secret, password = api_key.strip(), secret.strip(), (password or "").strip() or None
    if block := _PEM.fullmatch(secret):
        secret = "\n".join((block[1], *re.findall(r"\S{1,64}", "".join(block[2].split())), block[3]))
    for name, value in (("API key", api_key), ("secret", secret)):
        if not value:
            raise InvalidInput(f"the {name} is empty; paste it from the exchange's page of API keys")
    if re.search(r"\s", api_key) or (re.search(r"\s", secret) and "-----BEGIN" not in secret):
        raise InvalidInput("the key or the secret has white space in the middle: it looks like more than was meant")
    if any(not text.isprintable() for line in (api_key, secret, password or "") for text in line.splitlines()):
        raise InvalidInput("the key or the secret holds control characters: paste it once more")
    return Credentials(api_key, secret, password)

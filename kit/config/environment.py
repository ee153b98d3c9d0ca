"""Keys in environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from kit.config.key_names import MAIN, KeyName, checked
from kit.errors import MissingCredentials
from kit.types.ports import Credentials

_VARIABLE: Final = re.compile(r"KIT_([A-Z0-9]{1,40})(?:_([A-Z0-9_]{1,40}))?_(?:KEY|SECRET)")


def variables(name: KeyName) -> tuple[str, str, str]:
    """Return the variables of a key's three parts: ``KIT_BINANCE_KEY``, ``KIT_BINANCE_SECRET``, ``…_PASSWORD``.

    Accounts other than main stand in the middle: ``KIT_BINANCE_HEDGE_KEY``.
    """
    account = "" if name.account == MAIN else "_" + name.account.upper().replace("-", "_")
    stem = f"KIT_{name.exchange.upper()}{account}"
    return f"{stem}_KEY", f"{stem}_SECRET", f"{stem}_PASSWORD"


class EnvironmentKeys:
    """The keys that stand in environment variables."""

    where = "environment"

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    def find(self, name: KeyName) -> Credentials | None:
        """Return the key, or ``None`` where neither part is set; raises ``MissingCredentials`` where one alone is."""
        key, secret, password = variables(name)
        found = [variable for variable in (key, secret) if self._environment.get(variable, "").strip()]
        if not found:
            return None
        if len(found) == 1:
            other = secret if found[0] == key else key
            raise MissingCredentials(f"{found[0]} is set, but {other} is not; set both, or neither")
        return checked(self._environment[key], self._environment[secret], self._environment.get(password))

    def names(self) -> tuple[KeyName, ...]:
        """Return the names that variables are set for, as far as variables can tell: accounts in small letters."""
        matches = (_VARIABLE.fullmatch(variable) for variable, value in self._environment.items() if value.strip())
        return tuple(
            sorted({KeyName(found[1].lower(), (found[2] or MAIN).lower()) for found in matches if found is not None})
        )

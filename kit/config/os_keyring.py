"""Keys in the operating system's keyring: Keychain, Credential Locker, Secret Service."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from kit.config.key_names import KeyName
from kit.config.store_errors import NoKeyring, StoreDamaged
from kit.types.ports import Credentials

logger = logging.getLogger(__name__)

_SERVICE: Final = "kit-trading"
_INDEX: Final = "names"
"""The entry that says which there are: keyrings can be asked for an entry, but not for a list."""


class KeyringKeys:
    """The keys in the keyring of the user's session; refuses keyrings that keep their entries in plain text."""

    where = "keyring"

    @property
    def backend(self) -> str:
        """Return which keyring it is."""
        import keyring

        return str(getattr(keyring.get_keyring(), "name", type(keyring.get_keyring()).__name__))

    @property
    def problem(self) -> str:
        """Return why no keyring can be used here, empty when one can."""
        import keyring

        backend = keyring.get_keyring()
        kind = f"{type(backend).__module__}.{type(backend).__name__}"
        if kind.startswith("keyring.backends.fail."):
            return "no keyring runs here (common on servers and in containers)"
        if kind.startswith("keyring.backends.null."):
            return "the keyring is switched off (PYTHON_KEYRING_BACKEND)"
        if kind.startswith("keyring.backends.chainer.") and not getattr(backend, "backends", ()):
            return "no keyring runs here"
        if "plaintext" in kind.lower():
            return f"{kind} keeps everything in plain text"
        return ""

    def find(self, name: KeyName) -> Credentials | None:
        """Return a key, or ``None`` where there is none, or no keyring; raises ``NoKeyring`` when it fails."""
        if self.problem:
            return None
        text = self._ask(str(name))
        if text is None:
            return None
        try:
            return Credentials(**json.loads(text))
        except (ValueError, TypeError):
            raise StoreDamaged(
                f"the keyring's entry of {name} cannot be understood; remove it (kit keys remove {name}) and add it "
                "again"
            ) from None

    def names(self) -> tuple[KeyName, ...]:
        """Return the names of the keys that were put there."""
        if self.problem:
            return ()
        try:
            return tuple(sorted(KeyName.parse(name) for name in json.loads(self._ask(_INDEX) or "[]")))
        except (ValueError, TypeError, AttributeError):
            logger.warning("the keyring's list of names cannot be understood; it begins anew with the next key")
            return ()

    def put(self, name: KeyName, credentials: Credentials) -> None:
        """Store a key, in place of the one that had the name; raises ``NoKeyring``."""
        if self.problem:
            raise NoKeyring(f"{self.problem}; use the encrypted file")
        parts = {"api_key": credentials.api_key, "secret": credentials.secret, "password": credentials.password}
        self._set(str(name), json.dumps(parts))
        self._set(_INDEX, json.dumps(sorted({*map(str, self.names()), str(name)})))

    def remove(self, name: KeyName) -> bool:
        """Forget a key; tell whether there was one."""
        if self.problem or self._ask(str(name)) is None:
            return False
        self._call("delete_password", str(name))
        self._set(_INDEX, json.dumps(sorted({*map(str, self.names())} - {str(name)})))
        return True

    def _ask(self, entry: str) -> str | None:
        answer: str | None = self._call("get_password", entry)
        return answer

    def _set(self, entry: str, text: str) -> None:
        self._call("set_password", entry, text)

    @staticmethod
    def _call(method: str, *arguments: str) -> Any:
        import keyring

        try:
            return getattr(keyring, method)(_SERVICE, *arguments)
        except Exception as error:  # noqa: BLE001  # backends raise whatever their system's library raises
            # Neither the cause nor its text: nobody knows what a backend puts there.
            raise NoKeyring(
                f"the keyring did not answer ({type(error).__name__}); is it unlocked? The encrypted file is the "
                "other way (kit keys add EXCHANGE --store file)"
            ) from None

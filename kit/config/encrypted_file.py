"""Keys in a file, each encrypted under one passphrase; their names stand in clear, so that listing asks for nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from kit.config.key_names import KeyName
from kit.config.passphrases import passphrase_for
from kit.config.private_files import held_alone, write_whole
from kit.config.sealing import WORK, Recipe, SealKey
from kit.config.store_errors import StoreDamaged, StoreUnwritable, WrongPassphrase
from kit.errors import InvalidInput
from kit.types.ports import Credentials

logger = logging.getLogger(__name__)

_FORMAT: Final = "kit keys 1"
_CHECK: Final = "check"
SHORTEST: Final = 8
"""Characters that a new passphrase must have."""


class EncryptedFile:
    """The file ``path``; its passphrase is asked for once per process, when the first key is needed.

    Only the key made from the passphrase is kept. ``work`` is scrypt's, for a file that is made anew. Safe from any
    thread, and between processes.
    """

    where = "file"

    def __init__(self, path: Path, *, work: int = WORK) -> None:
        self.path = path
        self._work = work
        self._opened: tuple[Recipe, SealKey] | None = None
        self._lock = threading.RLock()

    @property
    def exists(self) -> bool:
        """Tell whether there is such a file."""
        return self.path.exists()

    @property
    def locked(self) -> bool:
        """Tell whether the passphrase is needed before a key can be read; not where there is no file."""
        content = self._read()
        return content is not None and not self._fits(content)

    def names(self) -> tuple[KeyName, ...]:
        """Return the names of the keys that the file holds; raises ``StoreDamaged``."""
        content = self._read()
        return tuple(sorted(KeyName.parse(name) for name in content["keys"])) if content else ()

    def find(self, name: KeyName) -> Credentials | None:
        """Return a key, or ``None`` where the file has none of that name.

        Raises ``StoreLocked``, ``WrongPassphrase`` or ``StoreDamaged``.
        """
        content = self._read()
        if content is None or str(name) not in content["keys"]:
            return None
        plain = self._key(content).open(str(name), content["keys"][str(name)])
        if plain is None:
            raise StoreDamaged(
                f"{self.path}: the entry of {name} was changed by something else; remove it (kit keys remove {name}) "
                "and add it again"
            )
        return Credentials(**json.loads(plain))

    def unlock(self, passphrase: str) -> None:
        """Take in the passphrase; where there is no file, the one that it will have.

        Raises ``WrongPassphrase``, or ``InvalidInput`` for a new one that is too short.
        """
        with self._lock, self._changing():
            content = self._read()
            if content is not None:
                self._open(content, passphrase)
                return
            if len(passphrase) < SHORTEST:
                raise InvalidInput(
                    f"the passphrase of a new file must have at least {SHORTEST} characters; several words are best"
                )
            recipe = Recipe.fresh(self._work)
            key = recipe.key(passphrase)
            self._write({"recipe": recipe.as_dict(), "check": key.seal(_CHECK, b"kit"), "keys": {}})
            self._opened = recipe, key

    def put(self, name: KeyName, credentials: Credentials) -> None:
        """Store a key, in place of the one that had the name; raises what ``find`` and ``unlock`` raise."""
        plain = {
            "api_key": credentials.api_key,
            "secret": credentials.secret,
            "password": credentials.password,
        }
        with self._lock:
            if not self.exists:
                self.unlock(passphrase_for(self.path, new=True))
            self._key(self._content())  # asks, if need be, before others are kept waiting
            with self._changing():
                content = self._content()
                content["keys"][str(name)] = self._key(content).seal(str(name), json.dumps(plain).encode())
                self._write(content)

    def remove(self, name: KeyName) -> bool:
        """Forget a key, for which no passphrase is needed; tell whether there was one."""
        with self._lock, self._changing():
            content = self._read()
            if content is None or content["keys"].pop(str(name), None) is None:
                return False
            self._write(content)
            return True

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with held_alone(self.path):
                yield
        except OSError as error:
            told = error.strerror or type(error).__name__
            raise StoreUnwritable(
                f"{self.path} cannot be written ({told}) and is as it was; free or open its folder, or set KIT_CONFIG"
            ) from None

    def _key(self, content: dict[str, Any]) -> SealKey:
        with self._lock:
            if not self._fits(content):
                self._open(content, passphrase_for(self.path))
            assert self._opened is not None
            return self._opened[1]

    def _fits(self, content: dict[str, Any]) -> bool:
        opened = self._opened
        return opened is not None and opened[0] == Recipe.read(content["recipe"])

    def _open(self, content: dict[str, Any], passphrase: str) -> None:
        recipe = Recipe.read(content["recipe"])
        key = recipe.key(passphrase)
        if key.open(_CHECK, content["check"]) is None:
            given = " that KIT_PASSPHRASE holds" if os.environ.get("KIT_PASSPHRASE") == passphrase else ""
            raise WrongPassphrase(
                f"the passphrase{given} does not open {self.path}. Nobody can tell a forgotten one: in that case "
                "delete the file and add the keys again"
            )
        self._opened = recipe, key

    def _content(self) -> dict[str, Any]:
        content = self._read()
        if content is None:
            raise StoreDamaged(f"{self.path} has just disappeared; add the keys again")
        return content

    def _read(self) -> dict[str, Any] | None:
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreDamaged(f"{self.path} cannot be read ({error.strerror}); look at its owner and mode") from None
        self._close_to_others()
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT or not all(isinstance(content[name], dict) for name in ("check", "keys")):
                raise ValueError("another format")
            Recipe.read(content["recipe"])
            for name in content["keys"]:
                KeyName.parse(name)
        except (ValueError, KeyError, TypeError):
            # Without the cause: a JSON error carries the whole text along.
            raise StoreDamaged(
                f"{self.path} is no file of keys, or was damaged; put a copy of it back, or delete it and add the keys "
                "again (kit keys add EXCHANGE)"
            ) from None
        return dict(content)

    def _close_to_others(self) -> None:
        if os.name == "posix" and (mode := self.path.stat().st_mode & 0o777) & 0o077:
            logger.warning("%s could be read by other users (mode %o); it is now readable to you only", self.path, mode)
            self.path.chmod(0o600)

    def _write(self, content: dict[str, Any]) -> None:
        ordered = {"format": _FORMAT, **{name: content[name] for name in ("recipe", "check", "keys")}}
        write_whole(self.path, json.dumps(ordered, indent=1).encode() + b"\n")

    def __repr__(self) -> str:
        return f"EncryptedFile({str(self.path)!r})"

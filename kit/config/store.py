"""All keys of this machine's user: the environment, then the keyring, then the encrypted file."""

from __future__ import annotations

import functools
import getpass
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from kit.config.encrypted_file import EncryptedFile
from kit.config.environment import EnvironmentKeys, variables
from kit.config.folders import config_folder
from kit.config.key_names import MAIN, KeyName, StoredKey
from kit.config.os_keyring import KeyringKeys
from kit.errors import InvalidInput, KitError, MissingCredentials, NotReady
from kit.types.ports import Credentials

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    # Not at run time: over a property whose annotation it finds to be a Literal, jedi completes no attribute at all.
    Where = Literal["keyring", "file"]

FILE_NAME: Final = "keys.json"


class _Place(Protocol):
    where: str

    def find(self, name: KeyName) -> Credentials | None: ...
    def names(self) -> tuple[KeyName, ...]: ...


class CredentialStore:
    """Finds a key in the first place that has it, and keeps new ones in the keyring or the encrypted file."""

    def __init__(self, environment: EnvironmentKeys, keyring: KeyringKeys, file: EncryptedFile) -> None:
        self.environment = environment
        self.keyring = keyring
        self.file = file

    @property
    def places(self) -> tuple[_Place, ...]:
        """Return the places in the order in which they are asked."""
        return self.environment, self.keyring, self.file

    def find(self, name: KeyName) -> Credentials | None:
        """Return a key, ``None`` where no place has it.

        A place that fails does not keep the next one from being asked; it is told of when none has the key. Raises
        ``StoreLocked``, ``WrongPassphrase``, ``StoreDamaged``, ``NoKeyring``, or ``MissingCredentials`` where one half
        of a key stands in the environment.
        """
        failure: KitError | None = None
        for place in self.places:
            try:
                found = place.find(name)
            except KitError as error:
                failure = failure or error
                continue
            if found is not None:
                if failure is not None:
                    logger.warning("the key of %s comes from the %s, as %s", name, place.where, failure)
                return found
        if failure is not None:
            raise failure
        return None

    def stored(self) -> tuple[StoredKey, ...]:
        """Return what is stored where, as far as that can be read, without the keys themselves; never asks."""
        return self.survey()[0]

    def survey(self) -> tuple[tuple[StoredKey, ...], tuple[str, ...]]:
        """Return what is stored where, and of each place that cannot be read the reason."""
        seen: set[KeyName] = set()
        found: list[StoredKey] = []
        problems: list[str] = []
        for place in self.places:
            try:
                names = place.names()
            except KitError as error:
                problems.append(str(error))
                continue
            found += [StoredKey(name.exchange, name.account, place.where, name not in seen) for name in names]
            seen.update(names)
        return tuple(sorted(found, key=lambda key: (key.exchange, key.account, not key.used))), tuple(problems)

    @property
    def usual_place(self) -> Where:
        """Return where a new key goes: the keyring if there is one, else the encrypted file."""
        return "file" if self.keyring.problem else "keyring"

    def add(self, name: KeyName, credentials: Credentials, where: Where | None = None) -> Where:
        """Store a key and return where it went; the other place forgets an older one of that name."""
        where = where or self.usual_place
        if where not in ("keyring", "file"):
            raise InvalidInput(f"store is {where!r}; it must be 'keyring' or 'file'")
        mine, other = (self.keyring, self.file) if where == "keyring" else (self.file, self.keyring)
        mine.put(name, credentials)
        if other.remove(name):
            logger.info("the key of %s is in the %s now, no longer in the %s", name, mine.where, other.where)
        return where

    def remove(self, name: KeyName) -> tuple[str, ...]:
        """Forget a key wherever the kit keeps it; return where that was. The environment is left as it is."""
        return tuple(place.where for place in (self.keyring, self.file) if place.remove(name))


@functools.cache
def _store_at(folder: Path) -> CredentialStore:
    return CredentialStore(EnvironmentKeys(), KeyringKeys(), EncryptedFile(folder / FILE_NAME))


def store() -> CredentialStore:
    """Return the keys of this machine's user, unlocked once per process."""
    return _store_at(config_folder())


def find_credentials(exchange_id: str, account: str = MAIN) -> Credentials | None:
    """Return the stored key of an account: from the environment, else the keyring, else the encrypted file.

    ``None`` where none is stored; raises as ``CredentialStore.find`` does. Never asks the user anything unless
    ``kit.config.ask_with`` said how.
    """
    return store().find(KeyName(exchange_id, account))


def missing_credentials(exchange_id: str, *, at_endpoint: bool = False) -> MissingCredentials:
    """Return the error that says that a key is missing, and every way to give one."""
    if at_endpoint:
        return MissingCredentials(
            f"mode 'live' on {exchange_id} at an endpoint needs credentials of an account there, and the endpoint has "
            "none: pass credentials=kit.Credentials(api_key, secret). Stored keys are never sent to an endpoint"
        )
    key, secret, _ = variables(KeyName(exchange_id))
    return MissingCredentials(
        f"mode 'live' on {exchange_id} needs an API key and its secret, and none is stored. Give them once with "
        f"`kit keys add {exchange_id}` in a terminal or kit.notebook.keys() in a notebook, which keep them in the "
        f"system's keyring or, where there is none, in an encrypted file; or set {key} and {secret} in the "
        "environment; or pass credentials=kit.Credentials(api_key, secret). Without a key ask for mode='data' or "
        "'paper'"
    )


def unlock(ask: Callable[[str], str] | None = None) -> None:
    """Ask for the encrypted file's passphrase, once per process; in a notebook, in a cell of its own.

    The kernel waits for the answer, so unlock before anything trades. Raises ``WrongPassphrase``; ``NotReady`` when
    the place where this runs cannot ask.
    """
    file = store().file
    if not file.locked:
        return
    ask = ask or getpass.getpass  # looked up now: a kernel puts its own there while a cell runs
    try:
        answer = ask(f"Passphrase of {file.path}: ")
    except (EOFError, RuntimeError) as error:  # IPython's StdinNotImplementedError is a RuntimeError
        raise NotReady("nobody can be asked for the passphrase here; set KIT_PASSPHRASE") from error
    file.unlock(answer)

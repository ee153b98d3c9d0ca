"""Stores of keys that belong to one test."""

from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest

import kit.config.passphrases as passphrases
from kit.config.encrypted_file import EncryptedFile
from kit.config.store import FILE_NAME, CredentialStore, _store_at, store


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that forgets."""

    priority = 1
    name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def memory_keyring() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    mine = MemoryKeyring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialStore:
    """The process's store, in a folder of its own, with quick encryption and nobody to ask."""
    monkeypatch.setenv("KIT_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(passphrases, "_asker", None)
    _store_at.cache_clear()
    mine = store()
    mine.file = EncryptedFile(tmp_path / "config" / FILE_NAME, work=2**4)
    return mine

import json
import logging
import os
import pickle
from pathlib import Path

import pytest

import kit.config.encrypted_file as module
from kit.config.encrypted_file import EncryptedFile
from kit.config.key_names import KeyName
from kit.config.passphrases import ask_with
from kit.config.sealing import Recipe
from kit.config.store_errors import StoreDamaged, StoreLocked, StoreUnwritable, WrongPassphrase
from kit.errors import InvalidInput
from kit.types.ports import Credentials

KEYS = Credentials("the-api-key", "the-secret", "the-password")
BINANCE, OKX = KeyName("binance"), KeyName("okx", "hedge")
PHRASE = "four words are best"
ENDLESS_WORK = json.dumps(
    {
        "format": "kit keys 1",
        "recipe": {"name": "scrypt", "n": 2**30, "salt": "MTIzNDU2Nzg5MDEyMzQ1Ng=="},
        "check": {},
        "keys": {},
    }
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("kit.config.passphrases._asker", None)
    return tmp_path / "config" / "keys.json"


def opened(path: Path) -> EncryptedFile:
    file = EncryptedFile(path, work=2**4)
    file.unlock(PHRASE)
    return file


def test_what_was_stored_is_found_by_another_process(path: Path):
    opened(path).put(BINANCE, KEYS)
    again = EncryptedFile(path)
    assert again.locked
    again.unlock(PHRASE)
    assert again.find(BINANCE) == KEYS
    assert again.find(OKX) is None


def test_nothing_secret_is_in_the_file_and_only_its_owner_may_read_it(path: Path):
    opened(path).put(BINANCE, KEYS)
    text = path.read_text()
    assert not any(secret in text for secret in ("the-api-key", "the-secret", "the-password", PHRASE))
    assert "binance/main" in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_names_and_removal_need_no_passphrase(path: Path):
    file = opened(path)
    file.put(BINANCE, KEYS)
    file.put(OKX, KEYS)
    locked = EncryptedFile(path)
    assert locked.names() == (BINANCE, OKX)
    assert locked.remove(BINANCE)
    assert not locked.remove(BINANCE)
    assert locked.find(BINANCE) is None
    assert locked.locked


def test_a_key_that_is_not_there_asks_for_nothing(path: Path):
    opened(path).put(BINANCE, KEYS)
    assert EncryptedFile(path).find(OKX) is None
    with pytest.raises(StoreLocked, match=r"kit\.config\.unlock"):
        EncryptedFile(path).find(BINANCE)


def test_a_wrong_passphrase_is_refused_and_the_right_one_taken_afterwards(path: Path):
    opened(path).put(BINANCE, KEYS)
    file = EncryptedFile(path)
    with pytest.raises(WrongPassphrase, match="forgotten") as caught:
        file.unlock("wrong wrong wrong")
    assert "wrong wrong" not in str(caught.value)
    file.unlock(PHRASE)
    assert file.find(BINANCE) == KEYS


def test_the_environment_gives_the_passphrase(path: Path, monkeypatch: pytest.MonkeyPatch):
    opened(path).put(BINANCE, KEYS)
    monkeypatch.setenv("KIT_PASSPHRASE", "not this one at all")
    with pytest.raises(WrongPassphrase, match="KIT_PASSPHRASE"):
        EncryptedFile(path).find(BINANCE)
    monkeypatch.setenv("KIT_PASSPHRASE", PHRASE)
    assert EncryptedFile(path).find(BINANCE) == KEYS


def test_the_user_is_asked_once(path: Path):
    asked: list[tuple[Path, bool]] = []
    ask_with(lambda which, new: asked.append((which, new)) or PHRASE)
    file = EncryptedFile(path, work=2**4)
    file.put(BINANCE, KEYS)
    file.put(OKX, KEYS)
    assert file.find(OKX) == KEYS
    assert asked == [(path, True)]


def test_a_short_new_passphrase_is_refused(path: Path):
    with pytest.raises(InvalidInput, match="8 characters"):
        EncryptedFile(path).unlock("short")
    assert not path.exists()


def test_a_file_replaced_by_another_one_is_locked_again(path: Path):
    file = opened(path)
    file.put(BINANCE, KEYS)
    path.unlink()
    other = EncryptedFile(path, work=2**4)
    other.unlock("another phrase")
    other.put(BINANCE, KEYS)
    assert file.locked
    with pytest.raises(StoreLocked):
        file.find(BINANCE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": "kit keys 1"}',
        '{"format": "kit keys 2", "recipe": {}, "check": {}, "keys": {}}',
        ENDLESS_WORK,
    ],
)
def test_a_damaged_file_is_told_and_left_as_it_is(path: Path, text: str):
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    for use in (lambda file: file.names(), lambda file: file.find(BINANCE), lambda file: file.unlock(PHRASE)):
        with pytest.raises(StoreDamaged, match="add the keys again"):
            use(EncryptedFile(path))
    assert path.read_text() == text


def test_a_changed_entry_is_told_and_harms_no_other(path: Path):
    file = opened(path)
    file.put(BINANCE, KEYS)
    file.put(OKX, KEYS)
    content = json.loads(path.read_text())
    content["keys"]["binance/main"] = content["keys"]["okx/hedge"]  # also: entries cannot be swapped
    path.write_text(json.dumps(content))
    with pytest.raises(StoreDamaged, match="kit keys remove binance/main"):
        file.find(BINANCE)
    assert file.find(OKX) == KEYS


def test_a_file_open_to_others_is_closed_to_them_and_told(path: Path, caplog: pytest.LogCaptureFixture):
    opened(path).put(BINANCE, KEYS)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert EncryptedFile(path).names() == (BINANCE,)
    assert "readable to you only" in caplog.text
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    file = opened(path)
    file.put(BINANCE, KEYS)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnwritable, match="No space"):
        file.put(OKX, KEYS)
    assert path.read_bytes() == before
    assert {entry.name for entry in path.parent.iterdir()} <= {"keys.json", "keys.json.lock"}


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match="KIT_CONFIG"):
        EncryptedFile(tmp_path / "file" / "keys.json").unlock(PHRASE)


def test_the_usual_work_is_what_is_recommended(path: Path):
    assert module.WORK == 2**17


def test_keys_are_neither_shown_nor_pickled():
    key = Recipe.fresh(2**4).key(PHRASE)
    assert str(key._raw) not in repr(key)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)

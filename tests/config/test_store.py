import keyring
import pytest
from keyring.backends import fail

from kit.config import find_credentials, missing_credentials, unlock
from kit.config.environment import EnvironmentKeys, variables
from kit.config.key_names import KeyName, StoredKey, checked
from kit.config.store import CredentialStore
from kit.config.store_errors import NoKeyring, StoreDamaged, StoreLocked
from kit.errors import InvalidInput, MissingCredentials, NotReady
from kit.types.ports import Credentials

A, B, C = (Credentials(f"key-{name}", f"secret-{name}") for name in "abc")
BINANCE = KeyName("binance")
PHRASE = "four words are best"


def test_the_environment_comes_first_then_the_keyring_then_the_file(keys, memory_keyring, monkeypatch):
    keys.file.unlock(PHRASE)
    keys.file.put(BINANCE, A)
    assert find_credentials("binance") == A
    keys.keyring.put(BINANCE, B)
    assert find_credentials("binance") == B
    monkeypatch.setenv("KIT_BINANCE_KEY", C.api_key)
    monkeypatch.setenv("KIT_BINANCE_SECRET", C.secret)
    assert find_credentials("binance") == C
    assert [(key.where, key.used) for key in keys.stored()] == [
        ("environment", True),
        ("keyring", False),
        ("file", False),
    ]


def test_what_nobody_stored_is_not_found(keys, memory_keyring):
    assert find_credentials("binance") is None
    assert find_credentials("binance", "hedge") is None
    assert keys.stored() == ()


def test_accounts_are_apart(keys, memory_keyring, monkeypatch):
    monkeypatch.setenv("KIT_BINANCE_SUB_2_KEY", "k")
    monkeypatch.setenv("KIT_BINANCE_SUB_2_SECRET", "s")
    monkeypatch.setenv("KIT_BINANCE_SUB_2_PASSWORD", "p")
    assert find_credentials("binance") is None
    assert find_credentials("binance", "sub-2") == Credentials("k", "s", "p")
    assert keys.stored() == (StoredKey("binance", "sub_2", "environment"),)


def test_half_a_key_in_the_environment_is_told(keys, monkeypatch):
    monkeypatch.setenv("KIT_BINANCE_KEY", "k")
    with pytest.raises(MissingCredentials, match="KIT_BINANCE_SECRET is not"):
        find_credentials("binance")


def test_new_keys_go_to_the_keyring_and_leave_the_other_place(keys, memory_keyring):
    keys.file.unlock(PHRASE)
    keys.file.put(BINANCE, A)
    assert keys.add(BINANCE, B) == "keyring"
    assert keys.file.names() == ()
    assert keys.add(BINANCE, C, "file") == "file"
    assert not memory_keyring.get_password("kit-trading", "binance/main")
    assert find_credentials("binance") == C
    with pytest.raises(InvalidInput, match="'keyring' or 'file'"):
        keys.add(BINANCE, C, "notebook")


def test_without_a_keyring_they_go_to_the_file(keys, monkeypatch):
    monkeypatch.setenv("KIT_PASSPHRASE", PHRASE)
    assert keys.usual_place == "file"
    assert keys.add(BINANCE, A) == "file"
    with pytest.raises(NoKeyring, match="switched off"):
        keys.add(BINANCE, A, "keyring")


def test_removing_says_where_it_was(keys, memory_keyring):
    keys.add(BINANCE, A)
    assert keys.remove(BINANCE) == ("keyring",)
    assert keys.remove(BINANCE) == ()
    assert keys.stored() == ()


class Broken:
    """A keyring whose library throws what it likes, with the entry in its text."""

    priority = 1

    def get_password(self, service, username):
        raise RuntimeError("D-Bus said: secret-b")


def test_a_keyring_that_fails_hides_no_other_place(keys, memory_keyring, monkeypatch, caplog):
    keys.file.unlock(PHRASE)
    keys.file.put(BINANCE, A)
    monkeypatch.setattr(memory_keyring, "get_password", Broken().get_password)
    assert find_credentials("binance") == A
    assert "did not answer (RuntimeError)" in caplog.text
    assert "secret-b" not in caplog.text
    with pytest.raises(NoKeyring) as caught:
        find_credentials("okx")
    assert "secret-b" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_place_that_cannot_be_read_hides_no_other_one(keys, memory_keyring, monkeypatch):
    monkeypatch.setenv("KIT_OKX_KEY", "k")
    monkeypatch.setenv("KIT_OKX_SECRET", "s")
    monkeypatch.setattr(memory_keyring, "get_password", Broken().get_password)
    keys.file.path.parent.mkdir()
    keys.file.path.write_text("{")
    found, problems = keys.survey()
    assert [key.where for key in found] == ["environment"]
    assert [word in problem for word, problem in zip(("keyring", "damaged"), problems, strict=True)] == [True, True]


def test_a_foreign_entry_in_the_keyring_is_told(keys, memory_keyring):
    memory_keyring.set_password("kit-trading", "binance/main", "secret-b")
    with pytest.raises(StoreDamaged) as caught:
        find_credentials("binance")
    assert "secret-b" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_keyrings_that_are_none_are_known(keys, memory_keyring):
    assert keys.keyring.problem == ""
    keyring.set_keyring(fail.Keyring())
    assert "no keyring runs here" in keys.keyring.problem

    class PlaintextKeyring(type(memory_keyring)):
        pass

    keyring.set_keyring(PlaintextKeyring())
    assert "plain text" in keys.keyring.problem
    assert keys.keyring.find(BINANCE) is None


def test_the_error_names_every_way():
    text = str(missing_credentials("okx"))
    for way in (
        "kit keys add okx",
        "kit.notebook.keys()",
        "KIT_OKX_KEY",
        "KIT_OKX_SECRET",
        "keyring",
        "encrypted file",
    ):
        assert way in text


def test_unlock_asks_only_when_that_is_needed(keys: CredentialStore):
    asked: list[str] = []
    unlock(lambda prompt: asked.append(prompt) or "")
    assert asked == []
    other = type(keys.file)(keys.file.path, work=2**4)
    other.unlock(PHRASE)
    other.put(BINANCE, A)
    with pytest.raises(StoreLocked):
        find_credentials("binance")

    def nobody(prompt: str) -> str:
        raise EOFError

    with pytest.raises(NotReady, match="KIT_PASSPHRASE"):
        unlock(nobody)
    unlock(lambda prompt: PHRASE)
    assert find_credentials("binance") == A


@pytest.mark.parametrize("name", ["Binance", "", "bin ance", "a/b", "../x"])
def test_names_of_exchanges_are_checked(name):
    with pytest.raises(InvalidInput, match="ccxt's id"):
        KeyName(name)


def test_names_are_read_and_written():
    assert KeyName.parse("okx/hedge") == KeyName("okx", "hedge")
    assert str(KeyName.parse("okx")) == "okx/main"
    with pytest.raises(InvalidInput, match="account"):
        KeyName.parse("okx/")
    assert variables(KeyName("okx", "sub-2"))[0] == "KIT_OKX_SUB_2_KEY"


def test_what_came_along_with_a_pasted_key_is_dropped_or_refused():
    assert checked(" k \n", "s\n", " ") == Credentials("k", "s", None)
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----"
    assert checked("k", pem).secret == pem
    assert checked("k", pem.replace("\n", "")).secret == pem
    assert checked("k", pem.replace("\n", " ")).secret == pem
    for key, secret in (("", "s"), ("k", " "), ("k k", "s"), ("k", "s s"), ("k\x00", "s"), ("k", "s\x1b[A")):
        with pytest.raises(InvalidInput) as caught:
            checked(key, secret)
        assert secret.strip() not in str(caught.value) or len(secret.strip()) < 2


def test_the_environment_is_read_at_the_moment():
    values: dict[str, str] = {}
    environment = EnvironmentKeys(values)
    assert environment.find(BINANCE) is None
    values |= {"KIT_BINANCE_KEY": "k", "KIT_BINANCE_SECRET": "s"}
    assert environment.find(BINANCE) == Credentials("k", "s")
    assert environment.names() == (BINANCE,)

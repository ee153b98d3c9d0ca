"""The panel of keys: what it does, and that nothing typed stays anywhere."""

import gc
import json
import logging
import pickle
import threading
from pathlib import Path

import pytest

import kit.connectors.key_check as key_check
import kit.notebook
from kit.config.encrypted_file import EncryptedFile
from kit.config.key_names import KeyName
from kit.config.store import FILE_NAME, _store_at, find_credentials, store
from kit.connectors.key_check import KeyReport
from kit.core.error_list import ERRORS
from kit.errors import InvalidInput, NotSupported
from kit.notebook.key_entry import KeyPanel
from kit.notebook.key_model import KeyModel
from kit.types.ports import Credentials

KEY, SECRET, PHRASE = "typed-api-key-4711", "typed-secret-0815", "typed four words"


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KIT_CONFIG", str(tmp_path))
    monkeypatch.setattr("kit.config.passphrases._asker", None)
    _store_at.cache_clear()
    mine = store()
    mine.file = EncryptedFile(tmp_path / FILE_NAME, work=2**4)
    return mine


def entry(**more: str) -> dict[str, str]:
    return {"do": "add", "exchange": "binance", "key": KEY, "secret": SECRET, "passphrase": PHRASE, **more}


def test_a_key_is_stored_and_found_by_a_live_connector(keys):
    model = KeyModel()
    answer = model.command(entry())
    assert answer == {"text": "binance/main is stored in the file"}
    assert find_credentials("binance") == Credentials(KEY, SECRET)
    assert model.frame(full=False).content["keys"] == [["binance", "main", "file", True, ""]]
    assert model.frame(full=False) is None


def test_what_was_typed_stays_nowhere(keys):
    model = KeyModel()
    message = entry(account="hedge")
    answer = model.command(message)
    frame = model.frame(full=True).content
    told = json.dumps([message, answer, dict(frame)]) + model.text() + model.html() + repr(vars(model))
    for typed in (KEY, SECRET, PHRASE):
        assert typed not in told
    del message
    gc.collect()
    assert "hedge" in told


def test_the_file_is_locked_for_the_next_kernel_until_the_passphrase_is_typed(keys):
    KeyModel().command(entry())
    keys.file = EncryptedFile(keys.file.path)
    model = KeyModel()
    assert model.frame(full=True).content["state"] == "locked"
    with pytest.raises(InvalidInput, match="does not open") as caught:
        model.command({"do": "unlock", "passphrase": "typed wrong words"})
    assert "typed" not in str(caught.value)
    model.command({"do": "unlock", "passphrase": PHRASE})
    assert model.frame(full=False).content["state"] == "open"
    assert find_credentials("binance") == Credentials(KEY, SECRET)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (entry(exchange="binanc"), "did you mean"),
        (entry(exchange="okx"), "password"),
        (entry(key=""), "API key is empty"),
        (entry(secret="two parts"), "white space"),
        (entry(passphrase="short"), "8 characters"),
        (entry(passphrase=""), "needs a passphrase"),
        (entry(store="keyring"), "switched off"),
        (entry(store="notebook"), "'keyring' or 'file'"),
        ({"do": "check", "exchange": "binance"}, "no key"),
    ],
)
def test_what_is_wrong_is_told_without_what_was_typed(message, told):
    with pytest.raises(Exception, match=told) as caught:
        KeyModel().command(message)
    assert not any(typed in str(caught.value) for typed in (KEY, SECRET, PHRASE))
    assert store().stored() == ()


def test_keys_are_tried_and_removed(keys, monkeypatch):
    asked = []

    async def check(exchange, credentials):
        asked.append((exchange, credentials))
        return KeyReport(exchange, True, False, problem="it may only read")

    monkeypatch.setattr(key_check, "check_key", check)
    model = KeyModel()
    model.command(entry())
    assert "may trade: no" in model.command({"do": "check", "exchange": "binance"})["text"]
    assert asked == [("binance", Credentials(KEY, SECRET))]
    [row] = model.frame(full=False).content["keys"]
    assert row[4] == "may read: yes, may trade: no; it may only read"
    assert "removed from the file" in model.command({"do": "remove", "exchange": "binance", "account": "main"})["text"]
    assert keys.stored() == ()
    with pytest.raises(NotSupported):
        model.command({"do": "show"})


def test_a_damaged_file_is_told(keys):
    keys.file.path.write_text("{")
    model = KeyModel()
    assert "damaged" in model.frame(full=True).content["problem"]
    keys.file.path.unlink()
    assert model.frame(full=False) is None  # the timer reads nothing
    model.command({"do": "look"})
    assert model.frame(full=False).content["problem"] == ""
    keys.file.path.write_text("{")
    assert "damaged" in KeyModel().text()


class Sent:
    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.came = threading.Event()

    def __call__(self, content, buffers) -> None:
        self.messages.append(content)
        self.came.set()


def test_commands_run_on_a_thread_and_are_answered(keys):
    sent = Sent()
    panel = KeyPanel(KeyModel(), sent)
    panel.receive({"kind": "command", "id": "a", "number": 1, **entry()})
    assert sent.came.wait(60)
    assert sent.messages[0] == {
        "kind": "answer",
        "id": "a",
        "number": 1,
        "ok": True,
        "text": "binance/main is stored in the file",
    }
    panel.close()


def test_a_crash_tells_nothing_that_was_typed(keys, monkeypatch, caplog):
    def crash(*_):
        raise ValueError(f"cannot store {SECRET}")

    monkeypatch.setattr(keys, "add", crash)
    sent = Sent()
    panel = KeyPanel(KeyModel(), sent)
    ERRORS.clear()  # it keeps a bounded number, of which earlier tests may have left as many
    with caplog.at_level(logging.DEBUG):
        panel.receive({"kind": "command", "id": "a", "number": 1, **entry()})
        assert sent.came.wait(60)
    assert sent.messages[0]["text"] == "failed with ValueError"
    assert len(ERRORS) == 1
    assert SECRET not in caplog.text + str(ERRORS.items)
    ERRORS.clear()
    panel.close()


def test_no_state_of_the_widget_holds_anything(keys):
    widget = kit.notebook.keys()
    widget.panel.model.command(entry())
    state = {name: value for name, value in widget.get_state().items() if name not in ("_esm", "_css")}
    data, _ = widget._repr_mimebundle_()
    told = repr(state) + repr(widget) + json.dumps({name: data[name] for name in ("text/plain", "text/html")})
    assert "binance" in told
    assert not any(typed in told for typed in (KEY, SECRET, PHRASE))
    widget.close()


def test_keys_of_the_store_are_shown_by_their_names_only(keys):
    KeyModel().command(entry())
    found = keys.find(KeyName("binance"))
    assert KEY not in repr(found) + repr(keys.stored()) + str(keys.file)
    with pytest.raises(Exception, match="pickled"):
        pickle.dumps(found)

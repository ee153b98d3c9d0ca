import asyncio
import getpass
import io
import json
import sys
from pathlib import Path

import pytest

from kit.__main__ import main
from kit.commands import keys as command
from kit.config.encrypted_file import EncryptedFile
from kit.config.store import FILE_NAME, _store_at, find_credentials, store
from kit.testnet import Testnet
from kit.types.ports import Credentials

PHRASE = "four words are best"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KIT_CONFIG", str(tmp_path))
    monkeypatch.setenv("KIT_PASSPHRASE", PHRASE)
    monkeypatch.setattr("kit.config.passphrases._asker", None)
    _store_at.cache_clear()
    store().file = EncryptedFile(tmp_path / FILE_NAME, work=2**4)
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """Answer the prompts that do not echo, in order; what was asked is in the list."""
    prompts: list[str] = []

    def use(*answers: str) -> list[str]:
        waiting = iter(answers)
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(getpass, "getpass", lambda prompt: prompts.append(prompt) or next(waiting))
        return prompts

    return use


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_key_is_asked_for_without_showing_it(typed, capsys):
    prompts = typed(" my-key ", "my-secret")
    assert main(["keys", "add", "binance"]) == 0
    assert len(prompts) == 2
    assert find_credentials("binance") == Credentials("my-key", "my-secret")
    out = capsys.readouterr()
    assert "binance/main is stored in the file" in out.out
    assert "my-key" not in out.out + out.err
    assert "my-secret" not in out.out + out.err


def test_exchanges_with_a_password_ask_for_it(typed):
    typed("k", "s", "p")
    assert main(["keys", "add", "okx/hedge"]) == 0
    assert find_credentials("okx", "hedge") == Credentials("k", "s", "p")


def test_a_new_passphrase_is_asked_for_twice(typed, monkeypatch, capsys):
    monkeypatch.delenv("KIT_PASSPHRASE")
    typed("k", "s", PHRASE, "another one")
    assert main(["keys", "add", "binance"]) == 1
    assert "differ" in capsys.readouterr().err
    typed("k", "s", PHRASE, PHRASE)
    assert main(["keys", "add", "binance"]) == 0
    assert find_credentials("binance") == Credentials("k", "s")


def test_a_key_comes_through_a_pipe_and_a_secret_from_a_file(monkeypatch, folder, capsys):
    piped(monkeypatch, "k\ns\n")
    assert main(["keys", "add", "binance", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["where"] == "file"
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n"
    (folder / "key.pem").write_text(pem)
    piped(monkeypatch, "k\n")
    assert main(["keys", "add", "binance", "--secret-file", str(folder / "key.pem")]) == 0
    assert find_credentials("binance") == Credentials("k", pem.strip())


@pytest.mark.parametrize(
    ("arguments", "text", "told"),
    [
        (["add", "binanc"], "k\ns\n", "did you mean 'binance'"),
        (["add", "binance"], "\n\n", "API key is empty"),
        (["add", "binance"], "k\n", "secret is empty"),
        (["add", "Binance"], "k\ns\n", "small letters"),
        (["add", "hyperliquid"], "k\ns\n", "privateKey"),
        (["add", "binance", "--store", "keyring"], "k\ns\n", "keyring is switched off"),
        (["add", "binance", "--secret-file", "no-such-file"], "k\n", "no-such-file cannot be read"),
        (["check", "binance"], "", "kit keys add binance"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_stored(arguments, text, told, monkeypatch, capsys):
    piped(monkeypatch, text)
    assert main(["keys", *arguments]) == 1
    assert told in capsys.readouterr().err
    assert store().stored() == ()


def test_a_key_cannot_be_an_argument(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["keys", "add", "binance", "my-key", "my-secret"])
    assert caught.value.code == 2


def test_listing_shows_names_only(monkeypatch, capsys):
    assert main(["keys", "list"]) == 0
    assert "no key is stored" in capsys.readouterr().out
    piped(monkeypatch, "my-key\nmy-secret\n")
    main(["keys", "add", "binance"])
    monkeypatch.setenv("KIT_BINANCE_KEY", "other-key")
    monkeypatch.setenv("KIT_BINANCE_SECRET", "other-secret")
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    out = capsys.readouterr().out
    assert "environment" in out
    assert "not used" in out
    assert "-key" not in out
    assert "-secret" not in out
    assert main(["keys", "list", "--json"]) == 0
    assert [(key["where"], key["used"]) for key in json.loads(capsys.readouterr().out)["keys"]] == [
        ("environment", True),
        ("file", False),
    ]


def test_removing(monkeypatch, capsys):
    piped(monkeypatch, "k\ns\n")
    main(["keys", "add", "binance"])
    monkeypatch.delenv("KIT_PASSPHRASE")
    monkeypatch.setenv("KIT_BINANCE_KEY", "e")
    monkeypatch.setenv("KIT_BINANCE_SECRET", "e")
    capsys.readouterr()
    assert main(["keys", "remove", "binance"]) == 0
    assert "stays until you unset them" in capsys.readouterr().out
    assert main(["keys", "remove", "binance"]) == 1


async def test_a_key_is_tried_on_the_testnet(monkeypatch, capsys):
    async with await Testnet.start("keys") as testnet:
        good, url = testnet.credentials, testnet.url
        for credentials, code, read, trade in (
            (good, 0, True, True),
            (Credentials("wrong-key", "wrong-secret"), 1, False, False),
        ):
            piped(monkeypatch, f"{credentials.api_key}\n{credentials.secret}\n")
            assert await asyncio.to_thread(main, ["keys", "add", "binance"]) == 0
            capsys.readouterr()
            arguments = ["keys", "check", "binance", "--endpoint", url, "--json"]
            assert await asyncio.to_thread(main, arguments) == 1
            assert "say --yes" in capsys.readouterr().err  # a stored key never goes elsewhere unasked
            assert await asyncio.to_thread(main, [*arguments, "--yes"]) == code
            out = capsys.readouterr().out
            report = json.loads(out)
            assert (report["can_read"], report["can_trade"]) == (read, trade)
            assert credentials.secret not in out
            assert abs(report["clock_offset"]) < 30  # half of what a busy machine takes to answer, in seconds


def test_the_testnet_of_its_own(capsys):
    assert main(["keys", "check", "binance", "--endpoint", "testnet"]) == 0
    out = capsys.readouterr().out
    assert "may read: yes, may trade: yes" in out
    assert "USDT" in out


def test_an_exchange_that_is_not_there(capsys, monkeypatch):
    monkeypatch.setenv("KIT_BINANCE_KEY", "k")
    monkeypatch.setenv("KIT_BINANCE_SECRET", "s")
    assert main(["keys", "check", "binance", "--endpoint", "http://127.0.0.1:9", "--yes"]) == 1
    assert "not reached" in capsys.readouterr().out


def test_only_a_terminal_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr("kit.config.ask_with", asked.append)
    piped(monkeypatch, "")
    main(["keys", "list"])
    assert asked == []
    monkeypatch.setattr(sys, "stdin", Terminal())
    main(["keys", "list"])
    assert asked == [command._ask_passphrase]

import json
import sys

import pytest

from kit.__main__ import main
from kit.commands import doctor_checks
from kit.commands.doctor_checks import Finding, look
from kit.core.manual_time import ManualTime


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("KIT_STATE", str(tmp_path / "state"))
    return tmp_path


def findings(capsys, *arguments: str) -> dict[str, dict]:
    main(["doctor", "--json", *arguments])
    told = json.loads(capsys.readouterr().out)
    return {finding["name"]: finding for finding in told["findings"]} | {"ok": told["ok"]}


def test_everything_is_looked_at_and_nothing_is_bad_here(capsys):
    found = findings(capsys, "--endpoint", "testnet")
    assert found["ok"]
    assert {"versions", "kernel", "kit.run", "red button", "notebook files", "keys", "folders", "compiled code"} < set(
        found
    )
    assert "ccxt 4." in found["versions"]["text"]
    assert "ipykernel 7." in found["red button"]["text"]
    assert "nest_asyncio2" in found["kit.run"]["text"]
    assert found["clock and binance"]["verdict"] == "good"


def test_an_exchange_out_of_reach_is_no_fault_of_this_machine(capsys):
    assert main(["doctor", "--endpoint", "http://127.0.0.1:9"]) == 0
    out = capsys.readouterr().out
    assert "look clock and binance" in " ".join(out.split())
    assert "not reached" in " ".join(out.split())


def test_keys_are_named_and_not_shown(capsys, monkeypatch):
    monkeypatch.setenv("KIT_BINANCE_KEY", "the-key-itself")
    monkeypatch.setenv("KIT_BINANCE_SECRET", "the-secret-itself")
    text = findings(capsys, "--offline")["keys"]["text"]
    assert "binance/main (environment)" in text
    assert "itself" not in text


def test_a_damaged_file_of_keys_is_bad(capsys, here):
    (here / "config").mkdir()
    (here / "config" / "keys.json").write_text("{")
    assert main(["doctor", "--offline"]) == 1
    assert "damaged" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_bad(capsys, monkeypatch, here):
    (here / "file").write_text("")
    monkeypatch.setenv("KIT_STATE", str(here / "file" / "state"))
    found = findings(capsys, "--offline")
    assert found["folders"]["verdict"] == "bad"
    assert "KIT_STATE" in found["folders"]["text"]


def test_a_missing_package_is_bad(capsys, monkeypatch):
    monkeypatch.setattr(doctor_checks, "PACKAGES", ("no-such-package",))
    assert doctor_checks.versions() == Finding(
        "versions", "bad", "not installed: no-such-package; install kit-trading anew"
    )


def test_another_pythons_kernel_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/elsewhere/python")
    assert doctor_checks.kernel().verdict in ("look", "good")


def test_a_check_that_breaks_is_a_finding():
    def broken() -> Finding:
        raise OSError("no such thing")

    assert look(broken) == Finding("broken", "bad", "could not be looked at: OSError: no such thing")


@pytest.mark.parametrize(
    ("offset", "back", "verdict"),
    [(0.0, 0.0, "good"), (1.0, 0.0, "look"), (-5.0, 0.0, "bad"), (0.0, 3.0, "good"), (-5.0, 3.0, "bad")],
)
async def test_a_clock_that_is_off_is_told_from_a_slow_answer(offset, back, verdict, monkeypatch):
    import kit.connectors.ccxt_exchange as module

    time = ManualTime(1_700_000_000.0)

    async def off(self) -> float:
        there = time.time() + offset
        time.jump(back)
        return there

    monkeypatch.setattr("kit.core.clock.SYSTEM_TIME", time)
    monkeypatch.setattr(module.CcxtExchange, "fetch_server_time", off)
    finding = await doctor_checks.clock("binance", None)
    assert finding.verdict == verdict
    assert ("NTP" in finding.text) == (verdict != "good")

"""`kit record` against the loopback exchange: its files, its summary, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kit
from kit.__main__ import build_parser, main
from kit.storage.events import EventKind

ROOT = Path(__file__).resolve().parents[2]
BASE = ("record", "--exchange", "binance", "--pair", "BTC/USDT")


def test_options() -> None:
    args = build_parser().parse_args([*BASE, "ETH/USDT", "--hours", "1.5", "--endpoint", "testnet"])
    assert (args.pair, args.hours, args.out, args.json) == (["BTC/USDT", "ETH/USDT"], 1.5, Path("recording"), False)


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "soon"])
def test_impossible_lengths_are_refused(hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*BASE, "--hours", hours])
    assert caught.value.code == 2
    assert "--hours" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wish", "told"), [("somewhere", "give http://host:port, or the word testnet"), ("http://127.0.0.1:9", "not ready")]
)
def test_what_cannot_be_reached_is_told(
    wish: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kit.connectors.connector import Connector

    real = Connector.wait_ready
    monkeypatch.setattr(Connector, "wait_ready", lambda self, timeout: real(self, 0.2))
    assert main([*BASE, "--endpoint", wish, "--out", str(tmp_path / "out")]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_will_not_do_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*BASE, "--hours", "1", "--endpoint", "testnet", "--out"]
    (tmp_path / "file").write_text("")
    assert main([*options, str(tmp_path / "file")]) == 1
    assert "nothing can be written into" in capsys.readouterr().err
    (tmp_path / "notes.parquet").write_text("something else")
    assert main([*options, str(tmp_path)]) == 1
    assert "notes.parquet" in capsys.readouterr().err


def test_it_records_for_a_while(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main([*BASE, "--hours", "0.0004", "--out", out, "--endpoint", "testnet", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    events = kit.open_recording(out).events("BTC/USDT")
    assert facts["events"] == len(events) > 100
    assert (facts["lost"], facts["errors"], facts["markets"]) == (0, 0, [["binance", "BTC/USDT"]])
    assert events.kind[[0, 1, -1]].tolist() == [EventKind.GAP, EventKind.CLEAR, EventKind.GAP]
    assert "trading_rule" in events.info


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process")
@pytest.mark.parametrize(("options", "code"), [([], 0), (["--hours", "1"], 130)])
def test_ctrl_c_ends_it_cleanly(tmp_path: Path, options: list[str], code: int) -> None:
    command = [sys.executable, "-m", "kit", *BASE, "--out", str(tmp_path), "--endpoint", "testnet", "--json", *options]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # or children of background jobs ignore it
    try:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            deadline = time.monotonic() + 300
            while not list(tmp_path.rglob("*.parquet")) and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(child.pid, signal.SIGINT)
            try:
                out, err = child.communicate(timeout=300)
            finally:
                child.kill()
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.returncode == code, err
    assert "Traceback" not in err
    events = kit.open_recording(tmp_path).events("BTC/USDT")
    assert json.loads(out.splitlines()[-1])["events"] == len(events)
    assert events.kind[-1] == EventKind.GAP
    assert len(list(tmp_path.rglob("*.parquet"))) == 1

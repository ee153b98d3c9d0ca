from pathlib import Path

import pytest

from kit.__main__ import build_parser, main

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_has_help(capsys):
    for command in ("backtest", "demo", "doctor", "keys", "lab", "notebook", "record", "red", "testnet"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert f"kit {command}" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "inf", "soon"])
def test_demo_refuses_impossible_lengths(seconds, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--seconds", seconds])
    assert caught.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_demo_options():
    args = build_parser().parse_args(["demo", "--seconds", "5", "--seed", "7", "--json"])
    assert (args.seconds, args.seed, args.json, args.replay) == (5.0, 7, True, None)


def test_demo_says_which_file_is_missing(capsys):
    assert main(["demo", "--replay", "no-such-file.gz"]) == 1
    assert "no-such-file.gz" in capsys.readouterr().err

from __future__ import annotations

import logging
import tomllib
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator

import kit
from kit.errors import InvalidInput
from kit.strategy.live_params import LiveParams, apply_pending, start_queueing
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.params import Params, param
from kit.strategy.presets import preset_names


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Step(NamedTuple):
    side: Literal["buy", "sell"]
    spread: Decimal


class WalkerParams(Params):
    spread: Decimal = param("0.001", gt=0, lt="0.05", unit="fraction", doc="distance from mid\nand more")
    amount: Decimal = param(gt=0, unit="base")
    levels: int = param(1, ge=1)
    pace: float = param(30, gt=0, unit="s")
    age: float | None = param(None, gt=0, unit="s")
    ceiling: Decimal | None = param(None, gt=0)
    mood: Mood = param(Mood.CALM)
    way: Literal["up", "off"] | None = param("up")
    note: str | None = param(None)
    on: bool = param(False)
    sizes: tuple[Decimal, ...] | None = param(None, gt=0)
    steps: tuple[Step, ...] | None = param(None)

    @model_validator(mode="after")
    def _order(self) -> WalkerParams:
        if self.ceiling is not None and self.amount > self.ceiling:
            raise ValueError(f"amount {self.amount} is above ceiling {self.ceiling}")
        return self


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KIT_CONFIG", str(tmp_path))
    return tmp_path / "presets" / "Walker"


@pytest.fixture
def params() -> LiveParams:
    return LiveParams(WalkerParams(amount="0.25"))


FULL: dict[str, Any] = {
    "spread": "0.0012300000000000000000000001",
    "amount": "12",
    "levels": 3,
    "pace": 0.1,
    "age": 7.5,
    "ceiling": "100000000000000000000.00000001",
    "mood": "wild",
    "way": None,
    "note": 'off "and" on\n#',
    "on": True,
    "sizes": ["0.1", "2"],
    "steps": [("buy", "0.01")],
}


def test_what_was_saved_is_loaded_to_the_last_digit(params: LiveParams, folder: Path):
    params.update(FULL)
    saved = params.model
    assert params.save("full") == folder / "full.toml"
    params.update(spread="0.04", way="off", note=None, steps=None)
    changes = params.load("full")
    assert params.model == saved
    assert set(changes) == {"spread", "way", "note", "steps"}
    assert params.load("full") == {}


def test_off_is_saved_and_loaded(params: LiveParams):
    params.save("plain")
    params.update(FULL)
    params.load("plain")
    assert params.model == WalkerParams(amount="0.25")


@given(
    st.decimals("0.0000000000000001", "0.049", allow_nan=False),
    st.floats(min_value=1e-300, max_value=1e300),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
def test_any_value_comes_back(tmp_path_factory: pytest.TempPathFactory, spread: Decimal, pace: float, note: str | None):
    path = tmp_path_factory.mktemp("preset") / "any.toml"
    mine = LiveParams(WalkerParams(amount=1, spread=spread, pace=pace, note=note))
    mine.save(path)
    other = LiveParams(WalkerParams(amount=1))
    other.load(path)
    assert other.model == mine.model
    assert str(other.spread.normalize()) == str(spread.normalize())


def test_the_file_reads_well(params: LiveParams, folder: Path):
    params.save("plain")
    text = (folder / "plain.toml").read_text()
    assert text.startswith('strategy = "Walker"\n\n[params]\nspread = 0.001 # fraction; distance from mid\n')
    assert 'age = "off" # s\n' in text
    assert tomllib.loads(text)["params"]["spread"] == 0.001
    assert (folder / "plain.toml").stat().st_mode & 0o777 == 0o600


def test_a_loaded_set_waits_for_the_tick(params: LiveParams):
    params.update(levels=5)
    params.save("five")
    params.update(levels=1)
    start_queueing(params)
    assert params.load("five") == {"levels": 5}
    assert (params.levels, params.pending) == (1, {"levels": 5})
    params.save("queued")
    apply_pending(params)
    assert params.load("queued") == {}


def test_comments_and_ways_of_writing_stay(params: LiveParams, folder: Path):
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(
        "# for quiet nights\n[params]\n# not wider!\nspread = 0.00100  # my own\n\nlevels = 2 # two\ngone = 1\n"
    )
    params.save("mine")
    text = (folder / "mine.toml").read_text()
    assert "# for quiet nights" in text
    assert "# not wider!\nspread = 0.00100  # my own\n" in text
    assert "levels = 1 # two" in text
    assert "gone" not in text
    params.update(spread="0.002")
    params.save("mine")
    assert "# not wider!\nspread = 0.002  # my own\n" in (folder / "mine.toml").read_text()


def test_a_preset_may_name_some_parameters_only(params: LiveParams, folder: Path):
    folder.mkdir(parents=True)
    (folder / "part.toml").write_text("[params]\nlevels = 4\nceiling = 1_000.5\n")
    assert params.load("part") == {"levels": 4, "ceiling": Decimal("1000.5")}
    (folder / "text.toml").write_text('[params]\nspread = "0.0020"\nlevels = "5"\npace = "1.5"\n')
    assert params.load("text") == {"spread": Decimal("0.002"), "levels": 5, "pace": 1.5}
    assert params.amount == Decimal("0.25")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[params]\nspraed = 0.1\n", "did you mean 'spread'"),
        ('strategy = "Runner"\n[params]\nspread = 0.01\nold = 1\nolder = 2\n', r"saved by Runner.*'old'(.|\n)*'older'"),
        ("[params]\nspread = 0.9\nlevels = 0\n", r"spread = 0.9(.|\n)*levels = 0"),
        ("[params]\namount = 5\nceiling = 2\n", "amount 5 is above ceiling 2"),
        ('[params]\nspread = "off"\n', "spread = 'off'"),
        ("[params]\nspread = nan\n", "spread = "),
        ("[params]\nspread = \n", "line 2"),
        ("spread = 0.1\n", r"no table \[params\]"),
        ("params = 3\n", r"no table \[params\]"),
    ],
)
def test_a_set_that_is_wrong_changes_nothing(params: LiveParams, folder: Path, text: str, told: str):
    folder.mkdir(parents=True)
    (folder / "bad.toml").write_text(text)
    before = params.model
    with pytest.raises(InvalidInput, match=told):
        params.load("bad")
    assert params.model is before
    assert (folder / "bad.toml").read_text() == text


def test_what_is_not_there_is_answered_with_what_is(params: LiveParams):
    with pytest.raises(InvalidInput, match="there are none"):
        params.load("calm")
    params.save("wild")
    with pytest.raises(InvalidInput, match="there are 'wild'"):
        params.load("calm")


@pytest.mark.parametrize("wrong", ["cal", "CALM", "calmer", "./calm.toml"])
def test_the_likely_preset_is_named(params: LiveParams, wrong: str):
    params.save("calm")
    params.save("calm nights")
    with pytest.raises(InvalidInput, match="did you mean 'calm'"):
        params.load(wrong)
    with pytest.raises(InvalidInput) as caught:
        params.load("wild")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", ["btc/usdt", "a/b", "sub/", "\\calm", "C:\\calm", "x/y.tom"])
def test_a_name_with_a_slash_is_no_path_by_accident(
    params: LiveParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(tmp_path)
    for way in (params.save, params.load):
        with pytest.raises(InvalidInput, match=r"cannot name a preset: .* a path ends in \.toml"):
            way(name)
    assert not list(tmp_path.rglob("*usdt*"))


@pytest.mark.parametrize("name", ["", ".hidden", " calm", "calm ", "a:b", "a\nb", "x" * 81])
def test_names_are_checked(params: LiveParams, name: str):
    with pytest.raises(InvalidInput, match="cannot name a preset"):
        params.save(name)


@pytest.mark.parametrize("text", ["[params", "params = 3"])
def test_a_file_that_cannot_be_read_is_not_overwritten(params: LiveParams, folder: Path, text: str):
    folder.mkdir(parents=True)
    (folder / "bad.toml").write_text(text)
    with pytest.raises(InvalidInput, match="another name"):
        params.save("bad")
    assert (folder / "bad.toml").read_text() == text


def test_paths_are_taken_as_they_are(params: LiveParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    params.update(levels=9)
    assert params.save("sub/nine.toml") == Path("sub/nine.toml")
    params.update(levels=1)
    assert params.load(tmp_path / "sub" / "nine.toml") == {"levels": 9}
    assert preset_names(WalkerParams) == ()


class OddParams(Params):
    plan: Any = param(None)
    levels: int = param(1)


def test_what_toml_cannot_hold_is_left_out_and_told(caplog: pytest.LogCaptureFixture):
    params = LiveParams(OddParams(plan=object()))
    with caplog.at_level(logging.WARNING):
        params.save("odd")
    assert "leaves plan out" in caplog.text
    params.update(levels=2)
    assert params.load("odd") == {"levels": 1}


def test_the_names_of_the_ways_are_taken():
    with pytest.raises(InvalidInput, match="save"):
        type("Bad", (Params,), {"__annotations__": {"save": "int"}, "save": param(1), "__module__": __name__})


def test_presets_as_a_table(params: LiveParams, folder: Path):
    assert kit.presets().empty
    params.save("wild")
    params.save("Calm")
    LiveParams(OddParams()).save("odd")
    (folder / "bad.toml").write_text("[")
    table = kit.presets()
    assert list(table["preset"]) == ["odd", "Calm", "bad", "wild"]
    assert list(kit.presets("Walker")["preset"]) == ["Calm", "bad", "wild"]
    assert list(kit.presets(WalkerParams)["parameters"]) == [12, 0, 12]
    assert [bool(problem) for problem in kit.presets("Walker")["problem"]] == [False, True, False]
    assert str(table["changed"].dtype).startswith("datetime64")
    assert preset_names(WalkerParams) == ("bad", "Calm", "wild")


def test_a_users_own_strategy_has_presets():
    class Mine(kit.Strategy):
        class Params(kit.Params):
            speed: Decimal = kit.param("1", gt=0)

    strategy = Mine()
    strategy.params.save("slow")
    strategy.params.speed = "5"
    assert list(kit.presets(strategy)["preset"]) == ["slow"]
    assert strategy.params.load("slow") == {"speed": Decimal(1)}


def test_pure_market_making_saves_everything():
    params = LiveParams(
        PureMarketMakingParams(
            bid_spread="0.001", ask_spread="0.002", order_amount="0.01", order_override={"a": ["buy", 0.01, 1]}
        )
    )
    before = params.model
    path = params.save("mine")
    params.update(bid_spread="0.005", order_override=None, price_type="best_bid")
    params.load("mine")
    assert params.model == before
    assert set(tomllib.loads(path.read_text())["params"]) == set(params.fields)


@pytest.mark.parametrize("name", [None, 5, True, ["calm"]])
def test_what_is_neither_text_nor_path_names_no_preset(name):
    params = LiveParams(PureMarketMakingParams(bid_spread="0.001", ask_spread="0.002", order_amount="0.01"))
    with pytest.raises(InvalidInput, match="named by text or by the path"):
        params.save(name)
    with pytest.raises(InvalidInput, match="named by text or by the path"):
        params.load(name)


def test_a_long_name_is_told_in_short():
    params = LiveParams(PureMarketMakingParams(bid_spread="0.001", ask_spread="0.002", order_amount="0.01"))
    with pytest.raises(InvalidInput) as caught:
        params.save("x" * 300)
    assert len(str(caught.value)) < 250

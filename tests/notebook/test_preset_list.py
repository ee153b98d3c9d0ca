"""Presets in the form of parameters."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr, model_validator

import kit
from kit.errors import InvalidInput
from kit.notebook.controls_model import ControlsModel
from kit.strategy.live_params import apply_pending, start_queueing


class Walker(kit.Strategy):
    class Params(kit.Params):
        spread: Decimal = kit.param("0.001", gt=0, lt="0.05", step="0.0001", unit="fraction")
        width: Decimal = kit.param("0.01", gt=0, lt=1, unit="fraction")
        levels: int = kit.param(2, ge=1, le=10, step=1)
        plan: dict[str, int] = kit.param({"a": 1})
        key: SecretStr = kit.param(SecretStr("hidden"))

        @model_validator(mode="after")
        def _together(self):
            if self.spread > self.width:
                raise ValueError(f"spread {self.spread} is above width {self.width}")
            return self


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KIT_CONFIG", str(tmp_path))
    return tmp_path / "presets" / "Walker"


@pytest.fixture
def strategy() -> Walker:
    return Walker()


@pytest.fixture
def form(strategy: Walker) -> ControlsModel:
    return ControlsModel(strategy)


def save(form: ControlsModel, name: str, replace: bool = False, **values: str):
    return form.command({"do": "save", "name": name, "values": values, "replace": replace})


def test_what_the_form_shows_is_kept_and_nothing_applied(form, strategy, folder):
    assert save(form, " wide ", spread="0.3") == {"text": "saved as wide", "name": "wide"}
    assert "spread = 0.003" in (folder / "wide.toml").read_text()
    assert "hidden" not in (folder / "wide.toml").read_text()
    assert strategy.params.spread == Decimal("0.001")


def test_a_loaded_preset_waits_in_the_form_until_it_is_applied(form, strategy):
    save(form, "wide", spread="0.3", levels="5")
    start_queueing(strategy.params)
    answer = form.command({"do": "load", "name": "wide"})
    assert answer["values"] == {"spread": "0.3", "width": "1", "levels": "5"}
    assert answer["text"] == "wide changes 2 values; Apply applies it"
    assert strategy.params.pending == {}
    form.command({"do": "apply", "values": answer["values"]})
    assert strategy.params.pending == {"spread": Decimal("0.003"), "levels": 5}
    apply_pending(strategy.params)
    assert form.command({"do": "load", "name": "wide"})["text"] == "wide is what is applied"


def test_a_set_that_is_wrong_is_not_kept(form, folder):
    answer = save(form, "bad", spread="4", levels="5")
    assert not answer["ok"]
    assert "spread" in answer["errors"]
    assert "nothing was saved" in answer["text"]
    assert not save(form, "bad", levels="many")["ok"]
    assert not folder.exists()


def test_another_preset_is_only_replaced_on_purpose(form, folder):
    save(form, "wide", spread="0.3")
    answer = save(form, "wide", spread="0.4")
    assert (answer["ok"], answer["exists"]) == (False, True)
    assert "spread = 0.003" in (folder / "wide.toml").read_text()
    save(form, "wide", True, spread="0.4")
    assert "spread = 0.004" in (folder / "wide.toml").read_text()


@pytest.mark.parametrize("name", ["", "../up", "a/b.toml", "x.toml", ".x"])
def test_a_form_keeps_presets_by_name_only(form, name):
    answer = save(form, name, spread="0.3")
    assert not answer["ok"]
    assert list(kit.presets()["path"]) == []


def test_a_preset_that_does_not_fit_fills_nothing(form, folder):
    folder.mkdir(parents=True)
    (folder / "old.toml").write_text("[params]\ngone = 1\n")
    (folder / "odd.toml").write_text("[params]\nspread = 0.02\n")
    (folder / "plan.toml").write_text("[params]\nplan = {a = 2}\n")
    for name, told in (
        ("old", "gone"),
        ("odd", "spread 0.02 is above width"),
        ("plan", "plan, which a form cannot"),
        ("none", "there is no preset"),
    ):
        with pytest.raises(InvalidInput, match=told):
            form.command({"do": "load", "name": name})


def test_the_list_follows_the_folder(form, strategy, folder):
    assert form.frame(full=True).content["presets"] == []
    assert form.frame(full=False) is None
    save(form, "wide")
    assert form.frame(full=False).content["presets"] == ["wide"]
    assert form.frame(full=False) is None
    stamp = folder.stat().st_mtime_ns
    strategy.params.save("calm")
    os.utime(folder, ns=(stamp, stamp))  # as after two changes within one tick of the file system's clock
    assert form.frame(full=False).content["presets"] == ["calm", "wide"]
    for path in folder.iterdir():
        path.unlink()
    assert form.frame(full=False).content["presets"] == []


def test_a_form_of_some_parameters_has_no_presets(strategy):
    form = ControlsModel(strategy, ["spread"])
    assert form.frame(full=True).content["presets"] is None
    assert form.frame(full=False) is None

from __future__ import annotations

import json
from decimal import Decimal
from enum import Enum
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator

import kit
from kit.errors import InvalidInput
from kit.strategy.params import Params, param


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Example(Params):
    half_spread: Decimal = param("0.001", gt=0, lt="0.05", step="0.0001", unit="fraction", doc="distance from mid")
    levels: int = param(3, ge=1, le=10)
    wait: float = param(1.5, ge=0, unit="s")
    ceiling: Decimal | None = param(None, gt=0, unit="quote")
    floor: Decimal | None = param(None, gt=0, unit="quote")
    eager: bool = param(False)
    mood: Mood = param(Mood.CALM)
    side: Literal["buy", "sell"] = param("buy")
    steps: tuple[Decimal, ...] = param((), gt=0)

    @model_validator(mode="after")
    def _ceiling_above_floor(self) -> Example:
        if self.ceiling is not None and self.floor is not None and self.ceiling < self.floor:
            raise ValueError(f"ceiling {self.ceiling} is below floor {self.floor}")
        return self


@pytest.mark.parametrize("written", ["0.01", 0.01, Decimal("0.01"), np.float64("0.01")])
def test_a_decimal_is_read_as_it_is_written(written):
    assert Example(half_spread=written).half_spread == Decimal("0.01")
    assert type(Example(half_spread=written).half_spread) is Decimal


def test_defaults_are_converted():
    values = Example()
    assert values.half_spread == Decimal("0.001")
    assert type(values.half_spread) is Decimal
    assert values.ceiling is None


@pytest.mark.parametrize(
    ("given_values", "words"),
    [
        ({"half_spread": "0.05"}, ["half_spread", "0.05", "above 0 and below 0.05", "fraction", "distance from mid"]),
        ({"half_spread": 0}, ["half_spread", "above 0"]),
        ({"half_spread": "NaN"}, ["half_spread", "finite"]),
        ({"half_spread": True}, ["half_spread", "no number"]),
        ({"levels": 11}, ["levels = 11", "at least 1 and at most 10"]),
        ({"levels": 1.5}, ["levels = 1.5"]),
        ({"wait": float("inf")}, ["wait", "finite"]),
        ({"ceiling": -1}, ["ceiling = -1", "None for off"]),
        ({"mood": "angry"}, ["mood", "'calm', 'wild'"]),
        ({"steps": ("1", "-2")}, ["steps", "allowed: a list of numbers, each above 0"]),
        ({"steps": "1,2"}, ["steps = '1,2'", "allowed: a list of numbers, each above 0"]),
        ({"ceiling": 1, "floor": 2}, ["ceiling 1 is below floor 2"]),
        ({"half_spred": 1}, ["half_spred", "did you mean 'half_spread'", "levels"]),
        ({"half_spread": 9, "levels": 99}, ["half_spread = 9", "levels = 99"]),
    ],
)
def test_an_error_names_the_parameter_its_value_and_what_is_allowed(given_values, words):
    with pytest.raises(InvalidInput) as caught:
        Example(**given_values)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_parameter_is_asked_for():
    class Needs(Params):
        amount: Decimal = param(gt=0, unit="base", doc="size of an order")

    with pytest.raises(InvalidInput, match=r"amount is missing; give it: above 0 \(base\); size of an order"):
        Needs()


def test_a_default_outside_its_bounds_is_refused_with_the_class():
    with pytest.raises(InvalidInput, match="in the defaults, x = '7' is out of range; allowed: below 1"):

        class Wrong(Params):
            x: Decimal = param("7", lt=1)
            y: Decimal = param()


@pytest.mark.parametrize("bound", ["many", "NaN", "inf"])
def test_a_bound_that_is_no_number_is_refused(bound):
    with pytest.raises(InvalidInput, match="gt="):
        param(1, gt=bound)


def test_a_step_must_be_above_zero():
    with pytest.raises(InvalidInput, match="step"):
        param(1, step=0)


@pytest.mark.parametrize("name", ["update", "pending", "model", "fields"])
def test_names_of_the_view_are_reserved(name):
    with pytest.raises(InvalidInput, match=name):
        type("Wrong", (Params,), {"__annotations__": {name: int}, name: param(1), "__module__": __name__})


def test_values_are_immutable_and_say_how_to_change_them():
    with pytest.raises(InvalidInput, match=r"strategy\.params\.update\(levels=4\)"):
        Example().levels = 4


def test_values_compare_and_evolve():
    assert Example(levels=4) == Example().evolve(levels="4")
    assert Example(levels=4) != Example()
    with pytest.raises(InvalidInput, match="ceiling 1 is below floor 2"):
        Example(floor=2).evolve(ceiling=1)


def test_repr_is_small_and_plain():
    assert repr(Example()) == str(Example())
    assert "half_spread=0.001, levels=3" in repr(Example())
    assert "Decimal" not in repr(Example())


def test_description_is_enough_to_draw_controls():
    fields = {field.name: field for field in Example.describe()}
    spread = fields["half_spread"]
    assert (spread.kind, spread.gt, spread.lt, spread.step) == ("decimal", 0, Decimal("0.05"), Decimal("0.0001"))
    assert (spread.unit, spread.doc, spread.default, spread.optional) == (
        "fraction",
        "distance from mid",
        Decimal("0.001"),
        False,
    )
    assert [field.kind for field in Example.describe()] == [
        "decimal",
        "int",
        "float",
        "decimal",
        "decimal",
        "bool",
        "choice",
        "choice",
        "other",
    ]
    assert fields["ceiling"].optional
    assert fields["mood"].choices == (Mood.CALM, Mood.WILD)
    assert fields["side"].choices == ("buy", "sell")


def test_the_json_schema_can_be_written():
    assert "half_spread" in json.dumps(Example.model_json_schema())


def test_a_subclass_adds_parameters():
    class More(Example):
        extra: int = param(1, ge=0)

    assert [field.name for field in More.describe()][-1] == "extra"
    assert More(extra=2, levels=4).levels == 4
    assert "extra" not in {field.name for field in Example.describe()}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-1, max_value=1))
def test_what_is_accepted_lies_within_the_bounds(value):
    try:
        accepted = Example(half_spread=value).half_spread
    except InvalidInput:
        assert not 0 < value < Decimal("0.05")
    else:
        assert accepted == value
        assert 0 < accepted < Decimal("0.05")


@pytest.mark.parametrize("number", ["1e400", "-1e31", Decimal("1e999999999999"), "1e400000"])
def test_numbers_beyond_all_sense_are_refused_with_a_bound(number):
    class Wide(Params):
        amount: Decimal = param(1, unit="base")
        sizes: tuple[Decimal, ...] | None = param(None)

    for values in ({"amount": number}, {"sizes": ["1", number]}):
        with pytest.raises(InvalidInput, match=r"is beyond all sense; numbers go up to 10\^30") as caught:
            Wide(**values)
        assert len(str(caught.value)) < 200
    assert Wide(amount="-1e30").amount == Decimal("-1e30")


@pytest.mark.parametrize("number", ["1e400", "-1e31", 1e400, "inf"])
def test_market_making_refuses_such_amounts(number):
    with pytest.raises(InvalidInput, match="order_amount = "):
        kit.PureMarketMaking.Params(bid_spread="0.01", ask_spread="0.01", order_amount=number)
    with pytest.raises(InvalidInput, match="order_override = "):
        kit.PureMarketMaking.Params(
            bid_spread="0.01", ask_spread="0.01", order_amount=1, order_override={"a": ["buy", "0.01", number]}
        )

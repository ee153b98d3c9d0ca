from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from pydantic import model_validator

from kit.errors import InvalidInput
from kit.strategy.live_params import LiveParams, apply_pending, start_queueing, stop_queueing
from kit.strategy.params import Params, param


class Band(Params):
    ceiling: Decimal = param("10", gt=0)
    floor: Decimal = param("5", gt=0)

    @model_validator(mode="after")
    def _order(self) -> Band:
        if self.ceiling < self.floor:
            raise ValueError(f"ceiling {self.ceiling} is below floor {self.floor}")
        return self


@pytest.fixture
def params():
    return LiveParams(Band())


@pytest.fixture
def running(params):
    start_queueing(params)
    return params


def test_before_the_strategy_runs_an_update_applies_at_once(params):
    params.update(ceiling=20)
    params.floor = "15"
    assert (params.ceiling, params.floor, params.pending) == (20, 15, {})


def test_while_it_runs_an_update_waits_for_the_tick(running):
    running.ceiling = "20"
    running.update(floor=15)
    assert (running.ceiling, running.floor) == (10, 5)
    assert running.pending == {"ceiling": 20, "floor": 15}
    assert "queued: ceiling=20, floor=15" in repr(running)
    before, after = apply_pending(running)
    assert (before, after) == (Band(), Band(ceiling=20, floor=15))
    assert running.model is after
    assert running.pending == {}
    assert apply_pending(running) is None


def test_a_set_is_checked_as_a_whole_on_top_of_what_is_queued(running):
    running.update({"ceiling": 20})
    running.floor = 15  # wrong against the applied ceiling 10, right against the queued one
    with pytest.raises(InvalidInput, match="ceiling 14 is below floor 15"):
        running.ceiling = 14
    assert running.pending == {"ceiling": 20, "floor": 15}


def test_nothing_is_queued_by_what_is_applied_already(running):
    running.ceiling = 20
    running.ceiling = 10
    assert running.pending == {}
    assert apply_pending(running) is None


def test_the_end_of_the_run_applies_what_is_queued(running):
    running.ceiling = 20
    stop_queueing(running)
    assert (running.ceiling, running.pending) == (20, {})


def test_unknown_names_are_answered_with_the_likely_one(params):
    with pytest.raises(InvalidInput, match="did you mean 'ceiling'"):
        params.celing = 3
    with pytest.raises(InvalidInput, match="did you mean 'ceiling'"):
        params.update(celing=3)
    with pytest.raises(AttributeError, match="did you mean 'ceiling'"):
        _ = params.celing
    assert not hasattr(params, "_repr_html_")


def test_it_shows_what_it_has(params):
    assert "ceiling" in dir(params)
    assert list(params.fields) == ["ceiling", "floor"]
    assert repr(params) == "Band(ceiling=10, floor=5)"


def test_probing_a_view_that_is_not_initialised_does_not_recurse():
    assert not hasattr(LiveParams.__new__(LiveParams), "_anything")


def test_concurrent_updates_all_arrive(running):
    class Many(Params):
        a: int = param(0)
        b: int = param(0)

    live = LiveParams(Many())
    start_queueing(live)
    start = threading.Barrier(2)

    def write(name):
        start.wait()
        for value in range(1, 201):
            live.update({name: value})

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert live.pending == {"a": 200, "b": 200}

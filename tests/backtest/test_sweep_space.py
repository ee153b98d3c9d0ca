import math
import threading

import numpy as np
import optuna
import pytest

from kit.backtest.sweep_driver import Driver
from kit.backtest.sweep_space import GridSearch, OptunaSearch, make_search
from kit.backtest.sweep_trial import Outcome
from kit.errors import InvalidInput
from tests.support.sweeps import ShufflingPool, measured

FLOAT = optuna.distributions.FloatDistribution


def asked(search):
    return list(iter(search.ask, None))


def drive(search, work, **options):
    pool = ShufflingPool(work, **options)
    driver = Driver(search, threading.Event(), lambda trial: None)
    driver.run(pool)
    return driver.trials, pool


def bowl(params):
    return Outcome([measured(-((params["x"] - 0.3) ** 2) - (params["y"] - 0.6) ** 2)])


# grids


def test_a_grid_has_every_combination_the_last_name_fastest():
    search = make_search({"a": [1, 2], "b": ("x", "y")}, "maximize", trials=None, seed=0)
    assert isinstance(search, GridSearch)
    assert search.total == search.at_once == 4
    assert asked(search) == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]


def test_some_of_a_grid_are_drawn_by_the_seed_without_repeats():
    space = {"a": range(10), "b": range(10)}
    draws = [asked(make_search(space, "maximize", trials=7, seed=seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len({tuple(point.values()) for point in draws[0]}) == 7
    assert "7 of 100 drawn with seed 1" in make_search(space, "maximize", trials=7, seed=1).description


def test_numbers_of_numpy_become_plain_ones():
    search = make_search({"a": np.linspace(0, 1, 3)}, "maximize", trials=None, seed=0)
    assert [type(point["a"]) for point in asked(search)] == [float] * 3


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (None, "give a grid"),
        ({}, "give a grid"),
        ({"a": 1}, r"\[1\] for a single one"),
        ({"a": "text"}, "give a list of values"),
        ({"a": []}, "no values"),
        ({"data": [1]}, "cannot be swept"),
        ({3: [1]}, "names are texts"),
    ],
)
def test_what_is_no_space_is_told(space, words):
    with pytest.raises(InvalidInput, match=words):
        make_search(space, "maximize", trials=None, seed=0)


@pytest.mark.parametrize("trials", [0, -1, 2.5, True])
def test_the_number_of_trials_is_checked(trials):
    with pytest.raises(InvalidInput, match="trials"):
        make_search({"a": [1]}, "maximize", trials=trials, seed=0)


def test_a_grid_has_no_sampler():
    with pytest.raises(InvalidInput, match="sampler"):
        make_search({"a": [1]}, "maximize", trials=None, seed=0, sampler=optuna.samplers.RandomSampler())


# Optuna


def test_a_seed_decides_the_trials_whoever_ends_first_on_however_many_workers():
    space = {"x": FLOAT(0, 1), "y": FLOAT(0, 1)}
    tables = []
    for slots, seed in ((1, 0), (2, 1), (8, 2)):
        trials, pool = drive(make_search(space, "maximize", trials=40, seed=5, workers=2), bowl, slots=slots, seed=seed)
        tables.append([(trial.params, trial.value) for trial in trials])
        assert pool.most <= 8
    assert tables[0] == tables[1] == tables[2]


def test_the_sampler_learns_towards_the_direction():
    space = {"x": FLOAT(0, 1), "y": FLOAT(0, 1)}
    for direction, sign in (("maximize", 1), ("minimize", -1)):
        search = make_search(space, direction, trials=80, seed=1)
        trials, _ = drive(search, lambda params, sign=sign: Outcome([measured(sign * bowl(params).runs[0].value)]))
        losses = [-bowl(trial.params).runs[0].value for trial in trials]
        assert np.mean(losses[-20:]) < np.mean(losses[:20]) / 2


def test_lists_beside_distributions_are_choices():
    search = make_search({"x": FLOAT(0, 1), "kind": ["a", "b"]}, "maximize", trials=12, seed=1)
    trials, _ = drive(search, lambda params: Outcome([measured(params["x"])]))
    assert {trial.params["kind"] for trial in trials} == {"a", "b"}


def test_a_function_of_a_trial_may_derive_parameters():
    def space(trial):
        spread = trial.suggest_float("spread", 0.001, 0.01)
        return {"bid_spread": spread, "ask_spread": 2 * spread}

    trials, _ = drive(make_search(space, "maximize", trials=5, seed=1), lambda p: Outcome([measured(p["bid_spread"])]))
    assert len(trials) == 5
    assert all(trial.params["ask_spread"] == 2 * trial.params["bid_spread"] for trial in trials)


@pytest.mark.parametrize(("given", "words"), [(3, "return a dict"), ({"start": 1}, "cannot be swept")])
def test_what_the_function_gives_is_checked(given, words):
    with pytest.raises(InvalidInput, match=words):
        make_search(lambda trial: given, "maximize", trials=5, seed=1).ask()


def test_failed_and_silent_trials_do_not_stop_the_search():
    def work(params):
        if params["x"] < 0.3:
            return Outcome((), "ValueError: no")
        return Outcome([measured(math.nan if params["x"] < 0.6 else params["x"])])

    search = make_search({"x": FLOAT(0, 1)}, "maximize", trials=30, seed=1)
    trials, _ = drive(search, work)
    assert {trial.state for trial in trials} == {"failed", "done"}
    assert len(trials) == 30


def test_a_sampler_of_the_users_is_asked():
    sampler = optuna.samplers.RandomSampler(seed=3)
    search = make_search({"x": FLOAT(0, 1)}, "maximize", trials=4, seed=1, sampler=sampler)
    assert isinstance(search, OptunaSearch)
    assert "RandomSampler" in search.description


def test_optuna_keeps_its_own_verbosity():
    before = optuna.logging.get_verbosity()
    make_search({"x": FLOAT(0, 1)}, "maximize", trials=4, seed=1)
    assert optuna.logging.get_verbosity() == before


# the driver


def test_a_stop_keeps_what_is_done():
    stop = threading.Event()
    shown = []

    def show(trial):
        shown.append(trial.number)
        if len(shown) == 3:
            stop.set()

    driver = Driver(make_search({"x": [1, 2, 3, 4, 5]}, "maximize", trials=None, seed=0), stop, show)
    driver.run(ShufflingPool(lambda params: Outcome([measured(1.0)])))
    assert [trial.state for trial in driver.trials].count("done") == 3
    assert [trial.state for trial in driver.trials].count("not run") == 2

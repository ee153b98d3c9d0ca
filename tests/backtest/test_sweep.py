import math
import threading
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kit
from kit.backtest import sweep_workers
from kit.backtest.config import BacktestConfig
from kit.backtest.sweep_data import make_room, share, split
from kit.backtest.sweep_errors import SweepFailed
from kit.backtest.sweep_trial import Window
from kit.errors import BacktestError, InsufficientBalance, InvalidInput
from kit.simulation.feed import FeedColumns
from tests.support.made_market import BALANCES, PAIR, RULES, made_events
from tests.support.sweeps import open_here

GRID = {"bid_spread": ["0.00001", "0.00002"], "ask_spread": ["0.00001", "0.0001"]}
COMMON = {"order_amount": "0.01", "order_refresh_time": 3, "rules": RULES, "balances": BALANCES, "progress": False}


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep_workers, "open_pool", open_here)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def events():
    return made_events(60)


def sweep(data, space=GRID, strategy=kit.PureMarketMaking, **options):
    return kit.sweep(strategy, data, space, **{**COMMON, **options})


def test_every_point_runs_on_both_times_as_a_backtest_of_its_own(events):
    result = sweep(events, objective="fills", held_out=0.25)
    table = result.frame()
    assert table.state.tolist() == ["done"] * 4
    assert result.windows[0].end == result.windows[1].start
    assert result.windows[1].seconds == pytest.approx(sum(window.seconds for window in result.windows) / 4)
    for number, params in enumerate(
        [{"bid_spread": bid, "ask_spread": ask} for bid in GRID["bid_spread"] for ask in GRID["ask_spread"]]
    ):
        for window, end in zip(result.windows, ("in", "out"), strict=True):
            options = {name: value for name, value in COMMON.items() if name != "progress"}
            alone = kit.backtest(
                kit.PureMarketMaking, events, start=window.start, end=window.end, progress=False, **options, **params
            )
            row = table.loc[number]
            assert row[f"fills_{end}"] == row[f"objective_{end}"] == len(alone.run.fills)
            assert row[f"return_{end}"] == alone.stats.value["return"]
            assert row[f"sharpe_{end}"] == pytest.approx(alone.stats.value["sharpe"], nan_ok=True)


def test_the_objective_may_be_a_function_and_its_errors_belong_to_the_trial(events):
    def turnover_in_thousands(result):
        if result.run.parameters["ask_spread"] == "0.0001":
            raise ArithmeticError("not this one")
        return result.stats.value["turnover"] / 1000

    result = sweep(events, objective=turnover_in_thousands)
    table = result.frame()
    assert table.state.tolist() == ["done", "failed", "done", "failed"]
    assert table.objective_in[0] == table.turnover_in[0] / 1000
    assert table.error[1] == "ArithmeticError: not this one"
    assert result.objective == "turnover_in_thousands"
    assert result.best.number in (0, 2)


def test_an_objective_that_is_no_number_fails_with_a_word(events):
    with pytest.raises(SweepFailed, match="must return one number") as caught:
        sweep(events, objective=lambda result: "much")
    assert isinstance(caught.value.__cause__, InvalidInput)
    assert caught.value.partial.frame().state.tolist() == ["failed"] * 4


def test_an_error_in_one_trial_does_not_end_the_sweep(events):
    result = sweep(events, {"bid_spread": ["0.00001", "-3"], "ask_spread": ["0.00001"]})
    assert result.frame().state.tolist() == ["done", "failed"]
    assert "bid_spread" in result.frame().error[1]


def test_when_all_fail_the_first_error_is_raised(events):
    class Broken(kit.Strategy):
        class Params(kit.Params):
            level: int = kit.param(1)

        def on_tick(self, timestamp):
            raise ZeroDivisionError(f"at level {self.params.level}")

    with pytest.raises(SweepFailed, match=r"all 3 trials failed; the first, with level=1: BacktestError.*at level 1"):
        kit.sweep(Broken, events, {"level": [1, 2, 3]}, rules=RULES, balances=BALANCES, progress=False)


def test_a_strategys_own_error_is_the_cause(events):
    with pytest.raises(SweepFailed) as caught:
        sweep(events, {"colour": ["blue"]})
    assert "colour" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert not isinstance(caught.value.__cause__, BacktestError)


def test_fees_and_latency_can_be_swept(events):
    result = sweep(events, {"fees": [0, 0.01], "latency": [0.01, 4.0]}, bid_spread="0.00001", ask_spread="0.00001")
    table = result.frame()
    assert (table.fees_in[:2] == 0).all()
    assert (table.fees_in[2:] > 0).all()
    assert table.filter(regex="_in$").loc[0].tolist() != table.filter(regex="_in$").loc[1].tolist()


def test_optuna_searches(events):
    from optuna.distributions import FloatDistribution

    space = {"bid_spread": FloatDistribution(0.00001, 0.001, log=True)}
    tables = [
        sweep(events, space, trials=6, seed=4, ask_spread="0.00001", workers=workers).frame() for workers in (1, 3)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 6
    assert tables[0].bid_spread.nunique() == 6


def test_a_configuration_is_a_strategy_too(events):
    config = {
        "strategy": "PureMarketMaking",
        "rules": RULES,
        "balances": BALANCES,
        "params": {"order_amount": "0.01", "order_refresh_time": 3},
    }
    result = kit.sweep(config, events, GRID, progress=False)
    pd.testing.assert_frame_equal(result.frame(), sweep(events).frame())


def test_several_markets_at_once(events):
    def make(markets, spread):
        return kit.PureMarketMaking(
            markets["binance"], PAIR, bid_spread=spread, ask_spread=spread, order_amount="0.01", order_refresh_time=3
        )

    other = made_events(60, seed=2, exchange="other")
    balances = {"binance": BALANCES, "other": BALANCES}
    result = kit.sweep(make, [events, other], {"spread": ["0.00001"]}, rules=RULES, balances=balances, progress=False)
    assert result.frame().state.tolist() == ["done"]
    assert "BTC/USDT on other" in result.setting["data"]


def test_without_a_held_out_time(events):
    assert len(sweep(events, held_out=None).windows) == 1
    assert math.isnan(sweep(events, held_out=0).best.held_out_value)


def test_the_progress_bar_has_the_best(events, capsys):
    sweep(events, objective="fills", progress=True)
    shown = capsys.readouterr().err
    assert "sweep" in shown
    assert "/4" in shown


def test_nothing_is_left_of_events_in_memory(events, tmp_path):
    sweep(events)
    assert list((tmp_path / "cache" / "sweeps").iterdir()) == []


# said before anything runs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"objective": "sharp"}, "did you mean 'sharpe'"),
        ({"direction": "up"}, "direction"),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
        ({"held_out": 1.5}, "held_out"),
        ({"held_out": 0.999}, "held_out|in-sample time"),
        ({"bid_spread": 1}, "in the space and given"),
        ({"params": {"bid_spread": 1}}, "in the space and given"),
        ({"tick_size": -1}, "tick_size"),
        ({"queue": "Nonsense"}, "queue model"),
    ],
)
def test_wrong_arguments(events, arguments, words):
    with pytest.raises(InvalidInput, match=words):
        sweep(events, **arguments)


def test_wrong_data(events):
    with pytest.raises(InvalidInput, match="there are no data"):
        sweep(None)
    with pytest.raises(InvalidInput, match="trading rules"):
        sweep(events, rules=None)
    with pytest.raises(InsufficientBalance):
        sweep(events, balances={"USDT": 1})


def test_what_cannot_travel_is_told(events):
    lock = threading.Lock()
    with pytest.raises(InvalidInput, match="cannot travel to another process"):
        sweep(events, objective=lambda result: lock is None)


# data and times


def test_feeds_in_memory_are_saved_and_mapped_ones_are_not(events, tmp_path):
    config = BacktestConfig(kit.PureMarketMaking, data=events, rules=RULES, balances=BALANCES)
    with make_room() as room:
        (feed,), span = share(config, Path(room))
        assert Path(feed.folder).parent == Path(room)
        mapped = FeedColumns.open(feed.folder)
        assert isinstance(mapped.exch_ts, np.memmap)
        assert span.seconds == pytest.approx(60, abs=1)
        again = BacktestConfig(None, data={"binance": {PAIR: mapped}}, rules=RULES, balances=BALANCES)
        (same,), _ = share(again, Path(room) / "other")
        assert Path(same.folder) == Path(feed.folder).resolve()
        part = BacktestConfig(None, data={"binance": {PAIR: mapped.rows(0, 900)}}, rules=RULES, balances=BALANCES)
        (cut,), _ = share(part, Path(room) / "cut")
        assert len(FeedColumns.open(cut.folder)) == 900
        assert cut.rule.maker_fee == Decimal("0.0002")
        del mapped


SPAN = Window(1000.0, 2000.0)


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [
        (None, [(1000, 2000)]),
        (0, [(1000, 2000)]),
        (0.3, [(1000, 1700), (1700, 2000)]),
        ((1800, 2000), [(1000, 1800), (1800, 2000)]),
        ((1800, None), [(1000, 1800), (1800, 2000)]),
        ((None, 1200), [(1200, 2000), (1000, 1200)]),
        ((1500, 1600), [(1000, 1500), (1500, 1600)]),
    ],
)
def test_split(held_out, expected):
    windows, notes = split(SPAN, held_out, 1.0)
    assert [(window.start, window.end) for window in windows] == expected
    assert bool(notes) == (held_out in ((None, 1200), (1500, 1600)))


@pytest.mark.parametrize(
    "held_out", [1, -0.1, True, "half", (1, 2, 3), (900, 1100), (1500, 1500), (1999.5, 2000), 0.0005]
)
def test_wrong_splits(held_out):
    with pytest.raises(InvalidInput, match="held"):
        split(SPAN, held_out, 1.0)

"""What a user gets wrong is said in words before anything runs, never by an error from inside."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import kit
from kit.backtest.config import read_config
from kit.backtest.moments import seconds_of
from kit.backtest.runner import merge
from kit.commands.backtest import _EXAMPLE
from kit.errors import BacktestError, InvalidInput
from kit.simulation.latency import ConstantLatency, NoLatency
from kit.simulation.models import find_model
from kit.simulation.queue_models import LogProb2, OwnQueue, QueueModel
from tests.support.made_market import BALANCES, PAIR, RULES, START, made_events

D = Decimal
RULE = RULES[PAIR]
CANDLES = pd.DataFrame(
    {"open": [1.0, 2.0], "high": [2.0, 3.0], "low": [0.5, 1.0], "close": [2.0, 2.5], "volume": [1.0, 2.0]},
    index=pd.date_range("2024-08-09", periods=2, freq="1min", tz="UTC"),
)


@pytest.fixture(scope="module")
def events():
    return made_events(10)


class Idle(kit.Strategy):
    def on_tick(self, timestamp):
        pass


class Buys(kit.Strategy):
    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy("0.01", self.market.get_price(PAIR, False))


def run(data, strategy=Idle, **options):
    return kit.backtest(strategy, data, **{"rules": RULES, "balances": BALANCES, "progress": False, **options})


def rule(**changed):
    return {"rules": {PAIR: {**RULE, **changed}}}


def asserts(front, traded, before, after):
    assert after <= before
    return front


class Halves(QueueModel):
    """Tells nothing of what the kernel needs."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tick_size": "1"}, "tick_size is '1'; it must be a finite number of seconds"),
        ({"tick_size": None}, "tick_size is None"),
        ({"tick_size": True}, "tick_size is True"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"balances": pd.Series({"BTC": 1.0})}, "give amounts by asset"),
        ({"fees": (0.1, 0.2)}, r"fees is \(0.1, 0.2\); give one fraction"),
        ({"fees": object()}, "fees is <object"),
        ({"latency": [0.1]}, r"latency is \[0.1\]; give seconds"),
        ({"latency": NoLatency}, "latency is <class"),
        ({"latency": "50ms"}, "no latency model '50ms'; there are NoLatency, ConstantLatency, RecordedLatency"),
        ({"queue": lambda front, traded, before, after: front}, r"queue is <function.*OwnQueue\(function\)"),
        ({"queue": LogProb2}, "queue is <class"),
        ({"queue": 3}, "queue is 3"),
        ({"queue": Halves()}, r"queue is .*Halves\(\)"),
        ({"queue": "_Power"}, "no queue model '_Power'"),
        ({"queue": OwnQueue([1])}, r"\[1\] is no function"),
        ({"queue": OwnQueue(asserts)}, "asserts raises: compiled code .* Return float"),
        ({"exchange": object()}, "exchange is <object"),
        ({"exchange": "ExchangeModel"}, "no exchange model 'ExchangeModel'; there are PartialFill"),
        ({"start": pd.NaT}, "start is NaT"),
        (rule(min_price_increment="nan"), "min_price_increment Decimal.'NaN'.; it must be a finite number"),
        (rule(min_price_increment=None), "min_price_increment None; it must be a finite number"),
        (rule(min_order_size="nan"), "min_order_size"),
        (rule(min_order_size=-1), "min_order_size -1; it must be 0 or more"),
        (rule(min_base_amount_increment=True), "min_base_amount_increment True, which is no number"),
        (rule(maker_fee="5"), "maker_fee 5; fees are fractions"),
        (rule(min_order_size="5", max_order_size="1"), "min_order_size 5 above max_order_size 1"),
        ({"rules": [1]}, r"rules is \[1\]; give rules by pair"),
        ({"rules": {PAIR: [1]}}, r"the rule of BTC/USDT is \[1\]"),
        ({"params": [1]}, r"params is \[1\]; give the strategy's parameters by name"),
    ],
)
def test_wrong_types_and_values_are_refused(events, options, message):
    with pytest.raises(InvalidInput, match=message):
        run(events, **options)


def test_tables_and_arrays_are_looked_at_not_compared():
    with pytest.raises(InvalidInput, match="candles have no name"):
        run(CANDLES)
    with pytest.raises(InvalidInput, match="data is array"):
        run(np.zeros(3))


def test_numbers_of_every_kind_are_numbers(events):
    first = run(
        events, tick_size=D("0.5"), seed=np.int64(3), balances={"BTC": np.float64(1.5), "USDT": np.int64(90_000)}
    )
    assert first.run.tick_size == 0.5
    assert first.run.counts["ticks"] == 20
    assert {account.asset: amount for account, amount in first.run.initial_balances.items()} == {
        "BTC": D("1.5"),
        "USDT": D(90_000),
    }
    assert run(events, latency=D("0.01"), start=pd.Timestamp(START + 2, unit="s", tz="UTC")).run.started == START + 2


def test_a_default_leaves_the_configuration_and_another_value_goes_over_it():
    config = read_config({"strategy": Idle, "tick_size": 5, "seed": 3, "fees": 0.001})
    assert merge(config, {}, tick_size=1.0, seed=0, fees=None) == config
    assert merge(config, {}, tick_size=2.0, seed=4, fees=0).fees == 0


def test_dates_without_a_time_are_refused_in_words():
    with pytest.raises(InvalidInput, match="give seconds since the epoch, a datetime"):
        seconds_of("start", dt.date(2024, 8, 9))


def test_the_example_of_the_command_is_read(tmp_path):
    path = tmp_path / "example.toml"
    text = "\n".join(line.removeprefix("  ") for line in _EXAMPLE.splitlines()[2:])
    for latency in ("latency = 0.05", "latency = {" + text.partition("or {")[2].partition("}")[0] + "}"):
        path.write_text(text.replace("latency = 0.05", latency, 1), encoding="utf-8")
        assert isinstance(find_model("latency", read_config(path).latency), ConstantLatency)


# a latency model of one's own


class Own:
    response_floor_ns = 0

    def __init__(self, entry=10_000_000, response=10_000_000):
        self._entry, self._response = entry, response

    def entry(self, sent_ns):
        return self._entry

    def response(self, exch_ns):
        return self._response

    def rejection(self, sent_ns):
        return 0


def test_an_own_latency_model_gives_what_the_built_in_one_gives(events):
    own, built_in = (run(events, Buys, latency=model) for model in (Own(), 0.01))
    assert len(own.run.fills) > 0
    assert own.fills.equals(built_in.fills)
    assert own.run.assumptions["latency"] == "Own"
    assert built_in.run.assumptions["latency"] == "ConstantLatency(request=0.01, answer=0.01)"
    assert run(events, Buys, latency=Own(entry=np.int64(10_000_000))).fills.equals(built_in.fills)


class HighFloor(Own):
    response_floor_ns = 20_000_000


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Own(response=-50_000_000), "Own gave response -50000000; a latency is a whole number of nanoseconds"),
        (Own(entry=-1), "Own gave entry -1"),
        (Own(entry=1e7), "Own gave entry 10000000.0"),
        (HighFloor(), "HighFloor gave response 10000000 ns, below its response_floor_ns of 20000000"),
    ],
)
def test_an_own_latency_model_cannot_answer_before_it_was_asked(events, model, message):
    with pytest.raises(BacktestError, match=message):
        run(events, Buys, latency=model)


def test_an_own_latency_model_that_lacks_a_part_is_refused(events):
    class Lacks:
        def entry(self, sent_ns):
            return 0

    with pytest.raises(InvalidInput, match="object with response_floor_ns, entry"):
        run(events, latency=Lacks())


# the first moment


def test_the_first_event_is_known_when_the_strategy_starts(events):
    known = []

    class Looks(kit.Strategy):
        def on_start(self, timestamp):
            known.append((self.market.ready, self.market.get_price(PAIR, True).is_finite()))

        def on_tick(self, timestamp):
            pass

    # Times in ns that the nearest float of seconds is above of, and such that it is below of.
    for offset in (0.0, 1e-9 * 99, 1e-9 * 201, 1e-9 * 333):
        run(made_events(3, offset=offset), Looks)
    assert known == [(True, True)] * 4


# data and rules that do not belong together


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"min_price_increment": "1"},
            r"min_price_increment 1, but \d+% of the prices of the data lie between its steps",
        ),
        ({"min_base_amount_increment": "10"}, r"min_base_amount_increment 10, but 100% of the amounts are below"),
    ],
)
def test_steps_in_which_the_book_would_melt_are_refused(events, changed, message):
    with pytest.raises(InvalidInput, match=message):
        run(events, **rule(**changed))


def test_finer_steps_and_candles_between_the_steps_are_taken(events):
    run(events, **rule(min_price_increment="0.05", min_base_amount_increment="0.00001"))
    run({"binance": {PAIR: CANDLES + 0.013}}, **rule(min_price_increment="0.1"))


def test_a_side_that_is_none_is_refused(events):
    side = events.side.copy()
    side[60] = 5
    with pytest.raises(InvalidInput, match=r"row 60 of BTC/USDT on binance .* has side 5"):
        run(replace(events, side=side))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"binance": 0, "krakn": 0}, "fees is given by exchange and names 'krakn'; the data are of binance, kraken"),
        ({"binance": 0}, "fees is given by exchange and says nothing of 'kraken'"),
    ],
)
def test_models_by_exchange_are_given_for_each(events, given, message):
    with pytest.raises(InvalidInput, match=message):
        run(
            [events, replace(events, exchange="kraken")], balances={"binance": BALANCES, "kraken": BALANCES}, fees=given
        )


def test_hooks_that_nobody_would_await_are_refused():
    with pytest.raises(InvalidInput, match=r"Waits.on_tick is a coroutine function.*'def on_tick"):

        class Waits(kit.Strategy):
            async def on_tick(self, timestamp):
                pass

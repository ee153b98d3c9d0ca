import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

import kit
from kit.__main__ import main
from kit.backtest import data as data_module
from kit.backtest.config import find_strategy, read_config
from kit.backtest.data import gather
from kit.backtest.feed_cache import FeedCache
from kit.backtest.moments import moment, seconds_of
from kit.backtest.rules import find_rule
from kit.errors import InsufficientBalance, InvalidInput
from kit.simulation.feed import FeedColumns
from kit.simulation.fees import Fees
from kit.simulation.latency import ConstantLatency
from kit.simulation.models import find_model
from kit.simulation.queue_models import LogProb2, PowerProb
from kit.storage.events import EventKind, MarketEvents
from kit.storage.exporters import to_hftbacktest
from kit.storage.recording_writer import RecordingWriter
from kit.types.market import TradingRule
from tests.support.kit_logs import kit_records
from tests.support.made_market import BALANCES, NS, PAIR, RULES, START, made_events

D = Decimal


@pytest.fixture(scope="module")
def events():
    return made_events(20)


class Idle(kit.Strategy):
    def on_tick(self, timestamp):
        pass


def run(data, strategy=Idle, **options):
    return kit.backtest(strategy, data, **{"rules": RULES, "balances": BALANCES, "progress": False, **options})


def changed(events, column, row, value):
    values = getattr(events, column).copy()
    values[row] = value
    return replace(events, **{column: values})


def only_trades(events):
    rows = events.kind == EventKind.TRADE
    names = ("exch_ts", "local_ts", "kind", "side", "price", "amount", "update_id", "flags")
    return MarketEvents("binance", PAIR, **{name: getattr(events, name)[rows] for name in names})


# what is wrong is said before anything runs


def test_a_pair_without_rules_is_told_how_to_give_them(events):
    with pytest.raises(InvalidInput, match=r"a pair without trading rules.*BTC/USDT on binance.*rules=\{'BTC/USDT'"):
        run(events, rules=None)
    with pytest.raises(InvalidInput, match="ETH/USDT on binance"):
        run(replace(events, trading_pair="ETH/USDT"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda events: changed(events, "local_ts", 500, int(events.local_ts[400]) - 1), r"not sorted: row 500 \(2024"),
        (lambda events: changed(events, "price", 77, float("nan")), r"row 77 of BTC/USDT on binance .*price nan"),
        (lambda events: changed(events, "amount", 77, -1.0), "row 77 of BTC/USDT on binance .*amount -1.0"),
        (lambda events: changed(events, "kind", 78, 99), "row 78 .*of kind 99.*damaged"),
        (lambda events: changed(events, "local_ts", slice(0, 10), 0), "row 0 .*must be after the epoch"),
        (lambda events: events.rows(0, 0), "no events of BTC/USDT on binance"),
        (only_trades, "no order book .only trade rows.*candles_from_events"),
        (lambda events: events.rows(0, 1), "no order book .only clear rows"),
        (lambda events: changed(events, "side", 60, 0), "no side"),
    ],
)
def test_damaged_data_are_refused_with_what_and_where(events, damage, message):
    with pytest.raises(InvalidInput, match=message):
        run(damage(events))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": START + 10, "end": START + 5}, InvalidInput, "must be before end"),
        ({"start": START + 500}, InvalidInput, r"start is 2024-08-09 00:08:20.*outside of the data.*from 2024-08-08"),
        ({"end": "2020-01-01"}, InvalidInput, "end is 2020-01-01"),
        ({"end": "tomorrow"}, InvalidInput, "write a time as"),
        ({"start": START + 5.1, "end": START + 5.2}, InvalidInput, "no tick of 1 s"),
        ({"tick_size": 0}, InvalidInput, "tick_size is 0"),
        ({"seed": "x"}, InvalidInput, "seed is 'x'"),
        (
            {"balances": {"BTC": "0.0000001", "USDT": 1}},
            InsufficientBalance,
            "for the smallest order.*1 USDT",
        ),
        ({"balances": {"EUR": 1}}, InvalidInput, "'EUR', which no pair of binance"),
        ({"balances": {"bybit": {"USDT": 1}}}, InvalidInput, "balances name 'bybit'; the data are of binance"),
        ({"balances": {"USDT": -1}}, InvalidInput, "balance of USDT is -1"),
        ({"balances": 5}, InvalidInput, "balances is 5"),
        ({"queue": "PowerPro"}, InvalidInput, "did you mean 'PowerProb'"),
        ({"latency": {"requst": 1}}, InvalidInput, "ConstantLatency takes request, answer"),
        ({"rules": {PAIR: {"tick": 1}}}, InvalidInput, "has no field 'tick'"),
        ({"rules": {PAIR: {"min_price_increment": 1}}}, InvalidInput, "lacks min_base_amount_increment"),
    ],
)
def test_what_does_not_fit_is_refused(events, options, error, message):
    with pytest.raises(error, match=message):
        run(events, **options)


def test_a_strategy_that_cannot_afford_one_order_is_refused(events):
    options = {"bid_spread": "0.001", "ask_spread": "0.001", "order_amount": "20"}
    with pytest.raises(InsufficientBalance, match=r"too small for one order of BTC/USDT: it takes 20.0+ BTC or 1[12]"):
        run(events, kit.PureMarketMaking, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "there are no data"),
        (7, "data is 7; give"),
        ([], "data is \\[\\]"),
        ({}, "the data hold no market"),
        ("missing.parquet", "there is no file or folder missing.parquet"),
        ({"BTC/USDT": made_events(2)}, "data by name go exchange -> pair"),
        ({"a": {PAIR: {"deeper": 1}}}, "nest deeper"),
    ],
)
def test_data_of_no_known_form_are_refused(data, message):
    with pytest.raises(InvalidInput, match=message):
        run(data)


def test_a_file_alone_is_told_how_to_be_named(events, tmp_path):
    np.savez(tmp_path / "day.npz", data=to_hftbacktest(events))
    told = r"day.npz does not tell its pair.*{'binance': {'BTC/USDT': '.*day.npz'}}"
    with pytest.raises(InvalidInput, match=told):
        run(tmp_path / "day.npz")


def test_the_same_market_twice_and_strangers_are_refused(events):
    with pytest.raises(InvalidInput, match="BTC/USDT on binance is in the data twice"):
        run([events, events])
    later = made_events(20, offset=100.0, exchange="bybit")
    with pytest.raises(InvalidInput, match=r"no time in common: BTC/USDT on binance ends at .*bybit begins"):
        run([events, later], balances={"binance": BALANCES, "bybit": BALANCES})
    other = made_events(20, exchange="bybit")
    with pytest.raises(InvalidInput, match="give balances for each"):
        run([events, other])
    with pytest.raises(InvalidInput, match="say what Idle trades"):
        run([events, other], balances={"binance": BALANCES, "bybit": BALANCES})


@pytest.mark.parametrize("strategy", [5, lambda markets: None, kit.Clock])
def test_what_is_no_strategy_is_refused(events, strategy):
    with pytest.raises(InvalidInput, match="strategy"):
        run(events, strategy)


# what is taken


def test_names_from_a_mapping_come_first(events):
    (market,) = gather({"kraken": {"eth-usd": events}}, {"ETH/USD": RULES[PAIR]})
    assert (market.exchange, market.trading_pair) == ("kraken", "ETH/USD")
    assert market.rule.base_asset == "ETH"


def test_a_converted_feed_is_taken_as_it_is(events):
    feed = FeedColumns.from_events(events, "0.1", "0.001")
    (market,) = gather({"binance": {PAIR: feed}}, RULES)
    assert market.feed is feed
    with pytest.raises(InvalidInput, match="has no name"):
        gather([feed], RULES)
    with pytest.raises(InvalidInput, match=r"in ticks of 0.1 and lots of 0.001"):
        gather({"binance": {PAIR: feed}}, {PAIR: {**RULES[PAIR], "min_price_increment": "0.5"}})


def test_rules_are_found_in_the_data_by_pair_and_by_exchange(events):
    told = {"trading_rule": json.dumps(RULES[PAIR] | {"maker_fee": "0.0003"})}
    assert find_rule("binance", PAIR, told).maker_fee == D("0.0003")
    assert find_rule("binance", PAIR, told, RULES).maker_fee == D("0.0002")
    assert find_rule("binance", PAIR, {}, {"binance": RULES}).min_order_size == D("0.001")
    assert find_rule("binance", PAIR, {}, {"BTC-USDT": RULES[PAIR]}).trading_pair == PAIR
    assert find_rule("binance", PAIR, {}, RULES[PAIR]).taker_fee == D("0.0005")
    rule = TradingRule(PAIR, "BTC", "USDT", D("0.1"), D("0.001"))
    assert find_rule("binance", PAIR, {}, rule) is rule


def test_without_balances_some_are_assumed_and_told(events):
    result = run(events, balances=None)
    money = {account.asset: amount for account, amount in result.run.initial_balances.items()}
    assert money["USDT"] == 100_000
    assert 99_000 < money["BTC"] * 60_000 < 101_000
    assert "none were given" in result.run.assumptions["balances"]


def test_balances_are_assumed_from_a_book_whose_bids_come_first():
    book = [(EventKind.SNAPSHOT, 1, 1000.0 - 0.1 * n) for n in range(3000)]
    book += [(EventKind.SNAPSHOT, -1, 1001.0 + 0.1 * n) for n in range(3000)]
    times = [START * NS + int(10 * NS * n) for n in range(2)]
    rows = [(at, at + 1, kind, side, price, 1.0, 0, 0) for at in times for kind, side, price in book]
    result = run(MarketEvents.from_rows("binance", PAIR, rows), balances=None)
    assert "assumed 100000 USDT on binance, 99.95 BTC" in result.run.assumptions["balances"]


@pytest.fixture
def two_books(events, tmp_path, monkeypatch):
    """The folder of a recording with two whole books, a minute apart."""
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    with RecordingWriter(tmp_path / "recording") as writer:
        for later in (0, 60 * NS):
            writer.append(replace(events, local_ts=events.local_ts + later, exch_ts=events.exch_ts + later))
    return tmp_path / "recording"


@pytest.mark.parametrize("opened", [False, True])
def test_of_a_recording_only_the_span_that_is_replayed_is_read(two_books, opened):
    quotes = {"bid_spread": "0.00001", "ask_spread": "0.00001", "order_amount": "0.1", "order_refresh_time": 2}
    span = {"start": START + 62, "end": START + 70}
    data = kit.open_recording(two_books) if opened else two_books
    whole = run(kit.open_recording(two_books).corrected_events(PAIR), kit.PureMarketMaking, **span, **quotes)
    for _ in range(2):  # the second time from the cache
        part = run(data, kit.PureMarketMaking, **span, **quotes)
        assert len(part.fills)
        for table in ("fills", "orders", "equity", "decisions"):
            assert getattr(part, table).equals(getattr(whole, table))
        assert 0 < part.run.counts["events"] < whole.run.counts["events"] / 3
        assert "from recording" in part.run.assumptions["data"]


def test_times_outside_of_a_recording_are_told_with_all_that_it_holds(two_books):
    told = r"outside of the data, which go from 2024-08-08 23:59:59.* to 2024-08-09 00:01:19"
    for span in ({"start": START + 900}, {"start": START - 900}, {"start": START + 61, "end": START + 900}):
        with pytest.raises(InvalidInput, match=told):
            run(two_books, **span)
    with pytest.raises(InvalidInput, match=r"is before BTC/USDT in recording begins, at 2024-08-08T23:59:59.52"):
        run(two_books, end=START - 900)


def test_a_silence_of_the_data_is_told(events):
    half = len(events) // 2
    later = np.where(np.arange(len(events)) < half, 0, 300 * NS)
    silent = replace(events, local_ts=events.local_ts + later, exch_ts=events.exch_ts + later)
    (note,) = [note for note in run(silent).notes if "silent" in note]
    assert note.startswith("The data of BTC/USDT on binance are silent for 300 s from 2024")
    assert not any("silent" in note for note in run(events).notes)


def test_fees_given_are_those_that_a_strategy_sees(events):
    seen = []

    class Looks(kit.Strategy):
        def on_tick(self, timestamp):
            seen.append(self.market.get_fee(PAIR))

    result = run(events, Looks, fees={"maker": "-0.0001", "taker": "0.0004"})
    assert set(seen) == {D("-0.0001")}
    assert "maker -0.0100 %" in result.run.assumptions["fees"]


def test_files_are_converted_once(events, tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "events.npz"
    to_hftbacktest(events, file)
    first = run({"binance": {PAIR: file}}).run
    assert first.data_id.startswith("BTC/USDT on binance: events.npz")
    monkeypatch.setattr(data_module, "load", lambda *_: pytest.fail("converted again"))
    (market,) = gather({"binance": {PAIR: file}}, RULES)
    assert isinstance(market.feed.qty.base, np.memmap) or isinstance(market.feed.qty, np.memmap)
    assert run({"binance": {PAIR: file}}).run.data_id == first.data_id
    monkeypatch.undo()
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    to_hftbacktest(events.rows(0, 1500), file)
    assert run({"binance": {PAIR: file}}).run.data_id != first.data_id


def test_a_cache_that_cannot_be_written_is_no_error(events, tmp_path):
    file = tmp_path / "events.npz"
    to_hftbacktest(events, file)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    (market,) = gather({"binance": {PAIR: file}}, RULES, cache=FeedCache(blocked / "inside"))
    assert len(market.feed) == len(events)


def test_the_cache_forgets_what_was_not_used_for_longest(events, tmp_path):
    for name in ("one", "two"):
        to_hftbacktest(events, tmp_path / f"{name}.npz")
        gather({"binance": {PAIR: tmp_path / f"{name}.npz"}}, RULES, cache=FeedCache(tmp_path / "cache", limit=90_000))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_candles_are_data_with_their_assumptions_on_the_result():
    import pandas as pd

    index = pd.date_range("2024-08-09", periods=30, freq="min", tz="UTC")
    price = 60_000 + 50 * np.sin(np.arange(30))
    frame = pd.DataFrame(
        {"open": price, "high": price + 40, "low": price - 40, "close": price + 10, "volume": 5.0}, index=index
    ).round(1)
    options = {"bid_spread": "0.0003", "ask_spread": "0.0003", "order_amount": "0.01", "order_refresh_time": 60}
    result = run({"binance": {PAIR: frame}}, kit.PureMarketMaking, **options)
    assert len(result.run.fills) > 3
    assert "four points a candle" in result.run.assumptions["candles"]
    assert "fills whole" in result.run.assumptions["candles"]


# descriptions


def test_fetched_candles_are_data_as_they_are(events):
    from kit.connectors.history import History

    candles = kit.candles_from_events(events, "1s")
    columns = {name: candles[name].to_numpy() for name in candles.columns} | {"time": candles.index.as_unit("ns").asi8}
    fetched = History("binance", PAIR, "1s", START, START + 20, columns, 1)
    result = run(fetched)
    assert "four points a candle" in result.run.assumptions["candles"]
    assert result.equity.equals(run({"binance": {PAIR: candles}}).equity)
    assert repr(fetched) == f"<History binance {PAIR} 1s: {len(candles)} rows, no gaps>"


def test_models_are_found_by_name_number_and_table():
    assert find_model("queue", "LogProb2") == LogProb2()
    assert find_model("queue", {"model": "PowerProb", "n": D("2")}) == PowerProb(2.0)
    assert find_model("latency", D("0.02")) == ConstantLatency(0.02, 0.02)
    assert find_model("latency", "0.02") == ConstantLatency(0.02, 0.02)
    assert find_model("latency", {"request": "0.02", "answer": 0.03}) == ConstantLatency(0.02, 0.03)
    assert find_model("fees", "0.001") == find_model("fees", 0.001) == Fees(D("0.001"), D("0.001"))
    assert find_model("latency", None) is None
    model = LogProb2()
    assert find_model("queue", model) is model
    for role, given, message in (
        ("queue", {"n": 3}, "name its class"),
        ("queue", "Probable", r"there are RiskAverse, PowerProb, LogProb, .*OwnProbability$"),
        ("exchange", "SelfTradePrevention", "there are PartialFill, NoPartialFill$"),
        ("latency", True, "latency is True; give seconds"),
        ("latency", {"request": 0.1}, "latency: ConstantLatency lacks answer; it takes request, answer$"),
        ("fees", {"maker": "0.0002"}, "fees: Fees lacks taker; it takes maker, taker$"),
        ("fees", {"makr": 0, "maker": 0, "taker": 0}, "Fees takes maker, taker; .*'makr'"),
        ("fees", "0.1%", r"fees is '0.1%'; give one fraction"),
        ("latency", "fast", "no latency model 'fast'; there are NoLatency"),
    ):
        with pytest.raises(InvalidInput, match=message):
            find_model(role, given)


def test_times_are_read_in_every_form():
    assert seconds_of("start", "2024-08-09T00:00:00") == START
    assert seconds_of("start", "2024-08-09T02:00:00+02:00") == START
    assert seconds_of("start", START) == START
    assert moment(START * NS + 1500) == "2024-08-09 00:00:00.000001"
    with pytest.raises(InvalidInput, match="give seconds since the epoch"):
        seconds_of("start", -1)


CONFIG = """
strategy = "quoter.py:Quoter"
start = 2024-08-09T00:00:02Z
balances = {BTC = 1, USDT = 60000}
latency = 0.02
queue = {model = "PowerProb", n = 2}

[data.binance]
"BTC/USDT" = "events.npz"

[rules."BTC/USDT"]
min_price_increment = 0.1
min_base_amount_increment = 0.001

[params]
distance = 0.5
"""
QUOTER = """
from decimal import Decimal
import kit

class Quoter(kit.Strategy):
    class Params(kit.Params):
        distance: Decimal = kit.param("1", gt=0)

    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy("0.01", self.market.get_price(self.trading_pair, False) - self.params.distance)
"""


@pytest.fixture
def config(events, tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    to_hftbacktest(events, tmp_path / "events.npz")
    (tmp_path / "quoter.py").write_text(QUOTER)
    (tmp_path / "run.toml").write_text(CONFIG)
    return tmp_path / "run.toml"


def test_a_file_describes_a_run_and_arguments_go_over_it(config):
    result = kit.backtest(config, progress=False)
    assert result.run.started == START + 2
    assert result.run.parameters["distance"] == "0.5"
    assert result.run.assumptions["queue"] == "PowerProb(n=2)"
    over = kit.backtest(config, start=START + 5, distance="2", progress=False)
    assert over.run.started == START + 5
    assert over.run.parameters["distance"] == "2"


def test_the_command_prints_json_and_writes_a_page(config, tmp_path, capsys):
    assert main(["backtest", str(config), "--json", "--html", str(tmp_path / "page.html")]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["strategy"] == "Quoter"
    assert told["orders"] >= 1
    assert "return" in told["statistics"]
    assert "<html" in (tmp_path / "page.html").read_text()[:500]
    assert main(["backtest", str(config)]) == 0
    assert "PowerProb" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(config, capsys):
    assert main(["backtest", "nothing.toml"]) == 1
    assert "there is no configuration nothing.toml" in capsys.readouterr().err
    config.write_text(CONFIG.replace("latency", "latancy"))
    assert main(["backtest", str(config)]) == 1
    assert "did you mean 'latency'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nothing", "kit has no strategy 'Nothing'"),
        ("kit.core.clock:Nothing", "kit.core.clock has no strategy 'Nothing'"),
        ("no.such:Thing", "cannot be imported"),
        ("none.py:Thing", "no file"),
        ("kit.core.clock:Clock", "neither a kit.Strategy class"),
    ],
)
def test_strategies_that_cannot_be_found(name, message):
    with pytest.raises(InvalidInput, match=message):
        find_strategy(name)


def test_configurations_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidInput, match="names no strategy"):
        read_config({})
    (tmp_path / "bad.toml").write_text("strategy = ")
    with pytest.raises(InvalidInput, match="no readable TOML"):
        read_config(tmp_path / "bad.toml")
    with pytest.raises(InvalidInput, match=r"a strategy is given as its class, kit\.PureMarketMaking"):
        read_config("PureMarketMaking")
    with pytest.raises(InvalidInput, match=r"there is no configuration missing.toml \(looked in [^)]*\)$"):
        read_config("missing.toml")
    assert find_strategy("PureMarketMaking") is kit.PureMarketMaking


def test_recordings_in_which_events_arrive_before_they_happened_are_corrected_and_it_is_told(events, tmp_path, caplog):
    late = int((events.local_ts - events.exch_ts).min()) + 1_500_000_000
    with RecordingWriter(tmp_path / "recording") as writer:
        writer.append(replace(events, local_ts=events.local_ts - late))
    cache = FeedCache(tmp_path / "cache")
    for data in (tmp_path / "recording", tmp_path / "recording", kit.open_recording(tmp_path / "recording")):
        (market,) = gather(data, RULES, cache=cache)
        assert "put forward by 1.5 s" in market.source
        assert int((market.feed.local_ts - market.feed.exch_ts).min()) == 0
        assert (np.sort(market.feed.local_ts) == np.sort(events.local_ts - late + 1_500_000_000)).all()
    assert not kit_records(caplog)

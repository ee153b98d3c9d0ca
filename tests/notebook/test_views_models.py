"""Panels of price, profit, balances, log and strategy: frames, what is sent of the new, and the plain pictures."""

import json
import logging
import time
from array import array
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kit
from kit.core.clock import ManualTime
from kit.core.error_list import ErrorList
from kit.core.pubsub import PubSub
from kit.errors import InvalidInput, NotReady, NotSupported
from kit.notebook import kinds
from kit.notebook.balances_model import BalancesModel
from kit.notebook.formats import decimals_in, lasting, money_decimals, signed
from kit.notebook.html_parts import bar, gain, percent, spark
from kit.notebook.log_model import SHOWN, LogModel
from kit.notebook.plots import plot_pnl
from kit.notebook.pnl_model import RENEW_AFTER, PnlModel
from kit.notebook.price_model import PriceModel
from kit.notebook.strategy_model import StrategyModel
from kit.orders.balances import Balances
from kit.orders.session_log import SessionLog
from kit.trading.log_book import LogBook
from kit.trading.pnl_history import PnlHistory
from kit.types.events import MarketEvent, OrderFilledEvent
from kit.types.market import TradeType
from kit.types.orders import Balance, OrderType, TokenAmount, TradeFee
from tests.notebook.test_widgets_models import PAIR, Market

D = Decimal
MINUS = "\N{MINUS SIGN}"


class Tracker:
    def __init__(self):
        self.all_fillable_orders = {}
        self.active_orders = {}

    def fetch_order(self, client_order_id):
        return None


class TradedMarket(Market):
    """A market with an account."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(self, mode="live"):
        super().__init__()
        self.mode = mode
        self.trading_pairs = (PAIR,)
        self.pubsub = PubSub()
        self.order_tracker = Tracker()
        self.balances = Balances()
        self.balances.replace_all({"BTC": Balance(D("1.5"), D("1.4")), "USDT": Balance(D("1000.126"), D(1000))})

    def __contains__(self, pair):
        return pair == PAIR

    def get_mid_price(self, pair):
        return D(str(self.book.mid_price)) if self.book.mid_price == self.book.mid_price else D("NaN")

    def fill(self, side, price, amount, fee="0.1", time=1.0):
        fee = TradeFee((TokenAmount("USDT", D(fee)),))
        event = OrderFilledEvent(time, "id", PAIR, side, OrderType.LIMIT, D(price), D(amount), fee)
        self.pubsub.trigger_event(MarketEvent.OrderFilled, event)


class Core:
    def __init__(self, market):
        self.name = "main"
        self.in_use = self.running = True
        self.read_only = None
        self.affinity = market.affinity
        self.clock = SimpleNamespace(time=lambda: 3.0)
        self.connectors = {"binance": market}
        log = SessionLog("binance", market.order_tracker, market.pubsub, mode=market.mode)
        self.history = PnlHistory(lambda: self.connectors, lambda: [log])
        self.errors = ErrorList(lambda: 1000.0)
        self.log = LogBook(lambda: 1000.0)


@pytest.fixture
def market():
    return TradedMarket()


@pytest.fixture
def core(market):
    return Core(market)


def floats(buffer):
    values = array("f")
    values.frombytes(buffer)
    return list(values)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1234.5, 2, "+1,234.50"),
        (-0.004, 2, "0.00"),
        (-1234.5, 0, f"{MINUS}1,234"),
        (0, 2, "0.00"),
        (D("-0.05"), 2, f"{MINUS}0.05"),
        (float("nan"), 2, "—"),
        (float("-inf"), 2, "—"),
    ],
)
def test_signed_numbers_carry_their_sign_and_zero_none(value, decimals, text):
    assert signed(value, decimals) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_a_gain_is_coloured_as_it_is_signed(value):
    text = gain(value, 2)
    assert ("+" in text) == ("#1f8a3c" in text)
    assert (MINUS in text) == ("#dd3038" in text)


def test_decimals_are_those_that_are_needed():
    assert decimals_in([61889.59, 61889.6]) == 2
    assert decimals_in([1e-7]) == 7
    assert decimals_in([1e-12]) == 8
    assert decimals_in([5.0]) == 0
    assert decimals_in([]) == 0
    assert money_decimals("USDT", 5) == money_decimals("EUR", 1) == 2
    assert money_decimals("BTC", 6) == 6


def test_small_words():
    assert [lasting(seconds) for seconds in (0, 119, 121, 7300, 200_000)] == ["0 s", "119 s", "2 min", "2 h", "2 d"]
    assert percent(D("0.001")) == "0.1 %"
    assert percent(1) == "100 %"
    assert bar(0.5, "red", 4).count("█") == 2
    assert "█" not in bar(-1, "red", 4)
    assert bar(7, "red", 4).count("█") == 4
    assert spark([(0.0, 1.0)]) == ""
    assert "<polyline" in spark([(0.0, 1.0), (1.0, 1.0)])


# -- profit ------------------------------------------------------------------------------------------------------------


def test_profit_sends_all_at_first_then_what_is_new(core, market):
    panel = PnlModel(core)
    core.history.sample(100.0)
    market.fill(TradeType.BUY, "99", "2")
    core.history.sample(101.0)
    frame = panel.frame(full=True)
    (figures,), (head,) = frame.content["markets"], frame.content["series"]
    assert (figures["pnl"], figures["tone"], figures["inventory"]) == ("+1.90", "good", "+2.000")
    assert (figures["fees"], figures["fills"], figures["price"]) == ("0.10", "1", "100.00")
    assert head == {"key": f"binance/live/{PAIR}", "start": 100.0, "reference": 100.0, "count": 2}
    assert floats(frame.buffers[0]) == pytest.approx([0, 1, 0, 0, 0, 2, 0, 1.9])
    json.dumps(frame.content, allow_nan=False)
    assert panel.frame(full=False) is None
    market.set_book(((97.0, 1.0),), ((99.0, 1.0),))
    frame = panel.frame(full=False)
    assert not frame.full
    assert frame.content["series"] == []
    assert frame.content["markets"][0]["pnl"] == f"{MINUS}2.10"
    assert frame.content["markets"][0]["tone"] == "bad"
    core.history.sample(102.0)
    frame = panel.frame(full=False)
    assert floats(frame.buffers[0]) == pytest.approx([0, 0, 2, -2.1])


def test_what_a_page_keeps_is_bounded(core):
    panel = PnlModel(core)
    core.history.sample(0.0)
    panel.frame(full=True)
    fulls = 0
    for second in range(1, 2 * RENEW_AFTER + 10):
        core.history.sample(float(second))
        fulls += panel.frame(full=False).full
    assert fulls == 2


def test_profit_without_a_page(core, market):
    panel = PnlModel(core)
    core.connectors = {}
    assert "no market to trade on yet" in panel.text()
    assert "no market to trade on yet" in panel.html()
    core.connectors = {"binance": market}
    core.history.sample(1.0)
    market.fill(TradeType.SELL, "99", "1")
    core.history.sample(2.0)
    assert f"BTC/USDT binance live: {MINUS}1.10 USDT, inventory {MINUS}1.000 BTC, 1 fill," in panel.text()
    assert "<polyline" in panel.html()
    with pytest.raises(NotSupported):
        panel.command({"do": "sell"})
    core.in_use = False
    assert panel.ended


def test_the_figure_shows_fills_inventory_and_profit(core, market, monkeypatch):
    monkeypatch.setattr(kinds, "TradingCore", Core)
    with pytest.raises(NotReady, match="no sample of BTC/USDT"):
        plot_pnl(core)
    core.history.sample(1.0)
    market.fill(TradeType.BUY, "99", "1", time=1.5)
    core.history.sample(2.0)
    figure = plot_pnl(core, trading_pair=PAIR)
    price, buys, sells, inventory, profit = figure.data
    assert list(price.y) == [100, 100, 100]
    assert list(buys.y) == [99]
    assert len(sells.y or ()) == 0
    assert list(inventory.y) == [0, 1, 1]
    assert list(profit.y) == pytest.approx([0, 0.9, 0.9])
    assert "+0.90 USDT" in figure.layout.title.text
    market.fill(TradeType.BUY, "99", "1", time=2.5)
    assert list(plot_pnl(core).data[3].y) == [0, 1, 2], "also what was filled since the last sample"
    core.running = False
    assert list(plot_pnl(core).data[3].y) == [0, 1]
    with pytest.raises(InvalidInput, match="'ETH/USDT'; core main has BTC/USDT"):
        plot_pnl(core, trading_pair="ETH/USDT")
    core.connectors = {}
    core.history = PnlHistory(dict, list)
    with pytest.raises(NotReady, match="no market to trade on"):
        plot_pnl(core)


# -- price -------------------------------------------------------------------------------------------------------------


def test_prices_come_while_somebody_looks(market):
    clock = ManualTime(1000.0)
    panel = PriceModel(market, PAIR, time_source=clock)
    market.add("a", "98")
    frame = panel.frame(full=True)
    assert frame.content["samples"] == {"start": 1000.0, "reference": 100.0, "count": 1}
    assert frame.content["orders"] == [[98.0, True, "0.5 @ 98", "open"]]
    assert frame.content["fills"] == []
    assert panel.frame(full=False) is None
    clock.jump(1.0)
    market.set_book(((101.0, 1.0),), ((103.0, 1.0),))
    frame = panel.frame(full=False)
    assert (frame.full, floats(frame.buffers[0])) == (False, [0, 0])
    assert frame.content["samples"]["reference"] == 102.0
    market.fill(TradeType.SELL, "101.5", "0.25", time=1000.5)
    frame = panel.frame(full=False)
    assert frame.content["fills"] == [[1000.5, 101.5, False, "0.250 @ 101.50"]]
    assert frame.content["samples"]["count"] == 0
    assert panel.frame(full=False) is None
    again = panel.frame(full=True)
    assert again.content["samples"]["count"] == 2
    assert len(again.content["fills"]) == 1
    json.dumps(again.content, allow_nan=False)


def test_a_price_without_a_page(market):
    clock = ManualTime(1000.0)
    panel = PriceModel(market, PAIR, time_source=clock)
    assert "no prices yet" in panel.html()
    panel.frame(full=True)
    clock.jump(1.0)
    panel.frame(full=False)
    market.fill(TradeType.BUY, "99.5", "0.25", time=1000.5)
    market.add("a", "98")
    html = panel.html()
    assert html.count("<path") == 1
    assert "stroke-dasharray" in html
    assert "mid 100.000 USDT, 100.00 to 100.00 seen; 1 own fill, 1 own order" in panel.text()
    with pytest.raises(NotSupported):
        panel.command({})


def test_a_book_without_a_price_is_no_error():
    market = TradedMarket()
    market.set_book((), ((101.0, 1.0),))
    panel = PriceModel(market, PAIR, time_source=ManualTime(5.0))
    frame = panel.frame(full=True)
    assert frame.content["mid"] == "—"
    assert frame.content["samples"]["count"] == 0
    assert "mid —" in panel.text()


# -- balances ----------------------------------------------------------------------------------------------------------


def test_balances_are_in_the_steps_of_their_pair_and_valued(core, market):
    panel = BalancesModel(core)
    content = panel.frame(full=True).content
    assert content["quote"] == "USDT"
    assert content["rows"] == [
        ["binance", "live", "BTC", "1.500", "1.400", "0.100", "150.00", "1.5 BTC, 1.4 available", 933],
        [
            "binance",
            "live",
            "USDT",
            "1,000.13",
            "1,000.00",
            "0.13",
            "1,000.13",
            "1,000.126 USDT, 1,000 available",
            1000,
        ],
    ]
    assert panel.frame(full=False) is None
    market.balances.replace_all({"BTC": Balance(D(2), D(2)), "DOGE": Balance(D("0.1"), D("0.1"))})
    rows = panel.frame(full=False).content["rows"]
    assert [row[2] for row in rows] == ["BTC", "USDT", "DOGE"]
    assert rows[2][3:7] == ["0.1", "0.1", "—", "—"]
    assert "DOGE: 0.1 total" in panel.text()
    assert "█" in panel.html()


def test_an_account_with_many_assets_is_bounded(core, market):
    market.balances.replace_all({f"A{number:03}": Balance(D(1), D(1)) for number in range(500)})
    content = BalancesModel(core).frame(full=True).content
    assert len(content["rows"]) == 60
    assert content["more"] == 442


def test_without_an_account_there_are_no_balances(core, market):
    market.mode = "data"
    panel = BalancesModel(core)
    assert panel.frame(full=True).content["rows"] == []
    assert "no account yet" in panel.text()
    assert "no account yet" in panel.html()
    with pytest.raises(NotSupported):
        panel.command({"do": "withdraw"})
    core.read_only = "another process runs it"  # and its balances are mirrored here
    assert [row[1:3] for row in panel.frame(full=True).content["rows"]] == [["data", "BTC"], ["data", "USDT"]]


# -- log ---------------------------------------------------------------------------------------------------------------


def test_the_log_sends_what_is_new_and_counts_what_comes_again(core):
    panel = LogModel(core)
    core.log.add(logging.INFO, "kit.a", "one")
    core.log.add(logging.WARNING, "kit.b", "two")
    frame = panel.frame(full=True)
    assert [entry[2:] for entry in frame.content["entries"]] == [
        [20, "info", "kit.a", "one", 1],
        [30, "warning", "kit.b", "two", 1],
    ]
    assert panel.frame(full=False) is None
    core.log.add(logging.INFO, "kit.a", "one")
    frame = panel.frame(full=False)
    assert [entry[5:] for entry in frame.content["entries"]] == [["one", 2]]
    json.dumps(frame.content)


def test_old_warnings_outlive_old_chatter(core):
    panel = LogModel(core)
    core.log.add(logging.WARNING, "kit", "mind this")
    for number in range(SHOWN + 50):
        core.log.add(logging.INFO, "kit", f"line {number}")
    entries = panel.frame(full=True).content["entries"]
    assert len(entries) == SHOWN + 1
    assert entries[0][5] == "mind this"


def test_errors_have_counts_and_tracebacks_and_can_be_cleared(core):
    panel = LogModel(core)
    for _ in range(3):
        try:
            raise RuntimeError("<nobody waits>")
        except RuntimeError as error:
            core.errors.note("a listener", error)
    (cells,) = panel.frame(full=True).content["errors"]
    assert cells[:4] == ["a listener", "RuntimeError", "<nobody waits>", 3]
    assert "raise RuntimeError" in cells[6]
    html = panel.html()
    assert "&lt;nobody waits&gt; (3 times)" in html
    assert "<details" in html
    assert "! a listener: RuntimeError: <nobody waits> (3 times)" in panel.text()
    assert panel.command({"do": "clear errors"}) == {"text": "errors cleared"}
    assert panel.frame(full=False).content["errors"] == []
    with pytest.raises(NotSupported):
        panel.command({"do": "clear log"})


def test_the_level_is_one_of_four(core):
    core.log.add(logging.INFO, "kit", "chatter")
    assert "chatter" not in LogModel(core, "warning").text()
    assert "chatter" not in LogModel(core, "warning").html()
    with pytest.raises(InvalidInput, match="level is 'loud'; it is one of 'debug', 'info', 'warning', 'error'"):
        LogModel(core, "loud")


# -- strategy ----------------------------------------------------------------------------------------------------------


class Explained:
    verdict = "Quoting: <2> orders rest."

    class table:
        rows = (1,)

        @staticmethod
        def html():
            return "<table></table>"


class Quoter(kit.Strategy):
    class Params(kit.Params):
        levels: int = kit.param(2, ge=1, le=10)

    def explain(self):
        return Explained


def test_a_strategy_tells_its_state_and_why_at_a_readable_pace():
    now = [0.0]
    strategy = Quoter()
    panel = StrategyModel(strategy, lambda: now[0])
    content = panel.frame(full=True).content
    assert content["state"] == "stopped"
    assert content["verdict"] == "Quoting: <2> orders rest."
    assert content["steps"] == "<table></table>"
    assert content["values"] == {"levels": "2"}
    assert panel.frame(full=False) is None
    Explained.verdict = "Not quoting."
    now[0] = 0.5
    assert panel.frame(full=False) is None
    now[0] = 1.5
    assert panel.frame(full=False).content == {
        "state": "stopped",
        "verdict": "Not quoting.",
        "steps": "<table></table>",
    }
    strategy.pause("tired")
    assert panel.frame(full=False).content["state"] == "paused: tired"
    strategy.params.levels = 3
    assert panel.frame(full=False).content["values"] == {"levels": "3"}


def test_a_strategy_without_an_explanation_is_its_form():
    panel = StrategyModel(kit.Strategy(), time.monotonic)
    content = panel.frame(full=True).content
    assert (content["verdict"], content["steps"]) == ("", "")

import math
from collections import deque
from decimal import Decimal
from types import SimpleNamespace

import pytest

from kit.core.clock import Clock, ClockMode
from kit.core.pubsub import PubSub
from kit.orders.session_log import SessionLog
from kit.trading.market_track import track_of
from kit.trading.pnl_history import Market, PnlHistory
from kit.types.events import MarketEvent, OrderFilledEvent
from kit.types.market import TradeType
from kit.types.orders import OrderType, TokenAmount, TradeFee

D = Decimal
PAIR = "BTC/USDT"
LIVE = Market("binance", "live", PAIR)


class Connector:
    """As much of a connector as histories read."""

    def __init__(self, mode="live", price="100"):
        self.mode = mode
        self.price = D(price)
        self.trading_pairs = (PAIR,)
        self.pubsub = PubSub()
        self.order_tracker = SimpleNamespace(
            all_fillable_orders={}, active_orders={}, fetch_order=lambda client_order_id: None
        )

    def __contains__(self, pair):
        return pair in self.trading_pairs

    def get_mid_price(self, pair):
        assert pair == PAIR
        return self.price


class Core:
    def __init__(self, **connectors):
        self.connectors = connectors
        self.logs = [
            SessionLog(name, each.order_tracker, each.pubsub, mode=each.mode) for name, each in connectors.items()
        ]
        self.history = PnlHistory(lambda: self.connectors, lambda: self.logs)


def fill(connector, side, price, amount, fee="0", time=1.0):
    event = OrderFilledEvent(
        time, "id", PAIR, side, OrderType.LIMIT, D(price), D(amount), TradeFee((TokenAmount("USDT", D(fee)),))
    )
    connector.pubsub.trigger_event(MarketEvent.OrderFilled, event)


def test_profit_follows_the_price_and_fees_are_in_it():
    connector = Connector()
    core = Core(binance=connector)
    core.history.sample(10.0)
    fill(connector, TradeType.BUY, "100", "2", fee="0.5")
    connector.price = D(103)
    core.history.sample(11.0)
    fill(connector, TradeType.SELL, "103", "2", fee="0.5")
    core.history.sample(12.0)
    rows = core.history.series(LIVE).rows()
    assert rows == [
        (10.0, 100.0, 0.0, 0.0, 0.0, 0.0),
        (11.0, 103.0, 2.0, 5.5, 0.5, 1.0),
        (12.0, 103.0, 0.0, 5.0, 1.0, 2.0),
    ]


def test_the_table_has_its_columns_and_types_also_when_empty():
    core = Core(binance=Connector())
    empty = core.history.frame()
    core.history.sample(10.0)
    frame = core.history.frame()
    assert list(frame.columns) == list(empty.columns)
    assert str(frame["time"].dtype).startswith("datetime64[")
    assert str(frame["time"].dtype).endswith("UTC]")
    assert frame[["connector", "mode", "trading_pair"]].to_numpy().tolist() == [["binance", "live", PAIR]]
    assert frame["fills"].dtype == empty["fills"].dtype == "int64"
    assert frame["price"].dtype == empty["price"].dtype == "float64"


def test_without_a_price_the_last_one_holds_and_before_the_first_nothing_is_sampled():
    connector = Connector(price="NaN")
    core = Core(binance=connector)
    core.history.sample(1.0)
    assert len(core.history.series(LIVE)) == 0
    connector.price = D(100)
    fill(connector, TradeType.BUY, "90", "1")
    core.history.sample(2.0)
    connector.price = D("NaN")
    assert core.history.now()[LIVE].pnl == 10.0


def test_what_was_traded_on_a_connector_that_is_gone_stays():
    connector = Connector()
    core = Core(binance=connector)
    fill(connector, TradeType.BUY, "90", "1")
    core.history.sample(1.0)
    core.connectors = {}
    now = core.history.now()
    assert [(market.trading_pair, each.pnl) for market, each in now.items()] == [(PAIR, 10.0)]


def test_markets_without_an_account_have_prices_but_no_profit():
    connector = Connector(mode="data")
    core = Core(kraken=connector)
    core.history.sample(1.0)
    assert core.history.markets == ()
    assert track_of(connector).mids(PAIR).rows() == [(1.0, 100.0)]


def test_it_samples_on_ticks_and_once_more_at_the_end():
    connector = Connector()
    core = Core(binance=connector)
    clock = Clock(ClockMode.BACKTEST, 0.25, 0.0, 10.0)
    clock.add_iterator(core.history)
    clock.backtest_til(3.0)
    assert [row[0] for row in core.history.series(LIVE).rows()] == [0.25, 1.25, 2.25]
    assert core.history.current_timestamp == 3.0
    clock.stop_backtest()
    assert math.isnan(core.history.current_timestamp)


def test_a_track_knows_earlier_fills_and_hears_later_ones_and_is_bounded(monkeypatch):
    connector = Connector()
    earlier = SimpleNamespace(
        trading_pair=PAIR,
        is_buy=False,
        order_fills={"t": SimpleNamespace(timestamp=0.5, price=D(99), amount=D("0.1"))},
    )
    connector.order_tracker.all_fillable_orders = {"old": earlier}
    track = track_of(connector)
    assert track_of(connector) is track
    fill(connector, TradeType.BUY, "90", "1")
    assert [tuple(each) for each in track.fills(PAIR)] == [(0.5, PAIR, 99.0, 0.1, False), (1.0, PAIR, 90.0, 1.0, True)]
    assert track.fills("ETH/USDT") == []
    monkeypatch.setattr(track, "_fills", deque(track._fills, maxlen=3))
    for number in range(5):
        fill(connector, TradeType.BUY, "90", "1", time=float(number))
    assert [each.time for each in track.fills(PAIR)] == [2.0, 3.0, 4.0]
    assert track.version == 6


@pytest.mark.parametrize("other", ["paper", "live"])
def test_paper_and_live_are_apart(other):
    connector = Connector()
    core = Core(binance=connector)
    fill(connector, TradeType.BUY, "90", "1")
    core.logs.append(SessionLog("binance", connector.order_tracker, connector.pubsub, mode=other))
    fill(connector, TradeType.BUY, "90", "1")
    found = {market.mode: each.fills for market, each in core.history.now().items()}
    assert found == ({"live": 3} if other == "live" else {"live": 2, "paper": 1})

from decimal import Decimal

import pytest

from kit.errors import InvalidInput, NotReady
from kit.market.order_book import OrderBook
from kit.notebook import plot_depth
from kit.types.market import OrderBookSnapshot
from kit.types.orders import LimitOrder


@pytest.fixture
def book() -> OrderBook:
    book = OrderBook("BTC/USDT")
    bids, asks = ((99.0, 1.0), (98.0, 2.0), (97.0, 3.0)), ((101.0, 1.5), (102.0, 2.5))
    book.apply_snapshot(OrderBookSnapshot("BTC/USDT", 1, 0.0, bids, asks))
    return book


def order(price: str, is_buy: bool, pair: str = "BTC/USDT") -> LimitOrder:
    return LimitOrder("id", pair, is_buy, "BTC", "USDT", Decimal(price), Decimal("0.1"))


def test_depth_is_cumulative_from_the_touch(book):
    bids, asks = plot_depth(book).data
    assert (list(bids.x), list(bids.y)) == ([99, 98, 97], [1, 3, 6])
    assert (list(asks.x), list(asks.y)) == ([101, 102], [1.5, 4.0])


def test_own_orders_sit_on_the_curve_and_other_pairs_are_left_out(book):
    figure = plot_depth(book, [order("98", True), order("102.5", False), order("5", True, "ETH/USDT")])
    marks = {trace.name: trace for trace in figure.data[2:]}
    assert list(marks["own buys"].x) == [98]
    assert list(marks["own buys"].y) == [3]
    assert list(marks["own sells"].y) == [4]


def test_levels_are_limited_and_checked(book):
    assert len(plot_depth(book, levels=2).data[0].x) == 2
    with pytest.raises(InvalidInput, match="levels is 0"):
        plot_depth(book, levels=0)


def test_an_empty_book_says_so():
    with pytest.raises(NotReady, match="BTC/USDT is empty"):
        plot_depth(OrderBook("BTC/USDT"))


def test_orders_far_away_do_not_flatten_the_picture(book):
    low, high = plot_depth(book, [order("97.5", True), order("90", True), order("103", False)]).layout.xaxis.range
    assert 96 < low < 97
    assert 103 < high < 104


def test_a_book_draws_itself(book):
    figure = book.plot(levels=2, orders=[order("98", True)])
    assert [trace.name for trace in figure.data] == ["bids", "asks", "own buys"]
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert book.plot(template="plotly_dark").layout.paper_bgcolor is None

from decimal import Decimal

import pytest

from kit.connectors.replay_exchange import ReplayBook, ReplayBooks, ReplayExchange, ReplayTime
from kit.core.at_once import at_once
from kit.errors import NotSupported, UnknownPair
from kit.market.book_side import BookSide
from kit.types.market import OrderBookDiff, TradingRule

PAIR = "BTC/USDT"


@pytest.fixture
def book():
    bids, asks = BookSide([(99.0, 1.0), (98.0, 2.0)], is_bid=True), BookSide([(101.0, 3.0)], is_bid=False)
    return ReplayBook(PAIR, bids, asks)


def test_a_replayed_book_reads_its_sides_and_takes_nothing(book):
    assert (book.get_price(True), book.get_price(False), book.mid_price) == (101.0, 99.0, 100.0)
    assert book.depth(2) == ([(99.0, 1.0), (98.0, 2.0)], [(101.0, 3.0)])
    assert book.last_trade is None
    assert book.last_trade_price != book.last_trade_price
    with pytest.raises(NotSupported, match="nothing can be applied"):
        book.apply_diff(OrderBookDiff(PAIR, 1, 0.0, (), ()))


def test_frames_follow_the_levels(book):
    assert list(book.bids["price"]) == [99.0, 98.0]
    book._bids.apply([(99.5, 1.0)])
    assert book.moved() == 100.25
    assert list(book.bids["price"]) == [99.5, 99.0, 98.0]


def test_an_empty_side_has_no_price():
    book = ReplayBook(PAIR, BookSide(is_bid=True), BookSide([(1.0, 1.0)], is_bid=False))
    assert book.get_price(False) != book.get_price(False)
    assert book.moved() != book.moved()


def test_books_are_ready_from_the_snapshot_to_a_gap(book):
    books = ReplayBooks([book])
    assert not books.ready
    book.found()
    assert books.ready
    assert books.is_ready(PAIR)
    book.invalidate("a gap")
    assert not books.ready
    assert books.status(PAIR).last_error == "a gap"
    with pytest.raises(UnknownPair, match="replayed are BTC/USDT"):
        books.is_ready("ETH/USDT")


def test_the_exchange_answers_at_once(book):
    rule = TradingRule(PAIR, "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
    time = ReplayTime()
    exchange = ReplayExchange({PAIR: rule}, ReplayBooks([book]), time)
    time.set(1_500_000_000)
    assert at_once(exchange.fetch_server_time()) == 1.5
    assert at_once(exchange.fetch_trading_rules()) == {PAIR: rule}
    snapshot = at_once(exchange.fetch_order_book(PAIR))
    assert (snapshot.bids, snapshot.asks) == (((99.0, 1.0), (98.0, 2.0)), ((101.0, 3.0),))
    at_once(exchange.subscribe([PAIR]))
    for wrong in (exchange.subscribe(["ETH/USDT"]), exchange.fetch_order_book("ETH/USDT")):
        with pytest.raises(UnknownPair):
            at_once(wrong)


def test_nobody_waits_in_a_replay():
    time = ReplayTime()
    with pytest.raises(NotSupported, match="no event loop to wait on"):
        at_once(time.sleep(1))
    with pytest.raises(NotSupported, match="call_later"):
        time.call_later(1, print)

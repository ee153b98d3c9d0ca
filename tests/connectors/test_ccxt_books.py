"""Recording books: what they tell, applied to the simplest book, is ccxt's own book."""

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.connectors import ccxt_lazy
from kit.connectors.ccxt_books import SEQUENCES, BookTap, Sequence, ThinBook, full_books
from kit.types.market import OrderBookDiff, OrderBookSnapshot
from tests.support.ccxt_frames import PlainBook

ccxt_lazy.install()
BOOKS = importlib.import_module("ccxt.async_support.base.ws.order_book")
FULL = full_books(BOOKS, importlib.import_module("ccxt.async_support.base.ws.order_book_side"))

PRICES = st.integers(90, 110).map(float)
SIZES = st.sampled_from([0.0, 0.5, 1.0, 2.0])
CHANGES = st.lists(st.tuples(st.sampled_from(["bids", "asks"]), PRICES, SIZES), max_size=12)
STEPS = st.lists(st.one_of(CHANGES, st.just("reset"), st.just("limit")), max_size=25)


class Mirror:
    """A tap whose messages are applied to the simplest book."""

    def __init__(self, read=None):
        self.messages = []
        self.book = PlainBook()
        self.tap = BookTap(self._take, read)

    def _take(self, message):
        self.messages.append(message)
        self.book.apply(message)

    def resolve(self, book, frame=None):
        self.tap.on_resolve(book, frame, "BTC/USDT")


def levels(book):
    """Return the content of ccxt's own book, by price."""
    summed = []
    for key in ("bids", "asks"):
        side = {}
        for level in book[key]:
            side[level[0]] = side.get(level[0], 0.0) + level[1]
        summed.append(sorted(side.items(), reverse=key == "bids"))
    return tuple(summed)


@given(steps=STEPS)
@settings(max_examples=200)
def test_full_books_tell_what_ccxt_holds(steps):
    book, mirror = FULL.plain({}, 6), Mirror()
    for nonce, step in enumerate(steps, 1):
        if step == "reset":
            book.reset({"bids": [[99.0, 1.0], [98.0, 2.0]], "asks": [[101.0, 1.0]]})
        elif step == "limit":
            book.limit()
        else:
            for side, price, size in step:
                book[side].storeArray([price, size])
        book["nonce"] = nonce
        mirror.resolve(book)
        assert mirror.book.sides() == levels(book)


@given(steps=STEPS)
@settings(max_examples=100)
def test_counted_books_tell_what_ccxt_holds(steps):
    book, mirror = FULL.counted({}, 6), Mirror()
    for nonce, step in enumerate(steps, 1):
        if step == "reset":
            book.reset({"bids": [[99.0, 1.0, 1], [98.0, 2.0, 2]], "asks": [[101.0, 1.0, 1]]})
        elif step == "limit":
            book.limit()
        else:
            for side, price, size in step:
                book[side].storeArray([price, 1.0, int(size)])  # the count removes, whatever the size
        book["nonce"] = nonce
        mirror.resolve(book)
        assert mirror.book.sides() == levels(book)


ORDERS = st.lists(st.tuples(st.sampled_from(["bids", "asks"]), st.sampled_from("abcdef"), PRICES, SIZES), max_size=10)


@given(steps=st.lists(st.one_of(ORDERS, st.just("reset")), max_size=20))
@settings(max_examples=100)
def test_books_of_single_orders_tell_the_sums(steps):
    book, mirror = FULL.indexed(), Mirror()
    for nonce, step in enumerate(steps, 1):
        if step == "reset":
            book.reset({"bids": [[99.0, 1.0, "z"], [99.0, 2.0, "y"]], "asks": []})
        else:
            for side, order_id, price, size in step:
                book[side].storeArray([price, size, order_id])
        book["nonce"] = nonce
        mirror.resolve(book)
        assert mirror.book.sides() == levels(book)


@given(steps=STEPS)
@settings(max_examples=200)
def test_thin_books_tell_the_same_as_full_ones(steps):
    full, thin = FULL.plain(), ThinBook()
    of_full, of_thin = Mirror(), Mirror()
    for nonce, step in enumerate(steps, 1):
        for book in (full, thin):
            if step == "reset":
                book.reset({"bids": [[99.0, 1.0], [98.0, 2.0]], "asks": [[101.0, 1.0]]})
            elif step == "limit":
                assert book.limit() is book
            else:
                for side, price, size in step:
                    book[side].store(price, size)
            book["nonce"] = nonce
        of_full.resolve(full)
        of_thin.resolve(thin)
        assert of_thin.book.sides() == of_full.book.sides()
        assert [type(one) for one in of_thin.messages] == [type(one) for one in of_full.messages]


def test_a_reset_and_the_changes_after_it_are_one_snapshot():
    book, mirror = ThinBook(), Mirror()
    book.reset({"bids": [["99", "1"], ["98", "2"]], "asks": [["101", "1"]], "nonce": 7, "timestamp": None})
    book["bids"].record([["99", "0"], ["97.5", "3"]])
    book["nonce"], book["timestamp"] = 9, 1_700_000_000_123
    mirror.resolve(book)
    assert mirror.messages == [
        OrderBookSnapshot("BTC/USDT", 9, 1_700_000_000.123, ((98.0, 2.0), (97.5, 3.0)), ((101.0, 1.0),))
    ]


def test_a_diff_carries_its_sequence_and_is_told_once():
    book, mirror = ThinBook(), Mirror(SEQUENCES["binance"])
    book.reset({"nonce": 7})
    mirror.resolve(book)
    book["asks"].record([["101", "0"]])
    book["nonce"] = 9
    frame = {"e": "depthUpdate", "U": 8, "u": 9}
    mirror.resolve(book, frame)
    mirror.resolve(book, frame)  # ccxt resolves it again for another watcher
    assert mirror.messages[1:] == [OrderBookDiff("BTC/USDT", 9, 0.0, (), ((101.0, 0.0),), 8, None)]
    book["nonce"] = 10
    mirror.resolve(book, {"e": "depthUpdate", "U": 10, "u": 10})  # empty, but it counts on
    assert mirror.messages[2] == OrderBookDiff("BTC/USDT", 10, 0.0, (), (), 10, None)
    assert (mirror.tap.snapshots, mirror.tap.diffs) == (1, 2)


def test_plain_lists_in_a_book_are_told_as_a_snapshot():
    book, mirror = FULL.plain(), Mirror()
    mirror.resolve(book)
    book["bids"], book["asks"] = [[99, 1], [98, 0]], [[101, 2]]
    book["nonce"] = 2
    mirror.resolve(book)
    assert mirror.messages[-1] == OrderBookSnapshot("BTC/USDT", 2, 0.0, ((99.0, 1.0),), ((101.0, 2.0),))


def test_an_older_snapshot_does_not_replace_a_newer_one():
    for book in (ThinBook({"nonce": 5, "bids": [[1.0, 1.0]]}), FULL.plain({"nonce": 5, "bids": [[1.0, 1.0]]})):
        book.update({"nonce": 4, "bids": []})
        assert book["nonce"] == 5
        book.update({"nonce": 6, "bids": [[2.0, 1.0]], "asks": []})
        mirror = Mirror()
        mirror.resolve(book)
        assert mirror.messages[0].bids == ((2.0, 1.0),)


@pytest.mark.parametrize(
    ("exchange", "frame", "sequence"),
    [
        ("binance", {"U": 5, "u": 8}, Sequence(5, 8, None)),
        ("binance", {"stream": "x", "data": {"U": 5, "u": 8, "pu": 4}}, Sequence(5, 8, 4)),
        ("bybit", {"type": "delta", "data": {"u": 8, "seq": 99}}, Sequence(8, 8, None)),
        ("okx", {"data": [{"seqId": 8, "prevSeqId": 5}]}, Sequence(None, 8, 5)),
        ("okx", {"data": [{"seqId": 8, "prevSeqId": -1}]}, Sequence(None, 8, None)),
        ("kucoin", {"data": {"sequenceStart": "5", "sequenceEnd": "8"}}, Sequence(5, 8, None)),
        ("gate", {"result": {"U": 5, "u": 8}}, Sequence(5, 8, None)),
        ("gate", {"result": []}, Sequence(None, None, None)),
        ("kucoin", {}, Sequence(None, None, None)),
    ],
)
def test_where_exchanges_put_their_numbers(exchange, frame, sequence):
    assert SEQUENCES[exchange](frame) == sequence

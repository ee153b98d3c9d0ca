from __future__ import annotations

import math
import sys
import threading
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import InvalidInput, TryAgain
from kit.market.order_book import BadMessage, BookCrossed, OrderBook, SequenceGap
from kit.types.market import Level
from tests.support.book_model import PAIR, NaiveBook, diff, snapshot


def make_book(bids: list[Level], asks: list[Level], update_id: int = 10) -> OrderBook:
    book = OrderBook(PAIR)
    book.apply_snapshot(snapshot(update_id, bids, asks))
    return book


@pytest.fixture
def book() -> OrderBook:
    return make_book([(99.0, 1.0), (98.0, 2.0)], [(101.0, 1.5), (102.0, 3.0)])


def levels_of(book: OrderBook) -> tuple[list[Level], list[Level]]:
    return book.depth(100_000)


def assert_same(book: OrderBook, model: NaiveBook) -> None:
    bids, asks = levels_of(book)
    assert bids == model.sorted_bids()
    assert asks == model.sorted_asks()
    assert book.best_bid == (bids[0] if bids else None)
    assert book.best_ask == (asks[0] if asks else None)
    assert all(amount > 0 for _, amount in bids + asks)
    if bids and asks:
        assert bids[0][0] < asks[0][0]


# -- against the model ---------------------------------------------------------------------------------------------

# Multiples of 1/64 add up exactly in floats, whatever the order: brute force and book must agree to the last bit.
exact = st.integers(1, 64_000).map(lambda number: number / 64)
amounts = st.one_of(st.just(0.0), exact)


def side(low: int, high: int, size: int) -> st.SearchStrategy[list[Level]]:
    return st.lists(st.tuples(st.integers(low, high).map(float), amounts), max_size=size)


changes = st.tuples(side(1, 60, 12), side(40, 100, 12))
starts = st.tuples(side(1, 49, 60), side(50, 100, 60))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("diff"), changes),
        st.tuples(st.just("again"), changes),
        st.tuples(st.just("snapshot"), starts),
    ),
    max_size=30,
)


@pytest.mark.parametrize("window", [2, 4, 64])
@given(start=starts, steps=steps)
@settings(max_examples=60)
def test_book_equals_the_naive_model(window: int, start: tuple, steps: list) -> None:
    with patch("kit.market.book_side.WINDOW", window), patch("kit.market.book_side.LOW_WATER", window // 2):
        book, model, update_id = OrderBook(PAIR), NaiveBook(), 1
        book.apply_snapshot(snapshot(update_id, *start))
        model.load(*start)
        for kind, (bids, asks) in steps:
            update_id += 1
            if kind == "snapshot":
                book.apply_snapshot(snapshot(update_id, bids, asks))
                model.load(bids, asks)
            elif kind == "again":
                assert book.apply_diff(diff(update_id - 1, bids, asks, first=update_id - 1)) is False
                update_id -= 1
            elif model.update(bids, asks):
                assert book.apply_diff(diff(update_id, bids, asks, first=update_id)) is True
            else:
                with pytest.raises(BookCrossed):
                    book.apply_diff(diff(update_id, bids, asks, first=update_id))
                assert not book.synced
                assert_same(book, model)
                book.apply_snapshot(snapshot(update_id, model.bids.items(), model.asks.items()))
            assert book.update_id == update_id
            assert_same(book, model)


@given(
    start=starts,
    is_buy=st.booleans(),
    volume=st.one_of(st.just(0.0), exact),
    price=st.floats(0.0, 120.0),
)
@settings(max_examples=150)
def test_queries_equal_brute_force(start: tuple, is_buy: bool, volume: float, price: float) -> None:
    with patch("kit.market.book_side.WINDOW", 4), patch("kit.market.book_side.LOW_WATER", 2):
        book, model = make_book(*start), NaiveBook()
    model.load(*start)

    def check(answer: float, expected: float) -> None:
        assert answer == pytest.approx(expected, rel=1e-9, nan_ok=True)

    for quote, get in ((False, book.get_price_for_volume), (True, book.get_price_for_quote_volume)):
        result, (result_price, result_volume) = get(is_buy, volume), model.price_for(is_buy, volume, quote=quote)
        check(result.result_price, result_price)
        check(result.result_volume, result_volume)
    for quote, get in ((False, book.get_vwap_for_volume), (True, book.get_vwap_for_quote_volume)):
        pieces = model.taken(is_buy, volume, quote=quote)
        base = math.fsum(amount for _, amount in pieces or ())
        if pieces is None:
            assert math.isnan(get(is_buy, volume).result_price)
        else:
            worth = math.fsum(p * a for p, a in pieces)
            check(get(is_buy, volume).result_price, worth / base if base else pieces[0][0])
    for quote, get in ((False, book.get_volume_for_price), (True, book.get_quote_volume_for_price)):
        result, (result_price, result_volume) = get(is_buy, price), model.volume_up_to(is_buy, price, quote=quote)
        assert result.query_price == price
        check(result.result_price, result_price)
        check(result.result_volume, result_volume)
    pieces = model.taken(is_buy, volume, quote=False)
    cost = math.nan if pieces is None else math.fsum(p * a for p, a in pieces)
    check(book.get_quote_volume_for_base_amount(is_buy, volume).result_volume, cost)


# -- sequence rules ------------------------------------------------------------------------------------------------


def test_a_book_without_snapshot_takes_no_diff() -> None:
    book = OrderBook(PAIR)
    with pytest.raises(SequenceGap, match="no snapshot has arrived"):
        book.apply_diff(diff(5, [(99.0, 1.0)]))
    assert not book.synced
    assert levels_of(book) == ([], [])


@pytest.mark.parametrize(
    ("update_id", "first", "previous", "outcome"),
    [
        (11, 11, None, True),  # follows at once
        (15, 9, None, True),  # straddles
        (15, 11, None, True),
        (10, 8, None, False),  # contained
        (3, 1, None, False),
        (15, 12, None, SequenceGap),
        (500, 13, None, SequenceGap),
        (20, 15, 10, True),  # futures: only pu counts; ids between pu and U do not exist
        (20, 15, 7, True),  # the snapshot lies inside the update
        (10, 9, 8, False),
        (20, 15, 11, SequenceGap),
        (20, 11, 12, SequenceGap),
        (900, None, None, True),  # nothing told: only the order counts
        (10, None, None, False),
        (0, None, None, True),  # unnumbered
    ],
)
def test_sequence_rules(book: OrderBook, update_id: int, first: int, previous: int, outcome: object) -> None:
    before = levels_of(book)
    message = diff(update_id, [(99.5, 4.0)], first=first, previous=previous)
    if outcome is SequenceGap:
        with pytest.raises(
            SequenceGap, match=f"Updates after 10 up to {(first - 1) if previous is None else previous} "
        ):
            book.apply_diff(message)
        assert not book.synced
        assert book.update_id == 10
    else:
        assert book.apply_diff(message) is outcome
        assert book.synced
        assert book.update_id == (max(update_id, 10) if outcome else 10)
    assert (levels_of(book) != before) is (outcome is True)


def test_after_a_gap_only_a_snapshot_helps(book: OrderBook) -> None:
    with pytest.raises(SequenceGap):
        book.apply_diff(diff(20, first=15))
    with pytest.raises(SequenceGap, match=r"out of sync \(updates after 10"):
        book.apply_diff(diff(11, first=11))  # would have been right before
    book.apply_snapshot(snapshot(14, [(99.0, 1.0)], [(101.0, 1.0)]))
    assert book.synced
    assert book.apply_diff(diff(20, first=15))


def test_unnumbered_snapshot_then_numbered_diffs() -> None:
    book = make_book([(99.0, 1.0)], [(101.0, 1.0)], update_id=0)
    assert book.apply_diff(diff(700, [(99.5, 1.0)], first=650))
    with pytest.raises(SequenceGap):
        book.apply_diff(diff(800, first=702))


def test_a_snapshot_may_go_back_in_ids(book: OrderBook) -> None:
    book.apply_snapshot(snapshot(3, [(50.0, 1.0)], [(51.0, 1.0)]))
    assert (book.update_id, book.snapshot_uid, book.best_bid) == (3, 3, (50.0, 1.0))


def test_timestamps_are_kept_when_the_exchange_tells_none(book: OrderBook) -> None:
    book.apply_diff(diff(11, timestamp=5.0))
    book.apply_diff(diff(12))
    assert book.timestamp == 5.0


# -- bad input -----------------------------------------------------------------------------------------------------

BAD_LEVELS = [
    (math.nan, 1.0),
    (math.inf, 1.0),
    (-1.0, 1.0),
    (0.0, 1.0),
    (99.0, math.nan),
    (99.0, math.inf),
    (99.0, -0.1),
    ("99.0", "1.0"),
    (99.0,),
    (99.0, 1.0, 7.0),
    None,
]


@pytest.mark.parametrize("bad", BAD_LEVELS)
@pytest.mark.parametrize("is_bid", [True, False])
def test_bad_levels_are_refused_whole(book: OrderBook, bad: object, is_bid: bool) -> None:
    good = [(98.5, 1.0)] if is_bid else [(101.5, 1.0)]
    levels = [*good, bad]
    bids, asks = (levels, []) if is_bid else ([], levels)
    before = levels_of(book)
    with pytest.raises(BadMessage, match="bids" if is_bid else "asks"):
        book.apply_snapshot(snapshot(11, bids, asks))  # type: ignore[arg-type]
    assert book.synced
    with pytest.raises(BadMessage, match="bids" if is_bid else "asks"):
        book.apply_diff(diff(11, bids, asks, first=11))  # type: ignore[arg-type]
    assert levels_of(book) == before
    assert not book.synced, "what the message told is lost, so the book must be synced again"


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([(101.0, 1.0)], []),  # locked
        ([(500.0, 1.0)], []),
        ([], [(99.0, 1.0)]),
        ([(100.0, 1.0)], [(100.0, 1.0)]),
        ([(101.0, 1.0), (99.0, 0.0)], [(102.0, 0.0)]),
    ],
)
def test_crossing_diff_changes_nothing(book: OrderBook, bids: list[Level], asks: list[Level]) -> None:
    before = levels_of(book)
    with pytest.raises(BookCrossed, match="at or above the best ask"):
        book.apply_diff(diff(11, bids, asks, first=11))
    assert levels_of(book) == before
    assert book.update_id == 10
    assert not book.synced


def test_price_may_move_through_the_other_side_in_one_diff(book: OrderBook) -> None:
    assert book.apply_diff(diff(11, [(101.0, 1.0)], [(101.0, 0.0)], first=11))
    assert (book.best_bid, book.best_ask) == ((101.0, 1.0), (102.0, 3.0))


def test_crossed_snapshot_is_refused(book: OrderBook) -> None:
    with pytest.raises(BookCrossed):
        book.apply_snapshot(snapshot(11, [(101.0, 1.0)], [(101.0, 1.0)]))
    assert book.synced
    assert book.update_id == 10


def test_messages_of_another_pair_are_refused(book: OrderBook) -> None:
    with pytest.raises(InvalidInput, match=r"'ETH/USDT'.*'BTC/USDT'"):
        book.apply_diff(replace(diff(11), trading_pair="ETH/USDT"))
    with pytest.raises(InvalidInput):
        book.apply_snapshot(replace(snapshot(11, [], []), trading_pair="ETH/USDT"))


@pytest.mark.parametrize("error", [SequenceGap, BookCrossed, BadMessage])
def test_book_errors_say_that_trying_again_helps(error: type[Exception]) -> None:
    assert issubclass(error, TryAgain)


# -- reading -------------------------------------------------------------------------------------------------------


def test_prices(book: OrderBook) -> None:
    assert book.get_price(is_buy=True) == 101.0
    assert book.get_price(is_buy=False) == 99.0
    assert book.mid_price == 100.0


def test_prices_of_an_empty_side_are_nan() -> None:
    book = make_book([(99.0, 1.0)], [])
    assert math.isnan(book.get_price(is_buy=True))
    assert book.get_price(is_buy=False) == 99.0
    assert math.isnan(book.mid_price)
    assert book.best_ask is None


def test_depth(book: OrderBook) -> None:
    assert book.depth(1) == ([(99.0, 1.0)], [(101.0, 1.5)])
    assert book.depth(5) == ([(99.0, 1.0), (98.0, 2.0)], [(101.0, 1.5), (102.0, 3.0)])
    with pytest.raises(InvalidInput, match="levels is 0"):
        book.depth(0)


def test_frames(book: OrderBook) -> None:
    bids, asks = book.bids, book.asks
    assert list(bids.columns) == ["price", "amount", "cumulative"]
    assert {str(dtype) for frame in (bids, asks) for dtype in frame.dtypes} == {"float64"}
    assert bids.to_numpy().tolist() == [[99.0, 1.0, 1.0], [98.0, 2.0, 3.0]]
    assert asks.to_numpy().tolist() == [[101.0, 1.5, 1.5], [102.0, 3.0, 4.5]]


def test_frames_of_an_empty_book_keep_their_columns() -> None:
    book = OrderBook(PAIR)
    assert len(book.bids) == 0
    assert {str(dtype) for dtype in book.asks.dtypes} == {"float64"}
    assert list(book.top(3).columns) == ["bid_amount", "bid_price", "ask_price", "ask_amount"]


def test_frames_are_built_once_per_update_and_belong_to_the_caller(book: OrderBook) -> None:
    first = book.bids
    with patch("kit.market.book_view.side_frame", side_effect=AssertionError("built twice for one update")):
        again = book.bids
        first.loc[0, "price"] = -1.0
        assert again.loc[0, "price"] == book.bids.loc[0, "price"] == 99.0
    book.apply_diff(diff(11, [(99.0, 7.0)], first=11))
    assert again.loc[0, "amount"] == 1.0
    assert book.bids.loc[0, "amount"] == 7.0


def test_top_is_a_ladder(book: OrderBook) -> None:
    book.apply_diff(diff(11, [(98.0, 0.0)], first=11))
    ladder = book.top(2)
    assert ladder.iloc[0].tolist() == [1.0, 99.0, 101.0, 1.5]
    assert ladder.iloc[1].isna().tolist() == [True, True, False, False]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "much", None])
def test_queries_refuse_what_is_no_volume(book: OrderBook, value: float) -> None:
    with pytest.raises(InvalidInput, match=r"volume is .*finite number"):
        book.get_vwap_for_volume(True, value)


def test_query_results_name_what_was_asked(book: OrderBook) -> None:
    result = book.get_price_for_volume(True, 2)
    assert (result.query_volume, result.result_price, result.result_volume) == (2.0, 102.0, 2.0)
    assert math.isnan(result.query_price)
    assert book.get_price_for_volume(False, 100).result_volume == 3.0
    assert math.isnan(book.get_quote_volume_for_base_amount(True, 100).result_volume)
    assert book.get_price_for_volume(True, 0).result_price == 101.0
    assert book.get_vwap_for_volume(True, 0).result_price == 101.0


def test_repr_is_short_and_tells_the_state(book: OrderBook) -> None:
    assert repr(book) == "<OrderBook BTC/USDT: bid 99 x 1 | ask 101 x 1.5, 2+2 levels>"
    assert repr(OrderBook(PAIR)) == (
        "<OrderBook BTC/USDT: no bids | no asks, 0+0 levels, out of sync: no snapshot has arrived yet>"
    )
    book.invalidate("the stream was lost")
    assert repr(book).endswith("out of sync: the stream was lost>")


def test_readers_on_another_thread_see_whole_states() -> None:
    """Every update moves the whole book; a reader between two halves of one would see it crossed."""
    low, high = [(99.0, 1.0)], [(100.0, 1.0)]
    up_bids, up_asks = [(99.0, 0.0), (109.0, 1.0)], [(100.0, 0.0), (110.0, 1.0)]
    down_bids, down_asks = [(109.0, 0.0), (99.0, 1.0)], [(110.0, 0.0), (100.0, 1.0)]
    book, seen, done = make_book(low, high), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            bids, asks = book.depth(5)
            seen.append(asks[0][0] - bids[0][0] if bids and asks else -1.0)

    reader = threading.Thread(target=read)
    pause = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # let the threads interrupt each other everywhere
    reader.start()
    for number in range(11, 6_011, 2):
        book.apply_diff(diff(number, up_bids, up_asks, first=number))
        book.apply_diff(diff(number + 1, down_bids, down_asks, first=number + 1))
    done.set()
    reader.join()
    sys.setswitchinterval(pause)
    assert set(seen) <= {1.0}

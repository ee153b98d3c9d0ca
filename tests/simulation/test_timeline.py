"""Local time over simulated exchanges: what it refuses, and in which order it drives its pairs."""

import pytest

from kit.errors import InvalidInput
from kit.simulation.timeline import Timeline
from kit.storage.events import SELL
from kit.types.market import TradeType
from tests.support.simulated import MS, OTHER, PAIR, SECOND, Trader, book, limit, trade


def test_time_never_goes_back_and_a_delivery_cannot_advance_it():
    trader = Trader({PAIR: book()}).to(SECOND)
    with pytest.raises(InvalidInput, match="time goes forward"):
        trader.to(SECOND - 1)
    refused = []

    def hear(_):
        with pytest.raises(InvalidInput, match="inside one of its own deliveries") as info:
            trader.to(5 * SECOND)
        refused.append(info.value)

    trader.venue.attach_account_sink(hear)
    trader.venue.submit(limit("a", TradeType.BUY, "99"))
    trader.to(2 * SECOND)
    assert len(refused) == 2
    assert trader.timeline.now == 2 * SECOND


def test_clocks_are_set_before_anybody_hears():
    moments = []
    timeline = Timeline(on_time=moments.append)
    trader = Trader({PAIR: book()}, timeline=timeline).to(SECOND)
    heard = []
    trader.venue.attach_account_sink(lambda _: heard.append(moments[-1]))
    trader.venue.submit(limit("a", TradeType.BUY, "99"))
    assert timeline.next_due == SECOND + 10 * MS
    trader.to(2 * SECOND)
    assert moments == [SECOND + 30 * MS]
    assert heard == [SECOND + 30 * MS] * 2
    assert timeline.next_due is None


def test_a_listener_that_throws_leaves_the_timeline_usable():
    trader = Trader({PAIR: book()}).to(SECOND)

    def fail(_):
        raise ZeroDivisionError

    trader.venue.attach_account_sink(fail)
    trader.venue.submit(limit("a", TradeType.BUY, "99"))
    with pytest.raises(ZeroDivisionError):
        trader.to(2 * SECOND)
    trader.to(3 * SECOND)
    assert trader.venue.busy


def test_the_book_in_a_delivery_is_that_of_its_moment():
    """An answer that is faster than the feed must not show what the feed tells later: no look ahead."""
    rows = [*book(), trade(SECOND + 100 * MS, SELL, 98.0)]
    rows += [(SECOND + 101 * MS, SECOND + 400 * MS, 1, 1, 100.0, 0.0, 0, 0)]  # the best bid is gone, told late
    trader = Trader({PAIR: rows}).to(SECOND)
    seen = []
    trader.venue.attach_account_sink(lambda _: seen.append(trader.venue.engines[PAIR].bids.best))
    trader.venue.submit(limit("a", TradeType.BUY, "99.5"))
    trader.to(SECOND + 300 * MS)
    assert set(seen) == {(100.0, 5.0)}
    assert len(seen) == 6
    trader.to(SECOND + 400 * MS)
    assert trader.venue.engines[PAIR].bids.best == (99.0, 5.0)


def test_a_reaction_on_another_pair_comes_in_its_place():
    """A fill on one pair makes an order on the other, which must meet the market as it was when it arrived."""
    rows = {
        PAIR: [*book(), trade(2 * SECOND, SELL, 99.0)],
        OTHER: [
            *book(),
            trade(2 * SECOND + 29 * MS, SELL, 99.9),  # before the reaction arrives, at 2 s + 20 ms + 10 ms
            trade(2 * SECOND + 31 * MS, SELL, 99.8, 0.4),
        ],
    }
    trader = Trader(rows).to(SECOND)
    trader.venue.submit(limit("first", TradeType.BUY, "100"))
    trader.venue.submit(limit("there", TradeType.BUY, "97", pair=OTHER))

    def hear(message):
        trader.heard.append((trader.timeline.now, message))
        if getattr(message, "trade_id", "") == "1":
            trader.venue.submit(limit("second", TradeType.BUY, "100.5", pair=OTHER))

    trader.venue.attach_account_sink(hear)
    trader.to(10 * SECOND)
    assert trader.story("second") == ["open", "maker 1 @ 100.5", "filled"]
    (fill,) = [one for one in trader.heard if getattr(one[1], "trade_id", "") == "2"]
    assert fill[0] == 2 * SECOND + 51 * MS

from __future__ import annotations

import logging
import math

import pytest

from kit.market.order_book import BadMessage, OrderBook
from kit.types.market import PublicTrade, TradeType


def trade(price: float = 100.0, amount: float = 1.0, trade_id: str = "1") -> PublicTrade:
    return PublicTrade("BTC/USDT", trade_id, 1.0, TradeType.BUY, price, amount)


@pytest.fixture
def book() -> OrderBook:
    return OrderBook("BTC/USDT")


def test_last_trade(book: OrderBook) -> None:
    assert book.last_trade is None
    assert math.isnan(book.last_trade_price)
    book.apply_trade(trade(101.0))
    assert book.last_trade == trade(101.0)
    assert book.last_trade_price == 101.0


def test_listeners_are_called_in_order_once_and_until_unsubscribed(book: OrderBook) -> None:
    heard: list[str] = []
    stop_first = book.add_trade_listener(first := lambda _: heard.append("first"))
    book.add_trade_listener(lambda _: heard.append("second"))
    book.add_trade_listener(first)
    book.apply_trade(trade())
    stop_first()
    stop_first()
    book.apply_trade(trade())
    assert heard == ["first", "second", "second"]


def test_a_listener_may_unsubscribe_while_called(book: OrderBook) -> None:
    heard: list[str] = []

    def once(_: PublicTrade) -> None:
        heard.append("once")
        stop()

    stop = book.add_trade_listener(once)
    book.add_trade_listener(lambda _: heard.append("other"))
    book.apply_trade(trade())
    book.apply_trade(trade())
    assert heard == ["once", "other", "other"]


def test_a_failing_listener_is_logged_counted_and_does_not_stop_the_others(
    book: OrderBook, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[PublicTrade] = []

    def fail(_: PublicTrade) -> None:
        raise ValueError("planted")

    book.add_trade_listener(fail)
    book.add_trade_listener(heard.append)
    with caplog.at_level(logging.ERROR):
        book.apply_trade(trade())
    assert heard == [trade()]
    assert book.listener_errors == 1
    assert "planted" in caplog.text


@pytest.mark.parametrize(("price", "amount"), [(math.nan, 1.0), (0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, math.inf)])
def test_bad_trades_are_refused(book: OrderBook, price: float, amount: float) -> None:
    with pytest.raises(BadMessage):
        book.apply_trade(trade(price, amount))
    assert book.last_trade is None
    assert book.trade_count == 0


def test_last_price_without_a_trade(book: OrderBook) -> None:
    book.apply_last_price(99.0)
    assert book.last_trade_price == 99.0
    assert book.last_trade is None
    with pytest.raises(BadMessage):
        book.apply_last_price(math.nan)

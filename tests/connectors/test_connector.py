import asyncio
import threading
from decimal import Decimal

import pytest

from kit.connectors import account_side
from kit.connectors.client_order_ids import ClientOrderIds
from kit.errors import (
    AuthenticationFailed,
    InvalidInput,
    InvalidOrder,
    NotReady,
    NotSupported,
    OrderNotFound,
    UnknownPair,
)
from kit.types.market import OrderBookSnapshot, PriceType, StreamLost, TradeType
from kit.types.orders import CancelFailed, OrderState, OrderType, OrderUpdate, TimeInForce
from tests.connectors.conftest import make_connector
from tests.support.fake_venue import PAIR, FakeVenue


def D(text: str) -> Decimal:
    return Decimal(text)


async def settle() -> None:
    """Let queues drain: a few turns of the loop, no waiting."""
    for _ in range(10):
        await asyncio.sleep(0)


def names(heard):
    return [name for name, _ in heard]


# reading


async def test_prices_are_exact_decimals(connector):
    assert connector.get_price(PAIR, True) == D("101.0")
    assert connector.get_price("btc-usdt", False) == D("100.0")
    assert connector.get_mid_price(PAIR) == D("100.5")
    assert connector.get_price_by_type(PAIR, PriceType.BestAsk) == D("101.0")
    assert connector.get_price_by_type(PAIR, PriceType.LastTrade) == D("100.5")  # fetched, as nothing traded yet
    with pytest.raises(InvalidInput, match="InventoryCost"):
        connector.get_price_by_type(PAIR, PriceType.InventoryCost)


async def test_volumes(connector):
    assert connector.get_price_for_volume(PAIR, True, D("2")) == D("101.0")
    assert connector.get_price_for_volume(PAIR, True, D("6")).is_nan()
    assert connector.get_vwap_for_volume(PAIR, False, D("2")) == D("100.0")
    assert connector.get_volume_for_price(PAIR, True, D("101")) == D("5")


async def test_an_empty_side_is_nan_not_an_error(connector, venue):
    venue.emit(OrderBookSnapshot(PAIR, 99, 0.0, ((100.0, 1.0),), ()))
    await settle()
    assert connector.get_price(PAIR, True).is_nan()
    assert connector.get_mid_price(PAIR).is_nan()


async def test_quantising_floors_and_fees_are_fractions(connector):
    assert connector.quantize_order_price(PAIR, D("100.019")) == D("100.01")
    assert connector.quantize_order_amount(PAIR, D("0.123456")) == D("0.12345")
    assert connector.quantize_order_amount(PAIR, D("0.00009")) == 0
    assert connector.get_fee(PAIR) == D("0.001")
    assert connector.get_fee(PAIR, OrderType.MARKET) == D("0.002")


async def test_unknown_pairs_are_named_with_what_there_is(connector):
    with pytest.raises(UnknownPair, match=r"'BTC/EUR'.*BTC/USDT"):
        connector.rule("BTC/EUR")
    with pytest.raises(UnknownPair, match="streams no book of 'ETH/USDT'"):
        connector.get_order_book("ETH/USDT")


async def test_trades_come_as_events(connector, venue, heard):
    venue.trade(100.7)
    await settle()
    assert names(heard) == ["Trade"]
    assert heard[0][1].type is TradeType.BUY
    assert connector.get_price_by_type(PAIR, PriceType.LastTrade) == D("100.7")


# orders


async def test_an_order_is_rounded_down_sent_and_created(connector, venue, heard):
    order_id = connector.buy(PAIR, D("0.123456"), OrderType.LIMIT, D("99.999"))
    request = venue.submitted[0]
    assert (request.amount, request.price, request.client_order_id) == (D("0.12345"), D("99.99"), order_id)
    await settle()
    assert names(heard) == ["BuyOrderCreated"]
    assert connector.in_flight_orders[order_id].current_state is OrderState.OPEN
    assert [order.client_order_id for order in connector.limit_orders] == [order_id]


@pytest.mark.parametrize(
    ("amount", "order_type", "price", "error", "words"),
    [
        ("-1", OrderType.LIMIT, "100", InvalidOrder, "above 0"),
        ("NaN", OrderType.LIMIT, "100", InvalidOrder, "amount is NaN"),
        ("0.00001", OrderType.LIMIT, "100", InvalidOrder, "start at 0.0001"),
        ("0.01", OrderType.LIMIT, "100", InvalidOrder, "below the minimum of 5"),
        ("1", OrderType.LIMIT, None, InvalidOrder, "needs a price"),
        ("1", OrderType.LIMIT, "NaN", InvalidOrder, "price is NaN"),
        ("1", OrderType.LIMIT, "-3", InvalidOrder, "too low"),
        ("1", OrderType.MARKET, "100", InvalidOrder, "takes no price"),
        ("1", "limit", "100", InvalidOrder, "must be one of"),
    ],
)
async def test_bad_orders_are_refused_before_anything_is_sent(
    connector, venue, amount, order_type, price, error, words
):
    with pytest.raises(error, match=words):
        connector.buy(PAIR, D(amount), order_type, None if price is None else D(price))
    assert venue.submitted == []
    assert connector.in_flight_orders == {}


async def test_unknown_pair_and_wrong_time_in_force_are_refused(connector, venue):
    with pytest.raises(UnknownPair):
        connector.sell("DOGE/USDT", D("1"), OrderType.LIMIT, D("1"))
    with pytest.raises(InvalidOrder, match="FOK goes with LIMIT"):
        connector.sell(PAIR, D("1"), OrderType.LIMIT_MAKER, D("102"), time_in_force=TimeInForce.FOK)
    assert venue.submitted == []


async def test_cancel_and_the_exchanges_word(connector, venue, heard):
    order_id = connector.sell(PAIR, D("1"), OrderType.LIMIT, D("102"))
    await settle()
    connector.cancel(PAIR, order_id)
    await settle()
    assert names(heard) == ["SellOrderCreated", "OrderCancelled"]
    assert connector.in_flight_orders == {}
    connector.cancel(PAIR, order_id)
    assert len(venue.cancelled) == 1
    with pytest.raises(OrderNotFound, match="no order 'nonsense'"):
        connector.cancel(PAIR, "nonsense")


async def test_a_cancel_waits_for_the_orders_acknowledgement(connector, venue):
    venue.auto = False
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    connector.cancel(PAIR, order_id)
    await settle()
    assert venue.cancelled == []
    venue.accept(venue.submitted[0])
    await settle()
    assert [request.client_order_id for request in venue.cancelled] == [order_id]
    assert venue.cancelled[0].exchange_order_id == f"E{order_id}"


async def test_cancel_all_waits_for_every_order_and_reports_those_without_an_answer(connector, venue):
    first = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    venue.auto = False
    silent = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("98"))
    venue.accept(venue.submitted[1])
    await settle()

    def answer(request):
        if request.client_order_id == first:
            venue.confirm_cancel(request)

    venue.cancel = answer
    results = {result.order_id: result for result in await connector.cancel_all(timeout=0.05)}
    assert results[first].success
    assert not results[silent].success
    assert results[silent].state is OrderState.PENDING_CANCEL


async def test_a_cancel_that_found_nothing_is_settled_by_asking(connector, venue, heard):
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    venue.auto = False
    connector.cancel(PAIR, order_id)
    await settle()
    assert connector.in_flight_orders[order_id].current_state is OrderState.PENDING_CANCEL
    venue.open[order_id] = OrderUpdate(PAIR, OrderState.CANCELED, 1.0, client_order_id=order_id, filled=D("0"))
    venue.send(CancelFailed(order_id, PAIR, 1.0, "unknown order", order_not_found=True))
    async with asyncio.timeout(60):
        while connector.in_flight_orders:
            await asyncio.sleep(0.01)
    assert names(heard) == ["BuyOrderCreated", "OrderCancelled"]


async def test_buy_and_cancel_from_a_second_thread(connector, venue, heard):
    made: list[str] = []

    def other_thread() -> None:
        made.append(connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99")))
        with pytest.raises(InvalidOrder):
            connector.buy(PAIR, D("-1"), OrderType.LIMIT, D("99"))

    loop_thread = threading.get_ident()
    sent_on: list[int] = []
    accept = venue.accept
    venue.accept = lambda request: (sent_on.append(threading.get_ident()), accept(request))
    await asyncio.to_thread(other_thread)
    await settle()
    assert sent_on == [loop_thread]
    await asyncio.to_thread(connector.cancel, PAIR, made[0])
    await settle()
    assert names(heard) == ["BuyOrderCreated", "OrderCancelled"]


async def test_sweep_ends_orders_of_an_earlier_run_too(connector, venue):
    earlier = ClientOrderIds("test").next()  # the same name in another run
    venue.open[earlier] = OrderUpdate(PAIR, OrderState.OPEN, 0.0, client_order_id=earlier, exchange_order_id="E1")
    venue.open["x-somebody"] = OrderUpdate(PAIR, OrderState.OPEN, 0.0, client_order_id="x-somebody")
    connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    assert await connector.sweep(60) == []
    assert list(venue.open) == ["x-somebody"]


# modes and life


async def test_data_mode_places_no_orders(venue, supervisor):
    connector = make_connector(venue, supervisor, mode="data")
    connector.open()
    await connector.wait_ready(60)
    with pytest.raises(NotSupported, match="mode 'data'"):
        connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await connector.close()


async def test_a_wrong_secret_refuses_trading_while_market_data_goes_on(venue, supervisor):
    venue.refuse = AuthenticationFailed("signature is not valid")
    connector = make_connector(venue, supervisor)
    connector.open()
    await connector.wait_ready(60)
    assert "signature is not valid" in connector.trading_refused
    assert not connector.ready
    assert connector.get_mid_price(PAIR) == D("100.5")
    with pytest.raises(AuthenticationFailed, match="signature is not valid"):
        connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await connector.close()


async def test_an_unknown_pair_is_told_at_once(venue, supervisor):
    connector = make_connector(venue, supervisor, pairs=("DOGE/USDT",))
    connector.open()
    with pytest.raises(UnknownPair, match="DOGE/USDT"):
        await connector.wait_ready(60)
    await connector.close()


async def test_not_ready_says_what_is_missing(supervisor):
    venue = FakeVenue()
    venue.offline = True
    connector = make_connector(venue, supervisor)
    connector.open()
    await settle()  # it has asked, however long a busy machine took for that
    with pytest.raises(NotReady, match=r"missing: network.*offline"):
        await connector.wait_ready(0.1)
    await connector.close()


async def test_a_lost_stream_is_not_ready_until_the_next_snapshot(connector, venue):
    venue.offline = True
    venue.emit(StreamLost(PAIR, 0.0, "cut"))
    await settle()
    assert not connector.ready
    assert connector.readiness["order_books"] is False
    venue.offline = False
    venue.emit(OrderBookSnapshot(PAIR, 500, 0.0, ((99.0, 1.0),), ((102.0, 1.0),)))
    await settle()
    assert connector.ready
    assert connector.get_mid_price(PAIR) == D("100.5")


async def test_pairs_are_added_and_removed_while_running(connector, venue):
    await connector.add_trading_pair("eth-usdt")
    await connector.wait_ready(60)
    assert connector.trading_pairs == (PAIR, "ETH/USDT")
    assert venue.subscribed == {PAIR, "ETH/USDT"}
    await connector.remove_trading_pair("ETH/USDT")
    assert venue.subscribed == {PAIR}
    with pytest.raises(UnknownPair):
        await connector.remove_trading_pair("ETH/USDT")


async def test_status_shows_every_part(connector):
    status = connector.status
    assert status["ready"] is True
    assert set(status["books"]) == {PAIR}
    assert status["port"] == {"fake": True}


async def test_close_twice_leaves_no_task(venue, supervisor):
    connector = make_connector(venue, supervisor)
    connector.open()
    await connector.wait_ready(60)
    await connector.close()
    await connector.close()
    assert len(supervisor) == 0


# the end


async def test_a_closed_connector_refuses_orders_and_says_what_is_left(connector, venue):
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    await connector.close()
    with pytest.raises(NotReady, match="is closed"):
        connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    with pytest.raises(NotReady, match="is closed"):
        connector.cancel(PAIR, order_id)
    assert await connector.cancel_all() == []
    assert await connector.sweep() == [order_id]
    assert venue.cancelled == []


async def test_sweep_says_what_is_left_when_the_exchange_refuses_to_answer(connector, venue):
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    venue.auto = False

    async def refuse(trading_pair):
        raise AuthenticationFailed("the key was revoked")

    venue.fetch_open_orders = refuse
    assert await connector.sweep(0.01) == [order_id]


async def test_sweep_does_not_wait_for_an_answer_that_does_not_come(connector, venue, monkeypatch):
    monkeypatch.setattr(account_side, "LAST_QUESTION", 0.05)
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    venue.auto = False

    async def hang(trading_pair):
        await asyncio.Event().wait()

    venue.fetch_open_orders = hang
    assert await asyncio.wait_for(connector.sweep(0.05), 60) == [order_id]


async def test_an_order_that_the_port_refuses_to_take_fails(connector, venue, heard):
    def refuse(request):
        raise NotReady("closing")

    venue.submit = refuse
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    assert names(heard) == ["OrderFailure"]
    assert heard[0][1].error_type == "NotReady"
    assert connector.in_flight_orders == {}
    assert connector.get_available_balance("USDT") == connector.get_balance("USDT")
    assert connector.order_tracker.fetch_order(order_id).current_state is OrderState.FAILED


async def test_a_cancel_that_the_port_refuses_to_take_can_be_asked_for_again(connector, venue, heard):
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    take = venue.cancel

    def refuse(request):
        raise NotReady("closing")

    venue.cancel = refuse
    (result,) = await connector.cancel_all(0.01)
    assert (result.success, result.state) == (False, OrderState.OPEN)
    venue.cancel = take
    connector.cancel(PAIR, order_id)
    await settle()
    assert names(heard) == ["BuyOrderCreated", "OrderCancelled"]


# nothing is forgotten


async def test_a_cancel_that_failed_is_tried_again_without_being_asked(connector, venue, monkeypatch):
    monkeypatch.setattr("kit.connectors.order_desk.CANCEL_RETRY_AFTER", 0.0)
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    venue.auto = False
    connector.cancel(PAIR, order_id)
    venue.send(CancelFailed(order_id, PAIR, 1.0, "503"))
    await settle()
    assert connector.in_flight_orders[order_id].current_state is OrderState.OPEN
    connector.tick(1.0)
    assert len(venue.cancelled) == 2
    venue.confirm_cancel(venue.cancelled[1])
    await settle()
    assert connector.in_flight_orders == {}
    connector.tick(2.0)
    assert len(venue.cancelled) == 2


async def test_the_connector_follows_up_cancels_without_any_clock(connector, venue, monkeypatch):
    monkeypatch.setattr("kit.connectors.order_desk.CANCEL_RESEND_AFTER", 0.0)
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    venue.auto = False
    connector.cancel(PAIR, order_id)
    async with asyncio.timeout(60):
        while len(venue.cancelled) < 2:
            await asyncio.sleep(0.01)


async def test_sweep_counts_an_order_without_an_answer_as_left(connector, venue):
    venue.auto = False
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    assert await connector.sweep(0.05) == [order_id]


async def test_sweep_refuses_new_orders_until_reopened(connector, venue):
    assert await connector.sweep(60) == []
    with pytest.raises(NotReady, match="cancelling all"):
        connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    connector.reopen()
    connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))


async def test_a_pair_with_orders_is_removed_only_when_their_cancels_are_confirmed(connector, venue):
    await connector.add_trading_pair("ETH/USDT")
    await connector.wait_ready(60)
    connector.buy("ETH/USDT", D("1"), OrderType.LIMIT, D("99"))
    await settle()
    venue.auto = False
    with pytest.raises(NotReady, match="ETH/USDT stays"):
        await connector.remove_trading_pair("ETH/USDT", timeout=0.05)
    assert "ETH/USDT" in connector.trading_pairs
    venue.confirm_cancel(venue.cancelled[0])
    await connector.remove_trading_pair("ETH/USDT")
    assert connector.trading_pairs == (PAIR,)


async def test_buy_and_cancel_at_once_from_a_second_thread_while_the_loop_is_busy(connector, venue):
    def other_thread() -> None:
        connector.cancel(PAIR, connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99")))
        with pytest.raises(OrderNotFound):
            connector.cancel(PAIR, "nonsense")

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()  # the loop stands still meanwhile
    await settle()
    assert len(venue.submitted) == 1
    assert connector.in_flight_orders == {}
    assert venue.open == {}


async def test_orders_can_be_cancelled_while_trading_is_refused(connector, venue):
    order_id = connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()
    connector.trading_refused = "AuthenticationFailed: key revoked"
    assert "trading refused" in repr(connector)
    connector.cancel(PAIR, order_id)
    await settle()
    assert venue.open == {}


async def test_orders_of_a_run_that_died_are_followed(venue, supervisor):
    earlier = ClientOrderIds("test").next()
    venue.open[earlier] = OrderUpdate(
        PAIR,
        OrderState.OPEN,
        0.0,
        client_order_id=earlier,
        exchange_order_id="E9",
        filled=D("0"),
        trade_type=TradeType.BUY,
        order_type=OrderType.LIMIT,
        amount=D("1"),
        price=D("99"),
    )
    connector = make_connector(venue, supervisor)
    connector.open()
    await connector.wait_ready(60)
    assert list(connector.in_flight_orders) == [earlier]
    connector.cancel(PAIR, earlier)
    await settle()
    assert venue.open == {}
    await connector.close()


async def test_coroutines_hop_from_another_loop(connector, venue):
    connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"))
    await settle()

    async def elsewhere():
        assert len(await connector.open_orders_on_exchange()) == 1
        await connector.add_trading_pair("ETH/USDT")
        await connector.remove_trading_pair("ETH/USDT")
        return await connector.sweep(60)

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == []
    assert venue.open == {}


async def test_quantising_nan_passes_and_absurd_numbers_are_refused(connector):
    assert connector.quantize_order_amount(PAIR, D("NaN")).is_nan()
    with pytest.raises(InvalidOrder, match="beyond anything"):
        connector.buy(PAIR, D("1e30"), OrderType.LIMIT, D("99"))
    with pytest.raises(InvalidOrder, match="time_in_force is 'GTD'"):
        connector.buy(PAIR, D("1"), OrderType.LIMIT, D("99"), time_in_force="GTD")

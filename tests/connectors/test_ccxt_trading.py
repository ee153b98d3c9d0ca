"""Orders, fills and balances of ccxt's Binance class over real sockets, undisturbed and disturbed."""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
import pytest_asyncio

from kit.connectors import ccxt_exchange, ccxt_user_stream
from kit.errors import AuthenticationFailed, NetworkUnavailable, NotReady, RateLimited, TryAgain
from kit.testnet import Testnet
from kit.types.market import OrderBookDiff, TradeType
from kit.types.orders import (
    BalanceUpdate,
    CancelFailed,
    CancelRequest,
    OrderState,
    OrderType,
    TimeInForce,
    UserStreamStatus,
)
from kit.types.ports import Credentials
from tests.support.ccxt_frames import PAIR
from tests.support.ccxt_venue import eventually, side

OPEN, FILLED, CANCELED = OrderState.OPEN, OrderState.FILLED, OrderState.CANCELED
PARTIALLY_FILLED, UNKNOWN, FAILED = OrderState.PARTIALLY_FILLED, OrderState.UNKNOWN, OrderState.FAILED


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def testnet():
    async with await Testnet.start(name="ccxt trading") as testnet:
        yield testnet


@pytest.fixture(autouse=True)
def fast_watchdog(monkeypatch):
    monkeypatch.setattr(ccxt_exchange, "_WATCH_INTERVAL", 0.05)


@pytest.fixture
async def venue(testnet):
    async with side(testnet) as venue:
        await venue.up()
        yield venue


@pytest.fixture
async def calm(venue):
    """A venue whose market stands still."""
    await venue.testnet.freeze_flow()
    yield venue
    await venue.testnet.resume_flow()


async def on_exchange(venue, request):
    """Return the exchange's own record of an open order, or None."""
    orders = await venue.testnet.open_orders(tag=request.client_order_id)
    return orders[0] if orders else None


async def room(venue):
    """Make room between the sides of a book that stands still; returns the price just above the best bid."""
    for _ in range(20):
        book = await venue.exchange.fetch_order_book(PAIR)
        bid, (ask, amount) = Decimal(str(max(book.bids)[0])), min(book.asks)
        if Decimal(str(ask)) - bid > Decimal("0.01"):
            return bid + Decimal("0.01")
        await venue.testnet.trade(PAIR, TradeType.BUY, Decimal(str(amount)))
    pytest.fail(f"buying the best asks makes no room between the sides: {bid}, {ask}")


def cancel_of(request, exchange_id=None):
    return CancelRequest(request.client_order_id, request.trading_pair, exchange_id)


async def under_way(testnet, fault):
    """Wait until a fault that strikes once has struck."""
    async with asyncio.timeout(60):
        while any(one["kind"] == fault for one in await testnet.faults()):
            await asyncio.sleep(0.01)


async def strikes(testnet):
    """Return how often faults have struck."""
    return sum((await testnet.stats())["faults_struck"].values())


async def early_in_a_minute(testnet):
    """Set the clock to the second in which the exchange begins to count weight anew: a test is not to cross that."""
    await testnet.fault("skew", offset=61 - time.time() % 60)


def streams_failures(venue):
    streams = venue.exchange.status()["streams"]
    return max((one["failures"] for name, one in streams.items() if name.startswith("user")), default=0)


def statuses(venue):
    return [status.connected for status in venue.of(UserStreamStatus)]


# undisturbed


async def test_an_orders_life_in_three_fills(calm):
    venue = calm
    price = await room(venue)
    request = await venue.rest(price=str(price), amount="0.3")
    for _ in range(3):
        await venue.testnet.trade(PAIR, TradeType.SELL, "0.1")
    await venue.update(request, FILLED)
    streamed = [one for one in venue.updates(request) if one.filled is not None]
    assert [(one.state, str(one.filled.normalize())) for one in streamed[-3:]] == [
        (PARTIALLY_FILLED, "0.1"),
        (PARTIALLY_FILLED, "0.2"),
        (FILLED, "0.3"),
    ]
    fills = venue.fills(request)
    assert [fill.amount for fill in fills] == [Decimal("0.1")] * 3
    assert all(fill.price == price and fill.is_maker and fill.trade_type is TradeType.BUY for fill in fills)
    real = await venue.testnet.fills(account=venue.exchange._session.trade.apiKey)
    assert [fill.trade_id for fill in real] == [fill.trade_id for fill in fills]
    assert [fill.fee for fill in real] == [fill.fee.amount_of("BTC") for fill in fills]
    assert [fill.quote_amount for fill in real] == [fill.quote_amount for fill in fills]
    balances = await venue.exchange.fetch_balances()
    await eventually(
        lambda: {one.asset: one.balance for one in venue.of(BalanceUpdate)} == balances, f"both balances: {balances}"
    )


async def test_amounts_and_prices_arrive_exactly(calm):
    request = await calm.rest(price="45678.91", amount="0.12345")
    real = await on_exchange(calm, request)
    assert (real.price, real.amount, real.client_order_id) == (
        Decimal("45678.91"),
        Decimal("0.12345"),
        request.client_order_id,
    )


async def test_fills_are_told_without_a_private_stream(testnet):
    async with side(testnet) as venue:
        await venue.exchange.fetch_trading_rules()
        request = venue.request(order_type=OrderType.MARKET, price=None, amount="0.5")
        venue.exchange.submit(request)
        update = await venue.first_update(request)
        assert update.state is FILLED
        assert sum(fill.amount for fill in venue.fills(request)) == Decimal("0.5")
        assert all(fill.fee.flat_fees and fill.is_maker is False for fill in venue.fills(request))


async def test_fills_told_twice_have_the_same_id(venue):
    request = venue.request(order_type=OrderType.MARKET, price=None, amount="0.5")
    venue.exchange.submit(request)
    await eventually(
        lambda: sum(fill.amount for fill in venue.fills(request)) == Decimal("1.0"), "answer and stream both tell"
    )
    fills = venue.fills(request)
    by_id = {fill.trade_id: fill for fill in fills}
    assert len(by_id) * 2 == len(fills)
    assert sum(fill.amount for fill in by_id.values()) == Decimal("0.5")


async def test_order_types_reach_the_exchange(calm):
    request = await calm.rest(order_type=OrderType.LIMIT_MAKER)
    assert (await on_exchange(calm, request)).type == "limit_maker"
    hopeless = calm.request(time_in_force=TimeInForce.FOK)
    calm.exchange.submit(hopeless)
    assert (await calm.update(hopeless, OrderState.EXPIRED, CANCELED)).filled == 0


@pytest.mark.parametrize("by_exchange_id", [True, False])
async def test_cancel_and_query_by_either_id(calm, by_exchange_id):
    request = await calm.rest()
    exchange_id = calm.updates(request)[0].exchange_order_id if by_exchange_id else None
    assert (await calm.exchange.query(cancel_of(request, exchange_id))).state is OPEN
    calm.exchange.cancel(cancel_of(request, exchange_id))
    await calm.update(request, CANCELED)
    assert (await calm.exchange.query(cancel_of(request, exchange_id))).state is CANCELED
    assert await on_exchange(calm, request) is None


async def test_open_orders_and_fills_are_listed(calm):
    rested = [await calm.rest(price=str(40_000 + index)) for index in range(3)]
    since = time.time() - 5
    taken = calm.request(order_type=OrderType.MARKET, price=None, amount="0.02")
    calm.exchange.submit(taken)
    await calm.update(taken, FILLED)
    found = await calm.exchange.fetch_open_orders(PAIR)
    assert {one.client_order_id for one in found} == {one.client_order_id for one in rested}
    assert all(one.state is OPEN and one.trade_type is TradeType.BUY and one.price for one in found)
    fills = await calm.exchange.fetch_fills(PAIR, since)
    assert sum(fill.amount for fill in fills) == Decimal("0.02")
    assert await calm.exchange.fetch_fills(PAIR, time.time() + 60) == []


async def test_many_fills_are_fetched_page_by_page(calm, monkeypatch):
    for _ in range(7):
        taken = calm.request(order_type=OrderType.MARKET, price=None, amount="0.01")
        calm.exchange.submit(taken)
        await calm.update(taken, FILLED)
    since = time.time() - 600
    whole = await calm.exchange.fetch_fills(PAIR, since)
    # Fills of one millisecond cannot be told apart by the time that a page begins with: they must fit into one.
    at_once = max(Counter(fill.timestamp for fill in whole).values())
    calm.exchange._session.profile = replace(calm.exchange._session.profile, fills_page=at_once + 1)
    paged = await calm.exchange.fetch_fills(PAIR, since)
    assert [fill.trade_id for fill in paged] == [fill.trade_id for fill in whole]
    assert len(whole) >= at_once + 6


async def test_a_deposit_is_told_in_full(venue):
    await venue.testnet.deposit("USDT", 500, account=Credentials(venue.exchange._session.trade.apiKey, "-"))
    await eventually(
        lambda: [one for one in venue.of(BalanceUpdate) if one.balance.total == Decimal(1_000_500)], "the new balance"
    )


async def test_two_accounts_do_not_hear_each_other(testnet, venue):
    async with side(testnet) as other:
        await other.up()
        request = await venue.rest()
        assert other.updates(request) == []
        assert await other.exchange.query(cancel_of(request)) is None


# a placement whose answer is lost, or is no answer

JUNK = ["<html>hello</html>", "", "{}", '{"orderId": ', "[]", "null", "42"]
AMBIGUOUS = [
    ("cut before matching", "drop_before", {}, False),
    ("cut after matching", "drop_after", {}, True),
    ("truncated", "truncate", {}, True),
    *[(f"junk {body!r}", "junk", {"body": body}, True) for body in JUNK],
    ("503", "error", {"status": 503, "code": -1000}, False),
    ("504 after", "error", {"status": 504, "code": -1007, "after": True}, True),
    ("-1006 after", "error", {"status": 400, "code": -1006, "after": True}, True),
    ("-1000", "error", {"status": 400, "code": -1000}, False),
    ("late answer", "delay", {"delay": 10.0, "after": True}, True),
    ("black hole", "black_hole", {"seconds": 600, "on": "order.place"}, False),
]


@pytest.mark.parametrize(
    ("kind", "options", "there"), [row[1:] for row in AMBIGUOUS], ids=[row[0] for row in AMBIGUOUS]
)
async def test_a_lost_answer_is_unknown_until_asked(calm, kind, options, there):
    trade = calm.exchange._session.trade
    patience = trade.timeout
    if kind in ("delay", "black_hole"):
        trade.timeout = 500
    before = await strikes(calm.testnet)
    await calm.testnet.fault(kind, **{"on": "order.place", "via": "rest"} | options)
    request = calm.request()
    calm.exchange.submit(request)
    outcome = await eventually(
        lambda: [one for one in calm.updates(request) if one.error or one.state is UNKNOWN], "an outcome"
    )
    assert (outcome[0].state, outcome[0].error) == (UNKNOWN, "AmbiguousOutcome")
    assert outcome[0].reason
    trade.timeout = patience
    async with asyncio.timeout(60):  # we gave up, but a busy exchange may only now come to what we had sent
        while await strikes(calm.testnet) == before:
            await asyncio.sleep(0.01)
    await calm.testnet.clear_faults()
    found = await calm.exchange.query(cancel_of(request))
    assert (found is not None) == there
    assert (await on_exchange(calm, request) is not None) == there
    if there:
        assert (found.state, found.client_order_id) == (OPEN, request.client_order_id)
        await eventually(lambda: OPEN in [one.state for one in calm.updates(request)], "the private stream's word")
    stats = await calm.testnet.open_orders(tag=request.client_order_id)
    assert len(stats) <= 1


RETRIED = [
    ("429", {"status": 429, "code": -1003}),
    ("-1015", {"status": 429, "code": -1015}),
    ("-1008", {"status": 503, "code": -1008}),
    ("-1021", {"status": 400, "code": -1021}),
]


@pytest.mark.parametrize("options", [row[1] for row in RETRIED], ids=[row[0] for row in RETRIED])
async def test_refused_for_the_moment_is_placed_in_the_end(calm, options, monkeypatch):
    monkeypatch.setattr("kit.connectors.ccxt_limits._PAUSES", {429: 0.2, 418: 0.2})
    await calm.testnet.fault("error", on="order.place", **options)
    request = await calm.rest()
    assert await on_exchange(calm, request) is not None
    assert [one.state for one in calm.updates(request) if one.error] == []
    assert calm.exchange.status()["orders"]["retried"] == 1


async def test_a_stepped_clock_is_read_anew(calm):
    await calm.testnet.fault("skew", offset=-30.0)  # our stamps now come from the exchange's future
    request = await calm.rest()
    assert await on_exchange(calm, request) is not None
    status = calm.exchange.status()
    assert abs(status["clock_offset"] + 30) <= status["round_trip"] / 2 + 0.1


async def test_an_id_that_was_used_tells_the_first_order(calm):
    request = await calm.rest()
    first = calm.updates(request)[0].exchange_order_id
    calm.account.clear()
    calm.exchange.submit(request)
    update = await calm.first_update(request)
    assert (update.state, update.exchange_order_id) == (OPEN, first)
    assert len(await calm.testnet.open_orders(tag=request.client_order_id)) == 1


async def test_an_exchange_that_is_gone_took_nothing():
    async with await Testnet.start(name="ccxt gone") as gone, side(gone) as venue:
        await venue.exchange.fetch_trading_rules()
        await gone.stop()
        request = venue.request()
        venue.exchange.submit(request)
        update = await venue.first_update(request)
        assert (update.state, update.error) == (FAILED, "NetworkUnavailable")
        with pytest.raises(NetworkUnavailable):
            await venue.exchange.query(cancel_of(request))
        venue.exchange.cancel(cancel_of(request))
        failed = await venue.cancel_failed(request)
        assert (failed.order_not_found, failed.ambiguous) == (False, False)
        gone.clear_faults = _nothing  # there is nobody to tell it to


async def _nothing():
    return None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"amount": "200"}, "InsufficientBalance"),
        ({"amount": "0.0001"}, "InvalidOrder"),  # below the least value
        ({"price": "40000.001"}, "InvalidOrder"),  # off the price step
        ({"amount": "0.010000001"}, "InvalidOrder"),
        ({"price": "100000", "order_type": OrderType.LIMIT_MAKER}, "PostOnlyRejected"),
    ],
)
async def test_refusals_say_why(calm, changes, error):
    request = calm.request(**changes)
    calm.exchange.submit(request)
    update = await calm.first_update(request)
    assert (update.state, update.error) == (FAILED, error)
    assert "binance" in update.reason
    assert await calm.exchange.query(cancel_of(request)) is None


# cancels and queries


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("drop_before", {}),
        ("error", {"status": 503}),
        ("error", {"status": 400, "code": -1006}),
        ("error", {"status": 503, "code": -1008}),
        ("error", {"status": 400, "code": -1021}),
    ],
)
async def test_a_disturbed_cancel_works_in_the_end(calm, kind, options):
    request = await calm.rest()
    await calm.testnet.fault(kind, on="order.cancel", via="rest", **options)
    calm.exchange.cancel(cancel_of(request))
    await calm.update(request, CANCELED)
    assert await on_exchange(calm, request) is None


@pytest.mark.parametrize("kind", ["drop_after", "truncate", "junk"])
async def test_a_cancel_that_worked_unheard_is_told_by_the_stream(calm, kind):
    request = await calm.rest()
    await calm.testnet.fault(kind, on="order.cancel", via="rest")
    calm.exchange.cancel(cancel_of(request))
    await calm.update(request, CANCELED)
    failed = await calm.cancel_failed(request)
    assert failed.order_not_found or failed.ambiguous
    assert (await calm.exchange.query(cancel_of(request))).state is CANCELED


async def test_a_cancel_that_is_refused_for_good(calm):
    request = await calm.rest()
    await calm.testnet.fault("error", on="order.cancel", via="rest", status=401, code=-2015, message="Invalid API-key")
    calm.exchange.cancel(cancel_of(request))
    failed = await calm.cancel_failed(request)
    assert (failed.order_not_found, failed.ambiguous) == (False, False)
    assert await on_exchange(calm, request) is not None


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("error", {"status": 503}),
        ("error", {"status": 429, "code": -1003}),
        ("junk", {}),
        ("junk", {"body": "{}"}),
        ("truncate", {}),
        ("drop_before", {"count": 2}),
    ],
)
async def test_a_failed_query_is_no_evidence(calm, kind, options, monkeypatch):
    monkeypatch.setattr("kit.connectors.ccxt_limits._PAUSES", {429: 0.01})
    request = await calm.rest()
    await calm.testnet.fault(kind, on="order.status", via="rest", **options)
    with pytest.raises(TryAgain):
        await calm.exchange.query(cancel_of(request))
    await calm.testnet.clear_faults()
    assert (await calm.exchange.query(cancel_of(request))).state is OPEN


@pytest.mark.parametrize("endpoint", ["account.status", "openOrders.status", "myTrades"])
@pytest.mark.parametrize(("kind", "options"), [("error", {"status": 503}), ("junk", {}), ("junk", {"body": "{}"})])
async def test_failed_lists_are_no_evidence(calm, endpoint, kind, options):
    await calm.testnet.fault(kind, on=endpoint, via="rest", **options)
    ask = {
        "account.status": calm.exchange.fetch_balances,
        "openOrders.status": lambda: calm.exchange.fetch_open_orders(PAIR),
        "myTrades": lambda: calm.exchange.fetch_fills(PAIR, 0.0),
    }[endpoint]
    with pytest.raises(TryAgain):
        await ask()
    await ask()


# the private stream


@pytest.mark.parametrize("fault", ["cut_user", "terminate", "undecodable"])
async def test_the_private_stream_comes_back(calm, fault):
    request = await calm.rest()
    await calm.testnet.fault(fault, **({"on": "user"} if fault == "undecodable" else {}))
    await eventually(lambda: statuses(calm) == [True, False, True], f"down and up again, not {statuses(calm)}")
    assert calm.of(UserStreamStatus)[1].reason
    calm.account.clear()
    await calm.testnet.cancel_orders(tag=request.client_order_id)
    await calm.update(request, CANCELED)  # events come again
    assert calm.exchange.status()["user_stream"]
    assert calm.exchange.status()["reconnects"] == 1


async def test_up_is_told_only_when_events_will_come(calm):
    """A reconciliation that starts at the word must not miss an event between its answers and the stream."""
    for _ in range(5):
        calm.account.clear()
        await calm.testnet.fault("cut_user")
        await eventually(lambda: statuses(calm) == [False, True], "down and up again")
        request = calm.request()
        calm.exchange.submit(request)
        await eventually(lambda request=request: len(calm.updates(request)) == 2, "answer and stream")


async def test_a_private_stream_that_falls_silent_is_noticed_by_what_it_should_tell(calm, monkeypatch):
    monkeypatch.setattr(ccxt_user_stream, "_EVENT_TIMEOUT", 0.3)
    await calm.testnet.fault("silent_stream", via="ws_api", seconds=600)
    await calm.rest()
    await eventually(lambda: statuses(calm)[:2] == [True, False], "down")
    assert "told nothing" in calm.of(UserStreamStatus)[1].reason
    await calm.testnet.clear_faults()
    await eventually(lambda: statuses(calm)[-1], "up again")


async def test_a_subscription_that_is_not_answered_is_tried_again(testnet, monkeypatch):
    monkeypatch.setattr(ccxt_user_stream, "_ANSWER_TIMEOUT", 0.3)
    await testnet.fault("silent", on="userDataStream*", via="ws_api", before=True)
    async with side(testnet) as venue:
        await venue.up()
        assert statuses(venue) == [True]


async def test_an_order_is_the_first_thing_that_is_asked_for(testnet):
    async with side(testnet) as venue:
        request = await venue.rest()
        assert await on_exchange(venue, request) is not None
        assert venue.exchange.status()["streams"] == {}


async def test_a_private_stream_that_tells_is_left_alone(calm, monkeypatch):
    request = await calm.rest()
    calm.exchange.cancel(cancel_of(request))
    await eventually(lambda: len(calm.updates(request)) == 4, "answer and stream, of the order and of its cancel")
    monkeypatch.setattr(ccxt_user_stream, "_EVENT_TIMEOUT", 0.1)
    await asyncio.sleep(0.4)
    assert statuses(calm) == [True]


async def test_a_refused_reconnect_goes_on(calm):
    await calm.testnet.fault("cut_user", seconds=600)
    await eventually(lambda: streams_failures(calm) >= 2, "refusals")
    assert statuses(calm) == [True, False]
    await calm.testnet.clear_faults()
    await eventually(lambda: statuses(calm) == [True, False, True], "down and up again")


async def test_opening_twice_and_closing(calm):
    await calm.exchange.open_user_stream()
    assert statuses(calm) == [True]
    await calm.exchange.close_user_stream()
    assert statuses(calm) == [True, False]
    await calm.exchange.close_user_stream()
    request = calm.request()
    calm.exchange.submit(request)
    await calm.update(request, OPEN)
    await asyncio.sleep(0.2)
    assert len(calm.updates(request)) == 1
    await calm.exchange.open_user_stream()
    assert statuses(calm) == [True, False, True]
    await calm.testnet.cancel_orders(tag=request.client_order_id)
    await calm.update(request, CANCELED)


async def test_a_burst_of_orders_arrives_in_full(calm):
    requests = [calm.request(price=str(40_000 + index)) for index in range(60)]
    for request in requests:
        calm.exchange.submit(request)
    for request in requests:
        await eventually(lambda request=request: len(calm.updates(request)) == 2, "answer and stream")
    ids = {one.exchange_order_id for request in requests for one in calm.updates(request)}
    assert len(ids) == 60
    await calm.testnet.cancel_orders()


# secrets


async def test_a_wrong_secret_is_refused_and_market_data_goes_on(testnet, caplog):
    caplog.set_level(logging.DEBUG)
    good = await testnet.create_account("wrong secret", {"USDT": "1000"})
    wrong = Credentials(good.api_key, "N0tTheS3cretOfThisAccount")
    async with side(testnet, credentials=wrong) as venue:
        with pytest.raises(AuthenticationFailed, match="secret"):
            await venue.exchange.open_user_stream()
        assert not venue.exchange.status()["user_stream"]
        with pytest.raises(AuthenticationFailed):
            await venue.exchange.open_user_stream()
        with pytest.raises(AuthenticationFailed) as caught:
            await venue.exchange.fetch_balances()
        request = venue.request()
        venue.exchange.submit(request)
        update = await venue.first_update(request)
        assert (update.state, update.error) == (FAILED, "AuthenticationFailed")
        await venue.streaming()
        await eventually(lambda: len(venue.of(OrderBookDiff)) > 3, "market data")
        told = f"{caught.value!r} {update!r} {venue.exchange!r} {venue.exchange.status()!r} {wrong!r}"
        for text in (told, caplog.text):
            assert wrong.secret not in text
            assert wrong.api_key not in text
            assert "signature=" not in text.replace("signature=***", "")
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


async def test_no_secret_in_the_log_of_a_trading_session(testnet, caplog):
    caplog.set_level(logging.DEBUG)
    async with side(testnet) as venue:
        await venue.up()
        request = await venue.rest()
        await testnet.fault("drop_before", on="order.cancel", via="rest", count=4)
        venue.exchange.cancel(cancel_of(request))
        ended = (CANCELED, CancelFailed)  # as many times as aiohttp itself repeats the request
        await eventually(
            lambda: [one for one in venue.account if getattr(one, "state", type(one)) in ended], "the cancel's end"
        )
        trade = venue.exchange._session.trade
        for secret in (trade.apiKey, trade.secret):
            assert secret not in caplog.text


# the end


async def test_closing_waits_for_what_is_under_way(testnet, monkeypatch):
    monkeypatch.setattr("kit.connectors.ccxt_account._SEND_PATIENCE", 60)
    async with side(testnet) as venue:
        await venue.exchange.fetch_trading_rules()
        await testnet.fault("delay", on="order.place", delay=0.3)
        request = venue.request()
        venue.exchange.submit(request)
        await under_way(testnet, "delay")
        await venue.exchange.close()
        assert [one.state for one in venue.updates(request)] == [OPEN]


async def test_what_is_cut_off_by_the_end_is_unknown(testnet, monkeypatch):
    monkeypatch.setattr("kit.connectors.ccxt_account._SEND_PATIENCE", 0.1)
    async with side(testnet) as venue:
        await venue.exchange.fetch_trading_rules()
        await testnet.fault("delay", on="order.place", delay=10.0)
        request = venue.request()
        venue.exchange.submit(request)
        await under_way(testnet, "delay")
        await venue.exchange.close()
        (update,) = venue.updates(request)
        assert (update.state, update.error) == (UNKNOWN, "AmbiguousOutcome")
        with pytest.raises(NotReady):
            venue.exchange.submit(venue.request())


async def test_limits_are_kept_from_what_the_exchange_says(testnet):
    await early_in_a_minute(testnet)
    async with side(testnet) as venue:
        await venue.exchange.fetch_order_book(PAIR)
        used_by_us = venue.exchange.status()["limits"]["usage"]["weight"][0]
        async with side(testnet) as neighbour:
            await neighbour.exchange.fetch_order_book(PAIR)
            assert neighbour.exchange.status()["limits"]["usage"]["weight"][0] > used_by_us


async def test_a_ban_is_waited_for(testnet, monkeypatch):
    monkeypatch.setattr("kit.connectors.ccxt_limits.LONGEST_WAIT", 0.3)
    await early_in_a_minute(testnet)
    await testnet.set_limits(weight=100, ban_after=50)
    try:
        async with side(testnet) as venue:
            await venue.exchange.fetch_trading_rules()
            await venue.exchange.fetch_order_book(PAIR)
            with pytest.raises(RateLimited):
                await venue.exchange.fetch_order_book(PAIR)
            limits = venue.exchange.status()["limits"]
            assert limits["refusals"] == 1
            assert not venue.exchange._session.limits.throttler.try_acquire("weight")
            request = venue.request()
            venue.exchange.submit(request)
            update = (await eventually(lambda: venue.updates(request), "an outcome"))[0]
            assert (update.state, update.error) == (FAILED, "RateLimited")
    finally:
        await testnet.set_limits(weight=6000, ban_after=10)

"""Off, paper, armed, live: what each step needs, does, and leaves when it fails."""

import asyncio
from decimal import Decimal
from unittest.mock import AsyncMock

import pytest

import kit
from kit.errors import AuthenticationFailed, InvalidInput, NotReady
from kit.trading.switch import TradingState
from kit.types.market import StreamLost
from kit.types.orders import OrderState, OrderUpdate
from tests.support.fake_venue import PAIR, FakeVenue
from tests.support.switch_bench import LIVE_USDT, PAPER_USDT, Bench

OFF, PAPER, ARMED, LIVE = TradingState.OFF, TradingState.PAPER, TradingState.ARMED, TradingState.LIVE


def outcomes(bench, outcome="failed"):
    return {check.name for check in bench.switch.checks if check.outcome == outcome}


async def test_it_begins_on_paper_and_quotes_there(bench):
    assert bench.switch.state is PAPER
    bench.tick()
    assert len(bench.paper.open) == 2
    assert bench.market.get_balance("USDT") == PAPER_USDT
    assert bench.switch.confirmations == ("main account", "binance", PAIR)


async def test_arming_prepares_the_live_account_and_paper_goes_on(bench):
    bench.tick()
    checks = await bench.do(bench.switch.arm())
    assert bench.switch.state is ARMED
    assert not outcomes(bench)
    assert {check.name for check in checks} >= {"credentials", "account", "clock skew", "balances", "book", "guard"}
    assert all(check.text for check in checks)
    assert "777 USDT" in next(check.text for check in checks if check.name == "balances")
    assert len(bench.paper.open) == 2
    assert bench.market.mode == "paper"
    assert bench.live.submitted == []


async def test_live_swaps_the_account_under_a_strategy_that_cannot_tell(bench):
    bench.tick()
    heard = []
    bench.market.add_listener(kit.MarketEvent.BuyOrderCreated, heard.append)
    await bench.do(bench.switch.go_live())
    assert bench.switch.state is LIVE
    assert bench.paper.open == {}
    assert bench.strategy.active_orders == ()
    bench.tick()
    assert len(bench.live.open) == 2
    assert bench.paper.open == {}
    assert len(heard) == 1
    assert bench.market.get_balance("USDT") == LIVE_USDT
    assert bench.changes == ["live"]
    assert [side.mode for side in bench.market.sides] == ["paper", "live"]


async def test_going_back_cancels_first_and_tells_the_exchange_s_word(bench):
    await bench.go_live()
    bench.paper.report_balance("USDT", "9000", "9000")  # what paper hears meanwhile is paper's
    assert bench.market.get_balance("USDT") == LIVE_USDT
    word = await bench.do(bench.switch.go_paper())
    assert word == "main account: 2 orders cancelled, 0 open on the exchange"
    assert (bench.switch.state, bench.switch.last_word, bench.switch.reason) == (PAPER, word, "")
    assert bench.live.open == {}
    assert bench.market.get_balance("USDT") == 9000
    bench.tick()
    assert len(bench.paper.open) == 2
    assert not bench.strategy.paused
    await bench.go_live()
    assert bench.connector_manager.opened == 1  # the same account as before, which knows its orders


async def test_the_word_tells_cancelled_from_filled_and_other_ends(bench):
    await bench.go_live()
    filled, _ = bench.live.submitted
    for price in (97, 96, 95):
        bench.market.buy(PAIR, Decimal("0.1"), kit.OrderType.LIMIT, Decimal(price))
    partly, failed = bench.live.submitted[-2:]
    bench.live.auto = False  # the loop stood still meanwhile: what happened there is heard only now
    going = asyncio.ensure_future(bench.do(bench.switch.go_off()))
    await bench.time.settle()
    bench.live.open.pop(filled.client_order_id)
    bench.live.fill(filled.client_order_id, "0.1", str(filled.price))
    bench.live.fill(partly.client_order_id, "0.04", str(partly.price), trade_id="2")
    bench.live.open.pop(failed.client_order_id)
    bench.live.send(OrderUpdate(PAIR, OrderState.EXPIRED, 0.0, client_order_id=failed.client_order_id))
    bench.live.auto = True
    for request in list(bench.live.cancelled):
        if request.client_order_id in bench.live.open:
            bench.live.confirm_cancel(request)
    assert await going == (
        "main account: 3 orders cancelled (1 partly filled), 1 filled, 1 expired or failed, 0 open on the exchange"
    )


async def test_off_keeps_the_strategy_still_and_orders_by_hand_allowed(bench):
    bench.tick()
    assert await bench.do(bench.switch.go_off()) == "main account: 2 orders cancelled, 0 open on paper"
    assert bench.switch.state is OFF
    bench.tick()
    assert bench.paper.open == {}
    with pytest.raises(NotReady, match="trading is off"):
        bench.strategy.buy("0.1", "99")
    bench.market.buy(PAIR, Decimal("0.1"), kit.OrderType.LIMIT, Decimal(90))
    assert len(bench.paper.open) == 1
    await bench.do(bench.switch.go_paper())
    assert bench.switch.state is PAPER
    bench.tick()
    assert len(bench.paper.open) == 3


async def test_off_from_live_leaves_the_account_on_paper(bench):
    await bench.go_live()
    word = await bench.do(bench.switch.go_off("enough for today"))
    assert "0 open on the exchange" in word
    assert (bench.switch.state, bench.switch.reason, bench.market.mode) == (OFF, "enough for today", "paper")
    assert bench.live.open == {}


@pytest.mark.parametrize("what", ["the account does not wake", "its stream does not open"])
async def test_a_paper_account_that_does_not_come_up_leaves_it_live_and_says_what_else_works(monkeypatch, what):
    bench = Bench(mode="live")
    await bench.begin()
    venue, paper = bench.paper, FakeVenue()  # the connector is live on the first one here

    async def paper_port(name):
        if what == "the account does not wake":
            await paper.fetch_order_book(PAIR)
        return paper

    monkeypatch.setattr(bench.connector_manager, "paper_port", paper_port)
    paper.offline = True
    bench.tick()
    with pytest.raises(NotReady, match=r"main account: .* paper .* is offline.* await core.go_off\(\)"):
        await bench.do(bench.switch.go_paper())
    assert (bench.switch.state, bench.market.mode, len(venue.open)) == (LIVE, "live", 2)
    assert [side.mode for side in bench.market.sides] == ["live"]
    assert not bench.strategy.held
    bench.strategy.cancel_all()
    await bench.time.advance(1.0)
    bench.tick()
    assert len(venue.open) == 2  # it goes on
    assert "0 open on the exchange" in await bench.do(bench.switch.go_off())
    assert bench.switch.state is OFF
    paper.offline = False
    await bench.do(bench.switch.go_paper())
    assert (bench.switch.state, bench.market.mode) == (PAPER, "paper")
    await bench.end()


async def test_a_confirmation_is_typed_exactly_once_armed(bench):
    with pytest.raises(NotReady, match="not armed"):
        await bench.switch.confirm_live(PAIR)
    await bench.do(bench.switch.arm())
    for wrong in ("", "yes", "BTC", "live"):
        with pytest.raises(InvalidInput, match=r"type one of main account, binance, BTC/USDT"):
            await bench.switch.confirm_live(wrong)
    assert bench.switch.state is ARMED
    await bench.do(bench.switch.confirm_live(" btc/usdt "))
    assert bench.switch.state is LIVE


# -- what keeps it from going live


async def test_a_clock_that_is_right_is_not_said_to_be_off_by_less_than_nothing(bench, monkeypatch):
    monkeypatch.setattr(bench.paper, "status", lambda: {"clock_offset": -0.001})
    monkeypatch.setattr(bench.paper, "fetch_server_time", AsyncMock(return_value=bench.time.time()))
    checks = await bench.do(bench.switch.arm())
    skew = next(check for check in checks if check.name == "clock skew")
    assert "is +0.00 s from ours" in skew.text


async def test_without_a_key_the_check_says_how_to_give_one(bench):
    bench.connector_manager.has_key = False
    checks = await bench.do(bench.switch.arm())
    assert bench.switch.state is PAPER
    assert any(check.name == "credentials" and "kit keys add" in check.text for check in checks)
    with pytest.raises(NotReady, match="credentials on main account failed"):
        await bench.do(bench.switch.go_live())
    bench.tick()
    assert len(bench.paper.open) == 2


async def test_a_refused_key_fails_the_checks_and_can_be_mended(bench):
    bench.live.refuse = AuthenticationFailed("wrong signature")
    with pytest.raises(NotReady, match="the key is refused: AuthenticationFailed: wrong signature"):
        await bench.do(bench.switch.go_live())
    assert bench.switch.state is PAPER
    assert bench.market.trading_refused == ""
    bench.live.refuse = None
    await bench.go_live()


async def test_a_key_that_may_only_read_is_found_out(bench):
    async def may_trade(request):
        raise AuthenticationFailed("read only")

    bench.live.may_trade = may_trade
    await bench.do(bench.switch.arm())
    assert outcomes(bench) == {"able to trade"}
    assert bench.switch.state is PAPER


async def test_an_empty_account_fails_and_a_half_empty_one_warns(bench):
    bench.live.balances = {}
    await bench.do(bench.switch.arm())
    assert outcomes(bench) == {"balances"}
    bench.live.report_balance("USDT", "100", "100")
    await bench.do(bench.switch.arm())
    assert bench.switch.state is ARMED
    assert "balances" in outcomes(bench, "warning")


async def test_a_lost_book_fails(bench):
    bench.paper.offline = True
    bench.paper.emit(StreamLost(PAIR, 0.0, "planned"))
    await bench.do(bench.switch.arm())
    assert "book" in outcomes(bench)
    assert bench.switch.state is PAPER
    bench.paper.offline = False
    await bench.until(lambda: bench.market.ready)
    await bench.do(bench.switch.arm())
    assert bench.switch.state is ARMED


async def test_orders_below_the_least_size_fail(bench):
    bench.strategy = kit.PureMarketMaking(
        bench.market, PAIR, bid_spread="0.01", ask_spread="0.01", order_amount="0.0002"
    )
    await bench.do(bench.switch.arm())
    assert outcomes(bench) == {"trading rules"}


async def test_a_check_that_breaks_has_failed(bench, monkeypatch, caplog):
    def broken(asset):
        raise ZeroDivisionError("planned")

    await bench.do(bench.switch.arm())
    monkeypatch.setattr(bench.market.side_of("live").balances, "available", broken)
    await bench.do(bench.switch.arm())
    assert outcomes(bench) == {"balances"}
    assert bench.switch.state is PAPER
    assert "balances" in bench.switch.reason
    caplog.clear()


async def test_a_core_that_does_not_run_cannot_arm(bench):
    bench.running = False
    for way in (bench.switch.arm, bench.switch.go_live, bench.switch.go_paper):
        with pytest.raises(NotReady, match="does not run"):
            await way()


async def test_paper_orders_that_do_not_end_keep_it_armed(bench):
    bench.tick()
    bench.paper.auto = False
    with pytest.raises(NotReady, match="has not confirmed"):
        await bench.do(bench.switch.go_live())
    assert bench.switch.state is ARMED
    assert bench.market.mode == "paper"
    assert len(bench.paper.open) == 2
    assert bench.live.submitted == []
    bench.market.buy(PAIR, Decimal("0.1"), kit.OrderType.LIMIT, Decimal(90))  # it is open again


async def test_stop_breaks_the_checks_off(bench):
    bench.paper.offline = True
    bench.paper.emit(StreamLost(PAIR, 0.0, "planned"))
    arming = asyncio.ensure_future(bench.switch.arm())
    await bench.time.advance(1.0)
    bench.switch.abort()
    with pytest.raises(NotReady, match="broken off"):
        await bench.do(arming)
    assert not bench.changing.locked()


async def test_going_off_does_not_wait_for_the_checks(bench):
    async def slow():
        await bench.time.sleep(4.0)
        return 0.0

    bench.paper.fetch_server_time = slow
    arming = asyncio.ensure_future(bench.switch.arm())
    await bench.time.advance(0.5)
    assert not arming.done()
    began = bench.time.monotonic()
    await bench.do(bench.switch.go_off())
    assert bench.time.monotonic() - began < 1
    with pytest.raises(NotReady, match="broken off"):
        await arming


# -- armed does not last


async def test_armed_falls_after_its_time(bench):
    bench.switch.rules = kit.DisarmRules(armed_for=20.0)
    await bench.do(bench.switch.arm())
    for _ in range(19):
        await bench.time.advance(1.0)
        bench.tick()
    assert bench.switch.state is ARMED
    await bench.time.advance(2.0)
    assert bench.switch.state is PAPER
    assert "armed for 20 s" in bench.switch.reason
    assert bench.live.closed == 1  # nothing of the live account is left running
    with pytest.raises(NotReady, match="not armed"):
        await bench.switch.confirm_live(PAIR)


async def test_armed_falls_when_what_was_checked_falls(bench):
    await bench.do(bench.switch.arm())
    bench.market.side_of("live").refused = "AuthenticationFailed: revoked"
    await bench.time.advance(1.0)
    assert bench.switch.state is PAPER
    assert "revoked" in bench.switch.reason


# -- what the exchange does not confirm


async def test_without_the_exchange_s_word_it_stays_live_and_says_so(bench):
    await bench.go_live()
    orders = set(bench.live.open)
    bench.live.auto = False
    with pytest.raises(NotReady, match=r"stays live.*has not confirmed the end of.*strategy is paused.*own page"):
        await bench.do(bench.switch.go_off())
    assert bench.switch.state is LIVE
    assert bench.market.mode == "live"
    assert set(bench.market.in_flight_orders) == orders
    assert bench.strategy.paused
    assert "has not confirmed" in bench.switch.reason
    bench.live.auto = True
    for request in bench.live.cancelled[-2:]:
        bench.live.confirm_cancel(request)
    assert "0 open on the exchange" in await bench.do(bench.switch.go_off())
    assert bench.switch.state is OFF


async def test_an_exchange_that_cannot_be_asked_is_no_word(bench):
    await bench.go_live()
    bench.live.offline = True  # cancels are confirmed by the stream, but what is open cannot be asked
    with pytest.raises(NotReady, match="cannot be asked what is open"):
        await bench.do(bench.switch.go_paper())
    assert bench.switch.state is LIVE
    assert bench.market.mode == "live"
    bench.live.offline = False
    await bench.do(bench.switch.go_paper())
    assert bench.switch.state is PAPER


async def test_orders_of_a_run_that_died_are_cancelled_on_the_way_back(bench):
    await bench.go_live()
    stranger = kit.connectors.client_order_ids.ClientOrderIds("bench").next()
    bench.live.open[stranger] = next(iter(bench.live.open.values())).__class__(
        PAIR, OrderState.OPEN, 0.0, client_order_id=stranger, exchange_order_id="E9"
    )
    await bench.do(bench.switch.go_paper())
    assert bench.live.open == {}


# -- what it tells


async def test_changes_are_told_and_kept(bench):
    told = []
    remove = bench.switch.add_listener(lambda: told.append((bench.switch.state, bench.switch.busy)))
    bench.switch.add_listener(lambda: 1 / 0)
    await bench.go_live()
    await bench.do(bench.switch.go_off("tired"))
    assert any("cancelling 2 orders on main account" in busy for _, busy in told)
    assert [(before, after, why) for _, before, after, why in bench.switch.transitions] == [
        (OFF, PAPER, ""),
        (PAPER, ARMED, ""),
        (ARMED, LIVE, ""),
        (LIVE, OFF, "tired"),
    ]
    assert bench.switch.busy == ""
    count = len(told)
    remove()
    await bench.do(bench.switch.go_paper())
    assert len(told) == count

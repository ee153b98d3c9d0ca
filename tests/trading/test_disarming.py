"""Live trading ends by itself: why, how soon, and that the strategy does not go on."""

from decimal import Decimal
from types import SimpleNamespace

import pytest

import kit
from kit.errors import AuthenticationFailed, InvalidInput
from kit.guard.messages import GuardReport
from kit.trading.switch import TradingState
from kit.types.market import StreamLost
from kit.types.orders import OrderState, OrderUpdate, UserStreamStatus
from tests.support.fake_venue import PAIR, FakeVenue

PAPER, ARMED, LIVE = TradingState.PAPER, TradingState.ARMED, TradingState.LIVE


@pytest.fixture
async def bench(bench):
    await bench.go_live()
    return bench


async def gone_back(bench, words, seconds=60.0):
    """Demand that it goes back by itself, for that reason, with nothing left open and the strategy still."""
    await bench.until(lambda: bench.switch.state is not LIVE, seconds)
    assert bench.switch.state is PAPER
    assert words in bench.switch.reason
    assert bench.live.open == {}
    assert bench.market.mode == "paper"
    assert bench.strategy.paused
    assert words in bench.strategy.pause_reason
    submitted = len(bench.live.submitted)
    for _ in range(3):
        await bench.time.advance(1.0)
        bench.tick()
    assert len(bench.live.submitted) == submitted
    assert bench.paper.open == {}
    bench.strategy.resume()
    bench.tick()
    assert len(bench.paper.open) == 2


async def test_a_quiet_hour_changes_nothing(bench):
    for _ in range(3600):
        await bench.time.advance(1.0)
        bench.tick()
    assert bench.switch.state is LIVE
    assert len(bench.live.open) == 2


async def test_a_loop_that_stood_still(bench):
    for request in bench.live.submitted:
        bench.live.confirm_cancel(request)
    await bench.time.settle()
    assert bench.strategy.active_orders == ()
    bench.time.jump(5.5)
    bench.tick()  # the first thing to run after it: the strategy must not act on a world that is gone
    assert len(bench.live.submitted) == 2
    await gone_back(bench, "the loop stood still for 5.5 s (limit 5 s)")


async def test_shorter_stalls_pass(bench):
    for _ in range(10):
        bench.time.jump(4.5)
        await bench.time.advance(10.0)
        bench.tick()
    assert bench.switch.state is LIVE


async def test_a_stall_that_the_guard_may_have_answered(bench):
    bench.guarding.guard = SimpleNamespace(stall_limit=2.0, accounts=("another",), forget=lambda name: None)
    bench.time.jump(1.85)
    await gone_back(bench, "the loop stood still for 1.9 s (limit 1.8 s)", 5)


async def test_ticks_that_were_skipped(bench, monkeypatch):
    stats = SimpleNamespace(ticks_skipped=0)
    monkeypatch.setattr(type(bench.clock), "stats", property(lambda _: stats))
    for _ in range(5):
        stats.ticks_skipped += 2
        await bench.time.advance(20.0)
        bench.tick()
    assert bench.switch.state is LIVE
    stats.ticks_skipped += 14
    await gone_back(bench, "s of ticks were skipped within 60 s (limit 15 s)")


async def test_a_book_that_is_lost(bench):
    bench.paper.offline = True
    bench.paper.emit(StreamLost(PAIR, 0.0, "planned"))
    await bench.time.advance(14.0)
    assert bench.switch.state is LIVE
    bench.live.auto = True
    await bench.until(lambda: bench.switch.state is not LIVE, 5)
    assert bench.switch.state is PAPER
    assert "book of BTC/USDT on main account has been lost or stale for 15" in bench.switch.reason
    assert bench.live.open == {}


async def test_a_private_stream_that_is_lost(bench):
    bench.live.send(UserStreamStatus(False, 0.0, "planned"))
    await gone_back(bench, "the private stream of main account has been lost for 30", 40)


async def test_a_run_of_refused_orders(bench):
    bench.live.auto = False
    bench.strategy.cancel_all()
    for request in list(bench.live.cancelled):
        bench.live.confirm_cancel(request)

    def refuse(error, count):
        for _ in range(count):
            order_id = bench.strategy.buy("0.1", "99")
            failed = OrderUpdate(PAIR, OrderState.FAILED, 0.0, client_order_id=order_id, reason="planned", error=error)
            bench.live.send(failed)

    refuse("PostOnlyRejected", 20)
    await bench.time.advance(1.0)
    refuse("OrderRejected", 4)
    await bench.time.advance(1.0)
    bench.strategy.buy("0.1", "99")
    bench.live.accept(bench.live.submitted[-1])  # one that is taken breaks the row
    await bench.time.advance(1.0)
    refuse("InsufficientBalance", 4)
    await bench.time.advance(1.0)
    assert bench.switch.state is LIVE
    refuse("InsufficientBalance", 1)
    bench.live.auto = True
    await bench.time.advance(1.0)
    assert "5 orders in a row were refused, the last one: InsufficientBalance: planned" in bench.switch.reason
    assert bench.switch.state is PAPER
    assert bench.live.open == {}


async def test_a_key_that_is_refused_meanwhile(bench):
    bench.live.auto = False
    order_id = bench.strategy.buy("0.1", "99")
    error = OrderUpdate(
        PAIR, OrderState.FAILED, 0.0, client_order_id=order_id, reason="revoked", error="AuthenticationFailed"
    )
    bench.live.send(error)
    bench.live.auto = True
    await gone_back(bench, "the key of main account is refused: revoked")


async def second_live(bench, refused):
    """Add a second live connector whose key is refused, or was just before; the switch followed it."""
    venue = FakeVenue()
    venue.refuse = AuthenticationFailed("not yet") if refused else None
    market = await bench.connect("second", venue)
    await bench.do(bench.switch.joined(market))
    bench.speak(venue)
    return market, venue


async def test_a_key_that_recovers_while_live_is_watched_from_then_on(bench):
    market, venue = await second_live(bench, refused=True)
    for _ in range(40):
        await bench.time.advance(1.0)
        bench.tick()
    assert bench.switch.state is LIVE  # a key that was refused before is no cause
    venue.refuse = None
    await market.retry_trading()
    await bench.until(lambda: market.ready)
    await bench.time.advance(1.0)
    assert bench.switch.state is LIVE
    venue.send(UserStreamStatus(False, 0.0, "planned"))
    await bench.until(lambda: bench.switch.state is not LIVE)
    assert "the private stream of second has been lost for 30" in bench.switch.reason
    await market.close()


async def test_the_key_that_is_refused_is_named_among_several(bench):
    market, venue = await second_live(bench, refused=False)
    venue.auto = False
    order_id = market.buy(PAIR, Decimal("0.1"), kit.OrderType.LIMIT, Decimal(90))
    venue.send(
        OrderUpdate(
            PAIR, OrderState.FAILED, 0.0, client_order_id=order_id, reason="revoked", error="AuthenticationFailed"
        )
    )
    await bench.until(lambda: bench.switch.state is not LIVE)
    assert bench.switch.reason == "the key of second is refused: revoked"
    await market.close()


async def test_what_the_core_tells(bench):
    bench.switch.disarm("the guard acted: 2 orders cancelled")
    bench.tick()
    assert len(bench.live.submitted) == 2
    await gone_back(bench, "the guard acted: 2 orders cancelled")


async def test_a_report_of_the_guard_is_heard(bench):
    bench.guarding.heard = lambda report: bench.switch.disarm(f"the guard acted: {report}")
    bench.guarding._on_report(GuardReport("stall", "no heartbeat", 1.0, 2.0, {}, {}))
    await gone_back(bench, "the guard acted: 0 orders cancelled (stall: no heartbeat)")


async def test_it_is_tried_again_until_the_exchange_confirms(bench, caplog):
    bench.live.auto = False
    bench.switch.disarm("planned")
    await bench.until(lambda: "still live" in bench.switch.reason, 20)
    assert bench.switch.state is LIVE
    assert bench.strategy.paused
    bench.strategy.resume()  # even then: it is on its way back
    bench.tick()
    assert len(bench.live.submitted) == 2
    bench.live.auto = True
    for request in list({request.client_order_id: request for request in bench.live.cancelled}.values()):
        bench.live.confirm_cancel(request)
    await bench.until(lambda: bench.switch.state is PAPER, 30)
    assert bench.switch.reason == "planned"
    assert "still live, though it should not be" in caplog.text


async def test_rules_can_be_switched_off_and_are_checked(bench):
    bench.switch.rules = kit.DisarmRules(loop_lag=None, behind=None, book_silence=None, rejections=None)
    bench.time.jump(500.0)
    bench.tick()
    await bench.time.advance(1.0)
    assert bench.switch.state is LIVE
    for wrong in ({"loop_lag": 0}, {"rejections": -1}, {"behind": float("inf")}, {"armed_for": None}):
        with pytest.raises(InvalidInput, match=f"{next(iter(wrong))} is .*above zero"):
            kit.DisarmRules(**wrong)


async def test_paper_is_left_alone(bench):
    await bench.do(bench.switch.go_paper())
    bench.time.jump(100.0)
    bench.switch.disarm("whatever")
    bench.tick()
    await bench.time.advance(1.0)
    assert bench.switch.state is PAPER
    assert not bench.strategy.paused

"""The switch where a cell is interrupted, where calls meet, and where connectors come and go while it is live."""

import asyncio
import contextlib
from decimal import Decimal

import pytest

import kit
from kit.errors import NotReady
from kit.trading.red_button import RedButton
from kit.trading.switch import TradingState
from kit.types.orders import OrderState, OrderUpdate
from tests.support.fake_venue import PAIR, FakeVenue
from tests.support.switch_bench import Bench, Quoter

OFF, PAPER, ARMED, LIVE = TradingState.OFF, TradingState.PAPER, TradingState.ARMED, TradingState.LIVE


async def interrupted(bench, work, seconds=1.0):
    """Begin something and cancel it after a while, as an interrupted cell does."""
    task = asyncio.ensure_future(work)
    await bench.time.advance(seconds)
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await bench.do(task)
    assert task.cancelled()
    assert not bench.changing.locked()


def confirm_all(bench):
    bench.live.auto = True
    for order_id in list(bench.live.open):
        bench.live.confirm_cancel(next(one for one in bench.live.cancelled if one.client_order_id == order_id))


async def test_orders_by_hand_while_off_are_cancelled_before_the_live_account_is_exchanged():
    bench = Bench(mode="live")
    await bench.begin()
    venue = bench.paper  # the venue of the connector, which is live here
    assert bench.switch.state is LIVE
    await bench.do(bench.switch.go_off())
    bench.market.buy(PAIR, Decimal("0.1"), kit.OrderType.LIMIT, Decimal(90))
    assert len(venue.open) == 1
    await bench.do(bench.switch.go_paper())
    assert (bench.switch.state, bench.market.mode) == (PAPER, "paper")
    assert venue.open == {}
    await bench.end()


async def test_going_off_that_is_interrupted_stays_live_says_so_and_can_be_done_again(bench):
    await bench.go_live()
    bench.live.auto = False
    await interrupted(bench, bench.switch.go_off())
    assert bench.switch.state is LIVE
    assert "still live" in bench.switch.reason
    assert bench.strategy.paused
    confirm_all(bench)
    bench.market.buy(PAIR, Decimal("0.1"), kit.OrderType.LIMIT, Decimal(90))  # by hand, orders are taken again
    assert len(bench.live.open) == 1
    await bench.do(bench.switch.go_off())
    assert (bench.switch.state, bench.live.open) == (OFF, {})


async def test_an_interrupt_while_the_live_account_is_put_away_leaves_it_off(bench, monkeypatch):
    await bench.go_live()
    side = bench.market.side

    async def slow():
        await bench.time.sleep(100.0)

    monkeypatch.setattr(side, "stop", slow)
    await interrupted(bench, bench.switch.go_off())
    assert (bench.switch.state, bench.market.mode, bench.live.open) == (OFF, "paper", {})
    assert bench.strategy.held


async def test_a_strategy_that_a_cell_puts_in_does_not_trade_where_going_off_was_not_confirmed(bench):
    await bench.go_live()
    bench.live.auto = False
    with pytest.raises(NotReady, match="stays live"):
        await bench.do(bench.switch.go_off())
    count = len(bench.live.submitted)
    bench.strategy = Quoter(bench.market, PAIR)
    bench.strategy.gate = bench.switch.gate
    bench.strategy.start(bench.clock, bench.time.time())
    bench.tick()
    assert len(bench.live.submitted) == count
    with pytest.raises(NotReady, match="going back"):
        bench.strategy.buy("0.1", "99")
    await bench.do(bench.switch.go_live())  # whoever asks for it again means it
    bench.live.auto = True
    bench.tick()
    assert bench.switch.state is LIVE
    assert len(bench.live.submitted) == count + 2


async def test_a_confirmation_that_comes_after_off_was_asked_for_does_not_go_live(bench):
    bench.tick()
    await bench.do(bench.switch.arm())
    bench.paper.auto = False
    off = asyncio.ensure_future(bench.switch.go_off())
    await bench.time.advance(0.5)
    typed = asyncio.ensure_future(bench.switch.confirm_live(PAIR))
    await bench.time.advance(0.5)
    for request in list({one.client_order_id: one for one in bench.paper.cancelled}.values()):
        bench.paper.confirm_cancel(request)
    await bench.do(off)
    with pytest.raises(NotReady, match="not armed"):
        await bench.do(typed)
    assert bench.switch.state is OFF


async def test_what_the_guard_says_while_it_is_going_live_is_not_lost(bench):
    bench.tick()
    await bench.do(bench.switch.arm())
    bench.paper.auto = False
    going = asyncio.ensure_future(bench.switch.go_live())
    await bench.time.advance(0.5)
    bench.switch.disarm("the guard process ended")
    await bench.time.advance(0.1)
    for request in list({one.client_order_id: one for one in bench.paper.cancelled}.values()):
        bench.paper.confirm_cancel(request)
    with contextlib.suppress(NotReady):
        await bench.do(going)
    bench.tick()
    await bench.until(lambda: bench.switch.state is not LIVE, 20)
    assert "the guard process ended" in bench.switch.reason
    assert bench.live.open == {}


async def test_a_live_connector_that_comes_is_watched_and_one_that_goes_is_not(bench):
    await bench.go_live()
    market = await bench.connect("second", FakeVenue())
    await bench.do(bench.switch.joined(market))
    market.side.refused = "AuthenticationFailed: revoked"
    await bench.until(lambda: bench.switch.state is not LIVE, 20)
    assert "the key of second is refused" in bench.switch.reason
    await market.close()


async def test_a_connector_that_was_removed_does_not_end_live_trading(bench):
    market = await bench.connect("second", FakeVenue())
    await bench.go_live()
    await market.close()
    del bench.connectors["second"]
    bench.switch.left()
    for _ in range(60):
        await bench.time.advance(1.0)
        bench.tick()
    assert bench.switch.state is LIVE, bench.switch


async def test_a_key_that_recovers_by_itself_does_not_let_the_strategy_trade_unchecked():
    bench = Bench(mode="live")
    bench.paper.refuse = kit.errors.AuthenticationFailed("not yet")
    strategy, bench.strategy = bench.strategy, None
    bench.market.open()
    bench.speak(bench.paper)
    await bench.until(lambda: bench.market.trading_refused)
    bench.switch.started()
    assert bench.switch.state is OFF
    bench.paper.refuse = None
    await bench.market.retry_trading()
    await bench.until(lambda: bench.market.ready)
    bench.strategy = strategy
    strategy.gate = bench.switch.gate
    strategy.start(bench.clock, bench.time.time())
    bench.tick()
    assert bench.paper.submitted == []
    assert "go_live" in strategy.held
    await bench.do(bench.switch.joined(bench.market))  # the cell with add_connector is run again
    bench.tick()
    assert bench.switch.state is LIVE
    assert bench.switch.checks
    assert len(bench.paper.submitted) == 2
    await bench.end()


async def test_arming_that_is_interrupted_leaves_no_live_account_behind(bench):
    async def slow():
        await bench.time.sleep(4.0)
        return 0.0

    bench.paper.fetch_server_time = slow
    await interrupted(bench, bench.switch.arm())
    assert bench.switch.state is PAPER
    assert bench.market.side_of("live") is None
    assert bench.live.closed == 1


async def test_fills_told_after_the_cancel_are_known_when_it_has_gone_back(bench):
    await bench.go_live()
    fills = []
    bench.market.side.pubsub.add_listener(kit.MarketEvent.OrderFilled, fills.append)
    order_id = next(one.client_order_id for one in bench.live.submitted if one.trade_type is kit.TradeType.BUY)
    bench.live.auto = False
    going = asyncio.ensure_future(bench.switch.go_paper())
    await bench.time.advance(0.5)
    bench.live.fills.append(
        kit.types.orders.TradeUpdate(
            "7", PAIR, bench.time.time(), Decimal(99), Decimal("0.04"), Decimal("3.96"), client_order_id=order_id
        )
    )
    for one in list(bench.live.open):
        bench.live.open.pop(one)
        filled = Decimal("0.04") if one == order_id else Decimal(0)
        bench.live.send(OrderUpdate(PAIR, OrderState.CANCELED, bench.time.time(), client_order_id=one, filled=filled))
    await bench.do(going)
    assert bench.switch.state is PAPER
    await bench.time.advance(15.0)
    assert [fill.amount for fill in fills] == [Decimal("0.04")]


async def test_a_defect_on_the_way_back_does_not_end_the_trying(bench, monkeypatch, caplog):
    await bench.go_live()

    async def broken(*_):
        raise RuntimeError("planned")

    monkeypatch.setattr(bench.market.side, "sweep", broken)
    bench.switch.disarm("the guard acted")
    await bench.time.advance(3.0)
    assert bench.switch.state is LIVE
    assert bench.strategy.held
    assert "planned" in caplog.text
    monkeypatch.undo()
    await bench.until(lambda: bench.switch.state is PAPER, 20)
    assert bench.live.open == {}


async def test_the_red_button_goes_on_until_the_exchange_has_confirmed_it(bench):
    await bench.go_live()
    bench.guard = None
    button = RedButton(bench, bench.strategy.pause, bench.time)
    bench.live.auto = False
    button("enough")
    await bench.until(lambda: button.last.stage == "failed", 30)
    assert bench.switch.state is LIVE
    confirm_all(bench)
    await bench.until(lambda: bench.switch.state is not LIVE, 30)
    assert bench.live.open == {}
    assert bench.switch.reason == "enough"
    assert bench.strategy.paused

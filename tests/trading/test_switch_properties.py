"""Whatever is asked of the switch, whatever fails: paper and live never mix, and no live order is left or forgotten."""

import asyncio
import contextlib

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kit.errors import AuthenticationFailed, KitError, NotReady
from kit.trading.switch import TradingState
from kit.types.market import StreamLost
from tests.support.fake_venue import PAIR
from tests.support.switch_bench import LIVE_USDT, PAPER_USDT, Bench

OFF, PAPER, ARMED, LIVE = TradingState.OFF, TradingState.PAPER, TradingState.ARMED, TradingState.LIVE
WAYS = {
    (OFF, PAPER),
    (OFF, ARMED),
    (PAPER, OFF),
    (PAPER, ARMED),
    (ARMED, OFF),
    (ARMED, PAPER),
    (ARMED, LIVE),
    (LIVE, PAPER),
    (LIVE, OFF),
}


class Switch(RuleBasedStateMachine):
    """Calls the ways in any order, while venues stop confirming, go offline, refuse the key and lose their streams."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bench = self.run(self.made())
        self.switch = self.bench.switch

    async def made(self) -> Bench:
        bench = Bench()
        await bench.begin()
        return bench

    def run(self, work):
        return self.loop.run_until_complete(work)

    def ask(self, way, *args):
        """Call a way; an error of the kit is an answer, and must leave the state as it was or a way back."""
        with contextlib.suppress(KitError):
            self.run(self.bench.do(getattr(self.switch, way)(*args)))
            return True
        return False

    def teardown(self) -> None:
        self.run(self.bench.end())
        self.loop.close()

    # -- what is asked

    @rule()
    def arm(self):
        if self.ask("arm") and self.switch.state is PAPER:
            assert any(check.outcome == "failed" for check in self.switch.checks)

    @rule()
    def go_live(self):
        before = self.switch.state
        done = self.ask("go_live")
        # One that is on its way back does not go on.
        assert self.switch.state is LIVE if done else before is LIVE or self.switch.state is not LIVE

    @rule(text=st.sampled_from(["", "yes", "binance", PAIR]))
    def confirm(self, text):
        before = self.switch.state
        done = self.ask("confirm_live", text)
        assert not done or (before is ARMED and text in ("binance", PAIR) and self.switch.state is LIVE)

    @rule()
    def go_paper(self):
        before = self.switch.state
        if self.ask("go_paper"):
            assert self.switch.state is PAPER
        else:
            assert self.switch.state is before

    @rule()
    def go_off(self):
        before = self.switch.state
        if self.ask("go_off"):
            assert self.switch.state is OFF
        else:
            assert self.switch.state is before

    @rule(cause=st.sampled_from(["lag", "guard"]))
    def disarm(self, cause):
        async def disarm():
            self.switch.disarm(cause)
            await self.bench.time.settle()

        self.run(disarm())

    # -- what happens

    @rule()
    def tick(self):
        self.bench.tick()

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0, 65.0]))
    def time_passes(self, seconds):
        async def passes():
            await self.bench.time.advance(seconds)
            await asyncio.sleep(0.003)
            await self.bench.time.advance(0.3)

        self.run(passes())

    @rule(seconds=st.sampled_from([1.0, 7.0]))
    def the_loop_stands_still(self, seconds):
        before, orders = self.switch.state, len(self.bench.live.submitted)
        self.bench.time.jump(seconds)
        self.run_tick_only()
        if before is LIVE and seconds > 5:
            assert len(self.bench.live.submitted) == orders

    def run_tick_only(self):
        async def tick():
            self.bench.tick()

        self.run(tick())

    @rule(venue=st.sampled_from(["paper", "live"]))
    def stop_confirming(self, venue):
        getattr(self.bench, venue).auto = False

    @rule()
    def confirm_all(self):
        for venue in (self.bench.paper, self.bench.live):
            venue.auto = True
            for request in list({one.client_order_id: one for one in venue.cancelled}.values()):
                if request.client_order_id in venue.open:
                    venue.confirm_cancel(request)
        self.run(self.bench.time.settle())

    @rule(offline=st.booleans())
    def live_line(self, offline):
        self.bench.live.offline = offline

    @rule(offline=st.booleans())
    def data_line(self, offline):
        async def change():
            self.bench.paper.offline = offline
            if offline:
                self.bench.paper.emit(StreamLost(PAIR, 0.0, "planned"))
            await self.bench.time.settle()

        self.run(change())

    @rule(refused=st.booleans())
    def key(self, refused):
        self.bench.live.refuse = AuthenticationFailed("planned") if refused else None

    @precondition(lambda self: self.bench.strategy.paused)
    @rule()
    def resume(self):
        self.bench.strategy.resume()

    # -- what always holds

    @invariant()
    def the_account_is_the_state_s(self):
        bench, state = self.bench, self.switch.state
        assert (bench.market.mode == "live") == (state is LIVE)
        expected = LIVE_USDT if state is LIVE else PAPER_USDT
        assert bench.market.get_balance("USDT") == expected

    @invariant()
    def accounts_do_not_mix(self):
        bench = self.bench
        paper = {request.client_order_id for request in bench.paper.submitted}
        live = {request.client_order_id for request in bench.live.submitted}
        assert not paper & live
        sides = {side.mode: side for side in bench.market.sides}
        assert not set(sides["paper"].order_tracker.active_orders) & live
        if "live" in sides:
            assert not set(sides["live"].order_tracker.active_orders) & paper

    @invariant()
    def nothing_live_is_left_or_forgotten(self):
        bench = self.bench
        if self.switch.state is LIVE:
            assert set(bench.live.open) <= set(bench.market.order_tracker.active_orders)
            assert not bench.paper.open
        else:
            assert not bench.live.open

    @invariant()
    def every_step_is_a_way(self):
        assert {(before, after) for _, before, after, _ in self.switch.transitions} <= WAYS

    @invariant()
    def off_places_nothing(self):
        if self.switch.state is OFF:
            assert self.bench.strategy.held
            with contextlib.suppress(NotReady):
                self.bench.strategy.buy("0.1", "99")
                raise AssertionError("an order was placed while off")


TestSwitch = Switch.TestCase
TestSwitch.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)

"""Paper, armed, live and back over real sockets, as the exchange itself sees it; and what ends live trading."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

import kit
from kit.connectors.client_order_ids import tag_of
from kit.errors import NotReady
from kit.guard.diary import read_diary
from kit.trading.switch import TradingState
from tests.support.stack import LENIENT, PAIR, until

OFF, PAPER, ARMED, LIVE = TradingState.OFF, TradingState.PAPER, TradingState.ARMED, TradingState.LIVE


class Quoter(kit.Strategy):
    """Keeps one order a side, far from the market."""

    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy("0.01", "50000")
            self.sell("0.01", "70000")


class Desk:
    """A core with a strategy on paper, at an exchange where live is a typed word away."""

    def __init__(self, testnet, core, market) -> None:
        self.testnet, self.core, self.market = testnet, core, market

    async def on_exchange(self) -> int:
        return len(await self.testnet.open_orders(tag_of(self.core.name)))

    async def count(self, expected: int, timeout: float = 60.0) -> None:
        end = time.monotonic() + timeout
        while (found := await self.on_exchange()) != expected:
            assert time.monotonic() < end, f"{found} orders on the exchange, not {expected}"
            await asyncio.sleep(0.05)

    async def gone_back(self, state: TradingState, *words: str) -> None:
        await until(lambda: self.core.trading_state is state, f"{state}: {self.core.switch}")
        assert any(word in self.core.switch.reason for word in words), self.core.switch
        assert self.core.switch.reason in self.core.strategy.pause_reason
        assert await self.on_exchange() == 0
        ticks = self.core.clock.stats.ticks
        await until(lambda: self.core.clock.stats.ticks > ticks + 5, "ticks")
        assert await self.on_exchange() == 0


@asynccontextmanager
async def desk(testnet, name, *, mode="paper", balances=None, strategy=Quoter, **options):
    await testnet.clear_faults()
    core = kit.TradingCore(name, tick_size=0.1, tables=False, **{"guard": False, **options})
    core.disarm_rules = LENIENT
    balances = {"USDT": 5000, "BTC": 1} if mode == "paper" else None
    market = await core.add_connector("binance", [PAIR], mode=mode, endpoint=testnet, balances=balances)
    core.strategy = strategy(market, PAIR)
    if core.guard is not None and mode == "live":  # its first try of the keys may fail, as it comes too late
        await until(lambda: core.guard.state.prepared, "the guard has tried the keys")
    await core.start()
    try:
        yield Desk(testnet, core, market)
    finally:
        await testnet.clear_faults()
        report = await core.stop()
    assert report.clean, report
    assert await testnet.open_orders(tag_of(name)) == []


async def test_from_paper_to_live_and_back(testnet):
    """In one test, as a guarded core costs seconds."""
    async with desk(testnet, "to live and back", guard=True) as here:
        core, market = here.core, here.market
        assert core.trading_state is PAPER
        await until(lambda: len(core.strategy.active_orders) == 2, "it quotes on paper")
        assert market.get_balance("USDT") == 5000

        checks = await core.arm()
        assert core.trading_state is ARMED, [str(check) for check in checks]
        slow = {"loop lag", "guard", "clock skew"}  # a busy machine may be warned of these
        assert {check.name for check in checks if check.outcome != "passed"} <= slow, [str(c) for c in checks]
        assert core.guard.state.accounts == ("binance",)
        assert await here.on_exchange() == 0

        await core.confirm_live("BTC/USDT")
        assert core.trading_state is LIVE
        await here.count(2)
        await until(lambda: len(market.in_flight_orders) == 2, "it knows them")
        (account,) = (await testnet.ledger()).balances.values()
        assert market.get_balance("USDT") == account["USDT"].total != 5000
        live_orders = set(market.in_flight_orders)

        word = await core.go_paper()
        assert word == "binance: 2 orders cancelled, 0 open on the exchange"
        assert await here.on_exchange() == 0
        assert core.guard.state.accounts == ()
        assert market.get_balance("USDT") == 5000
        await until(lambda: len(core.strategy.active_orders) == 2, "it quotes on paper again")

        orders = core.orders
        assert set(orders["mode"]) == {"paper", "live"}
        assert set(orders[orders["mode"] == "live"]["client_order_id"]) == live_orders
        assert set(core.balances["mode"]) == {"paper", "live"}

        await core.go_live()
        await here.count(2)
        await core.add_connector(
            "binance", [PAIR], mode="paper", endpoint=testnet, balances={"USDT": 5000, "BTC": 1}
        )  # the cell is run again
        assert core.trading_state is LIVE
        assert core.guard.state.accounts == ("binance",)
        await core.go_off("done for today")
        assert (core.trading_state, await here.on_exchange()) == (OFF, 0)


async def test_fills_of_paper_and_live_are_counted_apart(testnet):
    async with desk(testnet, "counted apart") as here:
        core, market = here.core, here.market
        core.strategy = None
        market.buy(PAIR, Decimal("0.02"), kit.OrderType.MARKET)
        await until(lambda: len(core.fills) == 1, "filled on paper")
        await core.go_live()
        market.buy(PAIR, Decimal("0.01"), kit.OrderType.MARKET)
        await until(lambda: len(core.fills) == 2, "filled live")
        assert core.fills["mode"].tolist() == ["paper", "live"]
        pnl = core.pnl.set_index("mode")
        assert (pnl.loc["paper", "bought"], pnl.loc["live", "bought"]) == (0.02, 0.01)
        await core.go_paper()
        assert market.get_balance("USDT") < 5000


async def test_a_live_connector_starts_after_the_checks_and_goes_off(testnet):
    async with desk(testnet, "live at once", mode="live") as here:
        assert here.core.trading_state is LIVE
        assert {check.outcome for check in here.core.switch.checks} == {"passed", "warning"}
        await here.count(2)
        assert "0 open on the exchange" in await here.core.go_off()
        assert await here.on_exchange() == 0
        await here.core.go_live()
        await here.count(2)
        assert "0 open on the exchange" in await here.core.go_paper()
        assert await here.on_exchange() == 0
        assert here.market.get_balance("USDT") == 10_000
        here.market.buy(PAIR, Decimal("0.01"), kit.OrderType.MARKET)
        await until(lambda: len(here.core.fills) == 1, "filled on paper")
        assert here.core.fills["mode"].tolist() == ["paper"]
        await here.core.go_live()
        await here.count(2)


async def test_an_account_without_money_does_not_start(testnet):
    poor = await testnet.create_account("poor")
    core = kit.TradingCore("poor", tick_size=0.1, tables=False, guard=False)
    market = await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet, credentials=poor)
    core.strategy = Quoter(market, PAIR)
    with pytest.raises(NotReady, match=r"balances on binance failed: 0 BTC, 0 USDT free; pay something in"):
        await core.start()
    assert not core.running
    assert core.trading_state is OFF
    assert (await core.stop()).clean


async def test_a_wrong_secret_stays_on_paper(testnet):
    core = kit.TradingCore("wrong key", tick_size=0.1, tables=False, guard=False)
    wrong = kit.Credentials(testnet.credentials.api_key, "not the secret")
    await core.add_connector("binance", [PAIR], mode="paper", endpoint=testnet, credentials=wrong)
    await core.start()
    with pytest.raises(NotReady, match="the key is refused"):
        await core.go_live()
    assert core.trading_state is PAPER
    assert "not the secret" not in " ".join(map(str, core.switch.checks))
    assert (await core.stop()).clean


async def test_a_stream_that_is_really_cut_ends_it(testnet):
    async with desk(testnet, "cut stream") as here:
        here.core.disarm_rules = replace(LENIENT, book_silence=1.5)
        await here.core.go_live()
        await here.count(2)
        await testnet.fault("cut_market", seconds=600)
        await here.gone_back(PAPER, "the book of BTC/USDT on binance has been lost")


async def test_a_real_stall_that_the_guard_answers_ends_it(testnet):
    async with desk(testnet, "real stall", mode="live", guard=True, stall_limit=6.0) as here:
        await here.count(2)
        await until(lambda: here.core.guard.state.prepared, "the guard has tried the keys")
        before, log = len(here.core.orders), here.core.guard.log_path
        end = time.monotonic() + 60
        while "clear" not in [entry.event for entry in read_diary(log)]:  # a cell that blocks until the guard has acted
            assert time.monotonic() < end
            time.sleep(0.1)
        await here.gone_back(OFF, "the loop stood still for", "the guard acted: 2 orders cancelled (stall")
        assert len(here.core.orders) == before  # not one order was placed on a world that is gone
        assert here.core.guard.state.last_report.cause == "stall"
        here.core.strategy.resume()
        await here.core.go_live()
        await here.count(2)


async def test_a_strategy_that_throws_ends_it(testnet):
    class Thrower(Quoter):
        broken = False

        def on_tick(self, timestamp):
            super().on_tick(timestamp)
            if self.broken:
                raise ZeroDivisionError("planned")

    async with desk(testnet, "thrower", strategy=Thrower) as here:
        await here.core.go_live()
        await here.count(2)
        here.core.strategy.broken = True
        await until(lambda: here.core.trading_state is PAPER, "back on paper")
        assert "failed ticks" in here.core.switch.reason
        assert await here.on_exchange() == 0

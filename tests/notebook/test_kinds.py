"""A panel that is given a wrong kind of thing says which kind it shows, what it got, and what to call instead."""

import re

import pytest

import kit
from kit.connectors import connector_manager
from kit.errors import InvalidInput
from tests.support.fake_venue import PAIR, FakeVenue

OF_A_CORE = ["orders", "pnl", "balances", "log", "cockpit", "health", "switch", "red_button", "plot_pnl"]
OF_A_MARKET = ["depth", "ladder", "price"]


class Quoter(kit.Strategy):
    pass


@pytest.fixture
async def core(monkeypatch):
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: FakeVenue())
    core = kit.TradingCore("kinds", tables=False, guard=False)
    await core.add_connector("binance", [PAIR], mode="paper", balances={"USDT": 1000})
    yield core
    await core.stop()


@pytest.fixture
def strategy(core):
    return Quoter(core["binance"], PAIR)


def refusal(function, thing, *more):
    with pytest.raises(InvalidInput) as caught:
        getattr(kit.notebook, function)(thing, *more)
    return str(caught.value)


@pytest.mark.parametrize("function", OF_A_CORE)
async def test_panels_of_a_core(core, strategy, function):
    for thing in (core["binance"], strategy):
        told = refusal(function, thing)
        assert told.startswith(f"{function} shows a core, got <")
        assert told.endswith(f"call kit.notebook.{function}(core), where core = kit.TradingCore('kinds') has it")
    assert "kit.TradingCore() makes one" in refusal(function, "main")


@pytest.mark.parametrize("function", OF_A_MARKET)
async def test_panels_of_a_market(core, strategy, function):
    assert f"{function} shows a market (a connector), got <TradingCore" in refusal(function, core, PAIR)
    assert f"call kit.notebook.{function}(core['binance'], 'BTC/USDT')" in refusal(function, core, PAIR)
    assert f"kit.notebook.{function}(strategy.market, strategy.trading_pair)" in refusal(function, strategy, PAIR)
    assert "market = await core.add_connector('binance', …)" in refusal(function, PAIR, PAIR)


async def test_controls(core, strategy):
    assert "once a strategy is there" in refusal("controls", core)
    core.strategy = strategy
    assert refusal("controls", core).endswith("call kit.notebook.controls(core.strategy)")
    assert "controls shows a strategy, got <" in refusal("controls", core["binance"])
    assert "once a strategy is there" in refusal("controls", None)
    assert "Quoter(market, pair, …)) with an instance of that class" in refusal("controls", Quoter)


async def test_a_book(core):
    told = refusal("plot_depth", core["binance"])
    assert "an order book" in told
    assert "market.get_order_book('BTC/USDT')" in told


async def test_a_forgotten_await_is_found_out(core):
    told = refusal("depth", core.add_connector("binance", [PAIR]), PAIR)
    assert re.search(r"write 'await' before .*add_connector\(…\)", told)

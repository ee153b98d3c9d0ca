"""A market maker in a lively market while everything goes wrong: afterwards both sides know the same."""

import asyncio
import functools
import random

import pytest

import kit
from kit.orders import order_resolver
from kit.testnet import Testnet
from tests.support.stack import PAIR, connected, until

ROUNDS = 27
FAULTS = (
    ("cut_market", {}),
    ("cut_user", {}),
    ("cut_user", {"seconds": 0.5}),
    ("terminate", {}),
    ("gap", {}),
    ("undecodable", {}),
    ("undecodable", {"on": "user"}),
    *(
        (kind, {"on": operation, **options})
        for operation in ("order.place", "order.cancel", "order.status", "openOrders.status", "myTrades")
        for kind, options in (
            ("drop_before", {}),
            ("drop_after", {}),
            ("truncate", {}),
            ("junk", {"body": "{}"}),
            ("error", {"status": 503}),
            ("error", {"status": 503, "after": True}),
            ("error", {"status": 400, "code": -1021}),
            ("delay", {"delay": 0.4, "after": True}),
        )
    ),
)


@pytest.mark.parametrize("seed", [1])
async def test_a_market_maker_in_a_storm_of_faults(monkeypatch, seed):
    # The exchange takes a request for 2.5 s, so 3 are enough to be sure, and the test need not wait for 20.
    quick = functools.partial(order_resolver.ResolvePolicy, delays=(0.3, 0.5), landing_time=3.0)
    monkeypatch.setattr(order_resolver, "ResolvePolicy", quick)
    rng = random.Random(seed)
    async with await Testnet.start(f"storm {seed}", seed=seed) as testnet, connected(testnet) as stack:
        stack.core.strategy = kit.PureMarketMaking(
            stack.market,
            PAIR,
            bid_spread="0.00002",
            ask_spread="0.00002",
            order_amount="0.01",
            order_levels=2,
            order_level_spread="0.0001",
            order_refresh_time=0.5,
            filled_order_delay=0.2,
        )
        for _ in range(ROUNDS):
            kind, options = rng.choice(FAULTS)
            await testnet.fault(kind, **options)
            await asyncio.sleep(rng.uniform(0.1, 0.5))
        await until(lambda: len(stack.core.orders) > 3, "orders go on", 300)
        async with asyncio.timeout(300):
            while sum((await testnet.stats())["faults_struck"].values()) <= 3:
                await asyncio.sleep(0.1)
        await testnet.clear_faults()
        await until(lambda: stack.market.ready, "ready again")
        await until(lambda: stack.fills, "fills go on", 300)
        stack.core.strategy = None
        await until(lambda: not stack.open_orders, "every order's end")
        await testnet.freeze_flow()
        await stack.settled(levels=100)
        assert stack.told("port.reconnects") >= 1

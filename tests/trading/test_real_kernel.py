"""Cores in a real ipykernel: interrupts, a cell that blocks beside a core in a thread, kit.run, cells run again.

The exchange belongs to the test, so it tells what is really open.
"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from kit.connectors.client_order_ids import tag_of
from kit.testnet import Testnet
from tests.support.kernel import CellFailed, RealKernel
from tests.support.stack import fill_book

# jupyter_client leaves its own sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")

SETUP = """
import asyncio, threading, time
from types import SimpleNamespace
import kit
from tests.support.patient import be_patient

be_patient()
endpoint = SimpleNamespace(url={url!r}, credentials=kit.Credentials({api_key!r}, {secret!r}))

class Quoter(kit.Strategy):
    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy("0.001", "50000")
            print("quoted")

core = kit.TradingCore({name!r}, tick_size=0.1, tables=False, guard={guard}, loop={loop!r})
core.disarm_rules = kit.DisarmRules(loop_lag=None, behind=None, book_silence=None, account_silence=None)
market = await core.add_connector("binance", ["BTC/USDT"], mode="paper" if {paper} else "live", endpoint=endpoint)
core.strategy = Quoter(market)
while core.guard is not None and core.guard.accounts and not core.guard.state.prepared:  # its first try may be late
    await asyncio.sleep(0.01)
await core.start()
while not any(order.exchange_order_id for order in market.in_flight_orders.values()):
    await asyncio.sleep(0.01)
"""

TICKS = """
before = core.clock.stats.ticks
while core.clock.stats.ticks < before + 3:
    await asyncio.sleep(0.02)
assert core.running and not core.strategy.paused
"""

# Cells that do not let the kernel's loop run before the clock has ticked 25 times.
BLOCKS = (
    "while core.clock.stats.ticks < before + 25: time.sleep(0.2)",
    "while core.clock.stats.ticks < before + 25: sum(range(1000))",
)


@pytest.fixture(scope="module")
def testnet() -> Iterator[Testnet]:
    async def start() -> Testnet:
        testnet = await Testnet.start("real kernel", flow=False)
        await fill_book(testnet)
        return testnet

    testnet = asyncio.run(start())
    yield testnet
    testnet.stop_now()


def setup(testnet, name, *, loop="kernel", paper=False, guard=False):
    keys = testnet.credentials
    return SETUP.format(
        url=testnet.url, api_key=keys.api_key, secret=keys.secret, name=name, loop=loop, paper=paper, guard=guard
    )


async def open_ids(testnet, name):
    return [order.client_order_id for order in await testnet.open_orders(tag_of(name))]


@pytest.mark.parametrize("loop", ["kernel", "thread"])
async def test_interrupts_end_cells_and_not_the_core(testnet, loop):
    name = f"interrupted {loop}"
    async with RealKernel() as kernel:
        printed = await kernel.run(setup(testnet, name, loop=loop))
        assert "quoted" not in printed
        ids = await open_ids(testnet, name)
        assert len(ids) == 1

        await kernel.interrupt()  # idle
        await kernel.run(TICKS)

        # ipykernel takes note of an interrupt of an awaiting cell only when its loop wakes up next.
        awaiting = "while True: await asyncio.sleep(0.1)", "await core.affinity.run(asyncio.sleep(60))"
        for code in (*awaiting, "time.sleep(60)"):
            cell = await kernel.begun(code)
            await kernel.interrupt()
            with pytest.raises(CellFailed, match=r"CancelledError|KeyboardInterrupt"):
                await asyncio.wait_for(cell, 60)
            await kernel.run(TICKS)
            assert await open_ids(testnet, name) == ids

        log = await kernel.run("print(core.log, core.errors)")
        assert "Quoter.on_tick: quoted" in log
        assert "no errors" in log
        # Cells run again: the same core, connector and strategy, no order moved.
        await kernel.run(setup(testnet, name, loop=loop))
        assert await open_ids(testnet, name) == ids
        left = "[thread.name for thread in threading.enumerate() if 'kit' in thread.name]"
        assert await kernel.run(f"print((await core.stop()).clean, {left})") == "True []\n"
        assert await open_ids(testnet, name) == []


async def test_a_cell_that_blocks_stops_no_clock_that_has_its_own_thread(testnet):
    async with RealKernel() as kernel:
        await kernel.run(setup(testnet, "beside", loop="thread", paper=True))
        for block in BLOCKS:
            await kernel.run(f"before = core.clock.stats.ticks\n{block}")
        # Another configuration stops this core first.
        printed = await kernel.run(
            "old = core\n" + setup(testnet, "beside", paper=True) + "print(old.running, core is old, old.connectors)"
        )
        assert "loop 'kernel' instead of 'thread'" in printed
        assert printed.endswith("False False {}\n")
        await kernel.run("await core.stop()")


async def test_run_awaits_for_cells_that_cannot_and_loses_no_message(testnet):
    async with RealKernel() as kernel:
        await kernel.run(setup(testnet, "run", paper=True))
        cell = await kernel.begun("print(kit.run(asyncio.sleep(1, 'slept')))")
        kernel.queue("second = 'ran'")  # arrives while the first cell runs, is deferred, and not lost
        assert (await asyncio.wait_for(cell, 60)).endswith("slept\n")
        assert await kernel.run("print(second)") == "ran\n"
        await kernel.run(TICKS)
        assert await kernel.run("print(kit.core.reentry.patched(), kit.core.reentry.dangerous())") == "True \n"
        await kernel.run("kit.run(core.stop())")

        await kernel.restart()
        await kernel.run(setup(testnet, "run"))
        with pytest.raises(CellFailed, match=r"NotReady: .*refused while core run is live"):
            await kernel.run("kit.run(core.stop())")
        await kernel.run("await core.stop()\nimport nest_asyncio\nnest_asyncio.apply()")
        with pytest.raises(CellFailed, match="NotSupported: nest_asyncio patched the event loop"):
            await kernel.run("kit.run(asyncio.sleep(0))")


async def test_a_restart_leaves_no_order_and_no_process_of_a_core_in_a_thread(testnet):
    async with RealKernel() as kernel:
        await kernel.run(setup(testnet, "restarted", loop="thread", guard=True))
        assert len(await open_ids(testnet, "restarted")) == 1
        await kernel.restart()
        began = time.monotonic()
        while await open_ids(testnet, "restarted") or kernel.processes != [kernel.pid]:
            assert time.monotonic() < began + 60, (await open_ids(testnet, "restarted"), kernel.processes)
            await asyncio.sleep(0.1)

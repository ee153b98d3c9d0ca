"""Cells that put a live core with resting orders into a real kernel, and cells that block it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from kit.connectors.client_order_ids import tag_of
from kit.guard.diary import diary_path, read_diary
from kit.testnet import Testnet
from tests.support.kernel import CellFailed, RealKernel
from tests.support.stack import until

ORDERS = 3

SETUP = """
import time
from types import SimpleNamespace
import kit
from tests.support.patient import be_patient

be_patient()
endpoint = SimpleNamespace(url={url!r}, credentials=kit.Credentials({api_key!r}, {secret!r}))
core = kit.TradingCore({name!r}, tick_size=0.1, tables=False, stall_limit={stall_limit})
market = await core.add_connector("binance", ["BTC/USDT"], mode="live", endpoint=endpoint)
await core.start()
while not core.guard.state.prepared:
    await asyncio.sleep(0.01)
print(core.guard.state.pid)
"""

REST = """
ids = [market.buy("BTC/USDT", "0.001", kit.OrderType.LIMIT, 50_000 - number) for number in range({count})]
def rests(key):
    if key in market.in_flight_orders:
        return market.in_flight_orders[key].current_state is kit.OrderState.OPEN
    orders, entries = core.orders.tail(8).to_dict("records"), [str(entry) for entry in core.guard.log(20)]
    raise RuntimeError(f"{{key}} has ended: {{orders}}; {{core.switch}} {{core.switch.transitions[-4:]}}; {{entries}}")
while not all(rests(key) for key in ids):
    await asyncio.sleep(0.01)
"""

# A stall that the guard answered ends live trading; going live waits until the guard has heard that the loop is back.
AGAIN = """
while core.trading_state is not kit.TradingState.OFF:
    await asyncio.sleep(0.01)
await core.go_live()
"""

# One C call that never lets go of the GIL, and that no interrupt ends: reading what the test writes to a pipe. That it
# begins is told by a file, as what a cell prints may wait for the GIL.
PIPE = """
import ctypes, os, signal
library, letter = ctypes.PyDLL(None), ctypes.create_string_buffer(1)
pipe = os.open({pipe!r}, os.O_RDWR)
def call():
    signal.siginterrupt(signal.SIGINT, False)
    open({begun!r}, "w").close()
    assert library.read(pipe, letter, 1) == 1
"""

BLOCKS = {
    "time.sleep": "time.sleep(60)",
    "pure Python": "n = 0\nwhile True:\n    n += 1",
    "numpy": "import numpy\na = numpy.ones((400, 400))\nwhile True:\n    b = a @ a",
    "one C call": "call()",
}
ENDLESS = [name for name in BLOCKS if name != "one C call"]


class GuardedKernel:
    """A kernel with a live core on a test exchange that is not its own.

    ``guard`` is the guard's process id. Raises ``AssertionError`` when orders stay open longer than allowed.
    """

    def __init__(self, kernel: RealKernel, testnet: Testnet, name: str, stall_limit: float, folder: Path) -> None:
        self.kernel, self.testnet, self.name, self.stall_limit = kernel, testnet, name, stall_limit
        self.guard = 0
        self._pipe, self._begun = folder / "pipe", folder / "begun"
        os.mkfifo(self._pipe)

    async def set_up(self) -> None:
        """Run the cells: a live core, its guard prepared, its orders resting on the exchange."""
        keys = self.testnet.credentials
        facts = {"url": self.testnet.url, "api_key": keys.api_key, "secret": keys.secret}
        setup = SETUP.format(name=self.name, stall_limit=self.stall_limit, **facts)
        self.guard = int(await self.kernel.run(f"import asyncio\n{setup}"))
        await self.kernel.run(PIPE.format(pipe=str(self._pipe), begun=str(self._begun)))
        await self.rest()

    async def rest(self) -> None:
        """Have orders resting."""
        await self.kernel.run(REST.format(count=ORDERS))
        assert len(await self.open_orders()) == ORDERS

    @property
    def stalls(self) -> int:
        """How many stalls the guard says that it has acted on."""
        return [entry.event for entry in read_diary(diary_path(self.name))].count("stall")

    async def open_orders(self) -> list[str]:
        """Return the ids of the core's open orders as the exchange has them."""
        return [order.client_order_id for order in await self.testnet.open_orders(tag_of(self.name))]

    async def none_open(self, limit: float = 60.0, began: float | None = None) -> float:
        """Wait until the exchange has none of them open and return the seconds since ``began``, at most ``limit``.

        How soon that is, benchmarks/guard.py measures: here nothing else but the guard would ever cancel them.
        """
        began = time.monotonic() if began is None else began
        while left := await self.open_orders():
            waited = time.monotonic() - began
            assert waited <= limit, f"{len(left)} orders are open after {waited:.1f} s"
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def block(self, name: str) -> float:
        """Block the kernel by the cell of a name; return the seconds until no order was open on the exchange.

        The cell is still running then. Afterwards the kernel works again and has orders resting.
        """
        began = time.monotonic()
        cell = self.kernel.begin(BLOCKS[name])
        took = await self.none_open(began=began)
        assert not cell.done(), f"{name} did not block for long enough"
        if name in ENDLESS:
            await self.kernel.interrupt()
        else:
            self._let_go()
        with contextlib.suppress(CellFailed):
            await asyncio.wait_for(cell, 180)
        await self.kernel.run(AGAIN)
        await self.rest()
        return took

    async def call(self) -> None:
        """Block the kernel by the one C call, and wait until it is in it."""
        self._begun.unlink(missing_ok=True)
        self.kernel.begin(BLOCKS["one C call"])
        await until(self._begun.exists, "the call has begun", 180)

    def _let_go(self) -> None:
        pipe = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, b"\n")
        os.close(pipe)


@contextlib.asynccontextmanager
async def guarded_kernel(testnet: Testnet, name: str, stall_limit: float = 30.0) -> AsyncIterator[GuardedKernel]:
    """Give a kernel with a guarded core whose orders rest."""
    with tempfile.TemporaryDirectory() as folder:
        async with RealKernel() as kernel:
            guarded = GuardedKernel(kernel, testnet, name, stall_limit, Path(folder))
            await guarded.set_up()
            yield guarded

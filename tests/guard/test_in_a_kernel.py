"""Guarded cores in real kernels, which are blocked, killed, restarted and shut down as JupyterLab does it.

The exchange belongs to the test, so it outlives the kernels and tells what is really open.
"""

import pytest

from tests.support.guarded_core import alive
from tests.support.guarded_kernel import BLOCKS, guarded_kernel
from tests.support.stack import until

STALL_LIMIT = 6.0  # what is no stall may take seconds on a busy machine

# jupyter_client leaves its own sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")


async def test_no_cell_that_blocks_and_no_kill_leaves_an_order(testnet):
    async with guarded_kernel(testnet, "blocked kernel", STALL_LIMIT) as guarded:
        for name in BLOCKS:
            before = guarded.stalls
            await guarded.block(name)
            assert guarded.stalls > before, name  # it is the stall that the guard acts on
        assert guarded.guard in guarded.kernel.processes
        guarded.kernel.kill()
        await guarded.none_open()
        await until(lambda: guarded.kernel.processes == [], "no process is left of a killed kernel")


async def test_a_restart_and_a_shutdown_leave_no_order_and_no_process(testnet):
    async with guarded_kernel(testnet, "restarted kernel") as guarded:
        kernel, guard = guarded.kernel, guarded.guard
        await kernel.restart()
        await guarded.none_open()
        await until(lambda: not alive(guard), "the old guard ends")
        assert kernel.processes == [kernel.pid]

        # Shut down in the middle of a C call, where nothing in the kernel can run: it is killed after some 2.4 s.
        await guarded.set_up()
        await guarded.call()
        await kernel.shutdown()
        await guarded.none_open()
        await until(lambda: kernel.processes == [], "no process is left of a kernel that was shut down")

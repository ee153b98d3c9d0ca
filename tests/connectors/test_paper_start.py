"""A paper account starts in a process that has never compiled anything, and the loop that trades does not notice."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import asyncio, json, sys
sys.path.insert(0, {root!r})
import kit
from kit.connectors import connector_manager
from tests.support.fake_venue import FakeVenue

connector_manager.CcxtExchange = lambda *_, **__: FakeVenue()

async def main():
    core = kit.TradingCore("start", tick_size=0.1, tables=False)
    await core.add_connector("binance", ["ETH/USDT"], name="running")
    await core.start()
    told = {{"numba_before": "numba" in sys.modules, "beats": 0}}

    async def beat():
        while True:
            await asyncio.sleep(0.01)
            told["beats"] += 1

    beating = asyncio.create_task(beat())
    market = await core.add_connector("binance", ["BTC/USDT"], mode="paper", timeout=120)
    told["ready"] = market.ready
    order = market.buy("BTC/USDT", 1, price=90)
    while order not in [one.client_order_id for one in market.limit_orders]:
        await asyncio.sleep(0.01)
    beating.cancel()
    from kit.simulation import kernel
    told["compiled_here"] = [one.__name__ for one in (kernel.run, kernel.act) if one.stats.cache_misses]
    told["loaded"] = [one.__name__ for one in (kernel.run, kernel.act) if one.stats.cache_hits]
    told["clean"] = (await core.stop()).clean
    print(json.dumps(told))

asyncio.run(main())
"""


def start(cache):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(root=str(ROOT))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def compiled(cache):
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}


def test_compiling_never_stalls_the_loop_and_happens_once(tmp_path):
    first = start(tmp_path)
    assert first["ready"]
    assert first["clean"]
    assert not first["numba_before"], "a core that trades live does not pay for numba"
    # The compiler holds Python's lock, so it runs in a process of its own, and the loop goes on beside it.
    assert first["compiled_here"] == []
    assert first["loaded"] == ["run", "act"]
    assert first["beats"] > 50, first
    files = compiled(tmp_path)
    assert files
    start(tmp_path)
    assert compiled(tmp_path) == files

"""The README's first Python runs as it stands, top-level await included (all of it: tests/notebook/test_readme.py)."""

import ast
import asyncio
import inspect
import re
from pathlib import Path

import kit

README = Path(__file__).resolve().parents[2] / "README.md"


async def run(code: str, namespace: dict) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    result = eval(compile(code, str(README), "exec", flags=flags), namespace)
    if inspect.iscoroutine(result):
        await result


async def test_the_code_of_the_readme_runs():
    first, second = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[:2]
    connecting, ending = first.split("await core.stop()")[0], "report = await core.stop()\nawait testnet.stop()"
    namespace: dict = {}
    await run(connecting, namespace)
    core, market = namespace["core"], namespace["market"]
    try:
        assert core.running
        await run(second + '\nquoter = core.strategy = Quoter(market, "BTC/USDT")', namespace)
        quoter = namespace["quoter"]
        async with asyncio.timeout(60):
            while not (quoter.active_orders and market.get_order_book("BTC/USDT").synced):
                await asyncio.sleep(0.05)
        quoter.did_fill_order(kit.types.events.OrderFilledEvent(0.0, "id", "BTC/USDT", None, None, 1, 1))
        assert quoter.health.total_errors == 0
    finally:
        await run(ending, namespace)
    assert namespace["report"].clean

"""A process that runs a core, does what its standard input says, and can be killed.

``python -m tests.support.instanced_core NAME URL KEY SECRET MODE``: connects, starts, and answers with JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from decimal import Decimal
from typing import Any

import kit
from kit.types.orders import OrderState
from tests.support.patient import be_patient

PAIR = "BTC/USDT"


class Address:
    def __init__(self, url: str, credentials: kit.Credentials) -> None:
        self.url, self.credentials = url, credentials


class Quoter(kit.Strategy):
    def on_tick(self, timestamp: float) -> None:
        if not self.active_orders:
            mid = self.market.get_mid_price(PAIR)
            self.buy("0.001", mid * Decimal("0.9"))
            self.sell("0.001", mid * Decimal("1.1"))


def _facts(core: kit.TradingCore) -> dict[str, Any]:
    view = core.read_only
    orders = [order for log in core.session_logs.values() for order in log.all_orders()]  # core.orders loads pandas
    return {
        "pid": os.getpid(),
        "modes": {name: connector.mode for name, connector in core.connectors.items()},
        "state": core.switch.state.value,
        "view": None if view is None else {"pid": view.pid, "ended": view.ended, "text": view.text},
        "open": sorted(order.client_order_id for order in orders if order.current_state is OrderState.OPEN),
        "acted": core.strategy is not None and bool(core.strategy.active_orders),
    }


async def _connect(core: kit.TradingCore, url: str, key: str, secret: str, mode: Any) -> None:
    endpoint = Address(url, kit.Credentials(key, secret))
    money = {"BTC": 1, "USDT": 100_000} if mode == "paper" else None
    market = await core.add_connector("binance", [PAIR], mode=mode, endpoint=endpoint, balances=money)
    core.strategy = Quoter(market, PAIR)
    await core.start()


async def main() -> None:
    name, *where = sys.argv[1:]
    core = kit.TradingCore(name, tick_size=0.1, tables=False, guard=False)
    core.disarm_rules = kit.DisarmRules(loop_lag=None, behind=None, book_silence=None, account_silence=None)
    while True:
        word = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if word == "connect":
            await _connect(core, *where)
        elif word == "fork":
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writing, b"x")  # by now it has forgotten what is not its own
                signal.pause()
            os.read(reading, 1)
            print(json.dumps({"child": child}), flush=True)
            continue
        elif word == "table":
            print(json.dumps(core.orders.groupby("state")["client_order_id"].apply(sorted).to_dict()), flush=True)
            continue
        elif word == "stop":
            await core.stop()
        elif word == "":
            break
        print(json.dumps(_facts(core)), flush=True)


if __name__ == "__main__":
    be_patient()
    asyncio.run(main())

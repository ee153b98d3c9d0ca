"""The notebook that `kit notebook new` makes, cell by cell: a kind, tags, and the text."""

from __future__ import annotations

import keyword
import re
from typing import Any, Final

_CELLS: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    (
        "markdown",
        (),
        """\
# {title}

Run the cells from top to bottom; any cell may be run again.""",
    ),
    (
        "code",
        (),
        """\
import asyncio
from decimal import Decimal

import kit""",
    ),
    (
        "markdown",
        (),
        """\
## Market and account

`Testnet` is an exchange on this machine. Without `endpoint` the market is the real exchange's, and `mode="paper"` \
still trades money that exists only here. Its live account needs a key: `kit keys add binance` in a terminal.""",
    ),
    (
        "code",
        (),
        """\
PAIR = "BTC/USDT"

testnet = await kit.Testnet.start("{name}")
core = kit.TradingCore("{name}")
market = await core.add_connector(
    "binance", [PAIR], mode="paper", endpoint=testnet, balances={{"BTC": "0.5", "USDT": "30000"}}
)""",
    ),
    (
        "markdown",
        (),
        """\
## The strategy

Change it and run this cell and the next again: the new one takes over between two ticks. Prints go to the log.""",
    ),
    (
        "code",
        (),
        """\
class {strategy}(kit.Strategy):
    \"\"\"Keep one buy and one sell order around the mid price.\"\"\"

    class Params(kit.Params):
        half_spread: Decimal = kit.param(
            "0.0005", gt=0, lt="0.05", step="0.0001", unit="fraction", doc="distance from mid"
        )
        amount: Decimal = kit.param("0.005", gt=0, step="0.001", unit="base", doc="size of each order")
        refresh: float = kit.param(5, gt=0, le=600, unit="s", doc="how long orders rest")

    def on_tick(self, timestamp):
        \"\"\"Act, once a second, when every market is ready.\"\"\"
        for order in self.active_orders:
            if timestamp - order.creation_timestamp >= self.params.refresh:
                self.cancel(order.client_order_id)
        if self.active_orders:
            return
        mid = self.market.get_mid_price(self.trading_pair)
        self.buy(self.params.amount, mid * (1 - self.params.half_spread))
        self.sell(self.params.amount, mid * (1 + self.params.half_spread))

    def did_fill_order(self, event):
        \"\"\"Hear of a fill, whole or partial; the other hooks begin with did_, too.\"\"\"
        print(event.trade_type.value.lower(), event.amount, "at", event.price)""",
    ),
    (
        "code",
        (),
        """\
strategy = core.strategy = {strategy}(market, PAIR)
await core.start()""",
    ),
    ("markdown", (), "## The cockpit\n\nParameters, orders, balances, profit, health, the red button. It is live."),
    ("code", ("cockpit",), "core"),
    ("markdown", (), "## What it did"),
    (
        "code",
        (),
        """\
await asyncio.sleep(5)
core.orders.tail()""",
    ),
    ("code", (), "core.pnl"),
    (
        "markdown",
        (),
        """\
## Live

Arm it by the switch in the cockpit, look at the checks, type the exchange's name, or run `await core.go_live()`. \
Back: `await core.go_paper()`, or the red button.""",
    ),
    ("markdown", (), "## Stop\n\nCancels every order, waits for the exchange's word on each, and ends every task."),
    (
        "code",
        (),
        """\
report = await core.stop()
await testnet.stop()
report""",
    ),
)


def strategy_notebook(title: str) -> dict[str, Any]:
    """Return a notebook (format 4.5) titled ``title``, with a core, a test exchange and a class named after it."""
    words = re.findall(r"[^\W_]+", title) or ["strategy"]
    strategy = "".join(word[:1].upper() + word[1:] for word in words)
    if not strategy.isidentifier() or keyword.iskeyword(strategy):
        strategy = f"Strategy{strategy}"
    names = {"title": title, "name": "-".join(words).lower(), "strategy": strategy}
    return {
        "cells": [_cell(number, *cell, names) for number, cell in enumerate(_CELLS)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(number: int, kind: str, tags: tuple[str, ...], text: str, names: dict[str, str]) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number:02d}",
        "metadata": {"tags": [*tags]} if tags else {},
    }
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return {**cell, "source": text.format(**names).splitlines(keepends=True)}

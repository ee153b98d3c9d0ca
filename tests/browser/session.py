"""A core that makes a market, with its cockpit, in one notebook: what several files of tests begin with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from kit.connectors.client_order_ids import tag_of
from kit.testnet.client import VenueOrder
from tests.browser.exchange import ENDPOINT, Exchange, until
from tests.browser.lab import LabServer
from tests.browser.notebook import Notebook

SCREENSHOTS = Path(__file__).parent / "screenshots"

START = """core = kit.TradingCore({name!r}, tick_size=0.25{options})
market = await core.add_connector("binance", ["BTC/USDT"], endpoint=endpoint, {account})
strategy = core.strategy = kit.PureMarketMaking(
    market, "BTC/USDT", bid_spread="0.002", ask_spread="0.002", order_amount="0.01", order_levels=2,
    order_level_spread="0.001", order_refresh_time=2, filled_order_delay=1)
await core.start()"""
SHOW = "kit.notebook.cockpit(core)"

# When all four rest, the strategy leaves them alone.
PAUSE = """import asyncio
while [order.current_state.value for order in market.in_flight_orders.values()] != ["open"] * 4:
    await asyncio.sleep(0.01)
strategy.pause()"""


class Session:
    """The notebook, the cockpit's parts on its page, and the exchange."""

    def __init__(self, notebook: Notebook, exchange: Exchange, core: str) -> None:
        self.notebook, self.exchange, self.page = notebook, exchange, notebook.page
        self.tag = tag_of(core)
        self.ask = notebook.ask
        self.cockpit = self.page.locator(".kit-cockpit")
        self.orders = self.page.locator(".kit-orders")
        self.controls = self.page.locator(".kit-controls")

    def open_orders(self) -> list[VenueOrder]:
        """Return the core's open orders as the exchange has them."""
        return self.exchange.open_orders(self.tag)

    def field(self, name: str) -> Any:
        """Return a parameter's row in the form."""
        return self.controls.locator(f"[data-name={name}]")

    def nearest(self) -> float:
        """Return how far the nearest own buy order is below the mid price, a fraction; 1 without any."""
        bids = [float(order.price) for order in self.open_orders() if order.side.value == "buy"]
        return 1 - max(bids) / self.exchange.mid_price if bids else 1.0

    def quiet(self) -> None:
        """Have four orders that rest until something is done to them: nobody trades, nothing is refreshed."""
        self.exchange.freeze()
        self.ask(PAUSE)
        assert len(self.open_orders()) == 4
        expect(self.orders.locator("tbody tr")).to_have_count(4)

    def shoot(self, name: str) -> None:
        """Leave a picture of the page."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@contextlib.contextmanager
def opened(
    chromium: Any, lab: LabServer, exchange: Exchange, name: str, *, account: str = "mode='live'", options: str = ""
) -> Iterator[Session]:
    """Give a session whose four orders rest; when its kernel has ended, none of them may be left."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1200})
    cells = [ENDPOINT, START.format(name=name, account=account, options=options), SHOW]
    try:
        notebook = Notebook.write(context.new_page(), lab, f"{name}.ipynb", cells)
        notebook.run_all()
        assert notebook.errors() == []
        session = Session(notebook, exchange, name)
        expect(session.orders.locator("tbody tr")).to_have_count(4, timeout=30_000)
        yield session
    finally:
        context.close()
        lab.end_kernels()
    until(lambda: not session.open_orders(), "the end of the kernel cancels what is left")

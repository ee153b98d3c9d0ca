"""A core that makes a market, with its cockpit, in one notebook: what several files of tests begin with."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from kit.connectors.client_order_ids import tag_of
from kit.testnet.client import VenueOrder
from tests.browser.exchange import ENDPOINT, Exchange, until
from tests.browser.lab import RULES, RUN, LabServer, new_page
from tests.browser.notebook import Notebook

SCREENSHOTS = Path(__file__).parent / "screenshots"

START = f"""core = kit.TradingCore({{name!r}}, tick_size=0.25, stall_limit=120{{options}})
core.disarm_rules = {RULES}
market = await core.add_connector("binance", ["BTC/USDT"], endpoint=endpoint, {{account}})
strategy = core.strategy = kit.PureMarketMaking(
    market, "BTC/USDT", bid_spread="0.002", ask_spread="0.002", order_amount="0.01", order_levels=2,
    order_level_spread="0.001", order_refresh_time=2, filled_order_delay=1)
{RUN}"""
SHOW = "kit.notebook.cockpit(core)"

# When all four rest, the strategy leaves them alone; what a tick had begun just then shows two ticks later.
PAUSE = """import asyncio
strategy.resume()
def resting():
    return [key for key, order in market.in_flight_orders.items() if order.current_state.value == "open"]
while len(resting()) != 4 or len(market.in_flight_orders) != 4:
    await asyncio.sleep(0.01)
strategy.pause()
ticks = core.clock.stats.ticks
while core.clock.stats.ticks < ticks + 2:
    await asyncio.sleep(0.01)
print(*resting())"""


def arm(cockpit: Any, press: Callable[[], None]) -> None:
    """Press for live until the core is armed: a check fails where the machine stands still just then."""
    current, live = cockpit.locator(".step[aria-current]"), cockpit.locator(".step[data-state=live]")
    expect(live).to_be_enabled()
    press()

    def armed() -> bool:
        if current.get_attribute("data-state") == "armed":
            return True
        if live.is_enabled() and cockpit.locator("[data-outcome=failed]").count():
            press()
        return False

    until(armed, "every check passes", 120, pause=0.5)


@contextlib.contextmanager
def lab_apart(name: str) -> Iterator[tuple[LabServer, Exchange, Path]]:
    """Give a JupyterLab, a test exchange and the folder of both, with a state of their own: for a benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        root, state = Path(folder, "notebooks"), Path(folder, "state")
        root.mkdir()
        state.mkdir()
        os.environ["KIT_STATE"] = str(state)  # a core of that name may run elsewhere
        lab, exchange = LabServer(root, state), Exchange(name)
        exchange.tell(root)
        try:
            yield lab, exchange, Path(folder)
        finally:
            lab.stop()
            exchange.stop()


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
        """Return how far the nearest own buy order is below the mid price, a fraction; NaN without any."""
        bids = [float(order.price) for order in self.open_orders() if order.side.value == "buy"]
        return 1 - max(bids) / self.exchange.mid_price if bids else math.nan

    def quiet(self) -> None:
        """Have four orders that rest until something is done to them: nobody trades, nothing is refreshed."""
        self.exchange.freeze()
        until(self._rests, "four orders rest, the same for the core and the exchange", 120)
        expect(self.orders.locator("tbody tr")).to_have_count(4)

    def _rests(self) -> bool:
        # The core may not have heard of the last fill yet; then it goes on.
        known = set(self.ask(PAUSE).split())
        return len(known) == 4 and known == {order.client_order_id for order in self.open_orders()}

    def shoot(self, name: str) -> None:
        """Leave a picture of the page."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@contextlib.contextmanager
def opened(
    chromium: Any, lab: LabServer, exchange: Exchange, name: str, *, account: str = "mode='live'", options: str = ""
) -> Iterator[Session]:
    """Give a session whose four orders rest; when its kernel has ended, none of them may be left."""
    page = new_page(chromium, 1400, 1200)
    cells = [ENDPOINT, START.format(name=name, account=account, options=options), SHOW]
    try:
        notebook = Notebook.write(page, lab, f"{name}.ipynb", cells)
        notebook.run_all()
        assert notebook.errors() == []
        session = Session(notebook, exchange, name)
        expect(session.orders.locator("tbody tr")).to_have_count(4, timeout=60_000)
        yield session
    finally:
        page.context.close()
        lab.end_kernels()
    until(lambda: not session.open_orders(), "the end of the kernel cancels what is left", 60)

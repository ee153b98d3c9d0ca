"""The live panels in a real JupyterLab: seen, worked by hand, and their effect checked on the exchange's side."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.lab import RULES, RUN, resize
from tests.browser.notebook import COLOURS, Notebook
from tests.browser.session import PAUSE

NAME = "widgets.ipynb"
CELLS = [
    f"""import kit
import kit.notebook as panels

testnet = await kit.Testnet.start("widgets")
core = kit.TradingCore("widgets", tick_size=0.25, loop="LOOP", stall_limit=120)
core.disarm_rules = {RULES}
market = await core.add_connector("binance", ["BTC/USDT"], mode="live", endpoint=testnet)
strategy = core.strategy = kit.PureMarketMaking(
    market, "BTC/USDT", bid_spread="0.002", ask_spread="0.002", order_amount="0.01", order_levels=2,
    order_level_spread="0.001", order_refresh_time=2, filled_order_delay=1)
{RUN}""",
    'panels.depth(market, "BTC/USDT")',
    'panels.ladder(market, "BTC/USDT", levels=6)',
    "panels.controls(strategy)",
    "panels.orders(core)",
]


def changed(locator):
    """Wait until the text of a locator is another one."""
    before = locator.inner_text()
    expect(locator).not_to_have_text(before, use_inner_text=True)


TIMER = """
import asyncio
from kit.notebook.refresh import refresher_of
print(refresher_of(asyncio.get_running_loop()).waiting)"""


RESTING = "print(*[order.client_order_id for order in await testnet.open_orders()])"


def quiet(kernel):
    """Have four orders rest, the same ones for the core and the exchange, until something is done to them."""
    kernel("await testnet.freeze_flow()")
    until(lambda: len(known := kernel(PAUSE).split()) == 4 and set(known) == set(kernel(RESTING).split()), "rest", 120)


def stays_inside(panel):
    return panel.evaluate("element => element.scrollWidth <= element.clientWidth")


def own_bid(kernel):
    """Return how far below the mid price the exchange has the best own buy order, a fraction."""
    return float(
        kernel(
            "prices = [order.price for order in await testnet.open_orders() if order.side is kit.TradeType.BUY]\n"
            "print(1 - max(prices) / market.get_mid_price('BTC/USDT') if prices else 'nan')"
        )
    )


@pytest.mark.parametrize("loop", ["kernel", "thread"])
def test_panels(lab, page, screenshot, loop):
    page.set_viewport_size({"width": 1280, "height": 1900})
    notebook = Notebook.write(page, lab, f"{loop}-{NAME}", [cell.replace("LOOP", loop) for cell in CELLS])
    kernel = notebook.ask
    notebook.theme("Light")
    notebook.run_all()
    names = ("depth", "ladder", "controls", "orders")
    depth, ladder, controls, orders = (page.locator(f".kit-{name}") for name in names)

    # The panels show the market and the strategy's orders, and go on by themselves.
    expect(orders.locator("tbody tr")).to_have_count(4, timeout=60_000)
    until(lambda: depth.locator("canvas").evaluate(COLOURS) > 4, "the depth is drawn")
    changed(ladder.locator("tbody tr.bid").first)

    # The chart is read by keyboard and by pointer.
    depth.locator("canvas").press("ArrowRight")
    expect(depth.locator(".readout")).to_have_text(re.compile(r"^[\d,]+\.\d\d USDT: [\d,.]+ BTC"))
    depth.locator("canvas").blur()
    expect(depth.locator(".readout")).to_have_text("")
    depth.locator("canvas").hover(position={"x": 200, "y": 60})
    expect(depth.locator(".readout")).to_contain_text("BTC")
    screenshot(f"panels-light-{loop}")

    # A wrong set is refused beside its field, and nothing of it is applied.
    spread = controls.locator("[data-name=bid_spread] input[type=text]")
    controls.locator("[data-name=ask_spread] input[type=text]").fill("0.3")
    spread.fill("half")
    controls.get_by_role("button", name="Apply 2 changes").click()
    expect(controls.locator("[data-name=bid_spread] .note")).to_contain_text("not a number")
    assert kernel("print(strategy.params.bid_spread, strategy.params.ask_spread)").split() == ["0.002", "0.002"]
    notebook.theme("Dark")
    screenshot(f"panels-dark-{loop}")

    # A right one moves the orders on the exchange; Enter is as good as the button.
    until(lambda: own_bid(kernel) < 0.003, "buy orders near the mid price")
    spread.fill("0.6")
    spread.press("Enter")
    expect(controls.locator(".said")).to_have_text(re.compile("^appli"))
    until(lambda: own_bid(kernel) > 0.005, "the buy orders to move away")
    assert kernel("print(strategy.params.ask_spread)").strip() == "0.003"

    # What code changes shows at once.
    kernel("strategy.params.update(bid_spread='0.004')")
    expect(spread).to_have_value("0.4")
    until(lambda: own_bid(kernel) < 0.005, "the buy orders to come back")

    # The slider works by keyboard, and nothing happens before Apply.
    controls.locator("[data-name=bid_spread] input[type=range]").press("ArrowRight")
    expect(spread).to_have_value("0.41")
    controls.get_by_role("button", name="Revert").click()
    expect(spread).to_have_value("0.4")

    # An order is cancelled by its row, with the keyboard.
    quiet(kernel)
    expect(orders.locator("tbody tr")).to_have_count(4)
    row = orders.locator("tbody tr").nth(1)
    key = row.get_attribute("data-order")
    row.get_by_role("button").press("Enter")
    expect(orders.locator(f"[data-order='{key}']")).to_have_count(0)
    expect(orders.locator("tbody tr")).to_have_count(3)
    expect(orders.locator(".said")).to_have_text(re.compile("BTC/USDT was cancelled$"))
    ids = kernel(RESTING).split()
    assert len(ids) == 3
    assert key.partition("/")[2] not in ids

    # In a narrow place everything stays inside.
    resize(page, 640, 1900, orders)
    for panel in (depth, ladder, controls, orders):
        until(lambda panel=panel: stays_inside(panel), "everything is inside")
    screenshot(f"panels-narrow-{loop}")

    # Nothing is hidden in the error list, and the timer ends with the core.
    stopped = kernel("print((await core.stop()).clean, [str(error) for error in core.errors.items])")
    assert stopped.split() == ["True", "[]"]
    for panel in (depth, orders):
        panel.scroll_into_view_if_needed()
        expect(panel.locator(".badge")).to_have_text("stopped")
    until(lambda: kernel(TIMER).strip() == "False", "the end of the timer")
    kernel("await testnet.stop()")

"""What objects and panels show in a real JupyterLab: drawn, alive, light and dark, narrow; and their plain pictures."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.lab import RULES, RUN, resize
from tests.browser.notebook import COLOURS, Notebook

PANELS = [
    f"""import kit
import kit.notebook as panels

testnet = await kit.Testnet.start("views")
core = kit.TradingCore("views", tick_size=0.25, guard=False)
market = await core.add_connector("binance", ["BTC/USDT"], mode="live", endpoint=testnet)
strategy = core.strategy = kit.PureMarketMaking(
    market, "BTC/USDT", bid_spread="0.00002", ask_spread="0.00002", order_amount="0.01", order_levels=2,
    order_level_spread="0.0001", order_refresh_time=2, filled_order_delay=0.5)
core.disarm_rules = {RULES}
{RUN}""",
    'panels.price(market, "BTC/USDT")',
    "panels.pnl(core)",
    "panels.balances(core)",
    "panels.log(core)",
]

# Somebody trades with every order of ours until there are so many fills: the market's chance need not bring any.
FILLS = """import asyncio
while len(core.fills) < {count} or len(core.pnl_history) < {count}:
    for order in await testnet.open_orders():
        side = "sell" if order.side is kit.TradeType.BUY else "buy"
        await testnet.trade("BTC/USDT", side, 5, order.price, time_in_force="IOC")
    await asyncio.sleep(0.2)
"""

OBJECTS = [
    PANELS[0].replace('"views"', '"shown"'),
    "market",
    'market["BTC/USDT"]',
    "strategy",
    "market.balances",
    "core.clock",
    "testnet",
    'market.rule("BTC/USDT")',
    """import asyncio
while not market.in_flight_orders:
    await asyncio.sleep(0.1)
next(iter(market.in_flight_orders.values()))""",
    'market["BTC/USDT"].plot(orders=market.limit_orders, levels=60)',
    f"{FILLS.format(count=3)}core.plot_pnl()",
    "core",
]


@pytest.fixture
def tall(page):
    page.set_viewport_size({"width": 1280, "height": 2000})
    return page


def trouble(notebook):
    return notebook.ask("print([str(each) for each in core.errors.items])")


def test_panels_of_price_profit_balances_and_log(lab, tall, screenshot):
    page = tall
    notebook = Notebook.write(page, lab, "views.ipynb", PANELS)
    notebook.theme("Light")
    notebook.run_all()
    price, pnl, balances, log = (page.locator(f".kit-{name}") for name in ("price", "pnl", "balances", "log"))

    # Own fills come, and every panel knows of them.
    notebook.ask(FILLS.format(count=4))
    expect(pnl.locator(".fills b")).not_to_have_text("0")
    for canvas in (price.locator("canvas"), pnl.locator("canvas")):
        until(lambda canvas=canvas: canvas.evaluate(COLOURS) > 8, "a picture")
    expect(pnl.locator(".profit b")).to_have_text(re.compile("^[+\N{MINUS SIGN}]"))
    expect(balances.locator("tbody tr")).to_have_count(3)
    screenshot("views-light")

    # Charts are read by keyboard and by pointer, and change their span.
    chart = price.locator("canvas")
    chart.focus()
    chart.press("ArrowLeft")
    expect(price.locator(".readout")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d [\d,]+\.\d\d"))
    pnl.locator("canvas").hover(position={"x": 200, "y": 60})
    expect(pnl.locator(".readout")).to_contain_text("USDT")
    price.get_by_label("time shown").select_option("5 min")

    # Errors are counted and unfold; lines are filtered by level.
    notebook.ask(
        "import logging\n"
        "def broken():\n    raise RuntimeError('nobody waits for me')\n"
        "for _ in range(3):\n"
        "    try:\n        broken()\n"
        "    except RuntimeError as error:\n        core.errors.note('a listener', error)\n"
        "core.log.add(logging.INFO, 'test', 'all is well')\n"
        "core.log.add(logging.WARNING, 'test', 'look here')"
    )
    expect(log.locator(".errors details")).to_have_count(1)
    expect(log.locator(".errors summary")).to_contain_text("3 times")
    log.locator(".errors summary").press("Enter")
    expect(log.locator(".errors pre")).to_contain_text("in broken")
    expect(log.get_by_text("all is well")).to_be_visible()
    log.get_by_label("least level shown").select_option("warning")
    expect(log.get_by_text("all is well")).to_be_hidden()
    expect(log.get_by_text("look here")).to_be_visible()
    log.get_by_label("least level shown").select_option("debug")
    notebook.theme("Dark")
    screenshot("views-dark")
    log.get_by_role("button", name="clear errors").click()
    expect(log.locator(".errors details")).to_have_count(0)

    # In a narrow place everything stays inside.
    resize(page, 700, 2000, price)
    for panel in (price, pnl, balances, log):
        inside = "element => element.scrollWidth <= element.clientWidth"
        until(lambda panel=panel, inside=inside: panel.evaluate(inside), "everything is inside")
    screenshot("views-narrow")

    assert trouble(notebook) == "[]"
    assert notebook.ask("print((await core.stop()).clean)") == "True"
    price.scroll_into_view_if_needed()
    expect(price.locator(".badge")).to_have_text("stopped")
    notebook.ask("await testnet.stop()")


def test_objects_draw_themselves(lab, tall, screenshot):
    page = tall
    page.set_viewport_size({"width": 1280, "height": 5200})
    notebook = Notebook.write(page, lab, "objects.ipynb", OBJECTS)
    notebook.theme("Light")
    notebook.run_all()
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=60_000)
    expect(cells.nth(2)).to_contain_text("depth")
    expect(cells.nth(3).locator(".kit-controls")).to_be_visible()
    expect(cells.nth(11).locator(".kit-cockpit")).to_be_visible()
    assert notebook.errors() == []
    screenshot("objects-light")
    notebook.theme("Dark")
    screenshot("objects-dark")
    assert trouble(notebook) == "[]"
    assert notebook.ask("print((await core.stop()).clean)") == "True"
    notebook.ask("await testnet.stop()")

"""The cockpit as a user sees it: nothing cut off, everything readable, live only by typing, the same in every place."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.lab import RULES, RUN, await_kernel, resize
from tests.browser.notebook import Notebook
from tests.browser.session import arm

START = f"""import kit
testnet = await kit.Testnet.start("layout")
core = kit.TradingCore({{name!r}}, tick_size=0.5, stall_limit=120)
core.disarm_rules = {RULES}
market = await core.add_connector(
    "binance", ["BTC/USDT", "ETH/USDT"], mode="paper", endpoint=testnet, balances={{{{"BTC": 1, "USDT": 100000}}}})
core.strategy = kit.PureMarketMaking(
    market, "BTC/USDT", bid_spread="0.0003", ask_spread="0.0003", order_amount="0.01", order_levels=2,
    order_level_spread="0.0002", order_refresh_time=4, filled_order_delay=1)
{RUN}"""
PARTS = ("depth", "orders", "price", "pnl", "controls", "balances", "health", "log")

# Every text with less contrast to its ground than WCAG AA asks for (4.5, or 3 where it is large); what is disabled is
# let off there, and here.
FAINT = """root => {
    const channels = color => {
        const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
    const ground = element => {
        const layers = [];
        for (let at = element; at; at = at.parentElement) {
            const color = channels(getComputedStyle(at).backgroundColor);
            if (color[3] > 0) layers.push(color);
            if (color[3] === 1) break;
        }
        return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
    };
    const light = color => {
        const [r, g, b] = color.map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faint = [];
    for (const element of root.querySelectorAll('*')) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.offsetParent || element.closest(':disabled, .sr')) continue;
        const style = getComputedStyle(element), under = ground(element);
        const [one, two] = [light(over(channels(style.color), under)), light(under)];
        const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
        const large = parseFloat(style.fontSize) >= 18.6 && Number(style.fontWeight) >= 700;
        const text = `${element.className} ${element.textContent.slice(0, 30)} ${ratio.toFixed(2)}`;
        if (ratio < (large ? 3 : 4.5)) faint.push(text);
    }
    return faint; }"""

# What sticks out of the cockpit, or of its part, to the side.
OUTSIDE = """root => {
    const box = root.getBoundingClientRect(), out = [];
    for (const element of root.querySelectorAll('*')) {
        const own = element.getBoundingClientRect();
        if (!own.width || element.closest('.sr, .scroll, ol.lines')) continue;
        if (own.right > box.right + 1 || own.left < box.left - 1) out.push(`${element.tagName} ${element.className}`);
    }
    for (const scroll of root.querySelectorAll('.scroll')) {
        if (scroll.scrollWidth > scroll.clientWidth + 1) out.push(`cut off: ${scroll.getAttribute('aria-label')}`);
    }
    return out; }"""

# What no screen reader could name.
NAMELESS = """root => [...root.querySelectorAll('button, input, select, canvas, [role=region]')]
    .filter(each => each.offsetParent)
    .filter(each => !(each.getAttribute('aria-label') || each.textContent.trim() || each.labels?.length))
    .map(each => each.outerHTML.slice(0, 90))"""


CHECKS = {"outside": OUTSIDE, "faint": FAINT, "nameless": NAMELESS}


@pytest.fixture
def shot(page, screenshot):
    def shoot(name):
        page.wait_for_timeout(400)
        screenshot(f"layout-{name}")

    return shoot


def check(cockpit, where):
    """Wait until the page has laid out what was last changed, and nothing is wrong with it."""
    wrong = {}

    def good():
        wrong.update({test: cockpit.evaluate(script) for test, script in CHECKS.items()})
        return not any(wrong.values())

    try:
        until(good, where)
    finally:
        assert not any(wrong.values()), (where, wrong)


def step(cockpit, state):
    return cockpit.locator(f"button.step[data-state={state}]")


def test_live_is_typed_and_everything_can_be_read(lab, page, shot):
    page.set_viewport_size({"width": 1280, "height": 1500})
    notebook = Notebook.write(page, lab, "layout.ipynb", [START.format(name="layout"), "kit.notebook.cockpit(core)"])
    notebook.run_all()
    cockpit = page.locator(".kit-cockpit").first
    cockpit.scroll_into_view_if_needed()
    for part in PARTS:
        expect(cockpit.locator(f".part-{part} .kit-{part}")).to_be_visible()
    expect(cockpit.locator(".kit-orders tbody tr").first).to_be_visible(timeout=60_000)
    expect(cockpit.locator(".step.current")).to_have_text(re.compile("Paper"))
    expect(cockpit.locator(".banner")).to_be_hidden()
    expect(cockpit.locator(".kit-health").get_by_text("works here")).to_be_visible(timeout=60_000)
    check(cockpit, "paper, light")
    shot("paper-light")

    # The pair is chosen for depth and price at once.
    cockpit.locator("select.choice[aria-label*=pair]").select_option("binance ETH/USDT")
    expect(cockpit.locator(".kit-depth .head b")).to_have_text("ETH/USDT")
    expect(cockpit.locator(".kit-price .head b")).to_have_text("ETH/USDT")
    cockpit.locator("select.choice[aria-label*=pair]").select_option("binance BTC/USDT")

    # Arming by keyboard: the checks, then the confirmation, which has the focus.
    arm(cockpit, lambda: step(cockpit, "live").press("Enter"))
    entry = cockpit.locator(".confirmation input")
    expect(entry).to_be_focused()
    expect(cockpit.locator(".banner")).to_contain_text("ARMED")
    expect(cockpit.locator(".checks tbody tr").filter(has_text="able to trade")).to_contain_text("passed")
    expect(step(cockpit, "armed")).to_contain_text(re.compile(r"\d+ s left"))
    page.keyboard.type("yes")
    page.keyboard.press("Enter")
    expect(cockpit.locator(".confirmation .note")).to_contain_text("'yes' does not confirm")
    assert notebook.ask("print(core.trading_state.value)") == "armed"
    check(cockpit, "armed, light")
    shot("armed-light")

    entry.fill("btc/usdt")
    entry.press("Enter")
    expect(cockpit.locator(".banner")).to_contain_text("LIVE ON TESTNET")
    expect(cockpit.locator(".banner")).to_contain_text("no real money")
    until(lambda: int(notebook.ask("print(len(await testnet.open_orders()))")) > 0, "orders on the exchange")
    check(cockpit, "live, light")
    shot("live-light")
    notebook.theme("Dark")
    check(cockpit, "live, dark")
    shot("live-dark")

    # The banner, the switch and the red button stay in sight.
    page.set_viewport_size({"width": 1280, "height": 700})
    cockpit.locator(".part-log").scroll_into_view_if_needed()
    for piece in (cockpit.locator(".banner"), cockpit.locator("button.red")):
        until(lambda piece=piece: 60 < piece.bounding_box()["y"] < 640, "in sight")
    shot("scrolled-dark")

    # Going back: the exchange's word, and nothing left there.
    step(cockpit, "paper").click()
    expect(cockpit.locator(".step.current")).to_have_text(re.compile("Paper"))
    expect(cockpit.locator(".more .lines")).to_contain_text("0 open on the exchange")
    assert notebook.ask("print(len(await testnet.open_orders()))") == "0"

    # 640 pixels, and less.
    notebook.command("application:toggle-left-area")
    resize(page, 640, 2300, cockpit)
    cockpit.evaluate("element => element.scrollIntoView({ block: 'start' })")
    check(cockpit, "640 px")
    shot("640-dark")
    notebook.theme("Light")
    resize(page, 440, 2300, cockpit)
    cockpit.evaluate("element => element.scrollIntoView({ block: 'start' })")
    check(cockpit, "440 px")
    shot("440-light")
    resize(page, 1280, 1000, cockpit)

    # Parts fold, and stay folded where the cockpit is shown again: beside the notebook.
    cockpit.locator(".part-depth .fold").click()
    expect(cockpit.locator(".part-depth .kit-depth")).to_be_hidden()
    notebook.command("notebook:create-output-view")
    beside = page.locator(".jp-LinkedOutputView .kit-cockpit")
    expect(beside.locator(".part-depth .fold")).to_have_attribute("aria-expanded", "false")
    expect(beside.locator(".kit-orders tbody tr").first).to_be_visible(timeout=60_000)
    check(beside, "beside the notebook")
    shot("beside-light")
    assert cockpit.evaluate("() => localStorage.removeItem('kit-cockpit-folded')") is None


def test_in_notebook_7(lab, page, shot):
    page.set_viewport_size({"width": 1280, "height": 1800})  # a panel that nobody sees is not drawn
    notebook = Notebook.write(page, lab, "seven.ipynb", [START.format(name="seven"), "kit.notebook.cockpit(core)"])
    page.goto(f"{lab.url}/notebooks/{notebook.name}")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=180_000)
    await_kernel(page)
    page.locator(".jp-CodeCell").first.click()
    for _ in range(2):
        page.keyboard.press("Shift+Enter")
    cockpit = page.locator(".kit-cockpit")
    expect(cockpit.locator(".kit-orders tbody tr").first).to_be_visible(timeout=60_000)
    expect(cockpit.locator(".kit-health").get_by_text("works here")).to_be_visible(timeout=60_000)
    check(cockpit, "Notebook 7")
    shot("notebook-7")
    cockpit.locator("button.red").press("Enter")
    expect(cockpit.locator(".news")).to_contain_text("core off")
    expect(cockpit.locator(".step.current")).to_have_text(re.compile("Off"))
    shot("notebook-7-red")

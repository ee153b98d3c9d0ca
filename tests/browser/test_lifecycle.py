"""A core with its cockpit in one notebook, worked by hand; what happens is read on the exchange, outside the kernel."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.lab import resize
from tests.browser.notebook import COLOURS
from tests.browser.session import opened

# What every number refuses, and sets that contradict each other.
OUT_OF_BOUNDS = "-1000000"
UNBOUNDED = {"order_level_amount"}
CONTRADICTIONS = [
    {"price_ceiling": "100", "price_floor": "200"},
    {"bid_spread": "-0.1"},
    {"bid_order_level_spreads": "1, 2", "bid_order_level_amounts": "1"},
]


@pytest.fixture(scope="module")
def session(chromium, lab, exchange):
    with opened(chromium, lab, exchange, "lifecycle") as session:
        yield session


@pytest.fixture
def quiet(session):
    try:
        session.quiet()
        yield session
    finally:
        session.ask("strategy.resume()")
        session.exchange.freeze(False)


def test_the_cockpit_shows_the_session(session):
    canvas = session.cockpit.locator(".kit-depth canvas")
    canvas.scroll_into_view_if_needed()
    until(lambda: canvas.evaluate(COLOURS) > 4, "the depth is drawn")
    expect(session.cockpit.locator(".banner")).to_contain_text("LIVE")
    for theme in ("Light", "Dark"):
        session.notebook.theme(theme)
        session.shoot(f"cockpit-{theme.lower()}")
    session.notebook.theme("Light")


@pytest.mark.parametrize("width", [960, 640])
def test_everything_stays_inside_in_a_narrow_window(session, width):
    try:
        resize(session.page, width, 1700, session.cockpit)
        for part in (".kit-cockpit", *(f".kit-cockpit .kit-{name}" for name in ("depth", "controls", "orders"))):
            inside = session.page.locator(part).first
            until(lambda: inside.evaluate("part => part.scrollWidth <= part.clientWidth"), f"{part} overflows")  # noqa: B023
    finally:
        session.shoot(f"cockpit-{width}")
        resize(session.page, 1400, 1200, session.cockpit)


def test_a_spread_slider_moves_the_orders_on_the_exchange(session):
    until(lambda: session.nearest() < 0.003, "orders near the mid price")
    field = session.field("bid_spread")
    slider, entry = field.locator("input[type=range]"), field.locator("input[type=text]")
    box = slider.bounding_box()
    slider.click(position={"x": box["width"] * 0.9, "y": box["height"] / 2})
    until(lambda: float(entry.input_value()) > 0.3, "the entry follows the slider")
    wanted = float(entry.input_value()) / 100
    assert session.ask("print(strategy.params.bid_spread)") == "0.002"  # nothing before Apply
    session.shoot("slider-moved")
    session.controls.get_by_role("button", name="Apply").click()
    until(lambda: abs(session.nearest() - wanted) < wanted / 4, f"the nearest buy order is {wanted:.2%} away")
    expect(session.controls.locator(".said")).to_have_text(re.compile("^applied"))
    session.shoot("slider-applied")
    session.ask("strategy.params.update(bid_spread='0.002')")
    until(lambda: session.ask("print(strategy.params.bid_spread)") == "0.002", "the spread is the old one again")


def test_one_order_is_cancelled_by_its_row(quiet):
    before = {order.client_order_id for order in quiet.open_orders()}
    row = quiet.orders.locator("tbody tr").nth(1)
    order_id = row.get_attribute("data-order").partition("/")[2]
    row.get_by_role("button").click()
    expect(quiet.orders.locator(f"[data-order$='{order_id}']")).to_have_count(0)
    expect(quiet.orders.locator("tbody tr")).to_have_count(3)
    assert {order.client_order_id for order in quiet.open_orders()} == before - {order_id}
    quiet.shoot("row-cancelled")


@pytest.mark.parametrize("text", ["ten", OUT_OF_BOUNDS])
def test_every_number_refuses_what_is_none(quiet, text):
    before = quiet.ask("print(strategy.params.as_dict())"), quiet.open_orders()
    quiet.controls.locator("details").evaluate("details => { details.open = true; }")
    entries = quiet.controls.locator(".field.number")
    names = [entry.get_attribute("data-name") for entry in entries.all()]
    names = [name for name in names if not (text == OUT_OF_BOUNDS and name in UNBOUNDED)]
    assert len(names) > 15
    for name in names:
        quiet.field(name).locator("input[type=text]").fill(text)
    quiet.controls.get_by_role("button", name=f"Apply {len(names)} changes").click()
    for name in names:
        field = quiet.field(name)
        expect(field.locator(".note")).to_be_visible()
        expect(field.locator("input[type=text]")).to_have_attribute("aria-invalid", "true")
    quiet.shoot(f"controls-{'letters' if text == 'ten' else 'out-of-bounds'}")
    quiet.controls.get_by_role("button", name="Revert").click()
    assert (quiet.ask("print(strategy.params.as_dict())"), quiet.open_orders()) == before


@pytest.mark.parametrize("values", CONTRADICTIONS, ids=lambda values: next(iter(values)))
def test_contradicting_sets_are_refused_beside_their_fields(quiet, values):
    before = quiet.ask("print(strategy.params.as_dict())"), quiet.open_orders()
    quiet.controls.locator("details").evaluate("details => { details.open = true; }")
    for name, text in values.items():
        quiet.field(name).locator("input[type=text]").fill(text)
    quiet.controls.get_by_role("button", name="Apply").click()
    expect(quiet.controls.locator(".said.bad")).to_be_visible()
    notes = [quiet.field(name).locator(".note") for name in values]
    until(lambda: any(name in note.inner_text() for name in values for note in notes), "the refusal is beside a field")
    quiet.shoot(f"controls-{next(iter(values))}")
    quiet.controls.get_by_role("button", name="Revert").click()
    assert (quiet.ask("print(strategy.params.as_dict())"), quiet.open_orders()) == before


def test_the_red_button_works_while_a_cell_sleeps(quiet):
    quiet.notebook.sleep(300)  # the guard would act by itself after 120 s
    began = time.monotonic()
    quiet.cockpit.locator("button.red").click()
    until(lambda: not quiet.open_orders(), "no order is open on the exchange", 30.0, 0.02)
    took = time.monotonic() - began
    print(f"red button: no order is open {took:.2f} s after the click")
    expect(quiet.cockpit.locator(".news")).to_contain_text("4 orders cancelled, 0 open")
    assert quiet.notebook.sleeps
    quiet.shoot("red-button-while-sleeping")
    quiet.notebook.interrupt()
    expect(quiet.cockpit.locator(".step[aria-current]")).to_have_attribute("data-state", "off")
    expect(quiet.cockpit.locator(".banner")).to_be_hidden()
    quiet.shoot("red-button-afterwards")

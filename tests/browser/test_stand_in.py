"""What stands in for a panel while no frame comes: an exported page has no kernel, a busy kernel has no time."""

import pytest
from playwright.sync_api import expect

from kit.notebook.cockpit_widget import CockpitWidget
from kit.notebook.widgets import LadderWidget
from tests.browser import bare_page

SNAPSHOT = "<table><tr><td>61,700.12</td></tr></table>"


@pytest.fixture
def show(page):
    page.clock.install()

    def show(widget, *, kernel=False, seen=True):
        bare_page.show(page, widget, snapshot=SNAPSHOT, kernel=kernel)
        page.wait_for_function("seen => window.visible === seen", arg=seen)

    return show


@pytest.mark.parametrize("widget", [LadderWidget, CockpitWidget])
def test_without_a_kernel_the_page_shows_what_was_there(show, page, widget):
    show(widget)
    snapshot = page.locator(".kit-snapshot")
    expect(snapshot).to_have_count(0)
    page.clock.fast_forward(3000)
    expect(snapshot).to_have_count(1)
    expect(snapshot).to_contain_text("61,700.12")
    expect(snapshot).to_contain_text("live only where its kernel runs")
    root = page.locator("body > .kit").first
    assert root.bounding_box()["height"] <= 1


def test_a_panel_that_nobody_sees_gets_no_frames_and_needs_none(show, page):
    page.evaluate("() => { document.body.innerHTML = '<div style=\"height: 5000px\"></div>'; }")
    show(LadderWidget, kernel=True, seen=False)
    page.clock.fast_forward(60_000)
    expect(page.locator(".kit-snapshot")).to_have_count(0)
    page.locator(".kit-ladder").scroll_into_view_if_needed()
    page.wait_for_function("() => window.visible === true")
    page.clock.fast_forward(3000)
    expect(page.locator(".kit-snapshot")).to_have_count(1)


def test_a_view_that_ends_takes_it_away(show, page):
    show(LadderWidget)
    page.clock.fast_forward(3000)
    expect(page.locator(".kit-snapshot")).to_be_visible()
    page.evaluate("() => window.leave()")
    expect(page.locator(".kit-snapshot")).to_have_count(0)


def test_a_busy_kernel_leaves_the_buttons_where_they_are_and_a_first_frame_takes_its_place(show, page):
    show(CockpitWidget, kernel=True)
    page.clock.fast_forward(3000)
    expect(page.locator(".kit-snapshot")).to_contain_text("the kernel is busy or gone")
    expect(page.locator(".kit-red button").first).to_be_visible()
    page.evaluate(
        "message => window.tell(message)",
        {
            "kind": "frame",
            "part": "",
            "seq": 1,
            "full": True,
            "choices": [],
            "chosen": "",
            "read_only": "",
            "core": "main",
        },
    )
    expect(page.locator(".kit-snapshot")).to_have_count(0)

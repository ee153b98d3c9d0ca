"""Panels whose messages come late or in another order than they were sent, as several threads of a kernel send them."""

import pytest
from playwright.sync_api import expect

from kit.notebook.cockpit_widget import RedWidget, SwitchWidget
from tests.browser import bare_page

TELL = "async message => { window.tell(message); await window.painted(); }"


@pytest.fixture
def show(page):
    return lambda widget: bare_page.show(page, widget)


def press(*ways):
    stages = [stage for _, stage, _ in ways]
    stage = "done" if "done" in stages else "acting"
    text = next(text for _, at, text in ways if at == stage)
    return {"number": 1, "time": 0.0, "stage": stage, "text": text, "took": None, "ways": [list(way) for way in ways]}


def test_the_end_of_a_red_press_outlasts_older_news_that_comes_later(show, page):
    show(RedWidget)
    acting, done = ("guard", "acting", "the guard cancels"), ("guard", "done", "4 orders cancelled, 0 open")
    waits, off = ("core", "acting", "waits for the core's loop"), ("core", "done", "core off")
    news = page.locator(".news")
    for ways in ([acting], [done, waits], [acting, waits], [acting]):
        page.evaluate(TELL, {"kind": "news", "press": press(*ways)})
    expect(news).to_contain_text("4 orders cancelled, 0 open")
    expect(news).to_have_attribute("data-stage", "done")
    expect(news).to_contain_text("waits for the core's loop")
    page.evaluate(TELL, {"kind": "news", "press": press(done, off)})
    expect(news).to_contain_text("core off")
    page.evaluate(TELL, {"kind": "news", "press": press(acting, waits) | {"number": 2}})
    expect(news).to_have_attribute("data-stage", "acting")


def test_the_confirmation_has_the_focus_once_it_can_be_typed(show, page):
    show(SwitchWidget)
    switch = {
        "kind": "frame",
        "seq": 1,
        "full": True,
        "core": "main",
        "state": "paper",
        "meanings": {"off": "", "paper": "", "armed": "", "live": ""},
        "since": 0.0,
        "until": None,
        "reason": "",
        "busy": "",
        "outcome": None,
        "checks": [],
        "confirmations": ["binance"],
        "last_word": "",
        "accounts": [],
        "running": True,
        "in_use": True,
        "strategy": None,
        "read_only": "",
        "now": 0.0,
    }
    page.evaluate(TELL, switch)
    page.locator(".step[data-state=live]").click()
    entry = page.locator(".confirmation input")
    # The core is armed a moment before the errand that armed it has ended.
    page.evaluate(TELL, switch | {"state": "armed", "busy": "checking"})
    expect(entry).to_be_disabled()
    page.evaluate(TELL, switch | {"state": "armed"})
    expect(entry).to_be_focused()

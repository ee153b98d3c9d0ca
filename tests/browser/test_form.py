"""The form of parameters on an empty page, its model in the test: changes applied at once, names of fields."""

from decimal import Decimal as D

import pytest
from playwright.sync_api import expect

import kit
from kit.notebook.controls_model import ControlsModel
from kit.notebook.widgets import ControlsWidget
from tests.browser import bare_page


class Making(kit.Strategy):
    Params = kit.PureMarketMaking.Params


@pytest.fixture
def strategy():
    return Making(bid_spread="0.002", ask_spread="0.002", order_amount="0.01")


@pytest.fixture
def form(page, strategy):
    model = ControlsModel(strategy)
    count = 0

    def frame(full):
        nonlocal count
        made = model.frame(full)
        if made is None:
            return []
        count += 1
        return [{"kind": "frame", "seq": count, "full": made.full, **made.content}]

    def on_message(message):
        if message["kind"] == "command":
            answer = model.command({"do": message["do"], "values": message.get("values")})
            return [
                {"kind": "answer", "id": message["id"], "number": message["number"], "ok": True, **answer},
                *frame(False),
            ]
        return frame(True) if message.get("paint") else []

    page.expose_function("toKernel", on_message)
    bare_page.show(page, ControlsWidget)
    expect(page.get_by_label("bid spread", exact=True).last).to_be_visible()
    return page.locator(".kit-controls")


def entry(form, name):
    return form.locator(f"[data-name={name}] input:not([type=range])")


def test_at_once_needs_no_button_and_refuses_beside_the_field(form, strategy):
    apply = form.get_by_role("button", name="Apply")
    spread = entry(form, "bid_spread")
    spread.fill("0.3")
    spread.blur()
    expect(apply).to_be_enabled()
    assert strategy.params.bid_spread == D("0.002")
    form.get_by_label("at once").check()
    expect(apply).to_be_hidden()
    expect(form.locator("[role=status]").first).to_contain_text("applied")
    assert strategy.params.bid_spread == D("0.003")
    spread.fill("0.25")
    spread.blur()
    expect(form.locator(".dirty")).to_have_count(0)
    assert strategy.params.bid_spread == D("0.0025")
    spread.fill("wide")
    spread.blur()
    expect(form.locator("[data-name=bid_spread]")).to_contain_text("is not a number")
    assert strategy.params.bid_spread == D("0.0025")
    form.get_by_label("at once").uncheck()
    expect(apply).to_be_visible()


def test_parameters_that_differ_by_percent_have_names_of_their_own(form):
    form.locator("summary").click()
    labels = form.locator("label").all_text_contents()
    assert {"price ceiling", "price ceiling pct", "price floor", "price floor pct"} <= set(labels)
    assert "inventory target base" in labels

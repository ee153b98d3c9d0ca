"""The quickstart in a real JupyterLab, as a user sees it."""

from playwright.sync_api import expect

from tests.browser.lab import cell
from tests.browser.notebook import Notebook


def test_run_all(lab, page, screenshot):
    notebook = Notebook(page, lab, "00_quickstart.ipynb").open()
    notebook.run_all()
    assert notebook.errors() == []
    for source, text in [("book.bids.head()", "cumulative"), ("core.orders.tail(8)", "client_order_id")]:
        output = cell(page, source).locator(".jp-Cell-outputArea")
        output.scroll_into_view_if_needed()
        expect(output).to_contain_text(text)
    plots = page.locator(".js-plotly-plot")
    plots.first.scroll_into_view_if_needed()
    expect(plots.first.locator(".trace").first).to_be_visible(timeout=60_000)
    screenshot("quickstart-depth")
    cell(page, "core.fills").scroll_into_view_if_needed()
    screenshot("quickstart-fills")
    assert page.locator(".jp-Notebook .jp-OutputArea-output[data-mime-type*='stderr']").all_inner_texts() == []
    stop = "report = await core.stop()\nprint(report.clean, len(await testnet.open_orders()))"
    assert notebook.ask(stop).splitlines()[-1] == "True 0"

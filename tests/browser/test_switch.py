"""From paper to live and back by the switch, with the exchange as the witness."""

from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.session import arm, opened


def test_live_needs_the_name_typed_and_going_back_cancels_first(chromium, lab, exchange):
    account = "mode='paper', balances={'BTC': 10, 'USDT': 1_000_000}"
    with opened(chromium, lab, exchange, "switched", account=account) as session:
        cockpit = session.cockpit
        state = cockpit.locator(".step[aria-current]")
        expect(state).to_have_attribute("data-state", "paper")
        expect(cockpit.locator(".banner")).to_be_hidden()
        assert session.open_orders() == []  # what trades is on paper
        session.shoot("switch-paper")

        # Pre-flight, each check with its result; the strategy trades on paper until it is confirmed.
        arm(cockpit, cockpit.locator(".step[data-state=live]").click)
        checks = cockpit.locator(".checks tbody tr")
        for name in ("account", "clock", "balance", "rules", "book", "guard"):
            expect(checks.filter(has=cockpit.page.locator("th", has_text=name)).first).to_be_visible()
        assert session.open_orders() == []
        session.shoot("switch-armed")

        # A wrong word is refused beside the entry and changes nothing.
        entry = cockpit.locator(".confirmation input")
        entry.fill("yes")
        cockpit.locator("button.confirm").click()
        expect(cockpit.locator(".confirmation .note")).to_contain_text("binance")
        expect(state).to_have_attribute("data-state", "armed")
        assert session.open_orders() == []
        session.shoot("switch-wrong-word")

        entry.fill("binance")
        entry.press("Enter")
        expect(state).to_have_attribute("data-state", "live")
        expect(cockpit.locator(".banner")).to_contain_text("LIVE")
        until(lambda: len(session.open_orders()) == 4, "the strategy's orders are on the exchange")
        session.shoot("switch-live")
        session.notebook.theme("Dark")
        session.shoot("switch-live-dark")
        session.notebook.theme("Light")

        # Back to paper: the exchange holds nothing before the state changes, and its word is shown.
        cockpit.locator(".step[data-state=paper]").click()
        expect(state).to_have_attribute("data-state", "paper")
        assert session.open_orders() == []
        expect(cockpit.locator(".more .lines")).to_contain_text("0 open on the exchange")
        expect(cockpit.locator(".banner")).to_be_hidden()
        session.shoot("switch-back-on-paper")
        modes = session.ask("print(sorted(set(core.orders['mode'])))")
        assert modes == "['live', 'paper']"
        cockpit.locator(".step[data-state=off]").click()
        expect(state).to_have_attribute("data-state", "off")
        expect(session.orders.locator("tbody tr")).to_have_count(0)
        session.shoot("switch-off")
        assert session.ask("print([str(error) for error in core.errors.items])") == "[]"

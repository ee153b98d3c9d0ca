"""Cells that are run again, and the same core in a thread of its own."""

import time
from collections import Counter
from functools import reduce
from operator import and_

from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.session import opened

# All but those that send one order or cancel, which come and go with each refresh.
TASKS = """import asyncio
names = [task.get_name() for task in asyncio.all_tasks(core.affinity.loop)]
print(*sorted(name for name in names if not name.startswith("Task-") and "/sends/" not in name), sep="; ")"""


def lasting(session, looks=6):
    """Return the names of the tasks that are there in every one of some looks: not one that asks for balances, say."""
    seen = []
    for _ in range(looks):
        seen.append(Counter(session.ask(TASKS).split("; ")))
        time.sleep(0.5)
    return reduce(and_, seen)


def settled(look):
    """Return what two looks in succession find the same."""
    seen = [look()]

    def same():
        seen.append(look())
        return seen[-1] == seen[-2]

    until(same, "it stays as it is", 120, pause=1)
    return seen[-1]


def sockets(exchange):
    """Return what the exchange has open: the kind of each socket and what is subscribed to."""
    return sorted(f"{one['kind']} {one.get('streams', '')} {one.get('accounts', '')}" for one in exchange.connections())


def test_running_all_cells_three_times_doubles_nothing(chromium, lab, exchange):
    until(lambda: not exchange.connections(), "no other core is connected", 60)
    with opened(chromium, lab, exchange, "rerun") as session:
        until(lambda: session.ask("print(core.guard.state.prepared)") == "True", "the guard is prepared", 60)
        connected, tasks = settled(lambda: sockets(exchange)), settled(lambda: lasting(session))
        guard = session.ask("print(core.guard.state.pid)")
        clock = session.ask("print(id(core), id(core.clock), id(market))")
        assert len(connected) >= 2
        for _ in range(2):
            session.notebook.run_all()
        until(lambda: sockets(exchange) == connected, f"as many connections as before: {connected}", 60)
        until(lambda: lasting(session) == tasks, f"the tasks that were there before: {tasks}", 60)
        assert session.ask("print(core.guard.state.pid)") == guard
        assert session.ask("print(id(core), id(core.clock), id(market))") == clock
        expect(session.cockpit).to_have_count(1)
        # Through three refreshes the exchange never holds more orders than one strategy has.
        seen, most = set(), 0

        def refreshed():
            nonlocal most
            now = session.open_orders()
            seen.update(order.client_order_id for order in now)
            most = max(most, len(now))
            return len(seen) >= 12

        until(refreshed, "three refreshes", 120, pause=0.01)
        assert most <= 4
        assert session.ask("print([str(error) for error in core.errors.items])") == "[]"
        session.shoot("rerun")


def test_in_a_thread_the_core_trades_on_while_a_cell_sleeps(chromium, lab, exchange):
    with opened(chromium, lab, exchange, "threaded", options=", loop='thread'") as session:
        until(lambda: session.nearest() < 0.003, "orders near the mid price")
        before = {order.client_order_id for order in session.open_orders()}
        session.notebook.sleep(300)
        until(lambda: not before & {order.client_order_id for order in session.open_orders()}, "orders are refreshed")
        until(session.open_orders, "there are orders again")

        # Views and controls work meanwhile.
        mid = session.cockpit.locator(".kit-depth .head").inner_text()
        until(lambda: session.cockpit.locator(".kit-depth .head").inner_text() != mid, "the depth goes on")
        field = session.field("bid_spread")
        field.locator("input[type=text]").fill("0.6")
        field.locator("input[type=text]").press("Enter")
        until(lambda: session.nearest() > 0.005, "the orders move away")
        assert session.notebook.sleeps
        session.shoot("thread-while-sleeping")
        session.notebook.interrupt()
        assert session.ask("print(strategy.params.bid_spread, core.clock.stats.ticks_skipped)").split()[0] == "0.006"
        assert session.ask("print(core.guard.state.last_report)") == "None"
        assert session.ask("print([str(error) for error in core.errors.items])") == "[]"
        assert session.ask("report = await core.stop()\nprint(report.clean, report)").startswith("True ")

"""Measure how long orders stay open on the exchange after a click on the red button while a cell blocks the kernel.

Run ``python benchmarks/red_button.py [--rounds 5]``: a real JupyterLab in headless Chromium, a live core with four
resting orders and its cockpit, a cell that sleeps for half a minute, and a test exchange of its own process that tells
when none of the orders is open any more. Seconds count from the click. The target is 2 s; the guard would act by itself
only after two minutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import expect

from tests.browser.exchange import until
from tests.browser.lab import browser
from tests.browser.session import Session, lab_apart, opened

TARGET = 2.0


def press(session: Session) -> float:
    """Press the button while a cell sleeps; returns the seconds until the exchange had none of the orders open."""
    session.quiet()
    session.notebook.sleep(30)
    began = time.monotonic()
    session.cockpit.locator("button.red").click()
    until(lambda: not session.open_orders(), "no order is open on the exchange", 60.0, 0.01)
    took = time.monotonic() - began
    expect(session.cockpit.locator(".news")).to_contain_text("4 orders cancelled, 0 open")
    if not session.notebook.sleeps:
        sys.exit(f"the cell had ended after {took:.2f} s: this was no measurement")
    session.notebook.interrupt()
    expect(session.cockpit.locator(".step[aria-current]")).to_have_attribute("data-state", "off")
    session.exchange.freeze(False)
    if said := session.ask("await core.go_live()\nstrategy.resume()"):
        sys.exit(said)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        lab_apart("red button benchmark") as (lab, exchange, _),
        browser() as chromium,
        opened(chromium, lab, exchange, "pressed") as session,
    ):
        taken = [press(session) for _ in range(options.rounds)]
    print(f"{'click to no open order':28}{'median':>8}{'most':>8}{'target':>8}   seconds")
    print(f"{f'{len(taken)} presses':28}{statistics.median(taken):8.2f}{max(taken):8.2f}{TARGET:8.1f}")


if __name__ == "__main__":
    main()

"""Measure what an open cockpit costs: a real JupyterLab in headless Chromium, the synthetic market, 4 frames a second.

Run ``python benchmarks/cockpit.py [--minutes 60] [--tick 1] [--loop kernel] [--screenshot FILE]``. The exchange is a
process of its own. First the same core runs for half a minute without a cockpit; what the kernel's CPU is above that
is the widgets' share, and the seconds that the timer's beats took are what of it the core's loop waits for. Memory is
compared between the end of the warm-up (a fifth of the time, at most five minutes) and the end of the run, the
browser's after its garbage collection. Where no graphics card is, the browser's own rates are lower bounds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.exchange import ENDPOINT
from tests.browser.lab import LabServer, browser
from tests.browser.notebook import Notebook, run_all_at, start_times
from tests.browser.session import lab_apart

ROOT = Path(__file__).resolve().parents[1]
SETUP = """import kit, kit.notebook
core = kit.TradingCore("cockpit benchmark", tick_size={tick}, loop={loop!r})
market = await core.add_connector("binance", ["BTC/USDT"], mode="live", endpoint=endpoint)
strategy = core.strategy = kit.PureMarketMaking(
    market, "BTC/USDT", bid_spread="0.0005", ask_spread="0.0005", order_amount="0.01", order_levels=3,
    order_level_spread="0.0005", order_refresh_time=5, filled_order_delay=1)
await core.start()"""

PROBE = """import asyncio, gc, json, threading, time
from kit.core.time_iterator import TimeIterator
from kit.notebook.refresh import refresher_of

class Probe(TimeIterator):
    lateness = []
    def tick(self, timestamp):
        super().tick(timestamp)
        self.lateness.append(time.time() - timestamp)

core.clock.add_iterator(Probe())
refresher = refresher_of(core.affinity.loop)

def sample():
    from comm import get_comm_manager
    stats, ticks = refresher.stats, core.clock.stats
    with open("/proc/self/statm") as memory:
        pages = int(memory.read().split()[1])
    late, Probe.lateness = Probe.lateness, []
    return dict(at=time.monotonic(), cpu=time.process_time(), beats=stats.beats, seconds=stats.seconds,
                slowest=stats.slowest, errors=stats.errors, rss=pages * 4096 / 1e6, late=late,
                skipped=ticks.ticks_skipped, comms=len(get_comm_manager().comms), threads=threading.active_count(),
                tasks=len(asyncio.all_tasks(core.affinity.loop)), panels=len(refresher.panels),
                frames=sum(panel.frames for panel in refresher.panels),
                fills=sum(len(log.fills) for log in core._records.logs),
                orders=sum(len(log.orders) for log in core._records.logs),
                listed=[str(error) for error in core.errors.items])"""

SHOW = "kit.notebook.cockpit(core)"

# What the page draws, counted: one call of clearRect is one frame of a canvas.
COUNT = """() => {
    window.drawn = 0; window.refreshes = 0;
    const canvas = CanvasRenderingContext2D.prototype, clear = canvas.clearRect;
    canvas.clearRect = function (...box) { window.drawn += 1; return clear.apply(this, box); };
    const next = () => { window.refreshes += 1; requestAnimationFrame(next); };
    next(); }"""


@dataclass
class Sample:
    """Kernel and page at one moment."""

    kernel: dict[str, Any]
    heap: float
    nodes: int
    listeners: int
    page_busy: float
    drawn: int
    refreshes: int
    at: float


class Page:
    """The browser's page, measured."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self._cdp = notebook.page.context.new_cdp_session(notebook.page)
        self._cdp.send("Performance.enable")

    def sample(self) -> Sample:
        self._cdp.send("HeapProfiler.collectGarbage")
        heap = self._cdp.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        counters = self._cdp.send("Memory.getDOMCounters")
        metrics = {entry["name"]: entry["value"] for entry in self._cdp.send("Performance.getMetrics")["metrics"]}
        drawn, refreshes = self.notebook.page.evaluate("() => [window.drawn ?? 0, window.refreshes ?? 0]")
        kernel = json.loads(self.notebook.ask("print(json.dumps(sample()))"))
        return Sample(
            kernel,
            heap,
            counters["nodes"],
            counters["jsEventListeners"],
            metrics["TaskDuration"],
            drawn,
            refreshes,
            time.monotonic(),
        )


def run(notebook: Notebook, minutes: float) -> tuple[list[Sample], float]:
    """Return the samples with the cockpit open, and the kernel's share of a core without it."""
    notebook.page.evaluate(COUNT)
    page = Page(notebook)
    notebook.ask(PROBE)
    before = page.sample()
    time.sleep(min(30.0, minutes * 20))
    after = page.sample()
    plain = (after.kernel["cpu"] - before.kernel["cpu"]) / (after.kernel["at"] - before.kernel["at"])
    notebook.begin_cell(2)
    notebook.page.wait_for_selector(".kit-depth canvas", timeout=30_000)
    time.sleep(5)
    samples = [page.sample()]
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        time.sleep(min(15.0, max(end - time.monotonic(), 0.1)))
        samples.append(page.sample())
        kernel = samples[-1].kernel
        print(
            f"  {(time.monotonic() - end) / 60 + minutes:6.1f} min  kernel {kernel['rss']:.1f} MB  "
            f"page {samples[-1].heap:.2f} MB  {kernel['panels']} panels  {kernel['comms']} comms  "
            f"{kernel['tasks']} tasks  {samples[-1].nodes} nodes",
            flush=True,
        )
    return samples, plain


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else float("nan")


def report(samples: list[Sample], plain: float) -> None:
    """Print the table; a share is of one core."""
    first, last = samples[0], samples[-1]
    seconds = last.at - first.at
    kernel = last.kernel["at"] - first.kernel["at"]
    late = [value for sample in samples[1:] for value in sample.kernel["late"]]
    warm = next(i for i, sample in enumerate(samples) if sample.at - first.at >= min(seconds / 5, 300))
    edge = max(1, min(5, len(samples) // 4))

    def growth(of: str) -> float:
        values = [sample.kernel["rss"] if of == "rss" else float(getattr(sample, of)) for sample in samples]
        return statistics.median(values[-edge:]) - statistics.median(values[warm : warm + edge])

    def rate(name: str) -> float:
        return (last.kernel[name] - first.kernel[name]) / kernel

    hours = (last.at - samples[warm].at) / 3600
    rows = [
        ("tick lateness p99", f"{p99(late) * 1000:.1f} ms", "< 50 ms"),
        ("tick lateness, median", f"{statistics.median(late) * 1000:.1f} ms", ""),
        ("tick lateness, most", f"{max(late) * 1000:.1f} ms ({last.kernel['skipped']} ticks skipped)", ""),
        ("beats: share of a core", f"{rate('seconds') * 100:.1f} %", "< 10 %"),
        ("beats a second, slowest beat", f"{rate('beats'):.2f}, {last.kernel['slowest'] * 1000:.0f} ms", "4"),
        ("kernel CPU above a run without", f"{(rate('cpu') - plain) * 100:.1f} %", "< 10 %"),
        ("kernel CPU in all", f"{rate('cpu') * 100:.1f} %", ""),
        ("kernel memory growth", f"{growth('rss'):+.1f} MB in {hours:.2f} h", "< 20 MB an hour"),
        ("browser heap growth", f"{growth('heap'):+.2f} MB of {samples[warm].heap:.1f}", "flat"),
        ("browser nodes, listeners", f"{growth('nodes'):+.0f}, {growth('listeners'):+.0f}", "flat"),
        ("browser's main thread", f"{(last.page_busy - first.page_busy) / seconds * 100:.0f} %", ""),
        ("canvas frames a second", f"{(last.drawn - first.drawn) / seconds:.1f}", ""),
        ("frames sent a second", f"{(last.kernel['frames'] - first.kernel['frames']) / kernel:.1f}", ""),
        ("screen refreshes a second", f"{(last.refreshes - first.refreshes) / seconds:.0f}", ""),
        ("comms, tasks, threads", " ".join(f"{last.kernel[n]}" for n in ("comms", "tasks", "threads")), "constant"),
        ("  at first", " ".join(f"{first.kernel[n]}" for n in ("comms", "tasks", "threads")), ""),
        (
            "orders, fills kept meanwhile",
            " ".join(f"{last.kernel[n] - first.kernel[n]}" for n in ("orders", "fills")),
            "",
        ),
        ("errors", f"{last.kernel['errors']} {last.kernel['listed']}", "0 []"),
    ]
    print(f"{seconds / 60:.1f} minutes, {len(late)} ticks")
    for name, value, target in rows:
        print(f"{name:34}{value:40}{target}")


def time_the_start(chromium: Any, folder: Path) -> None:
    """Print how long after Run all what `kit lab` opens is live, and how long after its cell the depth is drawn."""
    root, state = folder / "quickstart", folder / "quickstart-state"
    root.mkdir()
    state.mkdir()
    shutil.copy(ROOT / "notebooks" / "00_quickstart.ipynb", root)
    lab = LabServer(root, state, kit_lab=True)
    try:
        page = chromium.new_context(viewport={"width": 1600, "height": 1000}).new_page()
        page.goto(lab.url)
        run_all_at(page)
        times = start_times(page)
        print(f"{'Run all to a live cockpit':34}{f'{times.live:.1f} s':40}< 20 s")
        print(f"{'its cell to the first depth frame':34}{f'{times.depth:.2f} s':40}< 2 s", flush=True)
        page.context.close()
    finally:
        lab.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--tick", type=float, default=1.0)
    parser.add_argument("--loop", choices=("kernel", "thread"), default="kernel")
    parser.add_argument("--screenshot")
    options = parser.parse_args()
    with lab_apart("cockpit benchmark") as (lab, _, folder), browser() as chromium:
        time_the_start(chromium, folder)
        page = chromium.new_context(viewport={"width": 1400, "height": 1600}).new_page()
        setup = SETUP.format(tick=options.tick, loop=options.loop)
        notebook = Notebook.write(page, lab, "cockpit.ipynb", [ENDPOINT, setup, SHOW])
        for code in (ENDPOINT, setup):
            if said := notebook.ask(code):
                sys.exit(said)
        samples, plain = run(notebook, options.minutes)
        if options.screenshot:
            page.screenshot(path=options.screenshot)
        report(samples, plain)


if __name__ == "__main__":
    main()

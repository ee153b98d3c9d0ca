"""The health panel's verdicts."""

import json
import math
from types import SimpleNamespace

import pytest

from kit.core.clock import ClockMode
from kit.core.error_list import ErrorList
from kit.core.manual_time import ManualTime
from kit.core.network_iterator import NetworkStatus
from kit.core.ticks import ClockStats
from kit.errors import NotSupported
from kit.guard.diary import GuardEntry
from kit.market.tracked_book import BookStatus
from kit.notebook import health_rows as rows
from kit.notebook.health_model import HealthModel, LoopWatch
from kit.notebook.refresh import INTERVAL
from kit.notebook.subshell import RedPath


def book(**changes):
    values = dict.fromkeys(BookStatus.__dataclass_fields__, 0)
    values |= {"trading_pair": "BTC/USDT", "ready": True, "synced": True, "stale": False, "age": 0.12, "last_error": ""}
    return BookStatus(**(values | changes))


def guard(**changes):
    state = {
        "alive": True,
        "prepared": True,
        "pid": 1,
        "accounts": ("binance",),
        "problems": {},
        "restarts": 0,
        "last_report": None,
    }
    return SimpleNamespace(stall_limit=10.0, state=SimpleNamespace(**(state | changes)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0003, "0.3 ms"), (0.0213, "21 ms"), (0.9996, "1.0 s"), (12.34, "12.3 s"), (60, "1 min"), (7200, "2.0 h")],
)
def test_durations_are_short(value, text):
    assert rows.seconds(value) == text


def test_no_duration_is_a_dash():
    assert rows.seconds(math.nan) == "—"


@pytest.mark.parametrize(("p99", "verdict"), [(0.002, "good"), (0.05, "look"), (0.3, "bad")])
def test_ticks_by_lateness(p99, verdict):
    row = rows.tick_row(ClockStats(ticks=1000, p99_lateness=p99, max_lateness=p99), True, 1.0)
    assert row.verdict == verdict
    assert "1,000 ticks of 1 s" in row.detail


def test_the_first_ticks_may_be_late():
    assert rows.tick_row(ClockStats(ticks=20, p99_lateness=0.3), True, 1.0).verdict == "look"


def test_ticks_of_a_clock_that_stands_are_off():
    assert rows.tick_row(ClockStats(), False, 1.0).verdict == "off"


@pytest.mark.parametrize(("worst", "verdict"), [(0.01, "good"), (0.4, "look"), (3.0, "bad")])
def test_the_loop_by_its_longest_stall(worst, verdict):
    row = rows.loop_row(worst, 3.0, guard())
    assert row.verdict == verdict
    assert "the guard acts after 10.0 s" in row.detail


@pytest.mark.parametrize(
    ("changes", "verdict", "value"),
    [
        ({}, "good", "0.1 s old"),
        ({"age": 7.0}, "look", "7.0 s old"),
        ({"age": 40.0, "stale": True, "ready": False}, "bad", "stale, 40.0 s old"),
        ({"synced": False, "ready": False}, "bad", "waits for a snapshot"),
        ({"age": None, "synced": False}, "bad", "waits for a snapshot"),
    ],
)
def test_a_feed_by_its_age(changes, verdict, value):
    row = rows.feed_row("BTC/USDT", book(**changes))
    assert (row.verdict, row.value) == (verdict, value)


def test_a_feed_tells_its_troubles():
    assert "2 gaps, 1 resyncs" in rows.feed_row("BTC/USDT", book(gaps=2, resyncs=1)).detail


@pytest.mark.parametrize(("used", "verdict"), [(100, "good"), (900, "look"), (1190, "bad")])
def test_the_fullest_rate_limit_counts(used, verdict):
    row = rows.limits_row("rate limits", {"usage": {"orders": (1, 50), "weight": (used, 1200)}, "waiting": 0})
    assert row.verdict == verdict
    assert "of 1,200 weight" in row.detail


def test_requests_that_wait_are_worth_a_look():
    assert rows.limits_row("rate limits", {"usage": {"orders": (1, 50)}, "waiting": 3}).verdict == "look"


def test_no_rate_limits_no_line():
    assert rows.limits_row("rate limits", None) is None
    assert rows.limits_row("rate limits", {"usage": {}}) is None


@pytest.mark.parametrize(
    ("guarding", "live", "verdict", "value"),
    [
        (guard(), True, "good", "alive, prepared"),
        (guard(prepared=False, problems={"binance": "no permission"}), True, "look", "alive, not prepared"),
        (guard(alive=False, prepared=False), True, "bad", "not alive"),
        (guard(alive=False, accounts=()), False, "off", "not needed"),
        (None, False, "off", "switched off"),
        (None, True, "look", "switched off"),
    ],
)
def test_the_guard(guarding, live, verdict, value):
    row = rows.guard_row(guarding, live)
    assert (row.verdict, row.value) == (verdict, value)


def test_what_an_earlier_guard_did_is_told():
    entries = [
        GuardEntry(1000.0, "done", "4 orders cancelled (end: the kernel was killed)"),
        GuardEntry(2000.0, "stop", "the work is done"),
    ]
    given = guard()
    given.log = lambda limit: entries
    past = rows.past_incident(given)
    assert past == "last at 1970-01-01 00:16:40 UTC: 4 orders cancelled (end: the kernel was killed)"
    assert past in rows.guard_row(given, True, past).detail
    entries.clear()
    assert rows.past_incident(given) == rows.past_incident(None) == ""


def test_a_strategy_that_acts_in_another_process_is_off_here():
    row = rows.strategy_row(strategy(), "core 'main' runs in pid 12")
    assert row.cells() == ["strategy", "off", "acts where it runs", "core 'main' runs in pid 12"]


def test_the_red_button_says_why_it_waits():
    row = rows.red_row(RedPath(False, "waits for the cell's end: ipykernel 6.31 has no subshells"))
    assert row.cells() == ["red button", "look", "waits for the cell's end", "ipykernel 6.31 has no subshells"]
    assert rows.red_row(RedPath(True, "works here: ipykernel 7.4.0, subshell")).verdict == "good"


def strategy(**changes):
    values = {"consecutive_errors": 0, "last_error": None, "paused": False, "pause_reason": "", "clock": object()}
    return SimpleNamespace(**(values | changes))


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (None, "off"),
        (strategy(), "good"),
        (strategy(paused=True, pause_reason="by hand"), "look"),
        (strategy(consecutive_errors=2, last_error=ValueError("no")), "bad"),
    ],
)
def test_the_strategy(given, verdict):
    assert rows.strategy_row(given).verdict == verdict


async def test_the_watch_measures_how_long_the_loop_stood_still():
    watch = LoopWatch()
    for now in (0.0, 0.25, 0.5, 2.5, 2.75):
        watch.note(now)
    assert watch.worst(2.75) == pytest.approx(2.0 - INTERVAL)
    assert watch.worst(63.0) == 0.0
    watch.pause()
    watch.note(100.0)  # nobody looked meanwhile: that is no stall
    assert watch.worst(100.0) == 0.0


def connector(mode="data", status=NetworkStatus.CONNECTED):
    return SimpleNamespace(
        mode=mode,
        network_status=status,
        last_error="refused",
        trading_refused="",
        trading_pairs=("BTC/USDT",),
        user_stream_tracker=None,
        order_book_tracker=SimpleNamespace(status=lambda pair: book()),
        status={"port": {"reconnects": 2, "limits": {"usage": {"weight": (5, 100)}, "waiting": 0}}},
    )


class Core:
    """As much of a core as the health panel reads."""

    def __init__(self):
        self.name = "main"
        self.affinity = None
        self.in_use = self.running = True
        self.clock = SimpleNamespace(stats=ClockStats(), mode=ClockMode.REALTIME, tick_size=1.0)
        self.connectors = {"binance": connector()}
        self.guard = self.read_only = None
        self.strategy = None
        self.errors = ErrorList(lambda: 0.0)


@pytest.fixture
def stage():
    time = ManualTime()
    core = Core()
    return core, HealthModel(core, time), time


async def test_it_reads_once_a_second_and_sends_what_changed(stage):
    core, model, time = stage
    full = model.frame(full=True)
    names = [row[0] for row in full.content["rows"]]
    assert names == ["ticks", "loop", "strategy", "binance", "BTC/USDT", "rate limits", "guard", "red button", "errors"]
    core.errors.add("tick", ValueError("no"))
    sent = []
    for _ in range(5):
        await time.advance(INTERVAL)
        sent.append(model.frame(full=False))
    assert [frame is not None for frame in sent] == [False, False, False, True, False]
    assert sent[3].content == {
        "changed": {"8": ["errors", "look", "1 kind", "last: tick: ValueError: no; see core.errors"]}
    }
    assert not sent[3].full
    json.dumps(full.content)


async def test_another_number_of_lines_is_sent_whole(stage):
    core, model, time = stage
    model.frame(full=True)
    core.connectors["kraken"] = connector()
    await time.advance(1.0)
    frame = model.frame(full=False)
    assert frame.full
    assert [row[0] for row in frame.content["rows"]][3:6] == ["binance", "binance BTC/USDT", "binance rate limits"]


def test_a_lost_connection_is_bad(stage):
    core, model, _ = stage
    core.connectors["binance"] = connector(status=NetworkStatus.NOT_CONNECTED)
    assert ["binance", "bad", "no connection", "refused"] in [row.cells() for row in model.rows()]


async def test_the_end_is_told_at_once(stage):
    core, model, time = stage
    model.frame(full=True)
    await time.advance(0.1)
    core.in_use = core.running = False
    assert model.frame(full=False).content["changed"]["0"][:3] == ["ticks", "off", "stopped"]


def test_it_reads_without_a_page(stage):
    _, model, _ = stage
    assert "good  binance: connected, 2 reconnects" in model.text()
    assert "<td" in model.html()


def test_nothing_can_be_asked_of_it(stage):
    with pytest.raises(NotSupported):
        stage[1].command({"do": "heal"})

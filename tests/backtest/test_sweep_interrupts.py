"""Ctrl-C at the worst moments of a sweep, without processes."""

import contextlib
import signal
import threading

import pytest

import kit
from kit.backtest import sweep_interrupts, sweep_workers
from kit.backtest.sweep_interrupts import Interrupts
from tests.support.made_market import BALANCES, RULES, made_events
from tests.support.sweeps import ShufflingPool, open_here

SPACE = {"bid_spread": ["0.00001", "0.00002", "0.00003"]}
COMMON = {
    "ask_spread": "0.1",
    "order_amount": "0.01",
    "objective": "fills",
    "rules": RULES,
    "balances": BALANCES,
    "progress": False,
}


@pytest.fixture(autouse=True)
def a_handler_of_pythons_own(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep_workers, "open_pool", open_here)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def sweep(space=SPACE, **options):
    return kit.sweep(kit.PureMarketMaking, made_events(20), space, **COMMON, **options)


def interrupt(times=1):
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


def test_a_trial_whose_outcome_is_being_fetched_is_kept(monkeypatch):
    """As on a slow machine, where fetching takes long and the first interrupt mostly comes just then."""
    take = ShufflingPool.next

    def interrupted_fetch(self, timeout):
        ended = take(self, timeout)
        interrupt(2)
        return ended

    monkeypatch.setattr(ShufflingPool, "next", interrupted_fetch)
    result = sweep()
    assert result.interrupted
    assert sorted(result.frame().state) == ["done", "not run", "not run"]
    assert any("Interrupted: 1 of 3" in text for text in result.warnings)


def test_what_ended_without_having_been_fetched_is_kept_too(monkeypatch):
    kept = []

    def fetch(self, timeout):
        ended = take(self, timeout)
        if not kept:
            kept.append(ended)
            interrupt()
            return None
        return ended

    take = ShufflingPool.next
    monkeypatch.setattr(ShufflingPool, "next", fetch)
    monkeypatch.setattr(ShufflingPool, "ended", lambda self: kept)
    result = sweep()
    assert result.frame().state.tolist().count("done") == 1


def test_while_the_cluster_closes(monkeypatch):
    @contextlib.contextmanager
    def closing_badly(packed, **options):
        with open_here(packed, **options) as pool:
            yield pool
        interrupt(2)
        raise TimeoutError("a worker did not end")

    monkeypatch.setattr(sweep_workers, "open_pool", closing_badly)
    result = sweep()
    assert result.interrupted
    assert result.frame().state.tolist() == ["done"] * 3
    assert not any("Interrupted" in text for text in result.warnings)  # all ended


def test_with_nothing_done_it_is_raised_once_the_cluster_is_closed(monkeypatch):
    closed = []

    @contextlib.contextmanager
    def opening(packed, **options):
        interrupt()
        with open_here(packed, **options) as pool:
            yield pool
        closed.append(True)

    monkeypatch.setattr(sweep_workers, "open_pool", opening)
    with pytest.raises(KeyboardInterrupt):
        sweep()
    assert closed


def test_a_users_space_can_be_interrupted():
    def space(trial):
        if trial.number == 2:
            interrupt()
            raise AssertionError("it went on")
        return {"bid_spread": "0.00001"}

    with pytest.raises(KeyboardInterrupt):  # the first trials are asked for at once, so none has run
        sweep(space, trials=4)


def test_in_a_thread_and_where_it_is_ignored_nothing_changes():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts(threading.Event()):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = []

    def beside():
        with Interrupts(threading.Event()) as interrupts, interrupts.raised():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_another_handler_is_called_too():
    called = []

    def own(number, frame):
        called.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, own)
    stop = threading.Event()
    with Interrupts(stop) as interrupts:
        interrupt()
        with interrupts.raised():
            interrupt()
    assert called == [signal.SIGINT] * 2
    assert stop.is_set()
    assert interrupts.came
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(sweep_interrupts, "PATIENCE", 0.0)
    with Interrupts(threading.Event()), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        interrupt()
        interrupt(2)

"""How the core and its parts show themselves: guard, switch, clock, recorders, test exchange, the report of a stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from kit.notebook import panels
from kit.notebook.drawing import Drawing
from kit.notebook.formats import escape, html_table, lasting
from kit.notebook.html_parts import amount, code, facts, quantity, soft, stack, title, word
from kit.notebook.orders_model import OrdersModel
from kit.notebook.pnl_model import PnlModel
from kit.strategy.strategy_base import still_in_flight

if TYPE_CHECKING:
    from kit.core.clock import Clock
    from kit.guard.guard import Guard
    from kit.storage.recorder import Recorder
    from kit.strategy.session_recorder import SessionRecording
    from kit.testnet.process import Testnet
    from kit.trading.core_run import StopReport
    from kit.trading.switch import LiveSwitch
    from kit.trading_core import TradingCore

STATE_TONES = {"live": "bad", "armed": "warn", "paper": "good"}


def draw_core(core: TradingCore) -> Drawing:
    """Draw state, connectors, strategy and profit; in a kernel the cockpit."""
    state = core.trading_state.value
    head = title(
        f"core {core.name}",
        word("running", "good") if core.running else "stopped",
        word(state, STATE_TONES.get(state, "")),
        word(quantity(len(core.errors), "error"), "bad") if len(core.errors) else "",
    )
    strategy = core.strategy
    said = [
        ("read only", word(core.read_only, "warn") if core.read_only is not None else ""),
        ("strategy", _strategy_words(strategy) if strategy is not None else soft("none")),
        ("tick", f"each {core.clock.tick_size:g} s"),
        ("guard", _guard_words(core.guard) if core.guard is not None else soft("switched off")),
    ]
    connectors = _connectors(core) or f'<div style="padding:2px 8px">{soft(_FIRST_STEP)}</div>'
    return Drawing(
        stack(head, facts(said), connectors, _pictures(core)), _core_text(core), live=lambda: panels.cockpit(core)
    )


_FIRST_STEP = 'no connectors yet: market = await core.add_connector("binance", ["BTC/USDT"])'


def _strategy_words(strategy: Any) -> str:
    words = f"{escape(strategy.name)}, {quantity(len(still_in_flight(strategy)), 'order')}"
    return f"{words}, {word(f'paused: {strategy.pause_reason}', 'warn')}" if strategy.paused else words


def _connectors(core: TradingCore) -> str:
    rows = [
        [
            f"<b>{escape(name)}</b>",
            word(connector.mode, "bad" if connector.mode == "live" else ""),
            word("ready", "good") if connector.ready else word("not ready", "warn"),
            escape(", ".join(connector.trading_pairs)),
            str(len(connector.in_flight_orders)) if connector.mode != "data" else "",
        ]
        for name, connector in core.connectors.items()
    ]
    return html_table(["connector", "mode", "state", "pairs", "orders"], rows, sides="nnnlr") if rows else ""


def _pictures(core: TradingCore) -> str:
    """Return profit and open orders, where there are any."""
    orders = any(connector.in_flight_orders for connector in core.connectors.values())
    parts = [PnlModel(core).html() if core.history.now() else "", OrdersModel(core).html() if orders else ""]
    return "".join(parts)


def _core_text(core: TradingCore) -> str:
    lines = [f"  {connector!r}" for connector in core.connectors.values()]
    if core.strategy is not None:
        lines.append(f"  {core.strategy!r}")
    return "\n".join([repr(core), *lines])


def draw_stop_report(report: StopReport) -> Drawing:
    """Draw what was left, or that nothing was."""
    if report.clean:
        words = "stopped: no order and no task was left"
        return Drawing(stack(title("core", word(words, "good"))), words)
    said = [
        (f"orders on {name}", ", ".join(code(order_id) for order_id in order_ids))
        for name, order_ids in report.orders_left.items()
    ]
    said.append(("tasks", ", ".join(code(name) for name in report.tasks_left)))
    count = sum(map(len, report.orders_left.values()))
    words = f"stopped with remains: {quantity(count, 'order')} may be open, {quantity(len(report.tasks_left), 'task')}"
    advice = "" if not count else soft("look at the exchange: nobody follows them any more")
    return Drawing(stack(title("core", word(words, "bad"), advice), facts(said)), f"{words}\n{report!r}")


def _guard_words(guard: Guard) -> str:
    state = guard.state
    if not state.alive:
        return soft("starts with the first live connector") if not state.accounts else word("not running", "bad")
    if state.problems:
        return word("cannot reach " + ", ".join(f"{name}: {why}" for name, why in state.problems.items()), "warn")
    return f"{word('alive', 'good')}, acts when the loop stands still for {guard.stall_limit:g} s"


def draw_guard(guard: Guard) -> Drawing:
    """Draw whether it lives, whom it guards, and what it last did."""
    state = guard.state
    beats = f"{state.last_beat_age:z.2f} s ago" if math.isfinite(state.last_beat_age) and state.alive else ""
    said = [
        ("state", _guard_words(guard)),
        ("guards", escape(", ".join(state.accounts))),
        ("process", f"{state.pid}" if state.pid is not None and state.alive else ""),
        ("last heartbeat", beats),
        ("restarts", str(state.restarts) if state.restarts else ""),
        ("last did", escape(state.last_report) if state.last_report is not None else ""),
        ("log", code(guard.log_path)),
    ]
    return Drawing(stack(title(f"guard of core {guard.core_name}"), facts(said)), repr(guard))


def draw_switch(switch: LiveSwitch) -> Drawing:
    """Draw the trading state, why it is so, and the last pre-flight checks; in a kernel the switch itself."""
    state = switch.state.value
    steps = " → ".join(
        f"<b>{word(f'[{step}]', STATE_TONES.get(step, ''))}</b>" if step == state else soft(step)
        for step in ("off", "paper", "armed", "live")
    )
    tones = {"passed": "good", "warning": "warn", "failed": "bad"}
    rows = [
        [
            word(check.outcome, tones.get(check.outcome, "")),
            escape(check.connector),
            escape(check.name),
            escape(check.text),
        ]
        for check in switch.checks
    ]
    said = facts([("reason", escape(switch.reason)), ("busy", escape(switch.busy)), ("said", escape(switch.last_word))])
    table = html_table(["check", "connector", "of", "finding"], rows, sides="nnnl") if rows else ""
    core: Any = switch.core  # known to the switch by what it needs; it is a TradingCore
    return Drawing(
        stack(title("trading", steps), said, table),
        f"trading state: {state} {switch.reason}".rstrip(),
        lambda: panels.switch(core),
    )


def draw_clock(clock: Clock) -> Drawing:
    """Draw its ticks and how late they came."""
    stats = clock.stats
    state = word("running", "good") if clock.running else "stopped"
    late = (
        f"last {1000 * stats.last_lateness:.1f} ms, 99 of 100 below {1000 * stats.p99_lateness:.1f} ms, "
        f"at most {1000 * stats.max_lateness:.1f} ms"
    )
    said = [
        ("ticks", f"{stats.ticks:,}, each {clock.tick_size:g} s"),
        ("lateness", late if stats.ticks else ""),
        ("late", f"{quantity(stats.ticks_late, 'tick')}, {stats.ticks_skipped:,} skipped" if stats.ticks_late else ""),
        ("children", escape(", ".join(getattr(child, "name", repr(child)) for child in clock.children))),
        ("errors", word(f"{stats.child_errors:,} of children", "bad") if stats.child_errors else ""),
    ]
    head = title("clock", clock.mode.name.lower(), state)
    words = f"<Clock {clock.mode.name.lower()}, {quantity(stats.ticks, 'tick')} of {clock.tick_size:g} s>"
    return Drawing(stack(head, facts(said)), words)


def draw_recorder(recorder: Recorder) -> Drawing:
    """Draw what was recorded, and what was lost."""
    status = recorder.status()
    said = [
        ("folder", code(recorder.folder)),
        ("markets", escape(", ".join(f"{pair} of {exchange}" for exchange, pair in status.markets))),
        ("events", f"{status.events:,} on disk, {status.waiting:,} waiting"),
        ("lost", word(f"{status.lost:,}", "bad") if status.lost else ""),
        ("size", f"{status.bytes / 1e6:,.1f} MB"),
        ("behind", lasting(status.behind)),
        ("last error", word(status.last_error, "bad") if status.last_error else ""),
    ]
    state = word("recording", "good") if status.running else "stopped"
    return Drawing(stack(title("recorder", state), facts(said)), repr(recorder))


def draw_session(recording: SessionRecording) -> Drawing:
    """Draw the file of a session and its size."""
    status = recording.status
    said = [
        ("file", code(recording.path)),
        ("written", f"{status['frames']:,} frames, {status['bytes']:,} bytes"),
        ("error", word(status["error"], "bad") if status["error"] else ""),
    ]
    state = word("recording", "good") if status["recording"] else "stopped"
    return Drawing(stack(title("session", state), facts(said)), repr(recording))


def draw_testnet(testnet: Testnet) -> Drawing:
    """Draw where it is and what trades there; its keys are not shown."""
    config = testnet.config
    market = (
        f"a replay of {quantity(len(config.replay), 'file')}, {config.speed:g} times as fast" if config.replay else ""
    )
    traders = "random traders" if config.flow else ""
    said = [
        ("address", code(testnet.url)),
        ("lists", escape(", ".join(config.symbols))),
        ("market by", " and ".join(part for part in (market, traders) if part) or "nobody"),
        ("deposits", ", ".join(amount(value, asset) for asset, value in config.deposits.items())),
        ("process", str(testnet.pid) if testnet.running else ""),
    ]
    state = word("running", "good") if testnet.running else word("stopped", "warn")
    return Drawing(stack(title(f"testnet {testnet.name}", state), facts(said)), repr(testnet))

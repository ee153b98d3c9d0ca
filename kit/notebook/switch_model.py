"""The live switch as a panel: off, paper, armed, live; start and stop; what was checked and what the exchange said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kit.errors import InvalidInput, NotReady, NotSupported
from kit.notebook.core_model import CoreModel
from kit.notebook.errands import Errands
from kit.notebook.formats import escape, html_table
from kit.notebook.html_parts import quantity
from kit.notebook.panel import Frame

if TYPE_CHECKING:
    from kit.trading.core_run import StopReport
    from kit.trading_core import TradingCore

MEANINGS: Final = {
    "off": "no orders",
    "paper": "simulated",
    "armed": "checked",
    "live": "real orders",
}
"""What each state means, in a word or two."""

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class SwitchModel(CoreModel):
    """The trading state of a core and the ways out of it."""

    def __init__(self, core: TradingCore) -> None:
        super().__init__(core, "live switch")
        self._errands = Errands(f"switch of {core.name}")
        self._last: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        """Tell whether the core was stopped and nothing is under way."""
        return not self.core.in_use and not self._errands.what

    # -- what is shown ---------------------------------------------------------------------------------------------

    def frame(self, full: bool) -> Frame | None:
        """Return all there is, ``None`` when it is the same still."""
        now = self._read()
        if not full and now == self._last:
            return None
        self._last = now
        return Frame({**now, "now": self.core.clock.time()})

    def _read(self) -> dict[str, Any]:
        core, switch = self.core, self.core.switch
        outcome = self._errands.outcome
        return {
            "core": core.name,
            "state": _state(core),
            "meanings": MEANINGS,
            "since": switch.since,
            "until": _until(core),
            "reason": switch.reason,
            "busy": switch.busy or self._errands.what,
            "outcome": None if outcome is None else [outcome.number, outcome.what, outcome.ok, outcome.text],
            "checks": [[check.name, check.connector, check.outcome, check.text] for check in switch.checks],
            "confirmations": list(switch.confirmations),
            "last_word": switch.last_word,
            "accounts": accounts(core),
            "running": core.running,
            "in_use": core.in_use,
            "strategy": _strategy(core),
            "read_only": read_only(core),
        }

    # -- what is done ----------------------------------------------------------------------------------------------

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begin what a click asks for; how it ends is told by a frame.

        ``do`` is one of off, paper, arm, confirm (with ``text``), start, stop, pause, resume. Raises ``InvalidInput``
        for a text that does not confirm, ``NotReady`` while something is under way or the core is read-only.
        """
        if who := read_only(self.core):
            raise NotReady(f"read-only: {who}")
        core, start = self.core, self._errands.start
        match message.get("do"):
            case "off":
                start("going off", core.go_off(), breaks_in=True)
            case "paper":
                start("going to paper", core.go_paper())
            case "arm":
                start("checking", core.arm())
            case "confirm":
                start("going live", core.confirm_live(self._confirmed(message)))
            case "start":
                start("starting", core.start())
            case "stop":
                start("stopping", core.stop(), tell=_stopped, breaks_in=True)
            case "pause" | "resume" as do:
                self._pause(do == "pause")
            case other:
                raise NotSupported(f"the live switch takes no command {other!r}")
        return {"text": ""}

    def _confirmed(self, message: Mapping[str, Any]) -> str:
        text = str(message.get("text", "")).strip()
        names = self.core.switch.confirmations
        if text.casefold() not in {name.casefold() for name in names}:
            raise InvalidInput(f"{text!r} does not confirm; type {' or '.join(names)}")
        return text

    def _pause(self, pause: bool) -> None:
        strategy = self.core.strategy
        if strategy is None:
            raise NotReady("there is no strategy; set one: core.strategy = …")
        if pause:
            strategy.pause("by hand")
            strategy.cancel_all()
        else:
            strategy.resume()

    # -- without a page --------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return the state, its reason and the last checks, a line each."""
        switch = self.core.switch
        lines = [f"{self.name}: {switch.state.value}, {MEANINGS[switch.state.value]}"]
        if switch.reason:
            lines.append(f"went back: {switch.reason}")
        if switch.last_word:
            lines.append(f"the exchange: {switch.last_word}")
        return "\n".join([*lines, *map(str, switch.checks)])

    def html(self) -> str:
        """Return the same as HTML."""
        head, *more = self.text().splitlines()[: 1 + bool(self.core.switch.reason) + bool(self.core.switch.last_word)]
        lines = "".join(f"<div>{escape(line)}</div>" for line in (head, *more))
        checks = [[escape(part) for part in (c.name, c.connector, c.outcome, c.text)] for c in self.core.switch.checks]
        table = html_table(["check", "connector", "outcome", "finding"], checks, caption="pre-flight", left=4)
        return f"<div>{lines}{table if checks else ''}</div>"


def accounts(core: TradingCore) -> list[list[str]]:
    """Return the connectors: name, mode, pairs, and the address where that is not the exchange's own."""
    return [
        [name, connector.mode, ", ".join(connector.trading_pairs), endpoint(core, name)]
        for name, connector in core.connectors.items()
    ]


def endpoint(core: TradingCore, name: str) -> str:
    """Return where a connector connects to: "" for the exchange itself, "testnet at host:port", or "host:port"."""
    url = core.connector_manager.endpoint_of(name)
    if not url:
        return ""
    parts = urlsplit(url)
    return f"testnet at {parts.netloc}" if parts.hostname in LOOPBACK else parts.netloc


def read_only(core: TradingCore) -> str:
    """Return who runs a core that this process may only look at, nothing when it is this process's own."""
    return "" if core.read_only is None else str(core.read_only)


def _state(core: TradingCore) -> str:
    """Return the trading state; of a core that another process runs, what that one told last."""
    seen = core.read_only.seen if core.read_only is not None else None
    told = seen.trading_state if seen is not None else ""
    return told if told in MEANINGS else core.switch.state.value


def _until(core: TradingCore) -> float | None:
    """Return when a core that is armed falls back, seconds since the epoch."""
    switch = core.switch
    return switch.since + switch.rules.armed_for if switch.state.value == "armed" else None


def _strategy(core: TradingCore) -> dict[str, Any] | None:
    strategy = core.strategy
    if strategy is None:
        return None
    return {"name": strategy.name, "paused": strategy.paused, "reason": strategy.pause_reason}


def _stopped(report: StopReport) -> str:
    if report.clean:
        return "stopped: no order and no task is left; the cells that connect start it again"
    left = sum(len(orders) for orders in report.orders_left.values())
    tasks = quantity(len(report.tasks_left), "task")
    return f"stopped, but {quantity(left, 'order')} may be open and {tasks} did not end"

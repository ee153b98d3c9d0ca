"""Replays a recorded session through connectors, trackers and strategy of its own: no loop, no network, no waits."""

# A replay calls what the recorder watched, which is the inside of other parts.
# ruff: noqa: SLF001

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kit.backtest.session_calls import Call, account_call, book_call, desk_call
from kit.backtest.session_ports import ReplayedIds, ReplayedPort, ReplayedPrice, ReplayedTime, ReplayWitness
from kit.connectors.connector import Connector
from kit.core.clock import Clock
from kit.errors import InvalidInput
from kit.storage.session_codec import build
from kit.storage.session_files import Frame, SessionLog
from kit.strategy.session_spec import make_price_source, make_strategy, read_argument
from kit.strategy.session_state import restore_account, restore_connector
from kit.strategy.session_taps import SessionTaps
from kit.strategy.strategy_base import StrategyBase
from kit.trading_core import TradingCore
from kit.types.market import TradingRule

_CORE_NAME: Final = "replay of a session"


class SessionReplay:
    """Replays a session; ``strategy`` as in ``kit.parity``.

    ``run`` yields each frame as it was recorded and as it came out here. Whatever the session noted of the world is
    answered as it was then: times, readiness, prices of a source, refusals of the port, client order ids.
    """

    def __init__(self, log: SessionLog, strategy: Any = None) -> None:
        if not log.frames or log.frames[0].kind != "start":
            raise InvalidInput(f"{log.name} holds nothing but its header: it was cut off before its first second")
        self._log = log
        self._given = strategy
        self._classes = {frame.data["class"] for frame in log.of("swap") if frame.data}
        self._made: deque[Frame] = deque()
        self._time = ReplayedTime(log.frames[0].at)
        self.witness = ReplayWitness(self._made.append, self._time)
        self._ids = ReplayedIds(log.header["core"], log.header["tag"], log.header["salt"])
        clock = Clock(tick_size=log.header["tick_size"], time_source=self._time)
        self.core = TradingCore(_CORE_NAME, clock=clock, time_source=self._time, tables=False)
        self.core.connector_manager.ids = self._ids
        self.ports: dict[str, ReplayedPort] = {}
        self.strategies: dict[str, StrategyBase] = {}
        self._objects: dict[int, StrategyBase] = {}
        self._begin(log.frames[0])

    # -- the run ---------------------------------------------------------------------------------------------------

    def run(self) -> Iterator[tuple[Frame, Frame]]:
        """Replay frame by frame; yields (recorded, replayed)."""
        for frame in self._log.frames[1:]:
            if frame.kind == "end":
                return
            yield frame, self.step(frame)

    def step(self, frame: Frame) -> Frame:
        """Replay one frame and return what came out."""
        self._time.set(frame)
        self.witness.load(frame)
        self._ids.load(frame)
        for port in self.ports.values():
            port.load(frame)
        call = self._call(frame.kind, frame.who, frame.data)
        self._prepare(frame)
        # What a call throws went to its caller, outside of the session; that it threw is noted in the frame.
        with contextlib.suppress(Exception):
            call()
        if not self._made:
            return Frame(frame.number, frame.kind, frame.who, frame.at)
        replayed = self._made[-1]
        self._made.clear()
        return replayed

    def _begin(self, frame: Frame) -> None:
        data, core = frame.data, self.core
        if data["strategy"]:
            self._classes.add(data["strategy"]["class"])
        self._change_connectors(data)
        core._members.sync()
        if data["clock"] is not None:
            core.clock._begin(data["clock"])
        if data["strategy"]:
            core._place.swap(self._strategy(data["strategy"]))
        SessionTaps(self.witness, core).begin()

    def _prepare(self, frame: Frame) -> None:
        """Bring about what was so when the frame began."""
        if frame.kind == "tick":
            for name, ready in frame.data["ready"].items():
                self.witness.expect(f"{name}.ready", ready)
            for name, state in frame.data["states"].items():
                self._change_state(self.core.connectors[name], state)
        strategy = self.core.strategy
        if frame.kind in ("tick", "begin") and strategy is not None:
            for act in frame.acts:
                if act["a"] in ("params", "started"):
                    strategy.params.update(act["params"])

    # -- connectors ------------------------------------------------------------------------------------------------

    def _change_connectors(self, data: Mapping[str, Any]) -> None:
        manager = self.core.connector_manager
        for name in data["gone"]:
            manager._connectors.pop(name, None)
            manager._configs.pop(name, None)
        for state in data["connectors"]:
            connector = self._connector(state)
            manager.adopt(connector)
            self.core._records.open_log(connector)
        for state in data.get("sides", ()):
            self._exchange_account(manager.get_connector(state["name"]), state)

    def _exchange_account(self, connector: Connector, state: Mapping[str, Any]) -> None:
        """Let a connector trade with another account, as when paper went live."""
        port = self.ports[state["name"]]
        side = connector.side.another(state["mode"], port, port, connector.trading_pairs)
        side.open_at_once()
        connector.trade_with(side)
        restore_account(connector, state)
        if side.desk is not None:
            self._ids.watch(connector.name, side.desk)
        self.core._records.open_log(connector)

    def _connector(self, state: Mapping[str, Any]) -> Connector:
        rules = {pair: build(TradingRule, rule) for pair, rule in state["rules"].items()}
        port = self.ports[state["name"]] = ReplayedPort(rules, self._deliver)
        account = port if state["trades"] else None
        connector = Connector(
            state["name"],
            port,
            state["pairs"],
            supervisor=self.core.supervisor,
            ids=self._ids,
            account=account,
            orders=account,
            mode=state["mode"],
            time_source=self._time,
            stale_after=state["stale_after"] or 30.0,
        )
        connector.open_at_once()
        connector.tap_trades()
        restore_connector(connector, state)
        if connector.desk is not None:
            self._ids.watch(connector.name, connector.desk)
        return connector

    @staticmethod
    def _change_state(connector: Connector, state: Mapping[str, Any]) -> None:
        connector.trading_refused, connector._closed = state["refused"], state["closed"]
        connector._pairs[:] = state["pairs"]
        connector.tap_trades()

    def _deliver(self, kind: str, who: str, data: Any) -> None:
        self._call(kind, who, data)()

    # -- strategies ------------------------------------------------------------------------------------------------

    def _strategy(self, spec: Mapping[str, Any]) -> StrategyBase:
        known = self._objects.get(spec["object"])
        if known is not None:
            known.params.update(spec["params"])
            return known
        given = self._given
        if isinstance(given, type) and len(self._classes) > 1 and spec["class"].split(".")[-1] != given.__name__:
            given = None
        strategy = make_strategy(spec, given, self.core.connectors, self._price)
        self._objects[spec["object"]] = self.strategies[spec["name"]] = strategy
        return strategy

    def _price(self, name: str, knows_types: bool) -> ReplayedPrice:
        return ReplayedPrice(self.witness, name, knows_types)

    # -- what each frame calls -------------------------------------------------------------------------------------

    def _call(self, kind: str, who: str, data: Any) -> Call:
        if kind in _ON_CLOCK:
            return getattr(self, f"_clock_{kind}")(data)  # type: ignore[no-any-return]
        if kind.startswith("strategy."):
            return self._command(self.strategies[who], kind.removeprefix("strategy."), data)
        if kind == "price source":
            return self._price_source(self.strategies[who], data)
        connector = self.core.connectors.get(who)
        if connector is None:
            raise InvalidInput(f"the session tells of {who!r}, a connector that it does not describe ({kind})")
        if kind == "market" or kind.startswith("market."):
            return book_call(connector, kind, data)
        return desk_call(connector, kind, data) or account_call(connector, kind, data)

    def _clock_begin(self, data: Mapping[str, Any]) -> Call:
        return lambda: self.core.clock._begin(data["ts"])

    def _clock_finish(self, _: Any) -> Call:
        return self.core.clock._finish

    def _clock_tick(self, data: Mapping[str, Any]) -> Call:
        return lambda: self.core.clock._tick(data["ts"], data["late"], data["skipped"])

    def _clock_sync(self, data: Mapping[str, Any]) -> Call:
        self._change_connectors(data)
        return self.core._members.sync

    def _clock_swap(self, data: Mapping[str, Any] | None) -> Call:
        if data is None:
            return lambda: self.core._place.swap(None)
        strategy, orders = self._strategy(data), data.get("orders", "cancel")
        return lambda: self.core._place.swap(strategy, orders)

    def _command(self, strategy: StrategyBase, command: str, data: Mapping[str, Any]) -> Call:
        markets = self.core.connectors
        args = [read_argument(value, markets) for value in data["args"]]
        kwargs = {name: read_argument(value, markets) for name, value in data["kwargs"].items()}
        return lambda: getattr(strategy, command)(*args, **kwargs)

    def _price_source(self, strategy: Any, data: Mapping[str, Any]) -> Call:
        source = make_price_source(data["source"], self.core.connectors, self._price)
        return lambda: setattr(strategy, "price_source", source)


_ON_CLOCK: Final = frozenset({"begin", "finish", "tick", "sync", "swap"})


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep the log free of what a replay repeats: it told its reader already, when it happened."""
    root = logging.getLogger("kit")
    level = root.level
    root.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        root.setLevel(level)

"""Where a session is watched: the entrances, acts and reads of clock, connectors and strategy.

A recorder and a replay put a witness on the same places, so that what one noted the other can compare.
"""

# The places are the inside of other parts; a recorder that asked them for public doors would make every part larger.
# What describes a call has the call's arguments, needed or not.
# ruff: noqa: SLF001, ARG001, ARG005

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from kit.connectors.account_side import AccountSide
from kit.connectors.connector import Connector
from kit.core.clock import Clock
from kit.market.order_book_tracker import OrderBookTracker
from kit.storage.session_codec import tagged
from kit.strategy.session_spec import describe_source, describe_strategy, note_argument, values_of
from kit.strategy.session_state import connector_state
from kit.strategy.session_witness import Witness, WitnessedPort, WitnessedTime
from kit.strategy.strategy_base import StrategyBase

_COMMANDS: Final = ("buy", "sell", "cancel", "cancel_all", "pause", "resume", "add_market", "account_changed")


class SessionTaps:
    """Puts a witness on a core (a ``TradingCore``) and on what joins it later; ``release`` takes it away again."""

    def __init__(self, witness: Witness, core: Any) -> None:
        self.witness = witness
        self._core = core
        self._connectors: dict[str, Connector] = {}
        self._sides: dict[str, AccountSide] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._clock(core.clock)
        witness.entrance(core._place, "swap", "swap", core.name, self._swapped)
        witness.entrance(core._members, "sync", "sync", core.name, self._sync)

    def begin(self) -> dict[str, Any]:
        """Watch what the core has now, and return it described: connectors, strategy, the clock's time if it runs."""
        core, clock = self._core, self._core.clock
        data = self._sync()
        data["strategy"] = self._swap(core.strategy)
        data["clock"] = clock.current_timestamp if clock.running else None
        return data

    def release(self) -> None:
        """Watch no more."""
        self.witness.release()
        for connector in self._connectors.values():
            connector.ready_asked = None

    # -- the core --------------------------------------------------------------------------------------------------

    def _swapped(self, strategy: StrategyBase | None, orders: str = "cancel") -> dict[str, Any] | None:
        data = self._swap(strategy)
        return data if data is None or orders == "cancel" else {**data, "orders": orders}

    def _swap(self, strategy: StrategyBase | None) -> dict[str, Any] | None:
        if strategy is None:
            return None
        if not self.witness.watches(strategy, "start"):
            self._strategy(strategy)
        return describe_strategy(strategy, self._connectors)

    def _sync(self) -> dict[str, Any]:
        now = dict(self._core.connectors)
        gone = [name for name, connector in self._connectors.items() if now.get(name) is not connector]
        new = [connector for name, connector in now.items() if self._connectors.get(name) is not connector]
        for name in gone:
            self._connectors.pop(name).ready_asked = None
        for connector in new:
            self._connectors[connector.name] = connector
        states = [connector_state(connector) for connector in new]
        for connector in new:
            self._connector(connector)
        data: dict[str, Any] = {"gone": gone, "connectors": states}
        if other := [one for one in now.values() if self._sides.get(one.name) is not one.side]:
            data["sides"] = [connector_state(connector) for connector in other if connector not in new]
            for connector in other:
                self._side(connector)
        return data

    def _clock(self, clock: Clock) -> None:
        witness, name = self.witness, self._core.name
        witness.entrance(clock, "_begin", "begin", name, lambda timestamp: {"ts": timestamp})
        witness.entrance(clock, "_finish", "finish", name, lambda: None)
        witness.entrance(clock, "_tick", "tick", name, self._tick)
        witness.reading(clock, "time", "clock")
        witness.act(
            clock._children,
            "_report",
            lambda entry, error, what, timestamp: {"a": "error", "in": what, "error": type(error).__name__},
        )

    def _tick(self, timestamp: float, lateness: float, skipped: int) -> dict[str, Any]:
        data: dict[str, Any] = {"ts": timestamp, "late": lateness, "skipped": skipped, "ready": {}, "states": {}}
        for name, connector in self._connectors.items():
            data["ready"][name] = all(connector.readiness.values())
            state = {
                "pairs": list(connector.trading_pairs),
                "refused": connector.trading_refused,
                "closed": connector._closed,
            }
            if state != self._told.get(name):
                self._told[name] = data["states"][name] = state
        return data

    # -- connectors ------------------------------------------------------------------------------------------------

    def _connector(self, connector: Connector) -> None:
        witness, name = self.witness, connector.name
        connector.ready_asked = lambda answer: witness.read(f"{name}.ready", lambda: answer)
        witness.entrance(connector, "set_trading_rules", "rules", name, lambda rules: self._rules(connector, rules))
        if isinstance(connector.order_book_tracker, OrderBookTracker):
            self._books(connector, connector.order_book_tracker)

    def _side(self, connector: Connector) -> None:
        """Watch the account that a connector trades with now, and no more the one before."""
        before = self._sides.get(connector.name)
        if before is not None:
            self.witness.let_go(before.desk, before.user_stream, before.order_tracker, before.balances)
        self._sides[connector.name] = connector.side
        if connector.desk is not None:
            self._desk(connector)
            self._account(connector)

    @staticmethod
    def _rules(connector: Connector, rules: Mapping[str, Any]) -> dict[str, Any]:
        return {pair: rules[pair] for pair in connector.trading_pairs if pair in rules}

    def _books(self, connector: Connector, tracker: OrderBookTracker) -> None:
        witness, name, registry = self.witness, connector.name, tracker._registry

        def watch() -> None:
            for pair, track in registry.tracks.items():
                if not witness.watches(track, "process"):
                    self._book(name, pair, track)

        def added(trading_pairs: Iterable[str]) -> dict[str, Any]:
            rules = connector.trading_rules
            return {
                "pairs": list(trading_pairs),
                "rules": {pair: rules[pair] for pair in trading_pairs if pair in rules},
            }

        witness.entrance(registry, "add", "market.add", name, added, after=watch)
        witness.entrance(
            registry, "remove", "market.remove", name, lambda pair, reason: {"pair": pair, "reason": reason}
        )
        watch()

    def _book(self, name: str, pair: str, track: Any) -> None:
        witness = self.witness
        witness.entrance(track, "process", "market", name, tagged)
        witness.entrance(
            track,
            "install",
            "market.install",
            name,
            lambda snapshot, confirms=True: {"snapshot": snapshot, "confirms": confirms},
        )
        witness.entrance(track, "compare", "market.compare", name, lambda snapshot: {"snapshot": snapshot})
        witness.entrance(track, "suspend", "market.suspend", name, lambda reason: {"pair": pair, "reason": reason})
        witness.entrance(track.pending, "forget_unnumbered", "market.forget", name, lambda: {"pair": pair})
        witness.reading(track, "_now", f"{name}.book")
        if not witness.watches(track.book, "apply_last_price"):
            witness.entrance(
                track.book, "apply_last_price", "market.last", name, lambda price: {"pair": pair, "price": price}
            )

    def _desk(self, connector: Connector) -> None:
        witness, name, desk = self.witness, connector.name, connector.desk
        assert desk is not None
        tracker = connector.order_tracker

        def place(request: Any, rule: Any, touch: Any) -> dict[str, Any]:
            return {"a": "place", "w": name, "order": request}

        def placed(note: dict[str, Any], request: Any, rule: Any, touch: Any) -> None:
            order = tracker.fetch_order(client_order_id=request.client_order_id)
            note["created"] = None if order is None else order.creation_timestamp

        witness.act(desk, "_track_and_send", place, placed)
        witness.entrance(
            desk, "_track_and_send", "place", name, lambda request, rule, touch: {"order": request, "touch": touch}
        )
        witness.act(desk, "_cancel", lambda pair, order_id: {"a": "cancel", "w": name, "id": order_id})
        witness.entrance(desk, "_cancel", "cancel", name, lambda pair, order_id: {"pair": pair, "id": order_id})
        witness.act(desk, "_send_cancel", lambda order: {"a": "send cancel", "w": name, "id": order.client_order_id})
        witness.entrance(desk, "_request_cancel", "request cancel", name, lambda order: {"id": order.client_order_id})
        witness.entrance(desk, "tick", "upkeep", name, lambda: None)
        witness.entrance(desk, "shut", "shut", name, lambda reason: {"reason": reason})
        witness.entrance(desk, "reopen", "reopen", name, lambda: None)
        witness.replace(desk, "_port", WitnessedPort(witness, desk._port))
        witness.replace(desk, "_time_source", WitnessedTime(witness, f"{name}.desk", desk._time_source))

    def _account(self, connector: Connector) -> None:
        witness, name = self.witness, connector.name
        stream, tracker, balances = connector.user_stream_tracker, connector.order_tracker, connector.balances
        assert stream is not None
        witness.entrance(stream, "process", "account", name, tagged)
        witness.replace(stream, "_time_source", WitnessedTime(witness, f"{name}.stream", stream._time_source))
        witness.entrance(tracker, "process_order_update", "order update", name, tagged)
        witness.entrance(tracker, "process_trade_update", "trade update", name, tagged)
        witness.entrance(
            tracker, "process_order_not_found", "not found", name, lambda client_order_id: {"id": client_order_id}
        )
        witness.entrance(tracker, "start_tracking_order", "track", name, lambda order: order.as_dict())
        witness.reading(tracker, "_time", f"{name}.orders")
        witness.entrance(balances, "begin_snapshot", "balances asked", name, lambda: None)
        witness.entrance(
            balances,
            "replace_all",
            "balances",
            name,
            lambda balances, asked_at=None: {"balances": dict(balances), "asked_at": asked_at},
        )

    # -- the strategy ----------------------------------------------------------------------------------------------

    def _strategy(self, strategy: StrategyBase) -> None:
        witness, name = self.witness, strategy.name
        witness.act(
            strategy,
            "start",
            lambda clock, timestamp: {"a": "started", "params": values_of(strategy.params.model)},
        )
        witness.act(strategy, "on_params_changed", lambda old, new: {"a": "params", "params": values_of(new)})
        witness.act(
            strategy.health,
            "hook_failed",
            lambda error, timestamp: {"a": "error", "in": "hook", "error": type(error).__name__},
        )
        for command in _COMMANDS:
            witness.entrance(strategy, command, f"strategy.{command}", name, _arguments)
        witness.reading(strategy, "_ask_gate", f"{name}.gate")
        prices = getattr(getattr(strategy, "_inputs", None), "prices", None)
        if prices is not None:
            self._prices(name, prices)

    def _prices(self, name: str, prices: Any) -> None:
        witness, ask, reference = self.witness, prices._ask, prices.reference

        def asked(price_type: Any) -> Any:
            if prices.source is None:
                return ask(price_type)
            return witness.read("price", lambda: ask(price_type))

        def referred(*args: Any) -> Any:
            found = reference(*args)
            if prices.source is not None:
                witness.read("price problem", lambda: prices.source.problem)
            return found

        witness.replace(prices, "_ask", asked)
        witness.replace(prices, "reference", referred)
        witness.entrance(
            prices,
            "use",
            "price source",
            name,
            lambda source, price_type, clock=None: {"source": describe_source(source, self._connectors)},
        )


def _arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {
        "args": [note_argument(value) for value in args],
        "kwargs": {name: note_argument(value) for name, value in kwargs.items()},
    }

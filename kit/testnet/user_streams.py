"""The private stream: which sockets listen to which account, and the events they get."""

from __future__ import annotations

from typing import Any, Protocol

from kit.testnet import binance_format as wire
from kit.testnet.exchange import Exchange
from kit.testnet.ledger import Account
from kit.testnet.taps import ExecutionReport

STREAM = "user"
"""The name by which faults know the private stream."""


class Listener(Protocol):
    """What gets an account's events."""

    def deliver(self, account: Account, event: wire.Json) -> None:
        """Take one event of an account it listens to."""
        ...

    def terminate(self, now_ms: int) -> None:
        """End every subscription with ``eventStreamTerminated``."""
        ...


class UserStreams:
    """Sends each account's executions, positions and deposits to those who subscribed to it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._listeners: dict[Account, dict[Listener, None]] = {}
        exchange.venue.on_execution.append(self._executed)
        exchange.venue.on_balance.append(self._balance_changed)
        exchange.on_deposit.append(self._deposited)

    def add(self, account: Account, listener: Listener) -> None:
        """Send an account's events to a listener from now on."""
        self._listeners.setdefault(account, {})[listener] = None

    def remove(self, account: Account, listener: Listener) -> None:
        """Stop sending an account's events to a listener."""
        listeners = self._listeners.get(account, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(account, None)

    def terminate(self) -> int:
        """End every subscription of every socket; returns how many listeners there were."""
        listeners = {listener: None for group in self._listeners.values() for listener in group}
        now = self._exchange.clock.now_ms()
        for listener in listeners:
            listener.terminate(now)
        return len(listeners)

    def _executed(self, report: ExecutionReport) -> None:
        if report.execution_type != "REJECTED" and report.order.account in self._listeners:
            self._send(report.order.account, wire.execution_report(report))

    def _balance_changed(self, account: Account, assets: tuple[str, ...]) -> None:
        if account in self._listeners:
            self._send(account, wire.account_position(account, assets, self._exchange.clock.now_ms()))

    def _deposited(self, account: Account, asset: str, units: int) -> None:
        if account in self._listeners:
            self._send(account, wire.balance_update(asset, units, self._exchange.clock.now_ms()))

    def _send(self, account: Account, event: dict[str, Any]) -> None:
        faults = self._exchange.faults
        if faults.find(("silent_stream",), STREAM, "ws_api") is not None:
            return
        for listener in tuple(self._listeners[account]):
            listener.deliver(account, event)

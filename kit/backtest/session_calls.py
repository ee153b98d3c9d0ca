"""What a frame of a recorded session calls in its replay."""

# A replay calls what the recorder watched, which is the inside of other parts.
# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from kit.connectors.connector import Connector
from kit.errors import InvalidInput
from kit.market.order_book_tracker import OrderBookTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.storage.session_codec import build, untagged
from kit.types.market import OrderBookSnapshot, TradingRule
from kit.types.orders import Balance, OrderRequest

Call = Callable[[], object]


def book_call(connector: Connector, kind: str, data: Any) -> Call:
    """Return the call on a connector's books."""
    tracker = connector.order_book_tracker
    assert isinstance(tracker, OrderBookTracker)
    registry = tracker._registry
    if kind == "market":
        message = untagged(data)
        return lambda: tracker.process(message)
    if kind == "market.add":
        new = {pair: build(TradingRule, rule) for pair, rule in data["rules"].items()}
        connector._rules = {**connector.trading_rules, **new}
        return lambda: registry.add(data["pairs"])
    if kind == "market.remove":
        return lambda: registry.remove(data["pair"], data["reason"])
    snapshot = build(OrderBookSnapshot, data["snapshot"]) if "snapshot" in data else None
    track = registry.find(data["pair"] if snapshot is None else snapshot.trading_pair)
    calls: dict[str, Call] = {
        "market.suspend": lambda: track.suspend(data["reason"]),
        "market.forget": track.pending.forget_unnumbered,
        "market.last": lambda: track.book.apply_last_price(data["price"]),
    }
    if snapshot is not None:
        calls["market.install"] = lambda: track.install(snapshot, confirms=data["confirms"])
        calls["market.compare"] = lambda: track.compare(snapshot)
    return calls[kind]


def desk_call(connector: Connector, kind: str, data: Any) -> Call | None:
    """Return the call on its desk, ``None`` where the frame is not of the desk."""
    desk = connector.desk
    if desk is None:
        return None
    if kind == "place":
        request = build(OrderRequest, data["order"])
        rule, touch = connector.rule(request.trading_pair), Decimal(data["touch"])
        return lambda: desk._track_and_send(request, rule, touch)
    if kind == "request cancel":
        order = connector.order_tracker.fetch_order(client_order_id=data["id"])
        return lambda: None if order is None else desk._request_cancel(order)
    calls: dict[str, Call] = {
        "cancel": lambda: desk._cancel(data["pair"], data["id"]),
        "upkeep": desk.tick,
        "shut": lambda: desk.shut(data["reason"]),
        "reopen": desk.reopen,
    }
    return calls.get(kind)


def account_call(connector: Connector, kind: str, data: Any) -> Call:
    """Return the call on orders, balances or rules; raises ``InvalidInput`` for an unknown kind."""
    stream, tracker, balances = connector.user_stream_tracker, connector.order_tracker, connector.balances
    if kind == "rules":
        rules = {pair: build(TradingRule, rule) for pair, rule in data.items()}
        return lambda: connector.set_trading_rules({**connector.trading_rules, **rules})
    if kind == "account" and stream is not None:
        message = untagged(data)
        return lambda: stream.process(message)
    if kind == "balances":
        held = {asset: build(Balance, balance) for asset, balance in data["balances"].items()}
        return lambda: balances.replace_all(held, asked_at=data["asked_at"])
    if kind in ("order update", "trade update"):
        update = untagged(data)
        process: Any = tracker.process_order_update if kind == "order update" else tracker.process_trade_update
        return lambda: process(update)
    calls: dict[str, Call] = {
        "track": lambda: tracker.start_tracking_order(InFlightOrder.from_dict(data)),
        "not found": lambda: tracker.process_order_not_found(data["id"]),
        "balances asked": balances.begin_snapshot,
    }
    if kind not in calls:
        raise InvalidInput(f"the session holds a frame of the unknown kind {kind!r}; was it written by a newer kit?")
    return calls[kind]

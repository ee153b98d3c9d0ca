"""What a connector knows when a session begins, described, and brought into a fresh connector."""

# Everything that the answers of books, orders and balances rest on is copied, also what their surface does not show.
# ruff: noqa: SLF001

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from kit.connectors.connector import Connector
from kit.market.order_book_tracker import OrderBookTracker
from kit.market.tracked_book import TrackedBook
from kit.orders.balances import _Report
from kit.orders.holds import Hold
from kit.orders.in_flight_order import InFlightOrder
from kit.storage.session_codec import build, plain
from kit.types.market import OrderBookDiff, OrderBookSnapshot, PublicTrade
from kit.types.orders import Balance

_EVERY_LEVEL: Final = 1 << 30
_TRACK: Final = ("urgent", "last_error", "_ever_synced", "_stream_missed")


def connector_state(connector: Connector) -> dict[str, Any]:
    """Describe a connector, as JSON values: rules of its pairs, books, balances, open orders."""
    tracker = connector.order_book_tracker
    rules = connector.trading_rules
    # Made plain at once: reports, holds and books go on changing while the frame waits for the writer.
    state: dict[str, Any] = plain(_live_state(connector, tracker, rules))
    return state


def _live_state(connector: Connector, tracker: Any, rules: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": connector.name,
        "mode": connector.mode,
        "pairs": list(connector.trading_pairs),
        "rules": {pair: rules[pair] for pair in connector.trading_pairs if pair in rules},
        "trades": connector.desk is not None,
        "refused": connector.trading_refused,
        "stale_after": _stale_after(tracker),
        "books": {
            pair: _book_state(track)
            for pair, track in (tracker._registry.tracks.items() if isinstance(tracker, OrderBookTracker) else ())
        },
        "orders": [order.as_dict() for order in connector.order_tracker.active_orders.values()],
        "balances": _balances_state(connector),
        "cancel_wanted": {} if connector.desk is None else dict(connector.desk._cancel_wanted),
        "shut": "" if connector.desk is None else connector.desk._shut,
    }


def restore_connector(connector: Connector, state: Mapping[str, Any]) -> None:
    """Bring a fresh connector into the state that was described."""
    tracker = connector.order_book_tracker
    assert isinstance(tracker, OrderBookTracker)
    for pair, book in state["books"].items():
        tracker._registry.add((pair,))
        _restore_book(tracker._registry.tracks[pair], book)
    restore_account(connector, state)


def restore_account(connector: Connector, state: Mapping[str, Any]) -> None:
    """Bring a connector's fresh account into the state that was described."""
    for order in state["orders"]:
        connector.order_tracker.start_tracking_order(InFlightOrder.from_dict(order))
    _restore_balances(connector, state["balances"])
    if connector.desk is not None:
        connector.desk._shut = state["shut"]
        connector.desk._cancel_wanted.update(
            {order_id: -math.inf if at is None else at for order_id, at in state["cancel_wanted"].items()}
        )
    connector.trading_refused = state["refused"]


def _stale_after(tracker: Any) -> float | None:
    setup = getattr(tracker, "_setup", None)
    return None if setup is None else setup.stale_after


def _book_state(track: TrackedBook) -> dict[str, Any]:
    book = track.book
    bids, asks = book.depth(_EVERY_LEVEL)
    return {
        "bids": list(bids),
        "asks": list(asks),
        "update_id": book.update_id,
        "snapshot_uid": book.snapshot_uid,
        "timestamp": book.timestamp,
        "sync_error": book.sync_error,
        "last_trade": book.last_trade,
        "last_price": book.last_trade_price,
        "pending": list(track.pending._diffs),
        "dropped": track.pending._dropped_up_to,
        "right_at": track._right_at,
        "track": {name: getattr(track, name) for name in _TRACK},
    }


def _restore_book(track: TrackedBook, state: Mapping[str, Any]) -> None:
    book = track.book
    if state["bids"] or state["asks"]:
        levels = (tuple(tuple(level) for level in state[side]) for side in ("bids", "asks"))
        book.apply_snapshot(OrderBookSnapshot(book.trading_pair, state["update_id"], state["timestamp"], *levels))
    book.update_id, book.snapshot_uid = state["update_id"], state["snapshot_uid"]
    book.timestamp, book.sync_error = state["timestamp"], state["sync_error"]
    if state["last_trade"] is not None:
        book._last_trade = build(PublicTrade, state["last_trade"])
    book._last_trade_price = math.nan if state["last_price"] is None else state["last_price"]
    for diff in state["pending"]:
        track.pending.add(build(OrderBookDiff, diff))
    track.pending._dropped_up_to = state["dropped"]
    track._right_at = -math.inf if state["right_at"] is None else state["right_at"]
    for name in _TRACK:
        setattr(track, name, state["track"][name])


def _balances_state(connector: Connector) -> dict[str, Any]:
    balances = connector.balances
    return {"arrivals": balances._arrivals, "reports": dict(balances._reports), "holds": dict(balances._holds._all)}


def _restore_balances(connector: Connector, state: Mapping[str, Any]) -> None:
    balances = connector.balances
    balances._arrivals = state["arrivals"]
    for asset, report in state["reports"].items():
        values = dict(report) | {"balance": build(Balance, report["balance"])}
        balances._reports[asset] = _Report(**values)
    for order_id, hold in state["holds"].items():
        full, amount, arrival = Decimal(hold["full"]), Decimal(hold["amount"]), hold["acknowledged_arrival"]
        balances._holds.add(order_id, Hold(hold["asset"], full, amount, hold["placed"]))
        if arrival is not None:
            balances._holds.acknowledge(order_id, arrival, hold["acknowledged_time"])

"""How orders and balances show themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.notebook.drawing import Drawing
from kit.notebook.formats import ASK, BID, decimals_of, escape, exact, html_table, moment, number
from kit.notebook.html_parts import amount, bar, code, facts, percent, side_word, soft, stack, title, word

if TYPE_CHECKING:
    from kit.orders.balances import Balances
    from kit.orders.in_flight_order import InFlightOrder
    from kit.types.orders import LimitOrder


def draw_order(order: InFlightOrder) -> Drawing:
    """Draw an order with how much of it was executed."""
    base, quote = order.base_asset, order.quote_asset
    state = order.current_state
    tone = {"failed": "bad", "unknown": "warn", "pending_cancel": "warn", "filled": "good"}.get(state.value, "")
    price = f"at {amount(order.price, quote)}" if order.price is not None else "at the market"
    head = title(
        order.trading_pair,
        f"{side_word(order.is_buy)} {amount(order.amount, base)} {price}",
        word(state.value.replace("_", " "), tone),
    )
    share = order.executed_amount_base / order.amount
    done = f"{bar(float(share), BID if order.is_buy else ASK, 10)} " if share else ""
    fees = ", ".join(amount(fee, asset) for asset, fee in order.cumulative_fees.items())
    said = [
        ("filled", f"{done}{amount(order.executed_amount_base, base)} ({percent(round(share, 4))})"),
        ("average price", amount(order.average_executed_price, quote) if order.average_executed_price else ""),
        ("fees", fees),
        ("type", f"{order.order_type.value.replace('_', ' ')}, {order.time_in_force.value}"),
        ("reason", word(order.reason, "warn") if order.reason else ""),
        ("created", moment(order.creation_timestamp) if order.creation_timestamp else ""),
        ("client order id", code(order.client_order_id)),
        ("exchange order id", code(order.exchange_order_id) if order.exchange_order_id else ""),
    ]
    return Drawing(stack(head, facts(said)), repr(order))


def draw_limit_order(order: LimitOrder) -> Drawing:
    """Draw the view of a limit order."""
    head = title(
        order.trading_pair,
        f"{side_word(order.is_buy)} {amount(order.quantity, order.base_asset)} at "
        f"{amount(order.price, order.quote_asset)}",
        f"filled {amount(order.filled_quantity, order.base_asset)}" if order.filled_quantity else "",
        code(order.client_order_id),
    )
    return Drawing(stack(head), repr(order))


def draw_balances(balances: Balances) -> Drawing:
    """Draw one row an asset."""
    rows, lines = [], []
    for asset in balances.assets:
        total, free, held = balances.total(asset), balances.available(asset), balances.held(asset)
        decimals = min(max(decimals_of(value, 0) for value in (total, free)), 8)
        used = number(total - free, decimals) if total > free else "—"
        rows.append([f"<b>{escape(asset)}</b>", number(total, decimals), number(free, decimals), used])
        lines.append(f"  {asset}: {exact(total)} total, {exact(free)} available, {exact(held)} held")
    if not rows:
        return Drawing(stack(title("balances", soft("nothing was reported yet"))), "balances: nothing was reported yet")
    return Drawing(
        stack(html_table(["asset", "total", "available", "in orders"], rows, left=1)),
        "\n".join([f"balances of {len(rows)} assets", *lines]),
    )

"""How connectors, books and trading rules show themselves."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from kit.notebook.balances_model import holdings
from kit.notebook.drawing import Drawing
from kit.notebook.formats import ASK, BID, decimals_in, decimals_of, escape, html_table, number, split_pair
from kit.notebook.html_parts import amount, bar, facts, percent, quantity, soft, stack, title, word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.connectors.connector import Connector
    from kit.market.order_book import OrderBook
    from kit.types.market import Level, TradingRule

LEVELS: Final = 8
"""Levels a side that a book shows by itself; ``book.top(50)`` shows more."""


def draw_book(book: OrderBook) -> Drawing:
    """Draw the best levels with bars of the cumulative amount."""
    base, quote = split_pair(book.trading_pair)
    bids, asks = book.depth(LEVELS)
    prices = decimals_in(price for price, _ in [*bids, *asks])
    amounts = decimals_in(size for _, size in [*bids, *asks])
    both = bool(bids and asks)
    spread = asks[0][0] - bids[0][0] if both else float("nan")
    mid = f"mid {number(book.mid_price, prices + 1)}"
    state = "" if book.synced else word(f"out of sync: {book.sync_error}", "warn")
    head = title(book.trading_pair, mid, f"spread {number(spread, prices)} {escape(quote)}" if both else "", state)
    if not bids and not asks:
        return Drawing(stack(title(book.trading_pair, state or "no levels yet")), repr(book))
    top = max(sum(size for _, size in side) for side in (bids, asks))
    rows = [
        *reversed(_levels(asks, top, ASK, prices, amounts)),
        ["", soft(f"— {number(spread, prices)} —") if both else "", "", ""],
        *_levels(bids, top, BID, prices, amounts),
    ]
    names = ["", f"price [{quote}]", f"amount [{base}]", f"total [{base}]", "depth"]
    table = html_table(names, _sided(rows, len(asks)), sides="lrrrn")
    return Drawing(stack(head, table), _book_text(book, bids, asks, prices, amounts))


def _levels(side: Sequence[Level], top: float, color: str, prices: int, amounts: int) -> list[list[str]]:
    sums = accumulate(size for _, size in side)
    return [
        [
            f'<span style="color:{color}">{number(price, prices)}</span>',
            number(size, amounts),
            number(total, amounts),
            bar(total / top if top else 0.0, color),
        ]
        for (price, size), total in zip(side, sums, strict=True)
    ]


def _sided(rows: list[list[str]], asks: int) -> list[list[str]]:
    """Name the sides at the touch, where the eye is: colour alone does not tell them."""
    words = {asks - 1: soft("ask"), asks + 1: soft("bid")}
    return [[words.get(index, ""), *row[:1], *row[1:]] for index, row in enumerate(rows)]


def _book_text(book: OrderBook, bids: Sequence[Level], asks: Sequence[Level], prices: int, amounts: int) -> str:
    lines = [
        *(f"  ask {number(price, prices):>14} {number(size, amounts):>14}" for price, size in reversed(asks[:3])),
        *(f"  bid {number(price, prices):>14} {number(size, amounts):>14}" for price, size in bids[:3]),
    ]
    return "\n".join([repr(book), *lines])


def draw_connector(connector: Connector) -> Drawing:
    """Draw mode, readiness, the pairs with their prices, and what trading needs."""
    missing = [name.replace("_", " ") for name, is_ready in connector.readiness.items() if not is_ready]
    ready = word("ready", "good") if not missing else word(f"not ready: {', '.join(missing)}", "warn")
    tone = "bad" if connector.mode == "live" else ""
    head = title(connector.name, f"mode {word(connector.mode, tone)}", ready)
    refused = connector.trading_refused if connector.mode != "data" else ""
    orders = quantity(len(connector.in_flight_orders), "order")
    said = facts(
        [
            ("trading", word(f"refused: {refused}", "bad") if refused else ""),
            ("in flight", orders if connector.mode != "data" else ""),
            ("balances", _held(connector) if connector.mode != "data" else ""),
            ("last error", escape(connector.last_error)),
        ]
    )
    text = f"{connector!r}: {', '.join(connector.trading_pairs)}"
    return Drawing(stack(head, _pairs(connector), said), text)


def _pairs(connector: Connector) -> str:
    rows = []
    for pair in connector.trading_pairs:
        book, status = connector.get_order_book(pair), connector.order_book_tracker.status(pair)
        rule = connector.trading_rules.get(pair)
        decimals = decimals_of(rule.min_price_increment if rule else None, 2)
        bid, ask = book.get_price(is_buy=False), book.get_price(is_buy=True)
        health = word("fresh", "good") if status.ready else word("stale" if status.synced else "no book", "warn")
        rows.append(
            [
                f"<b>{escape(pair)}</b>",
                health,
                number(bid, decimals),
                number(ask, decimals),
                number(ask - bid, decimals),
                escape(split_pair(pair)[1]),
            ]
        )
    return html_table(["pair", "book", "bid", "ask", "spread", "quote"], rows, sides="nnrrrn") if rows else ""


def _held(connector: Connector) -> str:
    """Return the balances of the assets that the pairs are of."""
    assets = dict.fromkeys(asset for pair in connector.trading_pairs for asset in split_pair(pair))
    more = len(set(connector.balances.assets) - set(assets))
    held = holdings(connector.name, connector, assets)
    shown = ", ".join(f"{escape(each.total)} {escape(each.asset)}" for each in held)
    return shown + (f" {soft(f'and {more} more')}" if more else "")


def draw_rule(rule: TradingRule) -> Drawing:
    """Draw what an exchange accepts for a pair."""
    base, quote = rule.base_asset, rule.quote_asset
    kinds = {
        "limit": rule.supports_limit_orders,
        "limit maker": rule.supports_limit_maker_orders,
        "market": rule.supports_market_orders,
    }
    limits = [
        ("price step", amount(rule.min_price_increment, quote)),
        ("amount step", amount(rule.min_base_amount_increment, base)),
        ("smallest order", amount(rule.min_order_size, base)),
        ("largest order", amount(rule.max_order_size, base) if rule.max_order_size is not None else ""),
        ("smallest value", amount(rule.min_notional_size, quote) if rule.min_notional_size else ""),
        ("lowest price", amount(rule.min_price, quote) if rule.min_price is not None else ""),
        ("highest price", amount(rule.max_price, quote) if rule.max_price is not None else ""),
        ("fees", f"maker {percent(rule.maker_fee)}, taker {percent(rule.taker_fee)}"),
        ("order types", ", ".join(name for name, is_taken in kinds.items() if is_taken) or "none"),
        ("on the exchange", escape(rule.exchange_symbol)),
    ]
    return Drawing(stack(title(f"{rule.trading_pair}: trading rule"), facts(limits)), repr(rule))

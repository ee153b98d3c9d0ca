"""What the demo shows in the terminal: book top, own orders, fills, PnL, tick lateness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kit.types.events import MarketEvent
from kit.types.market import TradeType

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.trading_core import TradingCore

LEVELS: Final = 6
ROWS: Final = 5
BAR: Final = 12


def render(core: TradingCore, market: Connector, trading_pair: str, seconds_left: float) -> RenderableType:
    """Return one frame of the view, for terminals of 80 columns and more."""
    body = Table.grid(padding=(0, 1))
    body.add_row(_book(market, trading_pair), Group(_orders(market), _fills(core, market)))
    return Group(_header(core, market, seconds_left), body, _totals(core, market, trading_pair))


def _header(core: TradingCore, market: Connector, seconds_left: float) -> RenderableType:
    stats = core.clock.stats
    lateness = "-" if math.isnan(stats.last_lateness) else f"{stats.last_lateness * 1000:.1f} ms"
    health = Text("ready", "green") if market.ready else Text("not ready", "bold red")
    return Text.assemble(
        (f"{market.name} on loopback ", "bold"),
        health,
        f"  tick {stats.ticks}, lateness {lateness} ({stats.ticks_late} late, {stats.ticks_skipped} skipped)",
        f"  {seconds_left:.0f} s left",
    )


def _book(market: Connector, trading_pair: str) -> RenderableType:
    bids, asks = market.get_order_book(trading_pair).depth(LEVELS)
    largest = max((amount for _, amount in [*bids, *asks]), default=1.0)
    own = {float(order.price) for order in market.limit_orders}
    table = Table(title=f"{trading_pair} book", show_header=False, box=None, padding=(0, 1))
    for levels, color in ((reversed(asks), "red"), (bids, "green")):
        for price, amount in levels:
            bar = "█" * max(1, round(BAR * amount / largest))
            table.add_row(
                Text(f"{price:,.2f}", color),
                f"{amount:.5f}",
                Text(f"{bar:<{BAR}}", color),
                "◄" if price in own else " ",
            )
    return Panel(table, expand=False)


def _orders(market: Connector) -> RenderableType:
    table = Table(title="own orders", box=None, padding=(0, 1))
    for column in ("side", "price", "amount", "state"):
        table.add_column(column)
    orders = sorted(market.in_flight_orders.values(), key=lambda order: -(order.price or 0))
    for order in orders[:ROWS]:
        color = "green" if order.trade_type is TradeType.BUY else "red"
        table.add_row(
            Text(order.trade_type.value, color), f"{order.price:,.2f}", f"{order.amount}", order.current_state.value
        )
    return Panel(table, expand=False)


def _fills(core: TradingCore, market: Connector) -> RenderableType:
    table = Table(title="fills", box=None, padding=(0, 1))
    for column in ("side", "price", "amount"):
        table.add_column(column)
    fills = list(core.session_logs[market.name].fills)[-ROWS:]
    for fill in reversed(fills):
        color = "green" if fill.trade_type is TradeType.BUY else "red"
        table.add_row(Text(fill.trade_type.value, color), f"{fill.price:,.2f}", f"{fill.amount}")
    return Panel(table, expand=False)


def _totals(core: TradingCore, market: Connector, trading_pair: str) -> RenderableType:
    log = core.session_logs[market.name]
    totals = log.totals.get(trading_pair)
    pnl = float(totals.pnl(market.get_mid_price(trading_pair))) if totals else 0.0
    book = market.order_book_tracker.status(trading_pair)
    return Text.assemble(
        f"orders {log.orders_created}  own fills {len(log.fills)}  "
        f"cancels {log.counts[MarketEvent.OrderCancelled]}  PnL ",
        (f"{pnl:+.4f} USDT", "green" if pnl >= 0 else "red"),
        f" after fees of {float(totals.fees_quote) if totals else 0.0:.4f}",
        f"\nBTC {market.get_balance('BTC'):f}  USDT {market.get_balance('USDT'):.2f}"
        f"  book updates {book.diffs}  public trades {book.trades}",
    )

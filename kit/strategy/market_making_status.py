"""A market maker's state at a glance: markets, assets, inventory skew, orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

from kit.strategy.inventory_skew import current_skew, total_order_size
from kit.strategy.market_api import Market
from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.market_making_inputs import MarketMakingInputs
from kit.strategy.own_orders import OwnOrder
from kit.strategy.price_sources import MarketPrice
from kit.strategy.tables import Table

if TYPE_CHECKING:
    import pandas as pd

_NAN = Decimal("NaN")
ASSETS = ("asset", "total", "available", "worth", "share")


@dataclass(frozen=True, slots=True, repr=False)
class MarketMakingStatus:
    """A snapshot, as DataFrames: prices in quote, sizes in base, ``spread`` and shares as fractions, ages in seconds.

    ``markets``: best prices, reference price, where it comes from; a second row where that is another market.
    ``assets``: total, available, worth in quote, share.
    ``skew``: what the inventory does to sizes (no rows where skew is off). ``orders``: level, side, price, amount,
    filled, spread to the reference price, age, hanging, state.
    """

    headline: str
    tables: tuple[Table, Table, Table, Table]

    @property
    def markets(self) -> pd.DataFrame:
        """Return one row for each market that prices come from."""
        return self.tables[0].frame

    @property
    def assets(self) -> pd.DataFrame:
        """Return a row for base and one for quote."""
        return self.tables[1].frame

    @property
    def skew(self) -> pd.DataFrame:
        """Return one row with the inventory skew; none where it is off or cannot be known."""
        return self.tables[2].frame

    @property
    def orders(self) -> pd.DataFrame:
        """Return a row for each active order, sells from the farthest to the nearest, then buys."""
        return self.tables[3].frame

    def __repr__(self) -> str:
        return "\n".join([self.headline, *(table.text() for table in self.tables)])

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.headline)}</b></p>" + "".join(table.html() for table in self.tables)


def market_making_status(
    headline: str,
    inputs: MarketMakingInputs,
    context: MarketMakingContext | None,
    orders: Sequence[OwnOrder],
    hanging: Sequence[OwnOrder],
    now: float,
) -> MarketMakingStatus:
    """Take the snapshot; ``context`` is ``None`` where there is no reference price now."""
    market, source = inputs.market, inputs.prices.source
    reference = None if context is None else context.buy_reference
    markets = [(*_quoted(market, inputs.trading_pair), reference, "market" if source is None else source.name)]
    if isinstance(source, MarketPrice):
        markets.append((*_quoted(source.market, source.trading_pair), None, ""))
    return MarketMakingStatus(
        headline,
        (
            Table(
                "Markets",
                ("market", "pair", "ready", "best_bid", "best_ask", "reference_price", "price_source"),
                tuple(markets),
            ),
            _assets(market, inputs.assets, reference) if market.ready else Table("Assets", ASSETS, ()),
            _skew(context),
            _orders(orders, hanging, reference, now),
        ),
    )


def _quoted(market: Market, trading_pair: str) -> tuple[Any, ...]:
    """Return name, pair, readiness, best bid and best ask."""
    best = (market.get_price(trading_pair, is_ask) if market.ready else _NAN for is_ask in (False, True))
    return (market.name, trading_pair, market.ready, *best)


def _assets(market: Market, names: tuple[str, str], reference: Decimal | None) -> Table:
    prices: tuple[Decimal | None, Decimal] = (reference, Decimal(1))
    totals = [market.get_balance(name) for name in names]
    worths = [None if price is None else total * price for total, price in zip(totals, prices, strict=True)]
    value = None if worths[0] is None else sum(worth for worth in worths if worth is not None)
    rows = tuple(
        (name, total, market.get_available_balance(name), worth, worth / value if worth is not None and value else None)
        for name, total, worth in zip(names, totals, worths, strict=True)
    )
    return Table("Assets", ASSETS, rows, frozenset({"share"}))


def _skew(context: MarketMakingContext | None) -> Table:
    columns = ("target_share", "share", "range_base", "buy_factor", "sell_factor")
    rows: tuple[tuple[Any, ...], ...] = ()
    if context is not None and context.params.inventory_skew_enabled:
        base = context.base_total * context.buy_reference
        value = base + context.quote_total
        skew, params = current_skew(context), context.params
        share = base / value if value > 0 else None
        reach = total_order_size(params) * params.inventory_range_multiplier
        rows = ((params.inventory_target_base_pct, share, reach, skew.bid_ratio, skew.ask_ratio),)
    return Table("Inventory skew", columns, rows, frozenset({"target_share", "share"}))


def _orders(orders: Sequence[OwnOrder], hanging: Sequence[OwnOrder], reference: Decimal | None, now: float) -> Table:
    columns = ("level", "side", "price", "amount", "filled", "spread", "age", "hanging", "state", "order_id")

    def row(order: OwnOrder) -> tuple[Any, ...]:
        sign = -1 if order.is_buy else 1
        return (
            order.level,
            "buy" if order.is_buy else "sell",
            order.price,
            order.quantity,
            order.filled_quantity,
            None if reference is None else sign * (order.price - reference) / reference,
            now - order.creation_timestamp,
            order in hanging,
            "cancelling" if order.is_cancelling else order.state.value,
            order.client_order_id,
        )

    ladder = sorted(orders, key=lambda order: (order.is_buy, -order.price))
    return Table("Orders", columns, tuple(row(order) for order in ladder), frozenset({"spread"}))

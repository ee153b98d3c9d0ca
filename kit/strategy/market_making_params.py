"""What can be set on pure market making, and which combinations make sense."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pydantic import field_validator, model_validator

from kit.strategy.params import Params, param
from kit.types.market import PriceType


class OrderOverride(NamedTuple):
    """One order that replaces the levels: ``spread`` as a fraction of the reference price, ``amount`` in base."""

    side: Literal["buy", "sell"]
    spread: Decimal
    amount: Decimal


class LevelSetting(NamedTuple):
    """One order as the parameters set it: its price as a factor of the reference price, its size in base."""

    factor: Decimal
    size: Decimal


class PureMarketMakingParams(Params):
    """The parameters of ``PureMarketMaking``: every one can be changed while it runs.

    Percentages are fractions (0.01 is 1 %) and ``None`` is off. Which parameter of the reference became which:

    ============================================== ==============================================================
    reference                                      here
    ============================================== ==============================================================
    exchange, market                               the strategy's ``market`` and ``trading_pair``
    bid_spread, ask_spread                         the same, as fractions; at or below 0 only with take_if_crossed
    minimum_spread                                 the same; ``None`` instead of -100 %
    order_refresh_time                             the same
    max_order_age                                  the same; ``None`` for no limit
    order_refresh_tolerance_pct                    order_refresh_tolerance; ``None`` instead of below zero
    order_amount, order_levels                     the same
    order_level_amount, order_level_spread         the same
    price_ceiling, price_floor                     the same; ``None`` instead of -1
    moving_price_band_enabled                      the same
    price_ceiling_pct, price_floor_pct             the same, as fractions; ``None`` leaves that end open
    price_band_refresh_time                        the same
    ping_pong_enabled                              the same
    inventory_skew_enabled                         the same; the range is a multiple of the sizes that are really set,
                                                   also of split levels and an override (there order_amount counts)
    inventory_target_base_pct                      the same, as a fraction
    inventory_range_multiplier                     the same
    inventory_price                                the same; ``None``: the cost of what is held at start is not known
    filled_order_delay                             the same
    hanging_orders_enabled                         the same
    hanging_orders_cancel_pct                      the same, as a fraction; ``None`` for never
    order_optimization_enabled                     the same
    bid_, ask_order_optimization_depth             the same
    add_transaction_costs                          the same
    price_type                                     the same names: ``kit.PriceType`` or its text
    price_source, price_source_exchange,           the strategy's ``price_source``: nothing for its own market, another
    price_source_market, price_source_custom_api   market or (market, pair), a URL, a callable, a ``PriceSource``
    custom_api_update_interval                     price_source_interval
    take_if_crossed                                the same
    order_override                                 the same: {name: ["buy" or "sell", spread as a fraction, amount]}
    should_wait_order_cancel_confirmation          the same, and it can be switched off
    split_order_levels_enabled                     on for a side whose list of spreads is given
    bid_, ask_order_level_spreads                  the same, sequences of fractions
    bid_, ask_order_level_amounts                  the same, sequences of base amounts
    logging_options, status_report_interval        ``logging``; ``strategy.status`` at any time
    (none)                                         price_source_stale_after
    ============================================== ==============================================================
    """

    bid_spread: Decimal = param(
        gt=-1,
        lt=1,
        step="0.0001",
        unit="fraction",
        doc="distance of the nearest buy order below the reference price; zero or less needs take_if_crossed",
    )
    ask_spread: Decimal = param(
        gt=-1,
        lt=1,
        step="0.0001",
        unit="fraction",
        doc="distance of the nearest sell order above the reference price; zero or less needs take_if_crossed",
    )
    order_amount: Decimal = param(gt=0, unit="base", doc="size of the nearest order of each side")
    order_levels: int = param(1, ge=1, le=100, step=1, doc="orders on each side")
    order_level_spread: Decimal = param(
        "0.01", ge=0, lt=1, step="0.0001", unit="fraction", doc="further distance of each level behind the nearest"
    )
    order_level_amount: Decimal = param(
        0, unit="base", doc="further size of each level behind the nearest; below zero they shrink"
    )
    bid_order_level_spreads: tuple[Decimal, ...] | None = param(
        None, gt=-1, lt=1, unit="fraction", doc="the buy orders' distances, one by one, instead of evenly spaced levels"
    )
    ask_order_level_spreads: tuple[Decimal, ...] | None = param(
        None, gt=-1, lt=1, unit="fraction", doc="the sell orders' distances, one by one"
    )
    bid_order_level_amounts: tuple[Decimal, ...] | None = param(
        None, gt=0, unit="base", doc="the buy orders' sizes, one for each of bid_order_level_spreads"
    )
    ask_order_level_amounts: tuple[Decimal, ...] | None = param(
        None, gt=0, unit="base", doc="the sell orders' sizes, one for each of ask_order_level_spreads"
    )
    order_override: tuple[OrderOverride, ...] | None = param(
        None, doc="orders that replace all levels: {name: ['buy' or 'sell', spread (fraction), amount (base)]}"
    )
    order_refresh_time: float = param(30, gt=0, step=1, unit="s", doc="how long orders rest before they are replaced")
    order_refresh_tolerance: Decimal | None = param(
        None, ge=0, lt=1, step="0.0001", unit="fraction", doc="keep resting orders whose prices would change by less"
    )
    max_order_age: float | None = param(
        1800,
        gt=0,
        step=1,
        unit="s",
        doc="cancel all orders when one is older, even where the tolerance keeps them; hanging ones are renewed",
    )
    filled_order_delay: float = param(
        60, ge=0, step=1, unit="s", doc="pause between a filled order and the next placement"
    )
    should_wait_order_cancel_confirmation: bool = param(
        True, doc="place new orders only when every cancel is confirmed; off: beside orders that are being cancelled"
    )
    minimum_spread: Decimal | None = param(
        None, gt=-1, lt=1, step="0.0001", unit="fraction", doc="cancel orders that are nearer to the reference price"
    )
    price_ceiling: Decimal | None = param(
        None, gt=0, unit="quote", doc="no buy orders at this reference price or above"
    )
    price_floor: Decimal | None = param(None, gt=0, unit="quote", doc="no sell orders at this reference price or below")
    moving_price_band_enabled: bool = param(False, doc="a ceiling and a floor that follow the reference price")
    price_ceiling_pct: Decimal | None = param(
        "0.01", gt=-1, step="0.001", unit="fraction", doc="the moving ceiling's distance above the price"
    )
    price_floor_pct: Decimal | None = param(
        "-0.01", gt=-1, step="0.001", unit="fraction", doc="the moving floor's distance from the price; below zero"
    )
    price_band_refresh_time: float = param(
        86400, gt=0, step=1, unit="s", doc="how often the moving band is set anew around the price"
    )
    ping_pong_enabled: bool = param(
        False, doc="after a fill, leave out a level of that side until the other side fills"
    )
    inventory_skew_enabled: bool = param(
        False, doc="shift sizes between the sides so that the inventory goes to target"
    )
    inventory_target_base_pct: Decimal = param(
        "0.5", ge=0, le=1, step="0.01", unit="fraction", doc="the share of base in the value of both assets to aim at"
    )
    inventory_range_multiplier: Decimal = param(
        1, gt=0, step="0.1", doc="how far from the target a side is closed, in total sizes of all orders"
    )
    inventory_price: Decimal | None = param(
        None,
        gt=0,
        unit="quote",
        doc="what the base held when this is set (at start, or live) cost; for price_type inventory_cost",
    )
    order_optimization_enabled: bool = param(False, doc="go no further than just before the book's nearest order")
    bid_order_optimization_depth: Decimal = param(
        0, ge=0, unit="base", doc="how much of the bids to look past when optimizing"
    )
    ask_order_optimization_depth: Decimal = param(
        0, ge=0, unit="base", doc="how much of the asks to look past when optimizing"
    )
    add_transaction_costs: bool = param(False, doc="widen the spreads by the maker fee")
    hanging_orders_enabled: bool = param(
        False, doc="keep the unfilled order of a pair whose other order filled, and adopt orders found at start"
    )
    hanging_orders_cancel_pct: Decimal | None = param(
        "0.1", gt=0, lt=1, step="0.01", unit="fraction", doc="cancel hanging orders farther from the reference price"
    )
    take_if_crossed: bool = param(False, doc="send orders that cross the book, as takers, instead of leaving them out")
    price_type: PriceType = param(PriceType.MidPrice, doc="which price the spreads are measured from")
    price_source_interval: float = param(
        5, ge=0.5, step=0.5, unit="s", doc="how often a callable or URL is asked for its price"
    )
    price_source_stale_after: float | None = param(
        60, gt=0, step=1, unit="s", doc="an answer of a callable or URL older than this is no price"
    )

    @cached_property
    def buy_levels(self) -> tuple[LevelSetting, ...]:
        """Return every buy order as it is set, nearest level first."""
        return _levels(self, "buy", self.bid_spread, self.bid_order_level_spreads, self.bid_order_level_amounts)

    @cached_property
    def sell_levels(self) -> tuple[LevelSetting, ...]:
        """Return every sell order as it is set, nearest level first."""
        return _levels(self, "sell", self.ask_spread, self.ask_order_level_spreads, self.ask_order_level_amounts)

    @field_validator("order_override", mode="before")
    @classmethod
    def _read_override(cls, value: Any) -> Any:
        rows = list(value.values()) if isinstance(value, Mapping) else value
        if rows is None:
            return None
        if not isinstance(rows, list | tuple):
            raise ValueError(f"is {_OVERRIDE_SHAPE}")  # noqa: TRY004 - pydantic collects ValueErrors only
        return tuple(_override_row(row) for row in rows) or None

    @field_validator("price_type", mode="before")
    @classmethod
    def _read_price_type(cls, value: Any) -> Any:
        return PriceType(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_together(self) -> PureMarketMakingParams:
        for problem in (*_wrong_band(self), *_wrong_spreads(self), *_wrong_lists(self), *_wrong_source(self)):
            raise ValueError(problem)
        return self


_OVERRIDE_SHAPE = (
    "not written as orders by name, each with side, spread (fraction) and amount (base), such as "
    "{'near': ['buy', '0.01', 1]}"
)


def _override_row(row: Any) -> tuple[str, str, str]:
    if not isinstance(row, list | tuple) or len(row) != 3:
        raise ValueError(f"has {row!r}, which is {_OVERRIDE_SHAPE}")
    side, *numbers = row
    if side not in ("buy", "sell"):
        raise ValueError(f"has the side {side!r} and is {_OVERRIDE_SHAPE}; a side is 'buy' or 'sell'")
    for number in numbers:
        try:
            Decimal(str(number))
        except InvalidOperation:
            raise ValueError(f"has {number!r}, which is no number, and is {_OVERRIDE_SHAPE}") from None
    return (side, *(str(number) for number in numbers))


def _levels(
    params: PureMarketMakingParams,
    side: str,
    spread: Decimal,
    spreads: tuple[Decimal, ...] | None,
    amounts: tuple[Decimal, ...] | None,
) -> tuple[LevelSetting, ...]:
    sign = -1 if side == "buy" else 1
    if params.order_override is not None:
        return tuple(
            LevelSetting(1 + sign * entry.spread, entry.amount) for entry in params.order_override if entry.side == side
        )
    if spreads is None:
        spreads = tuple(spread + level * params.order_level_spread for level in range(params.order_levels))
    if amounts is None:
        amounts = tuple(params.order_amount + level * params.order_level_amount for level in range(len(spreads)))
    return tuple(LevelSetting(1 + sign * away, size) for away, size in zip(spreads, amounts, strict=True))


def _wrong_band(params: PureMarketMakingParams) -> list[str]:
    problems = []
    ceiling, floor = params.price_ceiling, params.price_floor
    if ceiling is not None and floor is not None and ceiling < floor:
        problems.append(
            f"price_ceiling {ceiling} is below price_floor {floor}, which would stop both sides at once; "
            f"give a ceiling above the floor, or None for one of them"
        )
    high, low = params.price_ceiling_pct, params.price_floor_pct
    if high is not None and low is not None and high < low:
        problems.append(f"price_ceiling_pct {high} is below price_floor_pct {low}; give a ceiling above the floor")
    return problems


def _wrong_spreads(params: PureMarketMakingParams) -> list[str]:
    problems = []
    farthest = params.bid_spread + (params.order_levels - 1) * params.order_level_spread
    if farthest >= 1 and params.bid_order_level_spreads is None and params.order_override is None:
        problems.append(
            f"the farthest buy order would have a price of zero or less: bid_spread {params.bid_spread} and "
            f"{params.order_levels - 1} times order_level_spread {params.order_level_spread} make up the whole price "
            f"or more; lower order_levels or order_level_spread"
        )
    if not params.take_if_crossed:
        spreads: dict[str, Decimal] = {"bid_spread": params.bid_spread, "ask_spread": params.ask_spread}
        for name in ("bid_order_level_spreads", "ask_order_level_spreads"):
            spreads.update({name: min(getattr(params, name))} if getattr(params, name) else {})
        problems += [
            f"{name} = {spread} is not above 0, so the order would cross the reference price; "
            f"give a spread above 0, or set take_if_crossed"
            for name, spread in spreads.items()
            if spread <= 0
        ]
    return problems


def _wrong_source(params: PureMarketMakingParams) -> list[str]:
    interval, limit = params.price_source_interval, params.price_source_stale_after
    if limit is None or interval < limit:
        return []
    problem = (
        f"price_source_interval {interval:g} s is not below price_source_stale_after {limit:g} s, so every answer "
        f"would be stale before the next one; ask more often, or give a higher limit or None"
    )
    return [problem]


def _wrong_lists(params: PureMarketMakingParams) -> list[str]:
    problems = []
    for side in ("bid", "ask"):
        spreads, amounts = (getattr(params, f"{side}_order_level_{what}") for what in ("spreads", "amounts"))
        if amounts is not None and (spreads is None or len(spreads) != len(amounts)):
            given = "none" if spreads is None else len(spreads)
            problems.append(
                f"{side}_order_level_amounts has {len(amounts)} entries and {side}_order_level_spreads has {given}; "
                f"give as many amounts as spreads"
            )
    problems += [
        f"order_override has {entry.side} {entry.amount} at spread {entry.spread}; "
        f"give an amount above 0 and a spread (fraction) below 1 and above -1"
        for entry in params.order_override or ()
        if not (-1 < entry.spread < 1 and entry.amount > 0)
    ]
    return problems

"""Why a stage of market making changed a proposal, in words; worked out when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType

from kit.core.naming import counted
from kit.strategy import market_making_stages as stages
from kit.strategy.inventory_skew import current_skew
from kit.strategy.market_making_context import MarketMakingContext, Stage
from kit.strategy.market_making_params import LevelSetting
from kit.strategy.proposal import Proposal
from kit.strategy.tables import cell_text
from kit.types.market import PriceType

Reason = Callable[[Proposal, MarketMakingContext], str]


def _base(after: Proposal, seen: MarketMakingContext) -> str:
    said = f"around {cell_text(seen.buy_reference)} ({_origin(seen)})"
    if seen.sell_reference is None:
        said += "; no sells, as nobody knows what the base held has cost: set inventory_price"
    elif seen.sell_reference != seen.buy_reference:
        said += f"; sells from the inventory's cost {cell_text(seen.sell_reference)}"
    return "; ".join(dict.fromkeys([said, *_not_proposed(after, seen)]))


def _not_proposed(after: Proposal, seen: MarketMakingContext) -> list[str]:
    """Return why a side has no levels, or fewer than are set."""
    params = seen.params
    sides = (
        ("bid", "buys", params.buy_levels, seen.buy_reference, after.buys),
        ("ask", "sells", params.sell_levels, seen.sell_reference, after.sells),
    )
    found = []
    for side, name, levels, reference, entries in sides:
        if not levels:
            overridden = params.order_override is not None
            found.append(f"order_override has no {name}" if overridden else f"{side}_order_level_spreads is empty")
        proposed = {entry.level for entry in entries}
        index = next((index for index in range(len(levels)) if index not in proposed), None)
        if index is not None and reference is not None:
            found.append(_rounded_away(seen, side, index, levels[index], reference))
    return found


def _rounded_away(seen: MarketMakingContext, side: str, index: int, level: LevelSetting, reference: Decimal) -> str:
    if seen.quantize_amount(level.size) <= 0:
        return _too_small(_size_name(seen, side, index), level.size, seen)
    step = "" if seen.rule is None else f", step {cell_text(seen.rule.min_price_increment)}"
    return f"a price of {cell_text(reference * level.factor)} rounds to 0{step}"


def _size_name(seen: MarketMakingContext, side: str, index: int) -> str:
    params = seen.params
    if params.order_override is not None:
        return "an amount of order_override"
    if getattr(params, f"{side}_order_level_amounts") is not None:
        return f"an amount of {side}_order_level_amounts"
    return f"order_amount + {index} x order_level_amount =" if index and params.order_level_amount else "order_amount"


def _too_small(name: str, size: Decimal, seen: MarketMakingContext) -> str:
    if size <= 0:
        return f"{name} {cell_text(size)} is not above 0"
    rule = seen.rule
    limits = "" if rule is None else f", step {cell_text(rule.min_base_amount_increment)}"
    if rule is not None and rule.min_order_size:
        limits += f", least size {cell_text(rule.min_order_size)}"
    return f"{name} {cell_text(size)} rounds to 0{limits}"


def _origin(seen: MarketMakingContext) -> str:
    """Name the price that answered, which need not be the one that was asked for."""
    asked, kind, source = seen.params.price_type, seen.reference_type, seen.price_source
    if kind is PriceType.Custom:
        said = source
    elif source and kind is not PriceType.LastOwnTrade:
        said = f"{kind.value} of {source}"
    else:
        said = kind.value
    # An inventory's cost only moves the sells; a source that knows one price answers for every type of market price.
    missing = asked is PriceType.LastOwnTrade if kind is PriceType.Custom else asked is not PriceType.InventoryCost
    return f"{said}, as {asked.value} is not known yet" if missing and kind is not asked else said


def _band(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    return _bounds(seen, "price_ceiling", seen.params.price_ceiling, "price_floor", seen.params.price_floor)


def _moving_band(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    return _bounds(seen, "the moving ceiling", seen.band_ceiling, "the moving floor", seen.band_floor)


def _bounds(seen: MarketMakingContext, high_name: str, high: object, low_name: str, low: object) -> str:
    price = seen.buy_reference
    found = []
    if high is not None and price >= high:  # type: ignore[operator]
        found.append(f"the reference price {cell_text(price)} is at or above {high_name} {cell_text(high)}: no buys")
    if low is not None and price <= low:  # type: ignore[operator]
        found.append(f"the reference price {cell_text(price)} is at or below {low_name} {cell_text(low)}: no sells")
    return "; ".join(found)


def _ping_pong(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    filled = f"{counted(seen.filled_buys, 'buy')} and {counted(seen.filled_sells, 'sell')}"
    return f"{filled} filled since they were last even"


def _optimization(after: Proposal, seen: MarketMakingContext) -> str:
    if after.is_empty:
        return "the book is thinner than the optimization depth"
    return f"one price step beside the book's orders at {cell_text(seen.deep_bid)} and {cell_text(seen.deep_ask)}"


def _costs(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    return f"wider by the maker fee of {cell_text(seen.maker_fee * 100)} %"


def _skew(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    skew = current_skew(seen)
    value = seen.base_total * seen.buy_reference
    share = value / (value + seen.quote_total) * 100 if value + seen.quote_total > 0 else 0
    target = seen.params.inventory_target_base_pct * 100
    return (
        f"buys x {skew.bid_ratio:.3g}, sells x {skew.ask_ratio:.3g}: base is {share:.1f} % of the value, "
        f"target {cell_text(target)} %"
    )


def _budget(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    base, _, quote = seen.trading_pair.partition(":")[0].partition("/")
    return (
        f"{cell_text(seen.quote_budget)} {quote} and {cell_text(seen.base_budget)} {base} are free for orders "
        f"(maker fee {cell_text(seen.maker_fee * 100)} %)"
    )


def _rules(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    rule = seen.rule
    if rule is None:
        return ""
    limits = {
        "size at least": rule.min_order_size,
        "size at most": rule.max_order_size,
        "value at least": rule.min_notional_size,
        "price at least": rule.min_price,
        "price at most": rule.max_price,
    }
    said = ", ".join(f"{name} {cell_text(limit)}" for name, limit in limits.items() if limit)
    return f"the exchange takes: {said}"


def _takers(after: Proposal, seen: MarketMakingContext) -> str:  # noqa: ARG001
    return f"would trade at once: best bid {cell_text(seen.best_bid)}, best ask {cell_text(seen.best_ask)}"


REASONS: Mapping[Stage, Reason] = MappingProxyType(
    {
        stages.base_levels: _base,
        stages.price_band: _band,
        stages.moving_price_band: _moving_band,
        stages.ping_pong: _ping_pong,
        stages.order_optimization: _optimization,
        stages.transaction_costs: _costs,
        stages.inventory_skew: _skew,
        stages.budget_constraint: _budget,
        stages.trading_rules: _rules,
        stages.filter_takers: _takers,
    }
)
"""For each stage of the kit, what to say when it changed something."""


def reason(stage: Stage, after: Proposal, context: MarketMakingContext) -> str:
    """Return why a stage changed the proposal; for a user's stage the first line of its documentation."""
    known = next((words for own, words in REASONS.items() if own is stage), None)  # a user's may not be hashable
    if known is not None:
        return known(after, context)
    return (stage.__doc__ or "").strip().partition("\n")[0]


def change(before: Proposal, after: Proposal) -> str:
    """Return what a stage changed, such as ``removed 2 buys``; empty where it changed nothing."""
    found = []
    for name, old, new in (("buys", before.buys, after.buys), ("sells", before.sells, after.sells)):
        if len(new) != len(old):
            number = counted(abs(len(new) - len(old)), name.removesuffix("s"))
            found.append(f"{'added' if len(new) > len(old) else 'removed'} {number}")
        by_level = {entry.level: entry for entry in old}
        pairs = [(by_level[entry.level], entry) for entry in new if entry.level in by_level]
        if any(one.price != other.price for one, other in pairs):
            found.append(f"moved {name}")
        if any(one.size != other.size for one, other in pairs):
            found.append(f"resized {name}")
    return ", ".join(found)

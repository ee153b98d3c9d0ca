"""The reference's parameters as ours. Both are fractions, but for percents inside two of the reference's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

D = Decimal
HUNDRED = D(100)
SIDES = ("buy", "sell")
SPREADS = {"buy": "bid_spread", "sell": "ask_spread"}
LISTS = {"buy": "bid_order_level", "sell": "ask_order_level"}

RENAMED = {
    "order_refresh_tolerance_pct": "order_refresh_tolerance",
    "add_transaction_costs_to_orders": "add_transaction_costs",
}
OFF: dict[str, Callable[[Decimal], bool]] = {
    "order_refresh_tolerance_pct": lambda value: value < 0,
    "minimum_spread": lambda value: value <= -1,
    "price_ceiling": lambda value: value <= 0,
    "price_floor": lambda value: value <= 0,
}
"""What switches a parameter off in the reference."""

LEVELS = (
    "bid_spread",
    "ask_spread",
    "order_levels",
    "order_override",
    "split_order_levels_enabled",
    *(f"{LISTS[side]}_{what}" for side in SIDES for what in ("spreads", "amounts")),
)
"""What says together which orders there are; the mapping of one depends on the others."""

REFERENCE_LEVEL_SPREAD = 0
UNUSED_SPREAD = D("0.01")
"""Stands for a spread that other parameters override: ours refuses zero also where it is not used."""


def number(value: Any) -> Decimal:
    return D(str(value))


def parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ours for the whole of the reference's ``config``.

    The result has the same keys for every config with the same keys, so that it can follow changes during a scenario.
    """
    ours: dict[str, Any] = {"order_level_spread": REFERENCE_LEVEL_SPREAD}
    for name, value in config.items():
        if name not in LEVELS:
            ours.update(_parameter(name, value))
    return ours | _levels(config)


def _parameter(name: str, value: Any) -> dict[str, Any]:
    if name == "moving_price_band":
        if not value:
            return {"moving_price_band_enabled": False}
        return {
            "moving_price_band_enabled": True,
            "price_floor_pct": number(value["floor_pct"]) / HUNDRED,
            "price_ceiling_pct": number(value["ceiling_pct"]) / HUNDRED,
            "price_band_refresh_time": value["refresh"],
        }
    if name in OFF and value is not None and OFF[name](number(value)):
        value = None
    return {RENAMED.get(name, name): value}


def _levels(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says which orders there are.

    Three of the reference's settings have another form here: split levels are an override there and lists of their own
    here; no levels at all (``order_levels`` 0) are empty lists; and spreads of zero or less, which ours takes as a
    mistake unless ``take_if_crossed``, are an override that lists every level.
    """
    ours: dict[str, Any] = {
        **{SPREADS[side]: config[SPREADS[side]] for side in SIDES if SPREADS[side] in config},
        **{f"{LISTS[side]}_{what}": None for side in SIDES for what in ("spreads", "amounts")},
        "order_override": None,
        "order_levels": max(int(config.get("order_levels", 1)), 1),
    }
    if config.get("split_order_levels_enabled"):
        ours.update(_split(config))
    elif config.get("order_override"):
        ours["order_override"] = _override(config["order_override"])
    elif int(config.get("order_levels", 1)) < 1:
        ours.update({f"{LISTS[side]}_spreads": () for side in SIDES})
    elif _crosses(config):
        ours["order_override"] = _listed(config)
    if ours["order_override"] is not None or ours["bid_order_level_spreads"] is not None:
        ours.update(dict.fromkeys(_crosses(config), UNUSED_SPREAD))
    return ours


def _override(rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {key: [side, number(percent) / HUNDRED, size] for key, (side, percent, size) in rows.items()}


def _split(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return split levels: from the override that the reference's start makes of its lists, else from the lists."""
    ours: dict[str, Any] = {}
    rows = _override(config.get("order_override") or {}).values()
    for side in SIDES:
        spreads, amounts = (numbers(config.get(f"{LISTS[side]}_{what}")) for what in ("spreads", "amounts"))
        if rows:
            levels = [(spread, number(size)) for which, spread, size in rows if which == side]
        elif amounts:
            levels = list(zip(spreads, amounts, strict=False))
        else:
            levels = list(zip_longest(spreads, ()))
        sized = any(size is not None for _, size in levels)
        ours[f"{LISTS[side]}_spreads"] = tuple(spread for spread, _ in levels)
        ours[f"{LISTS[side]}_amounts"] = tuple(size for _, size in levels) if sized else None
    return ours


def numbers(value: str | Sequence[Any] | None) -> list[Decimal]:
    """Read a list, or a text with commas as the reference's configuration has it."""
    parts = value.split(",") if isinstance(value, str) else value or ()
    return [D(str(part).strip()) for part in parts]


def _crosses(config: Mapping[str, Any]) -> list[str]:
    if config.get("take_if_crossed"):
        return []
    return [name for name in SPREADS.values() if name in config and number(config[name]) <= 0]


def _listed(config: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return every level with a size above zero, nearest first; the reference leaves the others out as well."""
    step, more = (number(config.get(name, 0)) for name in ("order_level_spread", "order_level_amount"))
    return {
        f"{side} {level}": [side, number(config[SPREADS[side]]) + level * step, size]
        for side in SIDES
        for level in range(int(config.get("order_levels", 1)))
        if (size := number(config["order_amount"]) + level * more) > 0
    }

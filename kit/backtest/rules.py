"""Which trading rules a pair is back-tested under: those given, else those that its data tell."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from kit.connectors.pairs import normalize_pair
from kit.errors import InvalidInput
from kit.types.market import TradingRule

RulesInput: TypeAlias = Mapping[str, Any] | TradingRule | None
"""A rule, pair -> rule, or exchange -> pair -> rule; a rule is a ``TradingRule`` or a mapping of its fields."""

_FIELDS: Final = {field.name: field for field in dataclasses.fields(TradingRule)}
_REQUIRED: Final = ("min_price_increment", "min_base_amount_increment")
_FEES: Final = ("maker_fee", "taker_fee")
_HIGHEST_FEE: Final = Decimal("0.1")


def find_rule(exchange: str, pair: str, info: Mapping[str, str], rules: RulesInput = None) -> TradingRule:
    """Return the rule of a pair; ``info`` is what its data tell. Raises ``InvalidInput`` where nobody tells one."""
    given = _pick(rules, exchange, pair)
    if given is None:
        given = _told(info)
    if given is None:
        base, quote = pair_assets(pair)
        raise InvalidInput(
            f"a pair without trading rules: the data of {pair} on {exchange} tell none. Give them, as in rules={{"
            f"{pair!r}: {{'min_price_increment': '0.01', 'min_base_amount_increment': '0.00001'}}}} (the steps of "
            f"price in {quote} and amount in {base}; more fields: {', '.join(list(_FIELDS)[5:])})"
        )
    if isinstance(given, TradingRule):
        return _checked(given)
    if not isinstance(given, Mapping):
        raise InvalidInput(f"the rule of {pair} is {given!r}; give a TradingRule or a mapping of its fields")
    return build_rule(pair, given)


def pair_assets(trading_pair: str) -> tuple[str, str]:
    """Return base and quote of a pair."""
    base, _, quote = trading_pair.partition(":")[0].partition("/")
    return base, quote


def build_rule(trading_pair: str, fields: Mapping[str, Any]) -> TradingRule:
    """Build a rule from its fields as numbers or texts; raises ``InvalidInput`` for unknown, missing or bad ones."""
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        raise InvalidInput(f"a rule of {trading_pair} has no field {unknown[0]!r}; it has {', '.join(_FIELDS)}")
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise InvalidInput(f"the rule of {trading_pair} lacks {' and '.join(missing)}: the steps of price and amount")
    base, quote = pair_assets(trading_pair)
    values = {name: _value(trading_pair, name, value) for name, value in fields.items()}
    return _checked(TradingRule(**{"trading_pair": trading_pair, "base_asset": base, "quote_asset": quote, **values}))


def _checked(rule: TradingRule) -> TradingRule:
    for name, field in _FIELDS.items():
        value = getattr(rule, name)
        if not str(field.type).startswith("Decimal") or (value is None and "None" in str(field.type)):
            continue
        if not isinstance(value, Decimal) or not value.is_finite():
            raise InvalidInput(f"the rule of {rule.trading_pair} has {name} {value!r}; it must be a finite number")
        if name in _REQUIRED and not value > 0:
            raise InvalidInput(f"the rule of {rule.trading_pair} has {name} {value}; it must be above 0")
        if name in _FEES and abs(value) > _HIGHEST_FEE:
            raise InvalidInput(
                f"the rule of {rule.trading_pair} has {name} {value}; fees are fractions between -{_HIGHEST_FEE} and "
                f"{_HIGHEST_FEE} (0.1 % is 0.001, a rebate is negative)"
            )
        if name not in _FEES and value < 0:
            raise InvalidInput(f"the rule of {rule.trading_pair} has {name} {value}; it must be 0 or more")
    for low, high in (("min_order_size", "max_order_size"), ("min_price", "max_price")):
        least, most = getattr(rule, low), getattr(rule, high)
        if least is not None and most is not None and least > most:
            raise InvalidInput(f"the rule of {rule.trading_pair} has {low} {least} above {high} {most}: no order fits")
    return rule


def _value(pair: str, name: str, value: Any) -> Any:
    kind = str(_FIELDS[name].type)
    if kind == "bool":
        return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "yes")
    if kind == "str" or isinstance(value, Decimal):
        return value
    if value is None or str(value) in ("", "None"):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise InvalidInput(f"the rule of {pair} has {name} {value!r}, which is no number") from None


def _pick(rules: RulesInput, exchange: str, pair: str) -> Any:
    if rules is None or isinstance(rules, TradingRule):
        return rules
    if not isinstance(rules, Mapping):
        raise InvalidInput(f"rules is {rules!r}; give rules by pair, as in {{{pair!r}: {{'min_price_increment': …}}}}")
    if exchange in rules:
        return _pick(rules[exchange], "", pair)
    if any(name in _FIELDS for name in rules):
        return rules
    return next((rule for name, rule in rules.items() if _same(name, pair)), None)


def _same(name: str, pair: str) -> bool:
    try:
        return normalize_pair(name) == pair
    except InvalidInput:  # the name of another exchange
        return False


def _told(info: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return the fields that a recording's metadata tell: one JSON text, or a text each."""
    for name in ("trading_rule", "rule"):
        if name in info:
            fields: Mapping[str, Any] = json.loads(info[name])
            return {key: value for key, value in fields.items() if key in _FIELDS}
    told = {key.removeprefix("rule."): value for key, value in info.items() if key.removeprefix("rule.") in _FIELDS}
    return told if all(name in told for name in _REQUIRED) else None

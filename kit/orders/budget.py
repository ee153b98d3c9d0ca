"""Whether the account can pay for orders before they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from kit.errors import InvalidInput, UnknownPair
from kit.orders.exact import EXACT, QUOTIENT, ZERO, floor_to_step
from kit.types.market import TradeType, TradingRule
from kit.types.orders import OrderType


@dataclass(frozen=True, slots=True)
class OrderCandidate:
    """An order that somebody thinks of sending.

    ``amount`` in base, zero for none; ``price`` in quote, for market orders an estimate; ``fee_rate`` is a fraction,
    negative for a rebate. Raises ``InvalidInput`` for numbers that are negative or not finite, or a price of zero.
    """

    trading_pair: str
    is_maker: bool
    order_type: OrderType
    order_side: TradeType
    amount: Decimal
    price: Decimal
    fee_rate: Decimal = ZERO

    def __post_init__(self) -> None:
        if not (self.amount.is_finite() and self.amount >= 0):
            raise InvalidInput(f"A candidate's amount must be 0 or more, not {self.amount}.")
        if not (self.price.is_finite() and self.price > 0):
            raise InvalidInput(
                f"A candidate's price must be above 0, not {self.price}; is the book of {self.trading_pair} empty?"
            )
        if not (self.fee_rate.is_finite() and -1 < self.fee_rate < 1):
            raise InvalidInput(f"A candidate's fee rate is a fraction between -1 and 1, not {self.fee_rate}.")

    @property
    def unit_cost(self) -> Decimal:
        """Return what one base unit takes of the asset paid with.

        Buys pay ``price * (1 + fee)`` quote, sells one base. A sell's fee comes off what it returns, a rebate is paid
        later, so neither is counted.
        """
        if self.order_side is TradeType.SELL:
            return Decimal(1)
        return EXACT.multiply(self.price, EXACT.add(Decimal(1), max(self.fee_rate, ZERO)))

    @property
    def cost(self) -> Decimal:
        """Return what the whole order takes of the asset it pays with."""
        return EXACT.multiply(self.amount, self.unit_cost)


def adjust_candidates(
    candidates: Sequence[OrderCandidate],
    available: Mapping[str, Decimal],
    rules: Mapping[str, TradingRule],
    all_or_none: bool = True,
) -> list[OrderCandidate]:
    """Return the candidates, as many and in the same order, with amounts that together the account can pay.

    Candidates are served in order; each takes from ``available`` (by asset) what it costs, and none counts on what
    another would bring in. One that cannot be paid in full gets the amount 0, or, without ``all_or_none``, what is left
    buys, rounded down to the pair's step, and 0 if that is below the pair's minimum size or notional. Amounts that
    can be paid stay as they are. Raises ``UnknownPair`` for a candidate without a rule.
    """
    left = {asset: max(amount, ZERO) for asset, amount in available.items()}
    adjusted = []
    for candidate in candidates:
        rule = rules.get(candidate.trading_pair)
        if rule is None:
            raise UnknownPair(f"No trading rule for {candidate.trading_pair}; there are rules for {', '.join(rules)}.")
        asset = rule.quote_asset if candidate.order_side is TradeType.BUY else rule.base_asset
        fitted = _fit(candidate, left.get(asset, ZERO), rule, all_or_none=all_or_none)
        left[asset] = EXACT.subtract(left.get(asset, ZERO), fitted.cost)
        adjusted.append(fitted)
    return adjusted


def _fit(candidate: OrderCandidate, left: Decimal, rule: TradingRule, *, all_or_none: bool) -> OrderCandidate:
    if candidate.cost <= left:
        return candidate
    if all_or_none:
        return replace(candidate, amount=ZERO)
    amount = floor_to_step(QUOTIENT.divide(left, candidate.unit_cost), rule.min_base_amount_increment)
    too_small = amount < rule.min_order_size or EXACT.multiply(amount, candidate.price) < rule.min_notional_size
    return replace(candidate, amount=ZERO if too_small else amount)

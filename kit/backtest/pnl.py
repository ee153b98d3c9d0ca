"""Where the profit came from: exact sums, fill by fill, in the quote asset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from kit.backtest.run_record import Account, BacktestRun, FillRecord
from kit.backtest.valuation import Valuation, exact
from kit.errors import InvalidInput
from kit.orders.exact import EXACT, ZERO, total
from kit.types.market import TradeType


@dataclass(frozen=True, slots=True)
class ValuedFill:
    """A fill with what it was worth when it happened; amounts in base, money in the run's quote asset.

    ``sign`` is +1 for a buy. ``mid`` is the pair's mid price at the fill, NaN where it never had one. ``quote_value``
    is the worth of one unit of the pair's quote asset, ``None`` where it cannot be told. ``changes`` are the balances'
    changes, fees included, ``values`` the worth of one unit of each of those assets at the fill, zero where it cannot
    be told; what cannot be valued counts as zero in ``spread`` and ``fee`` too. ``basis`` is what the trade changed the
    account's worth by, beyond ``spread``: not zero where the base asset is valued through other pairs than its own.
    """

    record: FillRecord
    market: int
    sign: int
    mid: float
    quote_value: Decimal | None
    spread: Decimal
    basis: Decimal
    fee: Decimal
    changes: Mapping[Account, Decimal]
    values: Mapping[Account, Decimal]

    @property
    def turnover(self) -> Decimal:
        """Return price * amount in the run's quote asset."""
        event = self.record.event
        return EXACT.multiply(EXACT.multiply(event.price, event.amount), self.quote_value or ZERO)

    def revaluation(self, final: Mapping[Account, Decimal | None]) -> Decimal:
        """Return what the changed balances gained from the fill to the end, given final values of one unit."""
        gains = (
            EXACT.multiply(change, EXACT.subtract(final[account] or ZERO, self.values[account]))
            for account, change in self.changes.items()
        )
        return EXACT.add(total(gains), self.basis)


@dataclass(frozen=True, slots=True)
class ProfitAndLoss:
    """The parts of the profit, each exact; ``total`` is their sum, fees and losses being negative contributions.

    ``spread_captured``: sum over fills of sign * (mid - price) * amount, the gain against the mid price at the fill.
    ``inventory_revaluation``: what was traded, from its value at the fill to its value at the end.
    ``holdings_revaluation``: the initial balances, from their value at the start to their value at the end.
    ``fees``: paid, at their value at the fill; negative for rebates.
    ``unexplained``: final balances that the fills do not account for (deposits, a defect), at their final value.
    """

    spread_captured: Decimal
    inventory_revaluation: Decimal
    holdings_revaluation: Decimal
    fees: Decimal
    unexplained: Decimal
    initial_equity: Decimal
    final_equity: Decimal
    unvalued: tuple[str, ...] = field(default=())

    @property
    def total(self) -> Decimal:
        """Return final less initial equity."""
        return EXACT.subtract(self.final_equity, self.initial_equity)

    @property
    def parts(self) -> Decimal:
        """Return spread captured + revaluations - fees + unexplained; equal to ``total``, digit by digit."""
        gains = (self.spread_captured, self.inventory_revaluation, self.holdings_revaluation, self.unexplained)
        return EXACT.subtract(total(gains), self.fees)


def value_fills(run: BacktestRun, valuation: Valuation) -> list[ValuedFill]:
    """Return every fill, valued. Raises ``InvalidInput`` for a fill on a market that the run does not record."""
    index = {(market.connector, market.trading_pair): at for at, market in enumerate(run.markets)}
    for record in run.fills:
        if (record.connector, record.event.trading_pair) not in index:
            raise InvalidInput(
                f"order {record.event.order_id} was filled on {record.connector} {record.event.trading_pair}, "
                f"which is not among the run's markets: {sorted(index)}"
            )
    return [_value_fill(one, index[one.connector, one.event.trading_pair], valuation) for one in run.fills]


def _value_fill(record: FillRecord, market: int, valuation: Valuation) -> ValuedFill:
    event = record.event
    pair = valuation.markets[market]
    sign = 1 if event.trade_type is TradeType.BUY else -1
    sample = valuation.index_at(event.timestamp)
    mid = record.mid if math.isfinite(record.mid) else valuation.mid_at(market, event.timestamp)
    known = {market: mid} if math.isfinite(mid) else {}
    moved = changes(record, sign)
    values = {account: valuation.value(account, sample, known) for account in moved}
    base_value, quote_value = (values[Account(record.connector, asset)] for asset in (pair.base, pair.quote))
    spread, basis = ZERO, ZERO
    signed = EXACT.multiply(event.amount, Decimal(sign))
    if known and base_value is not None and quote_value is not None:
        spread = EXACT.multiply(EXACT.multiply(EXACT.subtract(exact(mid), event.price), signed), quote_value)
        basis = EXACT.multiply(EXACT.subtract(base_value, EXACT.multiply(exact(mid), quote_value)), signed)
    else:
        paid = EXACT.multiply(event.price, quote_value or ZERO)
        basis = EXACT.multiply(EXACT.subtract(base_value or ZERO, paid), signed)
    fee = total(
        EXACT.multiply(one.amount, values[Account(record.connector, one.token)] or ZERO)
        for one in event.trade_fee.flat_fees
    )
    priced = {account: value or ZERO for account, value in values.items()}
    return ValuedFill(record, market, sign, mid, quote_value, spread, basis, fee, moved, priced)


def changes(record: FillRecord, sign: int) -> dict[Account, Decimal]:
    """Return how a fill changes balances: base and quote move against each other, fees leave."""
    event = record.event
    base, quote = event.trading_pair.partition(":")[0].split("/")
    cost = EXACT.multiply(event.price, event.amount)
    result = {
        Account(record.connector, base): EXACT.multiply(event.amount, Decimal(sign)),
        Account(record.connector, quote): EXACT.multiply(cost, Decimal(-sign)),
    }
    for fee in event.trade_fee.flat_fees:
        account = Account(record.connector, fee.token)
        result[account] = EXACT.subtract(result.get(account, ZERO), fee.amount)
    return result


def profit_and_loss(run: BacktestRun, valuation: Valuation, fills: Sequence[ValuedFill]) -> ProfitAndLoss:
    """Return the parts of the run's profit; without samples only the quote asset has a value."""
    last = len(valuation.times) - 1
    by_fills: dict[Account, Decimal] = {account: run.initial_balances.get(account, ZERO) for account in run.accounts}
    for fill in fills:
        for account, change in fill.changes.items():
            by_fills[account] = EXACT.add(by_fills.get(account, ZERO), change)
    final = by_fills | dict(run.final_balances or {})
    start = {account: valuation.value(account, 0) for account in final}
    end = {account: valuation.value(account, last) for account in final}
    initial_equity = _worth(run.initial_balances, start)
    return ProfitAndLoss(
        spread_captured=total(fill.spread for fill in fills),
        inventory_revaluation=total(fill.revaluation(end) for fill in fills),
        holdings_revaluation=EXACT.subtract(_worth(run.initial_balances, end), initial_equity),
        fees=total(fill.fee for fill in fills),
        unexplained=EXACT.subtract(_worth(final, end), _worth(by_fills, end)),
        initial_equity=initial_equity,
        final_equity=_worth(final, end),
        unvalued=tuple(sorted({account.asset for account, amount in final.items() if end[account] is None and amount})),
    )


def _worth(amounts: Mapping[Account, Decimal], values: Mapping[Account, Decimal | None]) -> Decimal:
    return total(EXACT.multiply(amount, values[account] or ZERO) for account, amount in amounts.items())

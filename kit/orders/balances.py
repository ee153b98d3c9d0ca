"""What the account holds, and what of it is still free to trade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from kit.core.naming import ByName, did_you_mean
from kit.errors import InvalidInput
from kit.orders import frames
from kit.orders.exact import EXACT, ZERO, share_of
from kit.orders.holds import Hold, Holds
from kit.orders.in_flight_order import InFlightOrder
from kit.types.drawn import Drawn
from kit.types.orders import Balance, BalanceUpdate, OrderType

if TYPE_CHECKING:
    import pandas as pd

_NOTHING = Balance(ZERO, ZERO)

_OUT_OF_ORDER = 10.0
"""Seconds by which stamps may run back because messages overtook each other; more means that a clock was set."""


@dataclass(slots=True)
class _Report:
    """The last word on one asset. Times are the exchange's in seconds, arrivals are counted by ``Balances``."""

    balance: Balance
    stream_time: float = 0.0
    stream_arrival: int = 0
    snapshot_arrival: int = 0


def _is_reflected(hold: Hold, report: _Report) -> bool:
    if hold.acknowledged_arrival is None:
        return False
    if report.snapshot_arrival > hold.acknowledged_arrival:
        return True
    stamped = report.stream_time > 0 and hold.acknowledged_time > 0
    if stamped and hold.acknowledged_time - report.stream_time < _OUT_OF_ORDER:
        return report.stream_arrival > hold.placed and report.stream_time >= hold.acknowledged_time
    return report.stream_arrival > hold.acknowledged_arrival


class Balances(Drawn, ByName):
    """Keep totals and available amounts by asset, in units of the asset.

    ``available`` is what the exchange last reported as available, less the holds of our own orders that this report
    does not reflect yet. So an order counts once at any moment: from when it is sent as a hold, from the first report
    that contains it through the report. A hold ends

    * when the order is acknowledged (the exchange has shown that it exists) and a report reflects it: one pushed
      after the hold began and stamped at or after the acknowledgement, by the exchange's own times; where either stamp
      is missing, or the clock was set back in between, one that arrived after the acknowledgement; or a fetched
      snapshot asked for after the acknowledgement;
    * when the order ends without any fill, at once: nothing of it was spent.

    When an order ends partly filled before a report reflects it, its hold shrinks to what was spent. Where it cannot be
    known whether a report contains the order, the hold stays: ``available`` errs low, not high, until the next report.
    A market buy holds ``amount`` times the price given to ``hold``; it counts as acknowledged when it ends.
    """

    def __init__(self) -> None:
        self._reports: dict[str, _Report] = {}
        self._holds = Holds()
        self._arrivals = 0

    @property
    def assets(self) -> tuple[str, ...]:
        """Return the assets that were reported or are held, sorted."""
        return tuple(sorted({*self._reports, *self._holds.assets}))

    def _names(self) -> tuple[str, ...]:
        return self.assets

    def __getitem__(self, asset: str) -> Balance:
        """Return total and available of an asset; raises ``InvalidInput`` for one that the account does not name."""
        if asset not in self.assets:
            there = ", ".join(self.assets) or "nothing yet"
            raise InvalidInput(f"the account holds no {asset!r}{did_you_mean(asset, self.assets)}; it holds {there}")
        return Balance(self.total(asset), self.available(asset))

    def total(self, asset: str) -> Decimal:
        """Return the reported total of an asset, zero if the account has none."""
        return self._balance(asset).total

    def available(self, asset: str) -> Decimal:
        """Return what is free to trade, never below zero."""
        reported, held = self._balance(asset).available, self._holds.sum(asset)
        return max(ZERO, EXACT.subtract(reported, held)) if held else max(ZERO, reported)

    def held(self, asset: str) -> Decimal:
        """Return what our orders take that the last report does not reflect yet."""
        return self._holds.sum(asset)

    def apply(self, update: BalanceUpdate) -> bool:
        """Take in a pushed balance; return whether it was news: one stamped before the last pushed one is passed over.

        A stamp more than 10 s back is news: then the exchange's clock, or our idea of it, was set.

        Raises ``InvalidInput`` for amounts that are not finite numbers.
        """
        _check_finite(update.asset, update.balance)
        report = self._reports.get(update.asset)
        if report is None:
            report = self._reports[update.asset] = _Report(_NOTHING)
        if update.timestamp > 0 and 0 < report.stream_time - update.timestamp < _OUT_OF_ORDER:
            return False
        report.balance = update.balance
        report.stream_time = update.timestamp
        report.stream_arrival = self._next_arrival()
        self._drop_reflected(update.asset)
        return True

    def begin_snapshot(self) -> int:
        """Note the moment before balances are asked for; hand the result to ``replace_all`` with the answer."""
        return self._next_arrival()

    def replace_all(self, balances: Mapping[str, Balance], *, asked_at: int | None = None) -> None:
        """Take in a snapshot of all assets; what it does not name is zero.

        ``asked_at`` is what ``begin_snapshot`` returned; without it the snapshot counts as made now. Assets for which a
        pushed balance arrived since then keep that: the snapshot may be older.
        """
        for asset, balance in balances.items():
            _check_finite(asset, balance)
        asked_at = self._next_arrival() if asked_at is None else asked_at
        for asset in {*balances, *self._reports}:
            report = self._reports.setdefault(asset, _Report(_NOTHING))
            if report.stream_arrival < asked_at and report.snapshot_arrival < asked_at:
                report.balance = balances.get(asset, _NOTHING)
                report.snapshot_arrival = asked_at
                self._drop_reflected(asset)

    def hold(self, order: InFlightOrder, *, price: Decimal | None = None, fee_rate: Decimal = ZERO) -> None:
        """Hold what an order takes that is about to be sent: base of a sell, quote of a buy.

        ``price`` estimates a market order's price; a market buy without one holds nothing. ``fee_rate`` (a fraction)
        is added to buys on exchanges that take the fee from the quote asset on top.
        """
        if order.is_done or order.client_order_id in self._holds:
            return
        asset, amount = order.base_asset, order.remaining
        if order.is_buy:
            cost = EXACT.multiply(amount, order.price or price or ZERO)
            asset, amount = order.quote_asset, EXACT.multiply(cost, EXACT.add(Decimal(1), max(fee_rate, ZERO)))
        self._holds.add(order.client_order_id, Hold(asset, amount, amount, placed=self._next_arrival()))

    def release(self, client_order_id: str) -> None:
        """End a hold at once, for an order that was never sent; orders that were sent end theirs by ``observe``."""
        self._holds.remove(client_order_id)

    def observe(self, order: InFlightOrder, timestamp: float) -> None:
        """Follow a change of an order; an observer for ``ClientOrderTracker.add_observer``."""
        hold = self._holds.get(order.client_order_id)
        if hold is None:
            return
        executed = max(order.executed_amount_base, order.stated_filled)
        if order.is_done and not executed:
            self.release(order.client_order_id)
            return
        if order.is_done and executed < order.amount:
            self._holds.resize(hold, share_of(hold.full, executed, order.amount))
        if hold.acknowledged_arrival is None and (order.is_done or _rests(order)):
            self._holds.acknowledge(order.client_order_id, self._next_arrival(), timestamp)
            self._drop_reflected(hold.asset)

    def frame(self) -> pd.DataFrame:
        """Return a table, one row an asset: asset, total, available, held (float64)."""
        return frames.balances_frame([("", "", self)]).drop(columns=["connector", "mode"])

    def __repr__(self) -> str:
        return f"<Balances: {', '.join(f'{self.total(asset)} {asset}' for asset in self.assets) or 'none yet'}>"

    def _balance(self, asset: str) -> Balance:
        report = self._reports.get(asset)
        return report.balance if report else _NOTHING

    def _drop_reflected(self, asset: str) -> None:
        report = self._reports.get(asset)
        if report is None:
            return
        for order_id, hold in self._holds.acknowledged(asset):
            if _is_reflected(hold, report):
                self._holds.remove(order_id)

    def _next_arrival(self) -> int:
        self._arrivals += 1
        return self._arrivals


def _rests(order: InFlightOrder) -> bool:
    # Exchanges differ in whether a market order locks anything before it executes: only its end is a safe sign.
    return order.acknowledged and order.order_type is not OrderType.MARKET


def _check_finite(asset: str, balance: Balance) -> None:
    if not (balance.total.is_finite() and balance.available.is_finite()):
        raise InvalidInput(
            f"The balance of {asset} must be finite numbers, not {balance.total} and {balance.available}."
        )

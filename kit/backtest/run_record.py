"""What a backtest writes down while it runs: samples at every tick, orders, fills, decisions and the assumptions."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from kit.errors import InvalidInput
from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import OrderFilledEvent
from kit.types.market import TradingRule
from kit.types.orders import OrderType

Floats: TypeAlias = npt.NDArray[np.float64]
"""A column of float64."""

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Market:
    """One pair on one simulated exchange, with the rules it was traded under."""

    connector: str
    trading_pair: str
    rule: TradingRule

    @property
    def base(self) -> str:
        """Return the asset that is bought and sold."""
        return self.rule.base_asset

    @property
    def quote(self) -> str:
        """Return the asset that prices are in."""
        return self.rule.quote_asset


class Account(NamedTuple):
    """One asset on one simulated exchange."""

    connector: str
    asset: str


class Decision(NamedTuple):
    """One thing that the strategy asked for. ``timestamp`` in seconds, ``price`` in quote, ``amount`` in base.

    For a cancel, side, price and amount are those of the order.
    """

    timestamp: float
    connector: str
    action: Literal["place", "cancel"]
    client_order_id: str
    trading_pair: str
    side: str
    type: str
    price: Decimal | None
    amount: Decimal | None


class FillRecord(NamedTuple):
    """A fill and the pair's mid price when it happened on the exchange; NaN where nobody looked."""

    connector: str
    event: OrderFilledEvent
    mid: float


class Samples:
    """Mid prices and balances at every tick, one flat buffer of float64 that only grows.

    ``width`` values a tick: the time in seconds, a mid price for each market, a balance for each account.
    """

    __slots__ = ("_buffer", "accounts", "markets")

    def __init__(self, markets: int, accounts: int) -> None:
        self.markets = markets
        self.accounts = accounts
        self._buffer = array("d")

    def __len__(self) -> int:
        return len(self._buffer) // self.width

    @property
    def width(self) -> int:
        """Return how many values a sample has."""
        return 1 + self.markets + self.accounts

    def add(self, timestamp: float, mids: Sequence[float], balances: Sequence[float]) -> None:
        """Append one sample; times must rise. ``mids`` follow ``BacktestRun.markets``, NaN while a book is empty.

        ``balances`` are totals (held ones included) and follow ``BacktestRun.accounts``. The same two lists, changed in
        place, may be handed in each time: their values are copied. Lengths are checked by ``rows``, not here.
        """
        buffer = self._buffer
        buffer.append(timestamp)
        buffer.extend(mids)
        buffer.extend(balances)

    def rows(self) -> Floats:
        """Return a copy as one array of shape (samples, width).

        Raises ``InvalidInput`` where the buffer is no whole number of samples, or times do not rise.
        """
        if len(self._buffer) % self.width:
            raise InvalidInput(
                f"the samples hold {len(self._buffer)} values, no multiple of {self.width} "
                f"(time, {self.markets} mid prices, {self.accounts} balances): a tick added too few or too many"
            )
        rows = np.array(self._buffer, dtype=np.float64).reshape(-1, self.width)
        if not bool(np.all(np.diff(rows[:, 0]) > 0)):
            at = int(np.argmin(np.diff(rows[:, 0]) > 0))
            raise InvalidInput(f"samples must rise in time: {rows[at + 1, 0]:.6f} s came after {rows[at, 0]:.6f} s")
        return rows

    def load(self, rows: Floats) -> None:
        """Replace everything by an array as ``rows`` gave it."""
        self._buffer = array("d", np.ascontiguousarray(rows, dtype=np.float64).tobytes())


@dataclass(kw_only=True)
class BacktestRun:
    """The record of one run: the runner appends to it, ``kit.backtest.result.Result`` reads it.

    ``assumptions`` are shown on the page, in their order: word them for a reader ("queue": "log-probability, …").
    ``data_id`` names the input so that two runs on the same data compare equal (files, span and events, say).
    ``initial_balances`` are totals before the first tick; ``final_balances``, where the runner tells them, are checked
    against the fills. ``quote_asset`` is what everything is valued in; empty takes the first market's quote asset.
    ``counts`` are plain figures of the run ("events", "ticks"), ``notes`` what a reader should know (gaps, a stop).
    Times are in seconds since the epoch. ``tick_size`` is the clock's, in seconds.
    """

    strategy: str
    markets: Sequence[Market]
    accounts: Sequence[Account]
    initial_balances: Mapping[Account, Decimal]
    assumptions: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    data_id: str = ""
    quote_asset: str = ""
    tick_size: float = 1.0
    started: float = NAN
    ended: float = NAN
    samples: Samples = field(init=False)
    orders: list[tuple[str, InFlightOrder]] = field(default_factory=list)
    fills: list[FillRecord] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    final_balances: Mapping[Account, Decimal] | None = None

    def __post_init__(self) -> None:
        self.markets, self.accounts = tuple(self.markets), tuple(Account(*account) for account in self.accounts)
        if not self.markets:
            raise InvalidInput("a backtest needs at least one market; none was recorded")
        unknown = [account for account in self.initial_balances if account not in self.accounts]
        if unknown:
            raise InvalidInput(f"initial balances name accounts that are not sampled: {unknown}")
        self.quote_asset = self.quote_asset or self.markets[0].quote
        self.samples = Samples(len(self.markets), len(self.accounts))

    def add_fill(self, connector: str, event: OrderFilledEvent, mid: float = NAN) -> None:
        """Append a fill, with the pair's mid price just before it on the exchange where the runner knows it."""
        self.fills.append(FillRecord(connector, event, mid))

    def add_decision(
        self,
        timestamp: float,
        connector: str,
        action: Literal["place", "cancel"],
        client_order_id: str,
        trading_pair: str,
        side: str = "",
        type: OrderType | str = "",  # noqa: A002  (the column's name)
        price: Decimal | None = None,
        amount: Decimal | None = None,
    ) -> None:
        """Append what the strategy asked for at that time; ``side`` is "buy" or "sell"."""
        kind = type.value if isinstance(type, OrderType) else type
        row = Decision(timestamp, connector, action, client_order_id, trading_pair, side, kind, price, amount)
        self.decisions.append(row)

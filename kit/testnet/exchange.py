"""The exchange behind the wire: engine, limits, faults, accounts by key, and the one way that a request takes.

REST and the WebSocket API differ only in how a request is written down. Both turn it into a ``Call`` and hand it to
``Exchange.perform``, so that a rule cannot hold on one of them and not on the other.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from kit.errors import InvalidInput
from kit.testnet import signing
from kit.testnet.binance_errors import ApiError, missing
from kit.testnet.binance_params import Params
from kit.testnet.faults import FaultBoard
from kit.testnet.filters import VenueReject
from kit.testnet.ledger import Account
from kit.testnet.market import Market
from kit.testnet.rate_limits import Limits, RateLimiter
from kit.testnet.server_clock import ServerClock
from kit.testnet.symbols import to_units
from kit.testnet.taps import ExecutionReport
from kit.testnet.venue import Venue

Handler: TypeAlias = Callable[["Call"], Any]
Security: TypeAlias = Literal["NONE", "SIGNED"]
_SIGNED_PARAMS = ("timestamp", "recvWindow", "signature", "apiKey")
_LONGEST_TIMESTAMP = 16  # digits of microseconds since the epoch
DEFAULT_ACCOUNT = "main"


class Call:
    """One request: its parameters, where it came from, and, when it is signed, whose it is.

    ``order_count`` is set by handlers that placed an order, so that the answer states the account's counts.
    """

    __slots__ = ("_account", "address", "order_count", "params", "values")

    def __init__(self, values: Mapping[str, str], address: str) -> None:
        self.values = values
        self.params = Params(values)
        self.address = address
        self.order_count: tuple[int, int] | None = None
        self._account: Account | None = None

    @property
    def account(self) -> Account:
        """The account that signed the request."""
        if self._account is None:
            raise signing.unknown_key()
        return self._account

    def sign_in(self, account: Account) -> None:
        """Note who signed."""
        self._account = account

    @property
    def signed_by(self) -> Account | None:
        """The account that signed, ``None`` for public requests."""
        return self._account


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the exchange, named as the WebSocket API names it."""

    name: str
    handler: Handler
    weight: int | Callable[[Mapping[str, str]], int] = 1
    security: Security = "NONE"

    def weight_of(self, values: Mapping[str, str]) -> int:
        """Return the weight of a request with these parameters."""
        return self.weight if isinstance(self.weight, int) else self.weight(values)


class Exchange:
    """One test exchange without its sockets.

    ``endpoints`` maps operation names to what performs them. ``after_change`` callbacks run after each operation that
    may have changed the book of a market.
    """

    def __init__(self, venue: Venue, clock: ServerClock, limits: Limits | None = None) -> None:
        self.venue = venue
        self.clock = clock
        self.limiter = RateLimiter(limits or Limits(), clock.now_ms)
        self.faults = FaultBoard(clock.monotonic)
        self.endpoints: dict[str, Endpoint] = {}
        self.after_change: list[Callable[[Market], None]] = []
        self.on_deposit: list[Callable[[Account, str, int], None]] = []
        self.counts: Counter[str] = Counter()
        self._by_key: dict[str, Account] = {}
        self._names = itertools.count(1)
        venue.on_execution.append(self._count_execution)

    # accounts

    def create_account(self, name: str | None = None, deposits: Mapping[str, Decimal] | None = None) -> Account:
        """Open a trader's account with a fresh key and secret; raises ``InvalidInput`` when the name is taken."""
        if name is None:
            name = next(name for n in self._names if (name := f"account{n}") not in self.venue.accounts)
        account = self.venue.create_account(name, signing.new_key(), signing.new_key())
        self._by_key[account.api_key] = account
        for asset, amount in (deposits or {}).items():
            self.deposit(account, asset, amount)
        return account

    def deposit(self, account: Account, asset: str, amount: Decimal) -> None:
        """Bring an amount in from outside (negative: take it out); raises ``InvalidInput`` for what cannot be.

        The account's streams hear of the change before they hear of the balance that it led to, so that a client that
        applies both ends right.
        """
        units = to_units(amount)
        if units is not None and account.can_pay(asset, -units):
            for told in self.on_deposit:
                told(account, asset, units)
        self.venue.deposit(account, asset, amount)

    def find_account(self, name_or_key: str | None) -> Account:
        """Return a trader's account by name or API key (``None``: the default one); raises ``InvalidInput``."""
        wanted = DEFAULT_ACCOUNT if name_or_key is None else name_or_key
        account = self._by_key.get(wanted) or self.venue.accounts.get(wanted)
        if account is None or account.unlimited:
            names = ", ".join(account.name for account in self.traders())
            raise InvalidInput(f"no trader's account has that name or key; there are {names}")
        return account

    def traders(self) -> list[Account]:
        """Return the accounts of traders, without the market's own."""
        return [account for account in self.venue.accounts.values() if not account.unlimited]

    @property
    def assets(self) -> list[str]:
        """Every asset that is traded here, in order."""
        infos = [market.info for market in self.venue.markets.values()]
        return sorted({info.base for info in infos} | {info.quote for info in infos})

    def market(self, symbol: str) -> Market:
        """Return a market by its wire name; raises ``ApiError`` -1121."""
        market = self.venue.markets.get(symbol)
        if market is None:
            raise ApiError(-1121, "Invalid symbol.")
        return market

    # requests

    def add(self, *endpoints: Endpoint) -> None:
        """Offer operations."""
        for endpoint in endpoints:
            self.endpoints[endpoint.name] = endpoint

    def authenticate(self, call: Call, api_key: str | None, payload: str) -> None:
        """Find out who signed a request, and when; raises ``ApiError`` -2014, -2015, -1102, -1022, -1021, -1131."""
        account = self._by_key.get(signing.check_key_format(api_key))
        if account is None:
            raise signing.unknown_key()
        values = call.values
        signature, timestamp = values.get("signature"), values.get("timestamp")
        if not signature:
            raise missing("signature")
        if not timestamp or not timestamp.isdecimal() or len(timestamp) > _LONGEST_TIMESTAMP:
            raise missing("timestamp")
        signing.check_signature(account.secret, payload, signature)
        signing.check_timing(int(timestamp), values.get("recvWindow"), self.clock.now_ms())
        call.params.ignore(*_SIGNED_PARAMS)
        call.sign_in(account)

    def perform(self, endpoint: Endpoint, call: Call) -> Any:
        """Perform an operation and return its result; raises ``ApiError``, also for what the engine refuses."""
        self.counts[endpoint.name] += 1
        try:
            return endpoint.handler(call)
        except VenueReject as reject:
            raise ApiError(reject.code, reject.message) from reject
        finally:
            if endpoint.name.startswith(("order.", "openOrders.cancel")):
                self.changed(call.values.get("symbol", ""))

    def changed(self, symbol: str) -> None:
        """Tell the publishers that a market's book may have changed."""
        market = self.venue.markets.get(symbol)
        if market is not None:
            for told in self.after_change:
                told(market)

    def _count_execution(self, report: ExecutionReport) -> None:
        self.counts[f"execution.{report.execution_type}"] += 1
        if report.trade is not None and report.executed_lots == report.last_lots:
            self.limiter.credit_fill(report.order.account, maker=report.is_maker)

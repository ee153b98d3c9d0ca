"""The three ports that a venue implements, and the endpoint it is reached at.

They stand among the types, not among the connectors, so that trackers, simulated venues and real exchanges can all
name them while the arrows between folders stay one-way. A port never raises foreign errors: everything that leaves it
is a value from ``kit.types`` or an error from ``kit.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, runtime_checkable

from kit.types.market import MarketMessage, OrderBookSnapshot, TradingRule
from kit.types.orders import AccountMessage, Balance, CancelRequest, OrderRequest, OrderUpdate, TradeUpdate


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account's API key and secret; none of it shows in a repr, and they cannot be pickled into any file."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    password: str | None = field(default=None, repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are never pickled; let the other process find them with kit.config")

    def __copy__(self) -> Credentials:
        return self

    def __deepcopy__(self, _memo: object) -> Credentials:
        return self


@runtime_checkable
class Endpoint(Protocol):
    """Where to reach an exchange instead of its own addresses, such as a testnet on loopback.

    ``url`` is ``http://host:port``; every address ``scheme://real.host/path`` of the exchange becomes
    ``http(s)|ws(s)://host:port/real.host/path``. ``credentials`` belong to an account there, or are ``None``.
    """

    @property
    def url(self) -> str:
        """Return the base address, without a trailing slash."""
        ...

    @property
    def credentials(self) -> Credentials | None:
        """Return the default account's credentials."""
        ...


class MarketDataPort(Protocol):
    """The public side of a venue: books, trades, rules, time."""

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        """Set the one function that receives every market message, on the core's loop, in order of arrival."""
        ...

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        """Start streaming books and trades of the pairs and keep them up, reconnecting, until unsubscribed.

        Returns once the streams are asked for; the first snapshot arrives through the sink. A lost or inconsistent
        stream is told by a ``StreamLost`` and followed by a new snapshot.
        """
        ...

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        """Stop streaming the pairs."""
        ...

    def is_streaming(self, trading_pair: str) -> bool:
        """Tell whether the stream of the pair's book stands, as far as is known; False for one that is not asked for.

        While it does not, no snapshot can put a book into step: nobody would tell what changes next.
        """
        ...

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        """Fetch a snapshot whose ``update_id`` is comparable with those of the streamed diffs."""
        ...

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        """Fetch the price of each pair's last trade."""
        ...

    async def fetch_trading_rules(self) -> Mapping[str, TradingRule]:
        """Fetch the rules of every pair, by unified symbol."""
        ...

    async def fetch_server_time(self) -> float:
        """Fetch the exchange's clock, seconds since the epoch; also serves as the network check."""
        ...

    def status(self) -> Mapping[str, object]:
        """Return counters and ages worth showing: reconnects, bad frames, stream ages, limiter use, clock offset."""
        ...

    async def close(self) -> None:
        """Close every stream and connection; idempotent."""
        ...


class AccountPort(Protocol):
    """The private side of a venue: balances, open orders, fills, and the stream of their changes."""

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        """Set the one function that receives every account message, also outcomes of ``submit`` and ``cancel``."""
        ...

    async def open_user_stream(self) -> None:
        """Start the private stream and keep it up, reconnecting, until closed.

        Each time it comes up a ``UserStreamStatus(connected=True)`` is sent, each loss is told likewise.
        Raises ``AuthenticationFailed`` or ``MissingCredentials`` when the first attempt is refused.
        """
        ...

    async def close_user_stream(self) -> None:
        """Stop the private stream."""
        ...

    async def fetch_balances(self) -> Mapping[str, Balance]:
        """Fetch every non-zero balance by asset."""
        ...

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        """Fetch all open orders of the account on the pair, whoever placed them."""
        ...

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        """Fetch the account's fills on the pair from ``since`` (seconds) on, oldest first."""
        ...


class OrderPort(Protocol):
    """Sends orders. ``submit`` and ``cancel`` return at once and need no running loop.

    Their outcomes arrive as account messages: ``OrderUpdate`` with OPEN, FAILED or, when the answer was lost,
    UNKNOWN; for a cancel ``OrderUpdate`` with CANCELED, or ``CancelFailed``.
    """

    def submit(self, request: OrderRequest) -> None:
        """Send an order."""
        ...

    def cancel(self, request: CancelRequest) -> None:
        """Ask to cancel an order."""
        ...

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Ask for one order's state by either id; ``None`` is the exchange's own word that it knows no such order.

        Raises ``TryAgain`` errors when the exchange could not be asked: that is no evidence of anything.
        """
        ...

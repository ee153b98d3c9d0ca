"""Every error of the kit, in one tree, sorted by what the caller does next.

::

    KitError
    ├── TryAgain                 the same call may succeed later; nothing happened on the exchange
    │   ├── NetworkUnavailable       the exchange could not be reached; the request was not sent or not accepted
    │   ├── RateLimited              the exchange or our own throttler says: wait (``retry_after`` seconds)
    │   ├── NotReady                 the core, a connector or a book is still starting, stale or stopped
    │   └── BookError                an order book is out of step and resyncs (kit.market.book_errors)
    ├── FixInput                 the same call will fail again; change what was asked for
    │   ├── InvalidInput             a value is out of its range or of the wrong kind (also a ValueError)
    │   │   ├── UnknownExchange
    │   │   ├── UnknownPair
    │   │   └── InvalidOrder             amount, price or type breaks a trading rule
    │   │       └── PostOnlyRejected         a limit-maker order would have taken liquidity
    │   ├── InsufficientBalance
    │   ├── OrderNotFound            the exchange answered that it knows no such order
    │   ├── DuplicateOrder           the client order id was used before: the first order counts
    │   ├── OrderRejected            the exchange refused for a reason of its own
    │   ├── MissingCredentials
    │   └── NotSupported             this exchange or mode cannot do that
    ├── AskExchange              the request may or may not have taken effect: query before doing anything else
    │   └── AmbiguousOutcome
    └── StopTrading              trading must not go on until somebody looked
        ├── AuthenticationFailed     wrong key, secret or permission
        ├── StrategyError            a strategy threw (carries the tick's time)
        │   └── BacktestError            it threw in a backtest, which ends there (carries its pairs, too)
        └── InvariantBroken          a check of our own arithmetic failed: a defect of the kit

Foreign errors are mapped to these once, at the border, by type.
"""

from __future__ import annotations


class KitError(Exception):
    """The root of every error that the kit raises on purpose."""


class TryAgain(KitError):
    """The same call may succeed later; nothing happened on the exchange."""


class NetworkUnavailable(TryAgain):
    """The exchange could not be reached; the request had no effect there."""


class RateLimited(TryAgain):
    """A rate limit is used up; wait ``retry_after`` seconds (``None``: not told)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(TryAgain):
    """A part is still starting, stale or stopped, and cannot serve the call yet."""


class FixInput(KitError):
    """The same call would fail again; change what was asked for."""


class InvalidInput(FixInput, ValueError):
    """A value is out of its allowed range or of the wrong kind."""


class UnknownExchange(InvalidInput):
    """No exchange of that id is known to ccxt.pro."""


class UnknownPair(InvalidInput):
    """The exchange does not list that trading pair, or the connector was not asked to stream it."""


class InvalidOrder(InvalidInput):
    """An order's amount, price or type breaks a trading rule of the exchange."""


class PostOnlyRejected(InvalidOrder):
    """A limit-maker order would have taken liquidity at once, so the exchange refused it."""


class InsufficientBalance(FixInput):
    """The account's available balance does not cover the order and its fee."""


class OrderNotFound(FixInput):
    """The exchange answered that it knows no such order."""


class DuplicateOrder(FixInput):
    """The client order id was used before; the exchange holds the first order of that id."""


class OrderRejected(FixInput):
    """The exchange refused the request for a reason of its own."""


class MissingCredentials(FixInput):
    """The call needs an API key and secret, and none were given."""


class NotSupported(FixInput):
    """This exchange, mode or order type cannot do what was asked for."""


class AskExchange(KitError):
    """The request may or may not have taken effect; query the exchange before anything else."""


class AmbiguousOutcome(AskExchange):
    """The answer to a request was lost: the order may rest on the exchange or may not exist."""


class StopTrading(KitError):
    """Trading must not go on until somebody has looked at the cause."""


class AuthenticationFailed(StopTrading):
    """The exchange does not accept the key, the secret or its permissions."""


class StrategyError(StopTrading):
    """A strategy threw in its tick or in an event hook.

    ``timestamp`` is the tick's time in seconds since the epoch.
    """

    def __init__(self, message: str, timestamp: float) -> None:
        super().__init__(message)
        self.timestamp = timestamp


class BacktestError(StrategyError):
    """A strategy, or a listener, threw in a backtest; the original is the ``__cause__``.

    ``timestamp`` is the local time of the tick or event, seconds since the epoch; ``trading_pairs`` are the strategy's.
    """

    def __init__(self, message: str, timestamp: float, trading_pairs: tuple[str, ...] = ()) -> None:
        super().__init__(message, timestamp)
        self.trading_pairs = trading_pairs


class InvariantBroken(StopTrading):
    """A check of the kit's own arithmetic failed; this is a defect of the kit, please report it."""


def bad_line(file: str, number: int, error: Exception, line: bytes) -> str:
    """Return what to say of a line that cannot be read: its file and number, what is wrong, and how it begins."""
    missing = isinstance(error, KeyError)
    reason = f"field {error.args[0]!r} is missing" if missing else str(error) or type(error).__name__
    text = line.rstrip(b"\r\n").decode("utf-8", "replace")
    begin = text if len(text) <= 120 else f"{text[:120]}…"
    return f"{file}, line {number}: {reason} in {begin!r}"

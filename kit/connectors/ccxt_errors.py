"""ccxt's errors in the kit's words: one table by class name, and what each says about a request that was sent.

ccxt is not imported here: an exception is recognised by the names in its class's method resolution order, most specific
first, so the table also covers classes that a later ccxt derives from today's. Where ccxt's class does not tell enough,
one small table looks at the exchange's own code; nothing else reads texts.

What matters about a request that changes something is not what went wrong but what may have happened (``SendOutcome``).
A connection cut, a time-out, a 5xx, an answer that cannot be read: the order may rest on the exchange. The experiments
behind each row were run against a loopback exchange that cut, delayed or garbled its answers before or after matching.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from kit import errors


class SendOutcome(Enum):
    """What an error says about the request it answered."""

    REJECTED = "rejected"
    """The exchange refused: nothing happened, and the same request would be refused again."""
    AMBIGUOUS = "ambiguous"
    """The request may have taken effect: ask before doing anything else."""
    NOT_SENT = "not_sent"
    """The request never reached the exchange."""
    RETRY = "retry"
    """The exchange refused for the moment: nothing happened, the same request may be sent again."""


class _Row(NamedTuple):
    outcome: SendOutcome
    error: type[errors.KitError]


_REJECTED, _AMBIGUOUS = SendOutcome.REJECTED, SendOutcome.AMBIGUOUS
_NOT_SENT, _RETRY = SendOutcome.NOT_SENT, SendOutcome.RETRY

TABLE: Mapping[str, _Row] = {
    # ExchangeError and what derives from it: the exchange answered
    "ExchangeError": _Row(_REJECTED, errors.OrderRejected),
    "AuthenticationError": _Row(_REJECTED, errors.AuthenticationFailed),
    "ArgumentsRequired": _Row(_REJECTED, errors.InvalidInput),
    "BadRequest": _Row(_REJECTED, errors.InvalidInput),
    "BadSymbol": _Row(_REJECTED, errors.UnknownPair),
    "OperationRejected": _Row(_REJECTED, errors.OrderRejected),
    "InsufficientFunds": _Row(_REJECTED, errors.InsufficientBalance),
    "InvalidAddress": _Row(_REJECTED, errors.InvalidInput),
    "InvalidOrder": _Row(_REJECTED, errors.InvalidOrder),
    "OrderNotFound": _Row(_REJECTED, errors.OrderNotFound),
    "OrderNotCached": _Row(_AMBIGUOUS, errors.NetworkUnavailable),  # ccxt's cache, not the exchange, does not know it
    "OrderImmediatelyFillable": _Row(_REJECTED, errors.PostOnlyRejected),
    "OrderNotFillable": _Row(_REJECTED, errors.OrderRejected),
    "DuplicateOrderId": _Row(_REJECTED, errors.DuplicateOrder),
    "NotSupported": _Row(_REJECTED, errors.NotSupported),
    "InvalidProxySettings": _Row(_NOT_SENT, errors.InvalidInput),
    "ExchangeClosedByUser": _Row(_NOT_SENT, errors.NotReady),
    # OperationFailed and what derives from it: no answer, or none that settles the matter
    "OperationFailed": _Row(_AMBIGUOUS, errors.NetworkUnavailable),
    "NetworkError": _Row(_AMBIGUOUS, errors.NetworkUnavailable),
    "DDoSProtection": _Row(_RETRY, errors.RateLimited),
    "RateLimitExceeded": _Row(_RETRY, errors.RateLimited),
    "ExchangeNotAvailable": _Row(_AMBIGUOUS, errors.NetworkUnavailable),
    "InvalidNonce": _Row(_RETRY, errors.NetworkUnavailable),  # our clock is off: resynchronise, then send again
    "ChecksumError": _Row(_AMBIGUOUS, errors.NetworkUnavailable),  # an InvalidNonce by name, a book gap in truth
    "RequestTimeout": _Row(_AMBIGUOUS, errors.NetworkUnavailable),
    "BadResponse": _Row(_AMBIGUOUS, errors.NetworkUnavailable),
    "CancelPending": _Row(_AMBIGUOUS, errors.NetworkUnavailable),
    "UnsubscribeError": _Row(_AMBIGUOUS, errors.NotReady),
}
"""What each ccxt class means; a class that is not named means what its nearest named base means."""

_UNKNOWN = _Row(_AMBIGUOUS, errors.NetworkUnavailable)  # not ccxt's: its parsers choke on answers they do not know

# Causes that prove that no connection came about, so that nothing was sent.
_NEVER_CONNECTED = frozenset(
    {"ClientConnectorError", "ClientConnectorDNSError", "ConnectionTimeoutError", "gaierror", "ConnectionRefusedError"}
)
# Causes that prove that an answer was on its way and did not arrive whole, whatever ccxt calls it.
_ANSWER_LOST = frozenset({"ClientError", "TimeoutError", "JSONDecodeError"})


class _CodeRule(NamedTuple):
    code: str
    row: _Row
    message: str = ""  # a part of the exchange's text, for codes that mean several things
    resync_clock: bool = False


_DUPLICATE = _Row(_REJECTED, errors.DuplicateOrder)
_BINANCE_RULES = (
    _CodeRule("-2010", _DUPLICATE, "Duplicate order sent"),
    _CodeRule("-4116", _DUPLICATE),
    _CodeRule("-1013", _Row(_REJECTED, errors.InvalidOrder)),  # filters: ccxt spreads them over three classes
    _CodeRule("-1111", _Row(_REJECTED, errors.InvalidOrder)),  # more digits than the steps allow
    _CodeRule("-2014", _Row(_REJECTED, errors.AuthenticationFailed)),
    _CodeRule("-2015", _Row(_REJECTED, errors.AuthenticationFailed)),  # ccxt calls it DDoSProtection after a good call
    _CodeRule("-1003", _Row(_RETRY, errors.RateLimited)),
    _CodeRule("-1008", _Row(_RETRY, errors.RateLimited)),
    _CodeRule("-1015", _Row(_RETRY, errors.RateLimited)),
    _CodeRule("-1000", _UNKNOWN),
    _CodeRule("-1006", _UNKNOWN),
    _CodeRule("-1007", _UNKNOWN),
    _CodeRule("-1021", _Row(_RETRY, errors.NetworkUnavailable), resync_clock=True),
)
CODES: Mapping[str, tuple[_CodeRule, ...]] = {
    "binance": _BINANCE_RULES,
    "binanceus": _BINANCE_RULES,
    "binanceusdm": _BINANCE_RULES,
    "binancecoinm": _BINANCE_RULES,
    "bybit": (_CodeRule("110072", _DUPLICATE),),
    "okx": (_CodeRule("51016", _DUPLICATE),),
}
"""Exchange codes where ccxt's class tells too little or says the wrong thing."""

KEY_REFUSED = "check the API key, its secret, its permissions and its list of allowed addresses"
"""What every error says that means a refused key, also where it is told on as text."""

_HINTS: Mapping[type[errors.KitError], str] = {
    errors.AuthenticationFailed: KEY_REFUSED,
    errors.NetworkUnavailable: "the same may succeed later; streams and orders try again by themselves",
    errors.RateLimited: "too many requests; the kit slows down by itself, other programs may share the limit",
    errors.AmbiguousOutcome: "the request may have taken effect; the kit asks the exchange by client order id",
    errors.UnknownPair: "compare with the pairs in trading_rules",
}


@dataclass(frozen=True, slots=True)
class ResponseFacts:
    """What an error answer said: HTTP status (0: none), the exchange's code and text, ``Retry-After`` in seconds."""

    status: int = 0
    code: str = ""
    message: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A foreign error, judged: what it says about the request, and the kit's error to tell it with."""

    outcome: SendOutcome
    error: errors.KitError
    code: str = ""
    resync_clock: bool = False


def facts_of(status: int, headers: Mapping[str, str], payload: Any) -> ResponseFacts:
    """Collect what an HTTP error answer says in fields, from ``payload`` as decoded and from the headers."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    body: Mapping[str, Any] = payload if isinstance(payload, Mapping) else {}
    nested = body.get("data")
    if isinstance(nested, list) and nested and isinstance(nested[0], Mapping):  # okx answers per order
        body = {**body, **nested[0]}
    code = _first(body, ("sCode", "code", "retCode", "label"))
    message = _first(body, ("sMsg", "msg", "retMsg", "message"))
    return ResponseFacts(status, code, message, _retry_after(headers))


def judge(exc: BaseException, exchange_id: str, *, sent: bool = True, secrets: Iterable[str] = ()) -> Fault:
    """Judge what ``exc`` says about a request to ``exchange_id`` that changes something.

    ``sent`` tells whether the request left this process; an error before that is never ambiguous. ``secrets`` are
    struck from the text.
    """
    exc = _telling(exc)
    if isinstance(exc, errors.KitError):
        final = isinstance(exc, errors.FixInput | errors.StopTrading)
        return Fault(_REJECTED if final else _AMBIGUOUS if sent else _NOT_SENT, exc)
    facts = _facts(exc)
    rule = _rule(exchange_id, facts)
    row = rule.row if rule else _row(exc)
    outcome = row.outcome if rule else _outcome(exc, row, facts)
    if not sent and outcome in (_AMBIGUOUS, _RETRY):
        outcome = _NOT_SENT
    resync = rule.resync_clock if rule else "InvalidNonce" in _names(exc) and "ChecksumError" not in _names(exc)
    error_type = errors.AmbiguousOutcome if outcome is _AMBIGUOUS else row.error
    if outcome is not _AMBIGUOUS and row is _UNKNOWN:
        error_type = errors.NetworkUnavailable
    return Fault(outcome, _build(error_type, exc, exchange_id, facts, secrets), facts.code, resync)


def translate(exc: BaseException, exchange_id: str, *, secrets: Iterable[str] = ()) -> errors.KitError:
    """Return the kit's error for a failed question, which changes nothing and may simply be asked again."""
    exc = _telling(exc)
    if isinstance(exc, errors.KitError):
        return exc
    facts = _facts(exc)
    rule = _rule(exchange_id, facts)
    row = rule.row if rule else _row(exc)
    if not rule and _outcome(exc, row, facts) is _AMBIGUOUS:
        row = _UNKNOWN if row.outcome is not _AMBIGUOUS else row
    return _build(row.error, exc, exchange_id, facts, secrets)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Strike secrets, signatures, keys and queries of addresses from ``text`` and cut it to 400 characters."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _QUERY.sub(r"\1?***", text)
    text = _NAMED_SECRET.sub(r"\1\2***", text)
    text = _LONG_TOKEN.sub("***", text)
    return text if len(text) <= 400 else text[:397] + "..."


_QUERY = re.compile(r"(\w+://[^\s?'\"]*)\?[^\s'\"]+")
_NAMED_SECRET = re.compile(
    r"(signature|api[-_]?key|secret|pass(?:word|phrase)|token|listenKey|X-MBX-APIKEY)([\"']?\s*[=:]\s*[\"']?)[^\s&\"',})]+",
    re.IGNORECASE,
)
_LONG_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{40,}")


def _names(exc: BaseException) -> tuple[str, ...]:
    return tuple(cls.__name__ for cls in type(exc).__mro__)


def _telling(exc: BaseException) -> BaseException:
    """Return the error that says most: a ccxt error that a handler's own crash covered (KeyError over a refusal)."""
    for candidate in _chain(exc):
        if isinstance(candidate, errors.KitError) or any(name in TABLE for name in _names(candidate)):
            return candidate
    return exc


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _row(exc: BaseException) -> _Row:
    return next((TABLE[name] for name in _names(exc) if name in TABLE), _UNKNOWN)


def _outcome(exc: BaseException, row: _Row, facts: ResponseFacts) -> SendOutcome:
    causes = {name for link in _chain(exc) if link is not exc for name in _names(link)}
    if row.outcome in (_RETRY, _NOT_SENT):
        return row.outcome
    if causes & _NEVER_CONNECTED:
        return _NOT_SENT
    if causes & _ANSWER_LOST or facts.status >= 500:
        return _AMBIGUOUS
    if type(exc).__name__ == "ExchangeError" and not facts.code:
        return _AMBIGUOUS  # ccxt's catch-all: without the exchange's own code it is no proof of a refusal
    return row.outcome


def _facts(exc: BaseException) -> ResponseFacts:
    facts = getattr(exc, "kit_facts", None)
    return facts if isinstance(facts, ResponseFacts) else ResponseFacts()


def _rule(exchange_id: str, facts: ResponseFacts) -> _CodeRule | None:
    if not facts.code:
        return None
    rules = CODES.get(exchange_id, ())
    return next((rule for rule in rules if rule.code == facts.code and rule.message in facts.message), None)


def _build(
    error_type: type[errors.KitError],
    exc: BaseException,
    exchange_id: str,
    facts: ResponseFacts,
    secrets: Iterable[str],
) -> errors.KitError:
    text = scrub(facts.message or str(exc), secrets) or type(exc).__name__
    told = f"{text} (code {facts.code})" if facts.code else f"{type(exc).__name__}: {text}"
    hint = _HINTS.get(error_type)
    message = f"{exchange_id}: {told}" + (f"; {hint}" if hint else "")
    if issubclass(error_type, errors.RateLimited):
        return error_type(message, facts.retry_after)
    return error_type(message)


def _first(body: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(body[key]) for key in keys if body.get(key) not in (None, "")), "")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = next((headers[name] for name in headers if name.lower() == "retry-after"), None)
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None  # the date form is not used by exchanges

"""What ccxt's errors mean, row by row."""

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import errors
from kit.connectors import ccxt_lazy
from kit.connectors.ccxt_errors import TABLE, ResponseFacts, SendOutcome, facts_of, judge, scrub, translate

ccxt_lazy.install()
ccxt = importlib.import_module("ccxt.base.errors")
aiohttp = importlib.import_module("aiohttp")

REJECTED, AMBIGUOUS = SendOutcome.REJECTED, SendOutcome.AMBIGUOUS
NOT_SENT, RETRY = SendOutcome.NOT_SENT, SendOutcome.RETRY


def failed(kind, text="it failed", *, cause=None, **facts):
    """Return ccxt's error of a class name, as the guarded exchange would raise it."""
    exc = getattr(ccxt, kind)(text)
    exc.__cause__ = cause
    if facts:
        exc.kit_facts = ResponseFacts(**facts)
    return exc


def refused_connection():
    return aiohttp.ClientConnectorError(None, OSError(111, "Connection refused"))


# What happened to a create_order, and what the caller must conclude; one row for each fault that was tried.
ROWS = [
    ("refused", failed("ExchangeNotAvailable", cause=refused_connection()), NOT_SENT, errors.NetworkUnavailable),
    ("connect timeout", failed("RequestTimeout", cause=aiohttp.ConnectionTimeoutError()), NOT_SENT, errors.TryAgain),
    (
        "cut",
        failed("ExchangeNotAvailable", cause=aiohttp.ServerDisconnectedError()),
        AMBIGUOUS,
        errors.AmbiguousOutcome,
    ),
    ("timeout", failed("RequestTimeout", cause=TimeoutError()), AMBIGUOUS, errors.AmbiguousOutcome),
    ("504", failed("RequestTimeout", status=504), AMBIGUOUS, errors.AmbiguousOutcome),
    ("-1007", failed("RequestTimeout", status=408, code="-1007"), AMBIGUOUS, errors.AmbiguousOutcome),
    ("truncated", failed("ExchangeError", cause=aiohttp.ClientPayloadError()), AMBIGUOUS, errors.AmbiguousOutcome),
    ("parser", KeyError("orderId"), AMBIGUOUS, errors.AmbiguousOutcome),
    ("ws dies", failed("NetworkError"), AMBIGUOUS, errors.AmbiguousOutcome),
    ("-1000", failed("OperationFailed", status=400, code="-1000"), AMBIGUOUS, errors.AmbiguousOutcome),
    ("-1006", failed("OperationFailed", status=400, code="-1006"), AMBIGUOUS, errors.AmbiguousOutcome),
    ("-1006 of futures", failed("ExchangeError", status=400, code="-1006"), AMBIGUOUS, errors.AmbiguousOutcome),
    ("503", failed("ExchangeNotAvailable", status=503), AMBIGUOUS, errors.AmbiguousOutcome),
    ("403", failed("ExchangeNotAvailable", status=403), AMBIGUOUS, errors.AmbiguousOutcome),
    ("bare ExchangeError", failed("ExchangeError"), AMBIGUOUS, errors.AmbiguousOutcome),
    ("-1008", failed("ExchangeError", status=503, code="-1008"), RETRY, errors.RateLimited),
    ("429", failed("DDoSProtection", status=429, retry_after=7.0), RETRY, errors.RateLimited),
    ("418", failed("DDoSProtection", status=418), RETRY, errors.RateLimited),
    ("-1003", failed("RateLimitExceeded", status=400, code="-1003"), RETRY, errors.RateLimited),
    ("-1015", failed("RateLimitExceeded", status=400, code="-1015"), RETRY, errors.RateLimited),
    ("-1021", failed("InvalidNonce", status=400, code="-1021"), RETRY, errors.NetworkUnavailable),
    ("funds", failed("InsufficientFunds", status=400, code="-2010"), REJECTED, errors.InsufficientBalance),
    ("filter", failed("InvalidOrder", status=400, code="-1013"), REJECTED, errors.InvalidOrder),
    ("notional", failed("BadRequest", status=400, code="-1013"), REJECTED, errors.InvalidOrder),
    ("post-only", failed("OrderImmediatelyFillable", status=400, code="-2010"), REJECTED, errors.PostOnlyRejected),
    ("secret", failed("AuthenticationError", status=400, code="-1022"), REJECTED, errors.AuthenticationFailed),
    ("key", failed("DDoSProtection", status=401, code="-2015"), REJECTED, errors.AuthenticationFailed),
    ("forbidden", failed("PermissionDenied", status=403, code="-2016"), REJECTED, errors.AuthenticationFailed),
    ("coded refusal", failed("ExchangeError", status=400, code="-9999"), REJECTED, errors.OrderRejected),
    (
        "duplicate",
        failed("InvalidOrder", status=400, code="-2010", message="Duplicate order sent."),
        REJECTED,
        errors.DuplicateOrder,
    ),
    ("unknown order", failed("OrderNotFound", status=400, code="-2011"), REJECTED, errors.OrderNotFound),
    ("gap", failed("ChecksumError"), AMBIGUOUS, errors.AmbiguousOutcome),
]


@pytest.mark.parametrize(("exc", "outcome", "error"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_row(exc, outcome, error):
    fault = judge(exc, "binance")
    assert fault.outcome is outcome
    assert isinstance(fault.error, error)


@pytest.mark.parametrize("exc", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_request_that_never_left_is_never_ambiguous(exc):
    fault = judge(exc, "binance", sent=False)
    assert fault.outcome in (NOT_SENT, REJECTED)
    assert not isinstance(fault.error, errors.AmbiguousOutcome)


@pytest.mark.parametrize("exc", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_failed_question_is_never_ambiguous_and_network_trouble_may_be_asked_again(exc):
    error = translate(exc, "binance")
    assert isinstance(error, errors.KitError)
    assert not isinstance(error, errors.AskExchange)
    if judge(exc, "binance").outcome in (AMBIGUOUS, NOT_SENT, RETRY):
        assert isinstance(error, errors.TryAgain)


def test_every_class_of_ccxt_is_known():
    def classes(tree):
        for name, below in tree.items():
            yield name
            yield from classes(below)

    for name in set(classes(ccxt.error_hierarchy)) - {"BaseError"}:
        names = [cls.__name__ for cls in getattr(ccxt, name).__mro__]
        assert any(known in TABLE for known in names), name
        judge(failed(name), "binance")
    assert set(TABLE) <= set(classes(ccxt.error_hierarchy)), "a row that ccxt has no class for"


def test_only_a_clock_error_asks_for_the_clock():
    assert judge(failed("InvalidNonce", status=400, code="-1021"), "binance").resync_clock
    assert judge(failed("InvalidNonce"), "okx").resync_clock
    assert not judge(failed("ChecksumError"), "okx").resync_clock
    assert not judge(failed("RequestTimeout"), "okx").resync_clock


def test_other_exchanges_duplicates():
    assert isinstance(judge(failed("InvalidOrder", status=200, code="110072"), "bybit").error, errors.DuplicateOrder)
    assert isinstance(judge(failed("InvalidOrder", status=200, code="51016"), "okx").error, errors.DuplicateOrder)
    assert not isinstance(
        judge(failed("InvalidOrder", status=200, code="51016"), "kraken").error, errors.DuplicateOrder
    )


def test_a_refusal_under_a_crash_of_ccxt_is_found():
    crash = KeyError("spot")  # what ccxt's handler raises while it handles the refusal
    crash.__context__ = failed("AuthenticationError", status=400, code="-1022")
    assert isinstance(translate(crash, "binance"), errors.AuthenticationFailed)


def test_the_kits_own_errors_pass():
    ours = errors.RateLimited("slow", 3.0)
    assert translate(ours, "binance") is ours
    assert judge(ours, "binance", sent=False) == judge(ours, "binance", sent=False)
    assert judge(ours, "binance", sent=False).outcome is NOT_SENT
    assert judge(errors.OrderNotFound("none"), "binance").outcome is REJECTED


def test_retry_after_is_told():
    assert judge(failed("DDoSProtection", status=429, retry_after=7.0), "binance").error.retry_after == 7.0
    assert facts_of(429, {"retry-after": "12"}, None).retry_after == 12.0
    assert facts_of(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None).retry_after is None


def test_facts_are_read_from_fields():
    assert facts_of(400, {}, {"code": -2010, "msg": "no"}) == ResponseFacts(400, "-2010", "no")
    assert facts_of(200, {}, {"retCode": 10006, "retMsg": "slow"}).code == "10006"
    assert facts_of(200, {}, {"code": "1", "data": [{"sCode": "51016", "sMsg": "twice"}]}).code == "51016"
    assert facts_of(400, {}, [{"code": -2011, "msg": "unknown"}]).code == "-2011"
    assert facts_of(502, {}, "<html>") == ResponseFacts(502)


SECRETS = ("kG8fS3cr3t/+x=", "p4ss phrase")
SIGNED = (
    "binance POST https://api.binance.com/api/v3/order?symbol=BTCUSDT&timestamp=1&signature="
    "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        (SIGNED, "c8db56825ae71d6d"),
        (SIGNED, "timestamp"),
        ('{"apiKey": "abcdef123", "x": 1}', "abcdef123"),
        ("X-MBX-APIKEY: abcdef123", "abcdef123"),
        ("listenKey=pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1", "pqia91"),
        (f"failed with {SECRETS[0]} inside", SECRETS[0]),
    ],
)
def test_scrub(text, gone):
    assert gone not in scrub(text, SECRETS)


def test_scrub_keeps_what_helps():
    kept = scrub(SIGNED)
    assert "api.binance.com/api/v3/order" in kept
    assert "Filter failure: LOT_SIZE" in scrub("binance Filter failure: LOT_SIZE of order 62k3ohoelkand9mi1i", SECRETS)
    assert "62k3ohoelkand9mi1i" in scrub("order 62k3ohoelkand9mi1i")
    assert len(scrub("a b " * 400)) <= 400


@given(before=st.text(max_size=50), after=st.text(max_size=50), secret=st.sampled_from(SECRETS))
def test_no_secret_survives_in_an_error(before, after, secret):
    exc = ccxt.ExchangeError(f"{before}{secret}{after}")
    for error in (translate(exc, "binance", secrets=SECRETS), judge(exc, "binance", secrets=SECRETS).error):
        assert secret not in str(error)
        assert secret not in repr(error)

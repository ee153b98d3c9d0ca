"""Exchanges' peculiarities: client order ids and limits; and the limiter that keeps to them."""

import asyncio
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.connectors.ccxt_errors import ResponseFacts
from kit.connectors.ccxt_limits import RequestLimits
from kit.connectors.ccxt_profiles import ORDERS, PROFILES, WEIGHT, ClientIdCodec, LimitPlan, Profile, profile_of
from kit.connectors.ccxt_requests import LONGEST_WAIT, ranked
from kit.core.clock import ManualTime
from kit.core.throttler import Priority
from kit.errors import RateLimited

IDS = st.text(string.digits + string.ascii_lowercase, min_size=18, max_size=18)


@given(client_id=IDS, exchange=st.sampled_from([*PROFILES, "any other"]))
def test_ids_come_back_also_after_a_restart(client_id, exchange):
    codec = ClientIdCodec(profile_of(exchange))
    wire = codec.encode(client_id)
    assert codec.decode(wire) == client_id
    assert ClientIdCodec(profile_of(exchange)).decode(wire) == client_id
    assert len(wire) <= 34


def test_clothes():
    assert ClientIdCodec(PROFILES["gate"]).encode("a" * 18) == "t-" + "a" * 18
    hex_id = ClientIdCodec(PROFILES["hyperliquid"]).encode("z" * 18)
    assert hex_id.startswith("0x")
    assert len(hex_id) == 34
    assert ClientIdCodec(PROFILES["binance"]).encode("abc") == "abc"
    assert ClientIdCodec(PROFILES["gate"]).decode("web order") == "web order"


def test_the_memory_of_ids_is_bounded():
    codec = ClientIdCodec(Profile(id_prefix="t-"))
    for number in range(6000):
        codec.encode(str(number))
    assert len(codec._ours) <= 5001


def test_an_unknown_exchange_gets_the_default():
    assert profile_of("whitebit") == Profile()


def test_budgets():
    default = LimitPlan().limits(rate_limit_ms=50, window_ms=60_000)
    assert [(one.limit_id, one.limit, one.interval) for one in default] == [(WEIGHT, 12_000, 60.0)]
    binance = PROFILES["binance"].limits.limits(50, 60_000)
    assert [(one.limit_id, one.limit) for one in binance] == [(WEIGHT, 6000), (ORDERS, 100)]
    assert PROFILES["binance"].limits.weigh(0.2) == 1  # ccxt's cost of what Binance gives weight 1
    assert LimitPlan().weigh(None) == 10
    assert LimitPlan().weigh(0.001) == 1


@pytest.fixture
def time():
    return ManualTime(1_700_000_000)


@pytest.fixture
def limits(time):
    return RequestLimits(PROFILES["binance"].limits, 50, 60_000, time)


async def test_cancels_pass_creates_and_creates_pass_polls(limits, time):
    limits.throttler.set_used(WEIGHT, 5400)
    passed = []

    async def ask(name, priority):
        with ranked(priority):
            await limits.throttle(0.2)
        passed.append(name)

    tasks = [
        asyncio.create_task(ask(priority.name, priority))
        for priority in (Priority.POLL, Priority.QUERY, Priority.CREATE, Priority.CANCEL)
    ]
    await time.settle()
    assert passed == []
    await time.advance(60)
    await asyncio.gather(*tasks)
    assert passed == ["CANCEL", "CREATE", "QUERY", "POLL"]


async def test_a_new_order_does_not_wait_for_ever(limits, monkeypatch):
    monkeypatch.setattr("kit.connectors.ccxt_limits.LONGEST_WAIT", 0.01)
    limits.throttler.set_used(WEIGHT, 5400)
    with ranked(Priority.CREATE), pytest.raises(RateLimited):
        await limits.throttle(0.2)
    assert LONGEST_WAIT == 5.0
    assert limits.throttler.waiting == 0


async def test_headers_correct_our_count(limits):
    limits.on_response({"X-MBX-USED-WEIGHT-1M": "123", "x-mbx-order-count-10s": "7", "Content-Type": "json"})
    assert limits.status()["usage"] == {WEIGHT: (123, 5400), ORDERS: (7, 90)}
    limits.on_response({"X-MBX-USED-WEIGHT-1M": "soon"})
    RequestLimits(LimitPlan(), 50, 60_000, ManualTime()).on_response({"X-MBX-USED-WEIGHT-1M": "5"})


async def test_a_request_heavier_than_the_limit_passes_alone(limits):
    await limits.throttle(100_000.0)
    assert limits.throttler.usage[WEIGHT][0] == 5400


async def test_a_refusal_pauses_what_it_is_about(limits):
    limits.on_refusal(ResponseFacts(status=400, code="-1013"))
    assert limits.refusals == 0
    assert limits.throttler.try_acquire(WEIGHT)
    limits.on_refusal(ResponseFacts(status=429, code="-1015", retry_after=3.0))
    assert limits.throttler.try_acquire(WEIGHT), "cancels must go on"
    assert not limits.throttler.try_acquire(ORDERS)
    limits.on_refusal(ResponseFacts(status=429, code="-1003", retry_after=3.0))
    assert not limits.throttler.try_acquire(WEIGHT)
    assert limits.refusals == 2


@pytest.mark.parametrize(("status", "pause"), [(429, 2.0), (418, 30.0)])
async def test_a_refusal_without_a_time_pauses_too(limits, time, status, pause):
    limits.on_refusal(ResponseFacts(status=status))
    await time.advance(pause - 0.1)
    assert not limits.throttler.try_acquire(WEIGHT)
    await time.advance(0.2)
    assert limits.throttler.try_acquire(WEIGHT)

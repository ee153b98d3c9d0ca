import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.testnet.binance_errors import ApiError
from kit.testnet.rate_limits import IntervalCounter, Limits, RateLimiter

HOME = "127.0.0.1"
MIDNIGHT = 1_700_006_400_000  # a whole day since the epoch


class Clock:
    def __init__(self, now: int = MIDNIGHT) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def limiter(clock=None, **limits):
    clock = clock or Clock()
    return RateLimiter(Limits(**limits), clock), clock


def refusal(call, *arguments):
    with pytest.raises(ApiError) as caught:
        call(*arguments)
    return caught.value


def test_weight_is_counted_by_address_and_forgotten_each_minute():
    limits, clock = limiter()
    assert [limits.charge(HOME, 20), limits.charge(HOME, 5), limits.charge("other", 1)] == [20, 25, 1]
    clock.now += 59_999
    assert limits.used_weight(HOME) == 25
    clock.now += 1
    assert limits.used_weight(HOME) == 0
    assert limits.charge(HOME, 2) == 2


def test_over_the_weight_is_429_until_the_minute_ends():
    limits, clock = limiter(weight=100)
    clock.now += 15_000
    limits.charge(HOME, 100)
    error = refusal(limits.charge, HOME, 1)
    assert (error.status, error.code) == (429, -1003)
    assert "current limit is 100 request weight per 1 MINUTE" in error.message
    assert error.retry_at_ms == MIDNIGHT + 60_000
    clock.now = MIDNIGHT + 60_000
    assert limits.charge(HOME, 1) == 1


def test_going_on_after_429_is_a_ban_that_doubles():
    limits, clock = limiter(weight=10, ban_after=3, ban_seconds=120)
    limits.charge(HOME, 10)
    assert [refusal(limits.charge, HOME, 1).status for _ in range(3)] == [429, 429, 429]
    banned = refusal(limits.charge, HOME, 1)
    assert (banned.status, banned.retry_at_ms) == (418, MIDNIGHT + 120_000)
    assert f"IP banned until {MIDNIGHT + 120_000}" in banned.message
    clock.now += 119_999
    assert refusal(limits.charge, HOME, 1).status == 418
    limits.charge("another address", 1)
    clock.now += 1
    limits.charge(HOME, 10)
    for _ in range(3):
        refusal(limits.charge, HOME, 1)
    assert refusal(limits.charge, HOME, 1).retry_at_ms == clock.now + 240_000


def test_bans_end_at_three_days():
    limits, clock = limiter(weight=0, ban_after=0, ban_seconds=120)
    for _ in range(30):
        error = refusal(limits.charge, HOME, 1)
        assert error.retry_at_ms - clock.now <= 3 * 86_400_000
        clock.now = error.retry_at_ms
    assert refusal(limits.charge, HOME, 1).retry_at_ms - clock.now == 3 * 86_400_000


def test_lifted_bans_are_forgotten():
    limits, _ = limiter(weight=0, ban_after=0)
    refusal(limits.charge, HOME, 1)
    limits.limits = Limits()
    assert refusal(limits.charge, HOME, 1).status == 418
    limits.lift_bans()
    assert limits.charge(HOME, 1) == 1


def test_orders_of_an_account_in_ten_seconds_and_a_day():
    limits, clock = limiter(orders_10s=2, orders_day=3)
    for _ in range(2):
        limits.check_orders("ann")
        limits.count_order("ann")
    error = refusal(limits.check_orders, "ann")
    assert (error.status, error.code, error.retry_at_ms) == (429, -1015, MIDNIGHT + 10_000)
    assert error.message == "Too many new orders; current limit is 2 orders per 10 SECOND."
    limits.check_orders("bob")
    clock.now += 10_000
    limits.check_orders("ann")
    limits.count_order("ann")
    clock.now += 10_000
    error = refusal(limits.check_orders, "ann")
    assert (error.message, error.retry_at_ms) == (
        "Too many new orders; current limit is 3 orders per 1 DAY.",
        MIDNIGHT + 86_400_000,
    )


@pytest.mark.parametrize(("placed", "maker", "left"), [(3, False, 2), (3, True, 0), (7, True, 2), (0, False, 0)])
def test_a_first_fill_frees_orders_but_never_below_zero(placed, maker, left):
    limits, _ = limiter()
    for _ in range(placed):
        limits.count_order("ann")
    limits.credit_fill("ann", maker=maker)
    assert limits.order_counts("ann") == (left, left)


def test_status_lists_what_clients_read():
    limits, _ = limiter()
    limits.charge(HOME, 7)
    limits.count_order("ann")
    assert limits.weight_status(HOME) == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 6000,
        "count": 7,
    }
    assert [
        (entry["interval"], entry["intervalNum"], entry["limit"], entry["count"])
        for entry in limits.order_status("ann")
    ] == [
        ("SECOND", 10, 100, 1),
        ("DAY", 1, 200_000, 1),
    ]
    assert [entry["limit"] for entry in limits.rules()] == [6000, 100, 200_000]
    assert not any("count" in entry for entry in limits.rules())


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 9)), max_size=60))
def test_an_interval_counts_what_fell_into_it(steps):
    counter, now, log = IntervalCounter(10_000), 0, []
    for pause, amount in steps:
        now += pause
        log.append((now, amount))
        expected = sum(each for at, each in log if at // 10_000 == now // 10_000)
        assert counter.add(amount, now) == expected == counter.count(now)
        assert 0 < counter.left_ms(now) <= 10_000
        assert counter.count(now + counter.left_ms(now)) == 0

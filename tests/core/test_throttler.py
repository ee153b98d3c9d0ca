import asyncio
import contextlib
import itertools
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.core import rate_windows
from kit.core.clock import SYSTEM_TIME
from kit.core.manual_time import ManualTime
from kit.core.throttler import AsyncThrottler, LinkedLimit, Priority, RateLimit
from kit.errors import InvalidInput

CANCEL, CREATE, QUERY, POLL = Priority


class Requests:
    """Starts requests on a throttler and notes when each was let through."""

    def __init__(self, throttler: AsyncThrottler, time: ManualTime) -> None:
        self.throttler, self.time = throttler, time
        self.passed: list[tuple[float, str]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, limit_id: str = "all", **options: Any) -> asyncio.Task[None]:
        async def request() -> None:
            await self.throttler.acquire(limit_id, **options)
            self.passed.append((self.time.monotonic(), name))

        self.tasks[name] = asyncio.create_task(request())
        return self.tasks[name]

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.passed]


def most_in_any_window(charges: Iterable[tuple[float, int]], interval: float) -> int:
    """The largest weight in any half-open stretch of ``interval``; it suffices to look at those that begin a charge."""
    charges = list(charges)
    return max(
        (sum(weight for at, weight in charges if begin <= at and begin + interval > at) for begin, _ in charges),
        default=0,
    )


@pytest.fixture
def time() -> ManualTime:
    return ManualTime(start=1000.0)


def one(time: ManualTime, limit: int = 10, interval: float = 1.0, **options: Any) -> tuple[AsyncThrottler, Requests]:
    throttler = AsyncThrottler([RateLimit("all", limit, interval)], time_source=time, **options)
    return throttler, Requests(throttler, time)


async def test_requests_within_the_limit_pass_at_once_and_the_next_at_the_interval(time: ManualTime) -> None:
    throttler, requests = one(time, limit=3)
    for number in range(7):
        requests.start(str(number))
    await time.settle()
    assert requests.passed == [(0.0, "0"), (0.0, "1"), (0.0, "2")]
    assert (throttler.waiting, throttler.usage) == (4, {"all": (3, 3)})
    await time.advance(0.999)
    assert len(requests.passed) == 3
    await time.advance(5.0)
    assert requests.passed[3:] == [(1.0, "3"), (1.0, "4"), (1.0, "5"), (2.0, "6")]
    assert (throttler.waiting, throttler.usage, time.pending) == (0, {"all": (0, 3)}, 0)


async def test_the_window_slides(time: ManualTime) -> None:
    _, requests = one(time, limit=2)
    requests.start("a")
    await time.advance(0.6)
    for name in "bcd":
        requests.start(name)
    await time.advance(2.0)
    assert requests.passed == [(0.0, "a"), (0.6, "b"), (1.0, "c"), (1.6, "d")]


async def test_weights_count(time: ManualTime) -> None:
    throttler = AsyncThrottler([RateLimit("all", 10, 1.0, weight=4)], time_source=time)
    requests = Requests(throttler, time)
    requests.start("own weight")
    requests.start("given", weight=6)
    requests.start("none", weight=0)
    requests.start("one", weight=1)
    await time.settle()
    assert requests.names == ["own weight", "given", "none"]
    assert throttler.usage["all"] == (10, 10)
    await time.advance(1.0)
    assert requests.names[-1] == "one"


async def test_linked_limits_count_too_each_with_its_weight(time: ManualTime) -> None:
    limits = [
        RateLimit("weight", 100, 60.0),
        RateLimit("orders", 2, 10.0),
        RateLimit("create", 50, 1.0, linked=(LinkedLimit("weight", 40), LinkedLimit("orders"))),
        RateLimit("depth", 1000, 1.0, linked=(LinkedLimit("weight", 5),)),
    ]
    throttler = AsyncThrottler(limits, time_source=time)
    requests = Requests(throttler, time)
    for name in ("a", "b", "c"):
        requests.start(name, "create")
    await time.settle()
    assert requests.names == ["a", "b"]
    assert throttler.usage == {"weight": (80, 100), "orders": (2, 2), "create": (2, 50), "depth": (0, 1000)}
    await time.advance(10.0)  # orders are free again, but weight is not
    assert requests.names == ["a", "b"]
    await time.advance(50.0)
    assert requests.passed[2] == (60.0, "c")


async def test_links_of_links_are_not_followed(time: ManualTime) -> None:
    limits = [RateLimit("c", 5, 1.0), RateLimit("b", 5, 1.0, linked=(LinkedLimit("c"),))]
    limits.append(RateLimit("a", 5, 1.0, linked=(LinkedLimit("b"),)))
    throttler = AsyncThrottler(limits, time_source=time)
    await throttler.acquire("a")
    assert {name: used for name, (used, _) in throttler.usage.items()} == {"a": 1, "b": 1, "c": 0}


# --- order --------------------------------------------------------------------------------------------------------


async def test_cancels_go_before_creates_before_queries_before_polls(time: ManualTime) -> None:
    throttler, requests = one(time, limit=1)
    throttler.try_acquire("all")
    for round_ in "12":
        for priority in (POLL, QUERY, CREATE, CANCEL):
            requests.start(f"{priority.name}{round_}", priority=priority)
    await time.advance(8.0)
    assert requests.names == [f"{priority.name}{round_}" for priority in Priority for round_ in "12"]


async def test_a_big_request_is_not_starved_by_small_ones(time: ManualTime) -> None:
    _, requests = one(time, limit=10)
    numbers = itertools.count()

    async def flood() -> None:
        while True:
            requests.start(f"small{next(numbers)}", priority=POLL)
            await time.sleep(0.05)

    flooding = asyncio.create_task(flood())
    await time.advance(3.0)
    requests.start("big", weight=10, priority=POLL)
    await time.advance(8.0)
    flooding.cancel()
    for task in requests.tasks.values():
        task.cancel()
    big_at = next(at for at, name in requests.passed if name == "big")
    waiting_before = [at for at, name in requests.passed if name.startswith("small") and at > 3.0 and at < big_at]
    # 60 small ones came before it, 30 had passed: the other 30 take three intervals, and it needs a whole one.
    assert big_at <= 8.0
    assert len(waiting_before) <= 30
    await time.settle()


async def test_a_big_request_is_served_within_an_interval_against_lower_priorities(time: ManualTime) -> None:
    _, requests = one(time, limit=10)

    async def flood() -> None:
        for number in range(400):
            requests.start(f"small{number}", priority=POLL)
            await time.sleep(0.02)

    flooding = asyncio.create_task(flood())
    await time.advance(3.01)
    requests.start("big", weight=10, priority=QUERY)
    await time.advance(1.0)
    assert requests.names[-1] == "big"
    flooding.cancel()
    for task in requests.tasks.values():
        task.cancel()
    await time.settle()
    assert time.pending == 0


async def test_a_newcomer_does_not_pass_those_who_wait_even_if_it_would_fit(time: ManualTime) -> None:
    throttler, requests = one(time, limit=10)
    requests.start("first", weight=8)
    requests.start("big", weight=5)
    requests.start("small", weight=1)
    await time.settle()
    assert requests.names == ["first"]
    assert not throttler.try_acquire("all")
    assert throttler.try_acquire("all", priority=CANCEL)  # a better rank may
    requests.start("urgent", weight=1, priority=CREATE)
    await time.settle()
    assert requests.names == ["first", "urgent"]
    await time.advance(1.0)
    assert requests.names == ["first", "urgent", "big", "small"]


async def test_a_limit_that_is_used_up_does_not_stop_requests_under_others(time: ManualTime) -> None:
    limits = [
        RateLimit("weight", 100, 60.0),
        RateLimit("create", 1, 10.0, linked=(LinkedLimit("weight", 1),)),
        RateLimit("query", 100, 60.0, linked=(LinkedLimit("weight", 5),)),
    ]
    throttler = AsyncThrottler(limits, time_source=time)
    requests = Requests(throttler, time)
    for number in range(5):
        requests.start(f"create{number}", "create", priority=CREATE)
    for number in range(10):
        requests.start(f"query{number}", "query")
    await time.settle()
    assert requests.names == ["create0", *(f"query{number}" for number in range(10))]
    await time.advance(40.0)
    assert requests.names[-1] == "create4"


async def test_room_is_kept_for_the_first_that_waits_for_another_limit(time: ManualTime) -> None:
    limits = [
        RateLimit("weight", 10, 60.0),
        RateLimit("create", 1, 10.0, linked=(LinkedLimit("weight", 4),)),
        RateLimit("query", 100, 60.0, linked=(LinkedLimit("weight", 1),)),
    ]
    throttler = AsyncThrottler(limits, time_source=time)
    requests = Requests(throttler, time)
    requests.start("create0", "create", priority=CREATE)
    requests.start("create1", "create", priority=CREATE)
    for number in range(5):
        requests.start(f"query{number}", "query")
    await time.settle()
    assert requests.names == ["create0", "query0", "query1"]  # 4 + 1 + 1, and 4 are kept for create1
    await time.advance(10.0)
    assert requests.names[-1] == "create1"


async def test_after_a_blocked_loop_those_who_waited_go_before_a_newcomer(time: ManualTime) -> None:
    throttler, requests = one(time, limit=2)
    for name in ("a", "b", "c", "d", "e"):
        requests.start(name)
    await time.settle()
    time.jump(30.0)  # the timer could not fire yet
    assert not throttler.try_acquire("all")
    requests.start("newcomer")
    await time.advance(10.0)
    assert requests.names == ["a", "b", "c", "d", "e", "newcomer"]


# --- giving up ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_waiter_uses_nothing_and_makes_way(time: ManualTime) -> None:
    throttler, requests = one(time, limit=10)
    requests.start("first", weight=5)
    big = requests.start("big", weight=10)
    requests.start("small", weight=5)
    await time.settle()
    assert requests.names == ["first"]
    big.cancel()
    await time.settle()
    assert requests.names == ["first", "small"]
    assert (throttler.waiting, throttler.usage, time.pending) == (0, {"all": (10, 10)}, 0)


async def test_a_waiter_cancelled_at_the_moment_it_was_served_gives_its_charge_back(time: ManualTime) -> None:
    throttler, requests = one(time, limit=1)
    requests.start("first")
    second = requests.start("second")
    requests.start("third")
    await time.settle()
    time.jump(1.0)
    assert not throttler.try_acquire("all")  # serves the second, whose task has no time to notice
    second.cancel()
    await time.settle()
    assert requests.passed == [(0.0, "first"), (1.0, "third")]
    assert throttler.usage == {"all": (1, 1)}
    await time.advance(1.0)
    assert throttler.usage == {"all": (0, 1)}


async def test_a_waiter_with_a_time_out_leaves_no_trace(time: ManualTime) -> None:
    throttler, _ = one(time, limit=1)
    await throttler.acquire("all")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await throttler.acquire("all")
    assert (throttler.waiting, time.pending) == (0, 0)


# --- what the exchange says ---------------------------------------------------------------------------------------


async def test_used_weight_of_the_exchange_raises_our_count_only(time: ManualTime) -> None:
    throttler, requests = one(time, limit=100, interval=60.0)
    await throttler.acquire("all", weight=30)
    throttler.set_used("all", 20)
    assert throttler.usage["all"] == (30, 100)
    await time.advance(10.0)
    throttler.set_used("all", 90)  # somebody else on this address used 60
    assert throttler.usage["all"] == (90, 100)
    requests.start("next", weight=20)
    await time.advance(49.9)
    assert requests.names == []
    await time.advance(0.1)
    assert requests.names == ["next"]
    assert throttler.usage["all"] == (80, 100)
    await time.advance(10.0)
    assert throttler.usage["all"] == (20, 100)


async def test_used_weight_above_the_limit_lets_nothing_pass_until_it_expires(time: ManualTime) -> None:
    throttler, requests = one(time, limit=10, interval=60.0)
    throttler.set_used("all", 5000)
    requests.start("next")
    await time.advance(59.0)
    assert requests.names == []
    await time.advance(1.0)
    assert requests.names == ["next"]


async def test_a_pause_stops_everything_cancels_too(time: ManualTime) -> None:
    limits = [RateLimit("a", 10, 1.0), RateLimit("b", 10, 1.0)]
    throttler = AsyncThrottler(limits, time_source=time)
    requests = Requests(throttler, time)
    throttler.pause(30.0)
    requests.start("cancel", "a", priority=CANCEL)
    requests.start("poll", "b", priority=POLL)
    assert not throttler.try_acquire("a")
    await time.advance(29.9)
    assert requests.names == []
    await time.advance(0.1)
    assert requests.passed == [(30.0, "cancel"), (30.0, "poll")]


async def test_a_pause_of_one_limit_stops_what_counts_against_it(time: ManualTime) -> None:
    limits = [RateLimit("weight", 10, 1.0), RateLimit("linked", 10, 1.0, linked=(LinkedLimit("weight"),))]
    limits.append(RateLimit("other", 10, 1.0))
    throttler = AsyncThrottler(limits, time_source=time)
    throttler.pause(5.0, limit_id="weight")
    assert not throttler.try_acquire("weight")
    assert not throttler.try_acquire("linked")
    assert throttler.try_acquire("other")
    await time.advance(5.0)
    assert throttler.try_acquire("linked")


async def test_a_pause_during_a_wait_holds_and_never_shortens_another(time: ManualTime) -> None:
    throttler, requests = one(time, limit=1)
    requests.start("first")
    requests.start("second")
    await time.settle()
    throttler.pause(10.0)
    throttler.pause(2.0)
    throttler.pause(-5.0)
    throttler.pause(0.0)
    await time.advance(9.9)
    assert requests.names == ["first"]
    await time.advance(0.2)
    assert requests.passed[1] == (10.0, "second")


# --- the rest of the surface --------------------------------------------------------------------------------------


async def test_execute_waits_before_the_block(time: ManualTime) -> None:
    throttler, _ = one(time, limit=1)
    entered: list[float] = []

    async def request() -> None:
        async with throttler.execute("all", priority=CREATE, weight=1):
            entered.append(time.monotonic())

    tasks = [asyncio.create_task(request()) for _ in range(3)]
    await time.advance(5.0)
    await asyncio.gather(*tasks)
    assert entered == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("limit", "share", "capacity"), [(100, 0.5, 50), (100, 0.29, 29), (3, 0.1, 1), (7, 0.5, 3)])
def test_share_scales_the_limits(time: ManualTime, limit: int, share: float, capacity: int) -> None:
    throttler, _ = one(time, limit=limit, share=share)
    assert throttler.usage == {"all": (0, capacity)}


async def test_it_works_on_the_systems_time() -> None:
    throttler = AsyncThrottler([RateLimit("all", 5, 0.05)])
    begin = SYSTEM_TIME.monotonic()
    await asyncio.gather(*(throttler.acquire("all") for _ in range(12)))
    assert SYSTEM_TIME.monotonic() - begin >= 0.1


async def test_bad_requests_are_refused_with_the_reason(time: ManualTime) -> None:
    throttler, _ = one(time, limit=10, share=0.5)
    with pytest.raises(InvalidInput, match=r"unknown rate limit 'al'.*\['all'\]"):
        await throttler.acquire("al")
    for weight in (6, -1, math.nan):
        with pytest.raises(InvalidInput, match="allows 0 to 5"):
            await throttler.acquire("all", weight=weight)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="unknown"):
        throttler.set_used("al", 1)
    with pytest.raises(InvalidInput, match="unknown"):
        throttler.pause(1.0, limit_id="al")
    for seconds in (math.nan, math.inf):
        with pytest.raises(InvalidInput, match="finite"):
            throttler.pause(seconds)
    assert throttler.usage == {"all": (0, 5)}


def test_bad_limits_are_refused() -> None:
    for arguments in ({"limit": 0}, {"limit": math.nan}, {"interval": 0.0}, {"interval": math.inf}, {"weight": -1}):
        with pytest.raises(InvalidInput):
            RateLimit(**{"limit_id": "a", "limit": 1, "interval": 1.0} | arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        RateLimit("a", 1, 1.0, linked=(LinkedLimit("b", -1),))
    good = RateLimit("a", 10, 1.0)
    for share in (0.0, -1.0, 1.1, math.nan):
        with pytest.raises(InvalidInput, match="share"):
            AsyncThrottler([good], share=share)
    with pytest.raises(InvalidInput, match="differ"):
        AsyncThrottler([good, good])
    with pytest.raises(InvalidInput, match="not among"):
        AsyncThrottler([RateLimit("a", 10, 1.0, linked=(LinkedLimit("b"),))])
    with pytest.raises(InvalidInput, match="never be sent"):
        AsyncThrottler([RateLimit("a", 10, 1.0, weight=11)])


# --- properties ---------------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("acquire"), st.sampled_from(list(Priority)), st.integers(0, 10), st.sampled_from("abc")),
    st.tuples(st.just("try"), st.sampled_from(list(Priority)), st.integers(0, 10), st.sampled_from("abc")),
    st.tuples(st.just("advance"), st.floats(0, 3)),
    st.tuples(st.just("jump"), st.floats(0, 3)),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.just("pause"), st.floats(0, 2)),
    st.tuples(st.just("used"), st.integers(0, 25)),
)

# "a" and "b" share "pool"; "c" has only itself. Weights of pool: a 2, b 1.
LIMITS = [
    RateLimit("pool", 15, 2.5),
    RateLimit("a", 10, 1.0, linked=(LinkedLimit("pool", 2),)),
    RateLimit("b", 12, 0.7, linked=(LinkedLimit("pool", 1),)),
    RateLimit("c", 10, 1.3),
]
POOL_WEIGHT = {"a": 2, "b": 1}


@settings(max_examples=300)
@example([("acquire", CANCEL, 10, "a"), ("acquire", POLL, 1, "a"), ("jump", 1.0), ("acquire", POLL, 0, "a")])
@given(st.lists(STEP, max_size=40))
def test_no_window_ever_exceeds_its_limit_and_everybody_is_served(steps: list[tuple[Any, ...]]) -> None:
    async def drive() -> None:
        time = ManualTime()
        throttler = AsyncThrottler(LIMITS, time_source=time)
        charges: dict[str, list[tuple[float, int]]] = {limit.limit_id: [] for limit in LIMITS}
        paused: list[tuple[float, float]] = []
        tasks: list[asyncio.Task[None]] = []
        last: dict[tuple[str, int], int] = {}

        def note(limit_id: str, weight: int) -> None:
            now = time.monotonic()
            assert not any(begin <= now < end for begin, end in paused)
            charges[limit_id].append((now, weight))
            if limit_id in POOL_WEIGHT:
                charges["pool"].append((now, POOL_WEIGHT[limit_id]))

        async def acquire(number: int, limit_id: str, priority: Priority, weight: int) -> None:
            await throttler.acquire(limit_id, priority=priority, weight=weight)
            note(limit_id, weight)
            assert last.get((limit_id, priority), -1) < number  # first come, first served
            last[limit_id, priority] = number

        for step in steps:
            match step:
                case ("acquire", priority, weight, limit_id):
                    tasks.append(asyncio.create_task(acquire(len(tasks), limit_id, priority, weight)))
                    await time.settle()
                case ("try", priority, weight, limit_id):
                    before = throttler.usage[limit_id][0]
                    if throttler.try_acquire(limit_id, priority=priority, weight=weight):
                        assert throttler.usage[limit_id][0] >= before + weight or throttler.waiting
                        note(limit_id, weight)
                    await time.settle()  # it may have served others
                case ("advance", seconds):
                    await time.advance(seconds)
                case ("jump", seconds):
                    time.jump(seconds)
                case ("cancel", number):
                    if number < len(tasks):
                        tasks[number].cancel()
                        await time.settle()
                case ("pause", seconds):
                    paused.append((time.monotonic(), time.monotonic() + seconds))
                    throttler.pause(seconds)
                case ("used", used):
                    throttler.set_used("pool", used)
            for used, capacity in (throttler.usage[name] for name in "abc"):
                assert 0 <= used <= capacity
        await time.advance(200.0)
        assert all(task.done() for task in tasks)
        assert not any(task.exception() for task in tasks if not task.cancelled())
        assert (throttler.waiting, time.pending) == (0, 0)
        assert all(used == 0 for used, _ in throttler.usage.values())
        for limit in LIMITS:
            assert most_in_any_window(charges[limit.limit_id], limit.interval) <= limit.limit

    asyncio.run(drive())


ARRIVAL = st.tuples(st.sampled_from(list(Priority)), st.integers(1, 10), st.floats(0, 0.5))


@settings(max_examples=150)
@given(st.lists(ARRIVAL, min_size=1, max_size=40))
def test_on_one_limit_nobody_is_overtaken_by_a_worse_rank(arrivals: list[tuple[Priority, int, float]]) -> None:
    async def drive() -> None:
        time = ManualTime()
        _, requests = one(time, limit=10)
        waiting: dict[str, tuple[int, int]] = {}
        arrived: dict[str, float] = {}
        for number, (priority, weight, pause) in enumerate(arrivals):
            name = str(number)
            waiting[name] = (priority, number)
            arrived[name] = time.monotonic()
            requests.start(name, priority=priority, weight=weight)
            await time.advance(pause)
        await time.advance(100.0)
        for at, name in requests.passed:
            rank = waiting.pop(name)
            assert not [other for other, best in waiting.items() if best < rank and arrived[other] < at]
        assert not waiting
        total = sum(weight for _, weight, _ in arrivals)
        # Two that follow each other and do not fit into one window have more than a window's weight together.
        assert requests.passed[-1][0] <= max(arrived.values()) + 2 * total / 10 + 1

    asyncio.run(drive())


@pytest.mark.parametrize("count", [200, 2000])
async def test_the_work_for_a_request_does_not_grow_with_the_window_or_the_queue(
    time: ManualTime, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    looks = 0
    free_at = rate_windows.Window.free_at

    def counted(self: rate_windows.Window, *args: Any) -> float:
        nonlocal looks
        looks += 1
        return free_at(self, *args)

    monkeypatch.setattr(rate_windows.Window, "free_at", counted)
    throttler, requests = one(time, limit=count, interval=60.0)
    for _ in range(count):
        await throttler.acquire("all")
    assert looks == count
    for number in range(count):
        requests.start(str(number))
    await time.settle()
    await time.advance(61.0)
    assert len(requests.passed) == count
    assert looks <= 5 * count

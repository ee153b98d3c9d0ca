import math

from kit.core.clock import Clock, ClockMode
from kit.core.time_iterator import TimeIterator


def test_it_knows_its_clock_and_time_only_between_start_and_stop() -> None:
    child = TimeIterator()
    assert child.clock is None
    assert math.isnan(child.current_timestamp)
    clock = Clock(ClockMode.BACKTEST, start_time=10.0, end_time=15.0)
    clock.add_iterator(child)
    assert child.clock is None
    clock.backtest_til(12.0)
    assert child.clock is clock
    assert child.current_timestamp == 12.0
    clock.backtest()
    assert child.clock is None
    assert math.isnan(child.current_timestamp)


def test_it_starts_at_the_time_of_the_runs_begin() -> None:
    seen: list[float] = []

    class Child(TimeIterator):
        def start(self, clock: Clock, timestamp: float) -> None:
            super().start(clock, timestamp)
            seen.append(self.current_timestamp)

    clock = Clock(ClockMode.BACKTEST, start_time=0.5, end_time=2.0)
    clock.add_iterator(Child())
    clock.backtest()
    assert seen == [0.5]


def test_the_name_is_the_given_or_the_classes() -> None:
    class Quoter(TimeIterator):
        pass

    class Forgetful(TimeIterator):
        def __init__(self) -> None:
            pass

    assert Quoter().name == "Quoter"
    assert Quoter("mine").name == "mine"
    assert Forgetful().clock is None

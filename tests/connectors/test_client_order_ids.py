import random
import re
import threading

from kit.connectors.client_order_ids import ID_LENGTH, ClientOrderIds, tag_of


class Frozen:
    """A time source that stands still, as between two calls in one microsecond."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("ids never wait")


def test_ids_are_18_letters_and_digits_begin_with_the_tag_and_rise():
    ids = ClientOrderIds("main")
    made = [ids.next() for _ in range(1000)]
    assert all(re.fullmatch(r"[0-9a-z]{18}", one) for one in made)
    assert all(one.startswith(tag_of("main")) and ids.owns(one) for one in made)
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_the_tag_is_the_same_after_a_restart_and_differs_between_names():
    assert tag_of("main") == tag_of("main") == ClientOrderIds("main").tag
    assert len({tag_of(f"core {i}") for i in range(500)}) == 500


def test_no_id_repeats_across_restarts_even_when_time_stands_still():
    seen = set()
    for restart in range(50):
        ids = ClientOrderIds("main", time_source=Frozen(1_790_000_000.0), rng=random.Random(restart))
        seen |= {ids.next() for _ in range(20)}
    assert len(seen) == 1000


def test_ids_go_on_rising_when_the_clock_steps_back():
    source = Frozen(1_790_000_000.0)
    ids = ClientOrderIds("main", time_source=source)
    first = ids.next()
    source.now -= 3600
    assert ids.next() > first


def test_threads_never_get_the_same_id():
    ids, made = ClientOrderIds("main"), []
    threads = [threading.Thread(target=lambda: made.extend([ids.next() for _ in range(2000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000


def test_strangers_are_told_apart():
    ids = ClientOrderIds("main")
    assert not ids.owns(None)
    assert not ids.owns("x-TKT5PX2F0123456789")
    assert not ids.owns(ClientOrderIds("other").next())
    assert not ids.owns(ids.next() + "0")
    assert len(ids.next()) == ID_LENGTH

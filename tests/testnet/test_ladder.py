"""The price ladder: order of levels and queues, and the same after every kind of change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.testnet.ladder import Ladder, Resting, queue


def filled(*, is_bids: bool, orders: list[tuple[int, int]]) -> tuple[Ladder[Resting], list[Resting]]:
    ladder: Ladder[Resting] = Ladder(is_bids=is_bids)
    made = [Resting(price, lots) for price, lots in orders]
    for order in made:
        ladder.append(order)
    return ladder, made


@pytest.mark.parametrize(("is_bids", "best", "depth"), [(True, 12, [12, 11, 10]), (False, 10, [10, 11, 12])])
def test_best_is_first_on_each_side(is_bids: bool, best: int, depth: list[int]) -> None:
    ladder, _ = filled(is_bids=is_bids, orders=[(11, 5), (10, 1), (12, 2), (11, 4)])
    assert ladder.best is not None
    assert ladder.best.price_ticks == best
    assert [price for price, _ in ladder.depth(10)] == depth
    assert [level.price_ticks for level in ladder.levels()] == depth
    assert ladder.lots_at(11) == 9
    assert len(ladder) == 3


def test_queue_is_first_in_first_out_and_a_cancel_in_the_middle_keeps_the_rest() -> None:
    ladder, (one, two, three) = filled(is_bids=True, orders=[(10, 1), (10, 2), (10, 3)])
    level = ladder.level(10)
    assert level is not None
    assert list(queue(level)) == [one, two, three]
    ladder.remove(two)
    assert list(queue(level)) == [one, three]
    assert (level.lots, level.count) == (4, 2)
    assert not two.resting
    ladder.remove(two)  # a second removal changes nothing
    assert (level.lots, level.count) == (4, 2)


def test_taking_keeps_the_place_until_nothing_is_left() -> None:
    ladder, (one, two) = filled(is_bids=False, orders=[(10, 5), (10, 2)])
    ladder.take(one, 3)
    level = ladder.best
    assert level is not None
    assert list(queue(level)) == [one, two]
    assert level.lots == 4
    ladder.take(one, 2)
    assert list(queue(level)) == [two]
    ladder.take(two, 2)
    assert ladder.best is None
    assert ladder.level(10) is None
    assert ladder.depth(5) == []


def test_changed_prices_are_noted_until_they_are_taken() -> None:
    ladder, (one, _) = filled(is_bids=True, orders=[(10, 5), (9, 2)])
    assert list(ladder.changed) == [10, 9]
    ladder.changed.clear()
    ladder.take(one, 1)
    ladder.remove(one)
    assert list(ladder.changed) == [10]
    assert ladder.lots_at(10) == 0


def test_depth_is_limited_and_zero_is_none() -> None:
    ladder, _ = filled(is_bids=True, orders=[(price, price) for price in range(1, 50)])
    assert ladder.depth(3) == [(49, 49), (48, 48), (47, 47)]
    assert ladder.depth(0) == []
    assert len(ladder.depth(1000)) == 49


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 12), st.integers(1, 9)),
        st.tuples(st.just("remove"), st.integers(0, 1000), st.just(0)),
        st.tuples(st.just("take"), st.integers(0, 1000), st.integers(1, 9)),
    ),
    max_size=120,
)


@given(st.booleans(), OPERATIONS)
def test_ladder_equals_a_sorted_list(is_bids: bool, operations: list[tuple[str, int, int]]) -> None:
    ladder: Ladder[Resting] = Ladder(is_bids=is_bids)
    model: list[Resting] = []  # in order of arrival
    for kind, number, lots in operations:
        if kind == "append":
            order = Resting(number, lots)
            ladder.append(order)
            model.append(order)
        elif model:
            order = model[number % len(model)]
            if kind == "remove" or lots >= order.open_lots:
                ladder.remove(order) if kind == "remove" else ladder.take(order, order.open_lots)
                model.remove(order)
            else:
                ladder.take(order, lots)
        prices = sorted({order.price_ticks for order in model}, reverse=is_bids)
        assert ladder.depth(1000) == [
            (price, sum(o.open_lots for o in model if o.price_ticks == price)) for price in prices
        ]
        assert (ladder.best.price_ticks if ladder.best else None) == (prices[0] if prices else None)
        for level in ladder.levels():
            assert list(queue(level)) == [o for o in model if o.price_ticks == level.price_ticks]

"""The price ladder: order of levels and queues, and the same after every kind of change."""

from __future__ import annotations

import random

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


def check(ladder: Ladder[Resting], model: list[Resting], *, is_bids: bool) -> None:
    prices = sorted({order.price_ticks for order in model}, reverse=is_bids)
    assert ladder.depth(1000) == [
        (price, sum(o.open_lots for o in model if o.price_ticks == price)) for price in prices
    ]
    assert (ladder.best.price_ticks if ladder.best else None) == (prices[0] if prices else None)
    for level in ladder.levels():
        assert list(queue(level)) == [o for o in model if o.price_ticks == level.price_ticks]


@pytest.mark.parametrize("is_bids", [True, False])
@given(st.data())
def test_ladder_equals_a_sorted_list(is_bids: bool, data: st.DataObject) -> None:
    """Any order of appending, removing and taking leaves what a plain list of orders would."""
    prices = data.draw(st.integers(1, 8), label="prices")
    ladder: Ladder[Resting] = Ladder(is_bids=is_bids)
    model: list[Resting] = []  # in order of arrival
    for kind in data.draw(st.lists(st.sampled_from("aaart"), min_size=10, max_size=60), label="operations"):
        if kind == "a" or not model:
            order = Resting(data.draw(st.integers(1, prices)), data.draw(st.integers(1, 5)))
            ladder.append(order)
            model.append(order)
        else:
            order = data.draw(st.sampled_from(model))
            lots = order.open_lots if kind == "r" else data.draw(st.integers(1, order.open_lots))
            if lots == order.open_lots:
                model.remove(order)
            ladder.remove(order) if kind == "r" else ladder.take(order, lots)
        check(ladder, model, is_bids=is_bids)


@pytest.mark.parametrize("seed", range(4))
def test_ladder_equals_a_sorted_list_over_a_long_run(seed: int) -> None:
    rng = random.Random(seed)
    ladder: Ladder[Resting] = Ladder(is_bids=bool(seed % 2))
    model: list[Resting] = []
    for _ in range(1500):
        if rng.random() < 0.52 or not model:
            order = Resting(rng.randrange(1, 30), rng.randrange(1, 9))
            ladder.append(order)
            model.append(order)
        else:
            order = rng.choice(model)
            lots = rng.randrange(1, order.open_lots + 1)
            if lots == order.open_lots:
                model.remove(order)
            ladder.take(order, lots)
        check(ladder, model, is_bids=bool(seed % 2))

import math

import numpy as np
import pytest

from kit.backtest.bootstrap import BlockBootstrap, interval
from kit.errors import InvalidInput


@pytest.mark.parametrize(("count", "block"), [(1, None), (7, 3), (10, 10), (100, None), (64, 1)])
def test_sums_are_those_of_the_drawn_intervals(count, block):
    column = np.random.default_rng(5).normal(size=count)
    bootstrap = BlockBootstrap(count, replicates=50, seed=3, block=block)
    np.testing.assert_allclose(bootstrap.sums(column), column[bootstrap.indices()].sum(axis=1), atol=1e-12)


def test_blocks_hold_neighbours_and_wrap_around():
    drawn = BlockBootstrap(10, replicates=200, seed=1, block=4).indices()
    assert drawn.shape == (200, 10)
    steps = np.diff(drawn, axis=1) % 10
    assert (steps[:, [0, 1, 2, 4, 5, 6, 8]] == 1).all()
    assert set(np.unique(drawn)) == set(range(10))


def test_the_same_seed_draws_the_same():
    column = np.arange(50.0)
    one, two, three = (BlockBootstrap(50, seed=seed).sums(column) for seed in (4, 4, 5))
    assert (one == two).all()
    assert not (one == three).all()


def test_falls_against_a_loop():
    changes = np.random.default_rng(2).normal(size=30)
    bootstrap = BlockBootstrap(30, replicates=40, seed=0)
    money, fraction = bootstrap.deepest_falls(changes, 100.0)
    for at, order in enumerate(bootstrap.indices()):
        peak = equity = 100.0
        worst = share = 0.0
        for index in order:
            equity += changes[index]
            peak = max(peak, equity)
            worst, share = max(worst, peak - equity), max(share, (peak - equity) / peak)
        assert money[at] == pytest.approx(worst)
        assert fraction[at] == pytest.approx(share)


def test_the_interval_of_a_mean_has_about_its_coverage():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        sample = rng.normal(size=200)
        low, high = interval(BlockBootstrap(200, replicates=300, seed=seed, block=2).sums(sample))
        hits += low <= 0 <= high
    assert 180 <= hits <= 199


def test_intervals_of_too_few_numbers_are_unknown():
    assert all(map(math.isnan, interval(np.array([1.0, math.nan, math.nan]))))
    assert interval(np.array([1.0, 1.0, math.nan])) == (1.0, 1.0)


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(InvalidInput):
        BlockBootstrap(0)

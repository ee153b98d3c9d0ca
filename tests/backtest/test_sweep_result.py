import itertools
import math

import pytest

from kit.backtest.sweep_driver import SweepTrial
from kit.errors import InvalidInput, NotReady
from tests.support.sweeps import made_result, trial


def grid(values=lambda a, b, c: (a + b, a - b), **options):
    points = itertools.product([1, 2, 3], ["0.1", "0.02"], [5])
    trials = [
        trial(number, {"a": a, "b": b, "c": c}, *values(a, float(b), c), **options)
        for number, (a, b, c) in enumerate(points)
    ]
    return made_result(trials)


# table


def test_the_table_has_in_sample_and_held_out_side_by_side():
    table = grid().frame()
    assert list(table.columns[:6]) == ["a", "b", "c", "state", "objective_in", "objective_out"]
    assert list(table.columns[6:8]) == ["return_in", "return_out"]
    assert table.index.name == "trial"
    assert table.objective_in.tolist() == pytest.approx([1.1, 1.02, 2.1, 2.02, 3.1, 3.02])
    assert table.objective_out.tolist() == pytest.approx([0.9, 0.98, 1.9, 1.98, 2.9, 2.98])


def test_failed_and_unrun_trials_stand_in_the_table():
    result = made_result(
        [trial(0, {"a": 1}, 1.0, 1.0), trial(1, {"a": 2}, error="ValueError: no"), SweepTrial(2, {"a": 3})]
    )
    table = result.frame()
    assert table.state.tolist() == ["done", "failed", "not run"]
    assert table.error.tolist() == ["", "ValueError: no", ""]
    assert table.objective_in.isna().tolist() == [False, True, True]
    assert "1 trials failed" in " ".join(result.judgement.notes)
    assert "1 failed" in repr(result)


def test_without_held_out_time_there_are_no_such_columns():
    result = made_result([trial(0, {"a": 1}, 1.0)], lengths=(1000.0,))
    assert not [name for name in result.frame().columns if name.endswith("_out")]
    assert "No time was held out" in " ".join(result.judgement.notes)


# best


def test_the_best_goes_by_the_in_sample_time_and_the_direction():
    trials = [trial(0, {"a": 1}, 1.0, 9.0), trial(1, {"a": 2}, 3.0, 0.0), trial(2, {"a": 3}, math.nan, 5.0)]
    assert made_result(trials).best.params == {"a": 2}
    assert made_result(trials, direction="minimize").best.params == {"a": 1}
    assert [one.number for one in made_result(trials).ranked] == [1, 0]


def test_equal_trials_rank_by_number():
    trials = [trial(number, {"a": number}, 1.0, 1.0) for number in range(4)]
    for direction in ("maximize", "minimize"):
        assert made_result(trials, direction=direction).best.number == 0


def test_no_best_is_told():
    result = made_result([trial(0, {"a": 1}, math.nan, math.nan)])
    with pytest.raises(NotReady, match="no trial has a sharpe"):
        _ = result.best
    assert "there is no best" in result.warnings[0]
    assert result._repr_html_()
    assert repr(result)


# judgement


def test_a_best_no_better_than_luck_is_warned_of():
    trials = [trial(at, {"a": at}, float(at), float(at), sharpe=0.01 * at, count=50) for at in range(20)]
    (warning,) = [text for text in made_result(trials).warnings if "chance" in text]
    assert "of 20 trials without skill" in warning


def test_a_best_that_is_better_than_luck_is_not():
    trials = [trial(at, {"a": at}, float(at), float(at), sharpe=0.3 + 0.001 * at, count=2000) for at in range(20)]
    result = made_result(trials)
    assert result.warnings == []
    assert result.deflated_sharpe.probability > 0.99
    assert "better than chance in-sample" in " ".join(result.judgement.notes)


def test_of_a_few_intervals_nothing_is_said_about_chance():
    for count in (0, 1, 3, 7):
        trials = [trial(at, {"a": at}, float(at), float(at), sharpe=5.0 + at, count=count) for at in range(3)]
        judgement = made_result(trials).judgement
        (warning,) = [text for text in judgement.warnings if "chance" in text]
        assert f"cannot be told: its in-sample time has {count} intervals" in warning
        assert "deflated" not in " ".join(judgement.notes)


def test_a_notebook_shows_no_figure_twice():
    trials = [trial(at, {"a": at}, float(at), float(at)) for at in range(3)]
    page = made_result(trials, objective="sharpe_over_holding")._repr_html_()
    assert "objective_in" in page
    assert "objective_out" in page
    assert "<th>sharpe_over_holding_in" not in page
    assert "<th>state" not in page
    failed = made_result([*trials, trial(3, {"a": 3}, error="no")], objective="max_drawdown_fraction")._repr_html_()
    assert "<th>state" in failed
    assert "<th>sharpe_over_holding_in" in failed


def good(inside, outside, others=((0.5, 0.4), (0.4, 0.3)), **options):
    trials = [trial(0, {"a": 0}, inside, outside, sharpe=0.5, count=2000)]
    trials += [trial(at, {"a": at}, *values, sharpe=0.49, count=2000) for at, values in enumerate(others, start=1)]
    return made_result(trials, **options)


@pytest.mark.parametrize(
    ("inside", "outside", "warned"), [(2.0, 1.9, False), (2.0, 1.1, False), (2.0, 0.9, True), (2.0, -1.0, True)]
)
def test_held_out_far_below_in_sample_is_warned_of(inside, outside, warned):
    assert any("far from in-sample" in text for text in good(inside, outside).warnings) == warned


def test_what_grows_with_time_is_expected_to_shrink_with_it():
    # 300 s after 700 s: of a return of 70, some 30 are as good as it was.
    assert good(70.0, 29.0, objective="return").warnings == []
    assert good(70.0, 10.0, objective="return").warnings
    assert good(70.0, 29.0, objective="sharpe").warnings
    assert good(70.0, 29.0, objective="my_own", own_objective=True).warnings == []


@pytest.mark.parametrize(("outside", "warned"), [(1.5, False), (5.0, True)])
def test_less_is_better_works_the_other_way_round(outside, warned):
    others = ((2.0, 2.0), (3.0, 3.0))
    result = good(1.0, outside, others, direction="minimize", objective="max_drawdown")
    assert result.best.number == 0
    assert any("far from" in text for text in result.warnings) == warned


@pytest.mark.parametrize(("outside", "warned"), [(-11.0, False), (-30.0, True)])
def test_a_best_that_loses_may_not_lose_much_more_held_out(outside, warned):
    result = good(-10.0, outside, ((-20.0, -40.0), (-20.0, -40.0)))
    assert any("far from" in text for text in result.warnings) == warned


def test_a_best_in_the_worse_half_held_out_is_warned_of():
    others = [(1.0, 2.0)] * 6
    assert any("number 7 of 7" in text for text in good(2.0, 1.9, others).warnings)
    assert not any("number" in text for text in good(2.0, 3.0, others).warnings)
    assert not any("number" in text for text in good(2.0, 1.9, others[:2]).warnings)  # too few to tell


def test_gains_of_the_initial_balances_are_not_the_strategys():
    options = {"return": 50.0, "return_over_holding": -1.0, "sharpe": 0.5, "count": 2000}
    trials = [trial(at, {"a": at}, 2.0 - at, 2.0 - at, **options) for at in range(3)]
    for one in trials:
        assert one.outcome.runs[0].statistics["return"] == 50.0
    assert any("initial balances alone" in text for text in made_result(trials).warnings)


def test_a_best_without_held_out_value_is_warned_of():
    assert any("hardly traded" in text for text in good(2.0, math.nan).warnings)


def test_an_interrupted_sweep_says_so():
    result = made_result([trial(0, {"a": 1}, 1.0, 1.0)], interrupted=True, planned=16)
    assert "1 of 16 trials ended" in result.warnings[0]


# showing


def test_a_notebook_shows_the_best_first_and_escapes_what_users_wrote():
    trials = [trial(at, {"name": f"<b>{at}</b>"}, float(at), 1.0) for at in range(30)]
    page = made_result(trials)._repr_html_()
    assert "the best 10 of 30 trials" in page
    assert "&lt;b&gt;29&lt;/b&gt;" in page
    assert "<b>29</b>" not in page
    assert page.index("&lt;b&gt;29") < page.index("&lt;b&gt;28")
    assert "not better than chance" in page
    assert "error" not in page


def test_the_repr_has_the_best():
    assert repr(grid()).startswith(
        "<SweepResult 6 of 6 trials done; best sharpe 3.1 with a=3, b=0.1, c=5, held-out 2.9"
    )


def test_a_heat_map_of_the_two_parameters_with_most_values():
    figure = grid().plot()
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(maps) == 2
    assert list(maps[0].x) == ["1", "2", "3"]
    assert list(maps[0].y) == ["0.02", "0.1"]  # by size
    assert maps[0].z[1].tolist() == pytest.approx([1.1, 2.1, 3.1])
    assert maps[1].z[1].tolist() == pytest.approx([0.9, 1.9, 2.9])
    assert figure.layout.title.text == "sharpe"
    assert figure.layout.coloraxis.cmin == pytest.approx(0.9)
    rings = [trace for trace in figure.data if trace.type == "scatter"]
    assert [(ring.x[0], ring.y[0]) for ring in rings] == [("3", "0.1")] * 2


def test_the_title_says_what_was_averaged_and_what_was_fixed():
    trials = [
        trial(at, {"a": a, "b": b, "c": c}, a + c, 0.0) for at, (a, b, c) in enumerate(itertools.product(*[[1, 2]] * 3))
    ]
    result = made_result(trials)
    averaged = result.plot("a", "b")
    assert averaged.layout.title.text == "sharpe · averaged over 2 values of c"
    assert averaged.data[0].z[0].tolist() == [2.5, 3.5]
    fixed = result.plot("a", "b", fixed={"c": 2})
    assert fixed.layout.title.text == "sharpe · c = 2"
    assert fixed.data[0].z[0].tolist() == [3.0, 4.0]


def test_many_values_are_points_and_one_parameter_a_line():
    trials = [trial(at, {"a": at / 7, "b": -at}, float(at), 1.0) for at in range(40)]
    points = made_result(trials).plot()
    assert {trace.type for trace in points.data} == {"scatter"}
    assert list(points.data[0].marker.color) == [float(at) for at in range(40)]
    line = made_result(trials).plot("a", fixed={"b": -3})
    assert list(line.data[0].y) == [3.0]
    alone = made_result([trial(at, {"a": at}, float(at), 1.0) for at in (2, 0, 1)]).plot()
    assert list(alone.data[0].x) == [0.0, 1.0, 2.0]
    assert list(alone.data[0].y) == [0.0, 1.0, 2.0]


def test_other_values_can_be_drawn():
    assert grid().plot(value="fills").layout.coloraxis.colorbar.title.text == "fills"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": "d"}, "choose among a, b, c"),
        ({"x": "a", "y": "a"}, "choose two parameters"),
        ({"value": "luck"}, "draw 'objective' or one of"),
        ({"fixed": {"a": 9}}, "no trial has; they have 1, 2, 3"),
        ({"fixed": {"a": 1, "b": "0.1", "c": 5}}, "leave one or two"),
    ],
)
def test_what_cannot_be_drawn_is_told(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        grid().plot(**arguments)


def test_nothing_to_draw_is_told():
    with pytest.raises(NotReady, match="nothing to draw"):
        made_result([trial(0, {"a": 1}, error="no")]).plot()

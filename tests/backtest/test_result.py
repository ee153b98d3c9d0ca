import math
import os
import time
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from kit.backtest.report import number, sizes
from kit.backtest.result import Result
from kit.backtest.result_plots import MOST_POINTS, down_sample
from kit.backtest.run_record import Account, BacktestRun
from kit.errors import InvalidInput, NotReady
from tests.support.backtest_runs import START, fill, market, random_run

BASE, QUOTE = Account("binance", "BTC"), Account("binance", "USDT")
TABLES = ("orders", "fills", "positions", "equity", "decisions", "trades", "markouts", "stats")


@pytest.fixture(scope="module")
def result():
    return Result(random_run(600, 10))


def bare(samples=0, mid=100.0):
    run = BacktestRun(
        strategy="<b>",
        markets=[market()],
        accounts=[BASE, QUOTE],
        initial_balances={BASE: Decimal(1), QUOTE: Decimal(100)},
    )
    for at in range(samples):
        run.samples.add(START + at, [mid], [1.0, 100.0])
    return run


def test_tables_are_copies(result):
    for name in TABLES:
        first = getattr(result, name)
        assert isinstance(first, pd.DataFrame)
        kept = first.copy()
        first.iloc[:, 0] = first.iloc[0, 0]
        first["planted"] = 1
        pd.testing.assert_frame_equal(getattr(result, name), kept)


def test_columns_and_types_do_not_depend_on_the_rows(result):
    empty = Result(bare())
    for name in ("orders", "fills", "positions", "decisions", "trades", "equity"):
        full, none = getattr(result, name), getattr(empty, name)
        assert list(full.columns) == list(none.columns), name
        assert [str(kind) for kind in full.dtypes] == [str(kind) for kind in none.dtypes], name
        assert len(none) == 0


def test_the_equity_table(result):
    equity = result.equity
    assert len(equity) == 601
    assert str(equity.index.dtype) == "datetime64[ns, UTC]"
    assert equity.index[0] == pd.Timestamp(START, unit="s", tz="UTC")
    want = equity["balance BTC"] * equity["mid BTC/USDT"] + equity["balance USDT"]
    np.testing.assert_allclose(equity["equity"], want)
    np.testing.assert_allclose(equity["drawdown"], equity["equity"].cummax() - equity["equity"])
    assert equity["spread_captured"].iloc[-1] == pytest.approx(float(result.pnl.spread_captured))
    assert equity["fees"].iloc[-1] == pytest.approx(float(result.pnl.fees))
    np.testing.assert_allclose(equity["inventory BTC"], equity["balance BTC"] - 1, atol=1e-12)


def test_fills_know_their_mid(result):
    fills = result.fills
    signs = fills["side"].map({"buy": 1, "sell": -1})
    np.testing.assert_allclose(fills["spread_captured"], signs * (fills["mid"] - fills["price"]) * fills["amount"])
    assert fills["spread_captured"].sum() == pytest.approx(value(result, "spread_captured"))


def value(result, name):
    return float(result.stats.loc[name, "value"])


def traded(*rows):
    run = bare(20)
    for at, (side, price, amount, fee) in enumerate(rows):
        run.add_fill("binance", fill(START + at + 0.5, side, price, amount, fee=(fee, "USDT")), 100.0)
    return Result(run)


def test_positions_by_average_cost():
    positions = traded(("buy", 100, 1, 0), ("buy", 110, 1, 0), ("sell", 120, 3, 0), ("buy", 90, 1, 0)).positions
    assert positions["position"].tolist() == [1, 2, -1, 0]
    assert positions["average_cost"].tolist()[:3] == [100, 105, 120]
    assert math.isnan(positions["average_cost"].iloc[3])
    assert positions["realised"].tolist() == [0, 0, 30, 60]
    assert positions["unrealised"].tolist() == [0, -10, 20, 0]


def test_a_part_closed_leaves_its_share_of_the_cost():
    positions = traded(("buy", 100, 2, 0), ("buy", 110, 2, 0), ("sell", 120, 1, 0)).positions
    assert positions["average_cost"].tolist() == [100, 105, 105]
    assert positions["realised"].tolist() == [0, 0, 15]


def test_round_trips_first_in_first_out():
    trades = traded(("buy", 100, 1, 2), ("buy", 110, 1, 1), ("sell", 120, 3, 3), ("buy", 90, 1, 1)).trades
    assert trades["side"].tolist() == ["buy", "buy", "sell"]
    assert trades["entry_price"].tolist() == [100, 110, 120]
    assert trades["exit_price"].tolist() == [120, 120, 90]
    assert trades["gain"].tolist() == [20, 10, 30]
    assert trades["fees"].tolist() == [3, 2, 2]
    assert trades["pnl"].tolist() == [17, 8, 28]
    assert trades["duration"].tolist() == [2, 1, 1]


def test_round_trips_and_open_lots_add_up_to_the_profit(result):
    """Gains of closed and unrealised of open positions, less fees, are what trading added to holding."""
    last = result.positions.iloc[-1]
    added = (
        last["realised"] + last["position"] * value_at_end(result) - last["position"] * nan_zero(last["average_cost"])
    )
    assert added - float(result.pnl.fees) == pytest.approx(value(result, "return_over_holding"), abs=1e-6)


def value_at_end(result):
    return float(result.equity["mid BTC/USDT"].iloc[-1])


def nan_zero(number):
    return 0.0 if math.isnan(number) else number


@pytest.mark.parametrize(("samples", "mid"), [(0, 1.0), (1, 100.0), (2, 100.0), (50, 100.0), (50, math.nan)])
@pytest.mark.parametrize("filled", [False, True])
def test_poor_runs_show_themselves(samples, mid, filled):
    run = bare(samples, mid)
    if filled:
        run.add_fill("binance", fill(START + 0.5, "buy", 99, 1, fee=("0.1", "BTC")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = Result(run)
        for name in TABLES:
            getattr(result, name)
        page = result._repr_html_()
    assert result.pnl.parts == result.pnl.total
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.split("card")[0]
    assert "nan" not in page.lower().replace("finance", "").replace("binance", "")
    assert "0 fills" in repr(result) or "1 fills" in repr(result)


def test_what_cannot_be_valued_is_said():
    run = bare(30, math.nan)
    assert any("Not valued" in note and "BTC" in note for note in Result(run).notes)


def test_notes_tell_what_to_doubt(result):
    assert any("annualised" in note for note in result.notes)
    assert any("too few" in note for note in Result(random_run(100, 50)).notes)
    run = random_run(100, 50)
    run.final_balances = dict(run.final_balances) | {QUOTE: run.final_balances[QUOTE] + 7}
    assert any("changed by 7" in note for note in Result(run).notes)
    (said,) = [note for note in Result(random_run(70, 10)).notes if "bootstrap" in note]
    assert "7 intervals of 10 s, and it takes 8 at least" in said
    assert not any("bootstrap" in note for note in Result(random_run(90, 10)).notes)
    run.notes.append("a gap of 3 s")
    assert "a gap of 3 s" in Result(run).notes


def test_the_page_shows_assumptions_headline_and_picture(result):
    page = result._repr_html_()
    for words in ("probability of power 3", "entry 10 ms", "maker 0.0002", "partial fills", "<svg", "sharpe"):
        assert words in page
    assert "<script" not in page
    assert len(page) < 200_000


def test_a_short_run_boasts_with_no_annualised_headline(result):
    def headline(shown):
        return shown._repr_html_().partition("Where the profit came from")[0]

    assert not result.annualises
    assert "<span>sharpe</span>" not in headline(result)
    days = bare()
    for at in (0, 90_000, 180_000):
        days.samples.add(START + at, [100.0 + at], [1.0, 100.0])
    assert "<span>sharpe</span>" in headline(Result(days))


def test_intervals_on_cards_only_where_there_are_any(result):
    assert "&nbsp;" not in Result(bare(30))._repr_html_()
    assert " … " in result._repr_html_()


def test_durations_are_rounded_for_readers():
    run = bare()
    for at in (0.0, 30.1828):
        run.samples.add(START + at, [100.0], [1.0, 100.0])
    assert Result(run).duration_words == "30.2 s"


def test_the_picture_has_no_exponents():
    run = bare(2)
    run.samples.add(START + 2, [100.0], [0.99998, 100.0])
    page = Result(run)._repr_html_()
    assert "-0.00002<" in page
    assert "e-05" not in page


def test_to_html_says_its_size(result, tmp_path):
    saved = result.to_html(tmp_path / "page.html", plotlyjs="cdn")
    text = (tmp_path / "page.html").read_text()
    assert os.fspath(saved) == str(tmp_path / "page.html")
    assert saved.size == len(text.encode())
    assert "CDN" in repr(saved)
    assert sizes(saved.size) in repr(saved)
    assert "https://cdn.plot.ly" in text
    assert "probability of power 3" in text
    inline = result.to_html(tmp_path / "inline.html")
    assert inline.size > 3e6
    assert "needs no internet" in repr(inline)
    assert 'src="http' not in (tmp_path / "inline.html").read_text()
    with pytest.raises(InvalidInput, match="inline"):
        result.to_html(tmp_path / "x.html", plotlyjs="local")


def test_the_figure(result):
    figure = result.plot()
    names = [trace.name for trace in figure.data]
    for name in ("BTC/USDT mid price", "buys", "sells", "equity", "drawdown", "spread captured", "fees"):
        assert name in names
    buys = figure.data[names.index("buys")]
    sells = figure.data[names.index("sells")]
    assert len(buys.x) + len(sells.x) == 60
    with pytest.raises(InvalidInput, match="DOGE"):
        result.plot("DOGE/USDT")
    with pytest.raises(NotReady):
        Result(bare()).plot()


def test_many_fills_are_thinned_out_and_it_is_said():
    result = Result(random_run(2400, 1))
    assert "2,000 of 2,400 fills drawn" in result.plot().layout.title.text
    assert "fills drawn" in result._repr_html_()


def test_down_sampling_keeps_extremes_ends_and_gaps():
    values = np.random.default_rng(0).normal(size=50_000)
    values[12_345], values[23_456] = 99.0, -99.0
    values[30_000:40_000] = math.nan
    at = down_sample(values)
    assert len(at) <= MOST_POINTS + 2
    assert {0, 12_345, 23_456, 49_999} <= set(at.tolist())
    assert (np.diff(at) > 0).all()
    assert np.isnan(values[at]).any()
    assert down_sample(np.arange(10.0)).tolist() == list(range(10))


def test_compare_finds_the_better_edge():
    one, two = Result(random_run(600, 10)), Result(random_run(600, 10, edge=4.0))
    comparison = one.compare(two, names=("near", "far"))
    assert comparison.paired
    frame = comparison.frame
    assert list(frame.columns) == ["near", "far", "difference", "low", "high", "unit", "definition"]
    row = frame.loc["return"]
    assert row["difference"] == pytest.approx(float(two.pnl.total - one.pnl.total))
    assert 0 < row["low"] <= row["difference"] <= row["high"]
    assert row["high"] - row["low"] < one.stats.loc["return", "high"] - one.stats.loc["return", "low"]
    assert comparison.settings().loc["edge"].tolist() == ["2.0", "4.0"]
    page = comparison._repr_html_()
    assert "far" in page
    assert "edge" in page
    assert [trace.name for trace in comparison.plot().data][:1] == ["near"]
    near, shown = comparison.this.analysis, {trace.name: trace for trace in comparison.plot().data}
    np.testing.assert_allclose(np.asarray(shown["near"].y)[-1], (near.equity - near.holding)[-1])
    assert shown["holding"].visible == "legendonly"  # the market's own moves would hide the difference


def test_compare_with_itself_shows_no_difference(result):
    frame = result.compare(Result(result.run)).frame
    assert (frame["difference"].dropna() == 0).all()
    assert (frame["low"].dropna() == 0).all()


@pytest.mark.parametrize("other", [random_run(600, 10, data_id="other day"), random_run(500, 10)])
def test_compare_refuses_other_data_unless_forced(result, other):
    with pytest.raises(InvalidInput, match="force=True"):
        result.compare(Result(other))
    forced = result.compare(Result(other), force=True)
    assert not forced.paired
    assert "Different data" in forced._repr_html_()
    forced.plot()


def test_unpaired_histories_do_not_cancel_out(result):
    alike = Result(random_run(600, 10, data_id="the same under another name"))
    row = result.compare(alike, force=True).frame.loc["return"]
    assert row["difference"] == 0
    assert row["low"] < -1 < 1 < row["high"]


def test_fills_without_a_mid_are_noted():
    assert not any("tick before" in note for note in Result(random_run(100, 10)).notes)
    run = random_run(100, 10)
    run.fills[3] = run.fills[3]._replace(mid=math.nan)
    assert any("tick before" in note for note in Result(run).notes)


def test_compare_refuses_other_money_and_equal_names(result):
    with pytest.raises(InvalidInput, match="BTC"):
        result.compare(Result(random_run(600, 10, quote_asset="BTC")), force=True)
    with pytest.raises(InvalidInput, match="two different"):
        result.compare(result, names=("a", "a"))


def test_comparison_page(result, tmp_path):
    saved = result.compare(Result(random_run(600, 10, edge=4.0))).to_html(tmp_path / "c.html", plotlyjs="cdn")
    assert "interval of the difference" in saved.path.read_text()


def test_saved_and_loaded_is_the_same(result, tmp_path):
    path = result.save(tmp_path / "run.zip")
    again = Result.load(path)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(result, name))
    assert again.pnl == result.pnl
    assert again.run.markets == result.run.markets
    assert again.run.decisions == result.run.decisions
    assert again.run.fills == result.run.fills


def test_the_same_run_is_the_same_file_whenever_it_is_written(result, tmp_path, monkeypatch):
    written = []
    for year in (2024, 2031):
        monkeypatch.setattr(time, "localtime", lambda *_, year=year: time.struct_time((year, 1, 2, 3, 4, 5, 0, 2, 0)))
        result.save(tmp_path / "run.zip")
        result.to_html(tmp_path / "run.html", plotlyjs="cdn")
        written.append([(tmp_path / name).read_bytes() for name in ("run.zip", "run.html")])
    assert written[0] == written[1]


def test_a_folder_that_is_not_there_is_told(result, tmp_path):
    for write in (result.save, result.to_html):
        with pytest.raises(InvalidInput, match=r"nothing can be written to .*nowhere.run: .*; the folder must exist"):
            write(tmp_path / "nowhere" / "run")
    with pytest.raises(InvalidInput, match=r"there is no saved result .*run.zip"):
        Result.load(tmp_path / "run.zip")


def test_only_results_are_compared(result):
    with pytest.raises(InvalidInput, match="other is 5; give another result"):
        result.compare(5)


def test_other_files_are_refused(tmp_path):
    import zipfile

    path = tmp_path / "x.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(InvalidInput, match="no saved result"):
        Result.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run.json", "{}")
    with pytest.raises(InvalidInput, match="no saved result"):
        Result.load(path)


@pytest.mark.parametrize(
    ("figure", "unit", "words"),
    [
        (math.nan, "USDT", "?"),
        (1234567.8, "USDT", "1,234,568 USDT"),
        (-12.345, "USDT", "-12.35 USDT"),
        (0.000123456, "BTC", "0.0001235 BTC"),
        (0.0, "USDT", "0.00 USDT"),
        (1e-12, "bps", "0.00 bps"),
        (0.1234, "fraction", "12.34 %"),
        (-1e-9, "fraction", "0.00 %"),
        (0.00012, "fraction", "0.0120 %"),
        (3.0, "count", "3"),
    ],
)
def test_numbers_in_words(figure, unit, words):
    assert number(figure, unit) == words

"""Recordings: what is written is read, exactly, also after a crash, and damage is told by name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kit
from kit.errors import InvalidInput
from kit.storage import market_writer
from kit.storage.events import BUY, COLUMNS, NANOSECONDS, SELL, EventFlag, EventKind, MarketEvents
from kit.storage.market_writer import MarketWriter
from kit.storage.parquet_files import PartFile, write_part
from kit.storage.recording_writer import RecordingWriter
from kit.storage.recordings import open_recording
from kit.storage.scaled import scale, unscale

PAIR = "BTC/USDT"
DAY = 86_400 * NANOSECONDS
MIDNIGHT = 1_723_161_600 * NANOSECONDS  # 2024-08-09


def events(
    count: int, *, start: int = MIDNIGHT, step: int = 1_000_000, pair: str = PAIR, seed: int = 1
) -> MarketEvents:
    rng = np.random.default_rng(seed)
    times = start + step * np.arange(count, dtype=np.int64)
    return MarketEvents(
        "binance",
        pair,
        times - 5,
        times,
        np.where(rng.random(count) < 0.1, EventKind.TRADE, EventKind.DEPTH).astype(np.uint8),
        np.where(rng.random(count) < 0.5, BUY, SELL).astype(np.int8),
        rng.integers(6_000_000, 6_100_000, count) / 100,
        rng.integers(0, 10_000_000, count) / 100_000,
        np.arange(count, dtype=np.int64) + 77,
        np.full(count, EventFlag.END, dtype=np.uint8),
        {"source": "a test"},
    )


def gap(at: int) -> MarketEvents:
    return MarketEvents.from_rows("binance", PAIR, [(0, at, EventKind.GAP, 0, 0.0, 0.0, 0, EventFlag.END)])


def same(one: MarketEvents, other: MarketEvents) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in ("price", "amount")
    ) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS if name not in ("price", "amount")
    )


def record(folder: Path, *parts: MarketEvents) -> None:
    with RecordingWriter(folder) as writer:
        for part in parts:
            writer.append(part)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


# -- exactness -----------------------------------------------------------------------------------------------------

decimal_numbers = st.builds(
    lambda units, decimals: float(f"{units}e-{decimals}"), st.integers(0, 10**15), st.integers(0, 12)
)
any_floats = st.floats(allow_nan=True, allow_infinity=True)
ids = st.integers(-(2**63), 2**63 - 1)


@st.composite
def any_events(draw: st.DrawFn) -> MarketEvents:
    numbers = draw(
        st.sampled_from([decimal_numbers, any_floats, st.sampled_from([1e-8, 3e-8, 0.29, 123456789.12345678])])
    )
    rows = draw(
        st.lists(
            st.tuples(
                ids,
                st.integers(0, 3 * DAY),
                st.sampled_from(list(EventKind)),
                st.sampled_from([-1, 0, 1]),
                numbers,
                numbers,
                ids,
                st.integers(0, 255),
            ),
            min_size=1,
            max_size=40,
        )
    )
    return MarketEvents.from_rows("binance", PAIR, sorted(rows, key=lambda row: row[1]))


@settings(max_examples=60)
@given(written=any_events(), cut=st.integers(0, 40))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, written: MarketEvents, cut: int) -> None:
    folder = tmp_path_factory.mktemp("recording")
    with RecordingWriter(folder) as writer:
        for part in (written.rows(0, cut), written.rows(cut, len(written))):
            if len(part):
                writer.append(part)
                writer.flush()
    read = open_recording(folder).events(PAIR)
    assert same(read, written)
    assert all(getattr(read, name).dtype == dtype for name, dtype in COLUMNS.items())


@given(st.lists(decimal_numbers.filter(lambda number: number < 2**53 / 10**12), min_size=1, max_size=50))
def test_decimal_numbers_become_integers_and_come_back(numbers: list[float]) -> None:
    values = np.array(numbers)
    scaled = scale(values)
    assert scaled is not None
    assert np.array_equal(unscale(*scaled), values)


def test_steps_of_1e_8_beside_numbers_too_large_to_scale_are_exact(tmp_path: Path) -> None:
    part = replace(events(3), price=np.array([1e-8, 98765432109876.5, 0.1 + 0.2]), amount=np.array([1e-8, 5e-8, 1.0]))
    record(tmp_path, part)
    assert same(open_recording(tmp_path).events(PAIR), part)
    assert PartFile(files(tmp_path)[0]).part.decimals == {"price": None, "amount": 8}


# -- layout --------------------------------------------------------------------------------------------------------


def test_days_pairs_and_exchanges_lie_apart_and_are_read_together(tmp_path: Path) -> None:
    btc = events(100, start=MIDNIGHT - 50_000_000)
    eth = events(10, pair="ETH/USDT:USDT")
    other = replace(events(5), exchange="okx")
    record(tmp_path, btc, eth, other)
    folders = [str(path.parent.relative_to(tmp_path)) for path in files(tmp_path)]
    assert folders == [
        "exchange=binance/pair=BTC-USDT/date=2024-08-08",
        "exchange=binance/pair=BTC-USDT/date=2024-08-09",
        "exchange=binance/pair=ETH-USDT_USDT/date=2024-08-09",
        "exchange=okx/pair=BTC-USDT/date=2024-08-09",
    ]
    recording = open_recording(tmp_path)
    assert recording.markets == [("binance", PAIR), ("binance", "ETH/USDT:USDT"), ("okx", PAIR)]
    assert same(recording.events(PAIR, exchange="binance"), btc)
    assert recording.events("ETH/USDT:USDT").trading_pair == "ETH/USDT:USDT"
    with pytest.raises(InvalidInput, match=r"BTC/USDT was recorded on binance, okx; name one by exchange="):
        recording.events(PAIR)
    with pytest.raises(InvalidInput, match=r"holds no XRP/USDT; it holds BTC/USDT of binance"):
        recording.events("XRP/USDT")


def test_a_span_reads_only_the_row_groups_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.storage.parquet_files.ROW_GROUP", 100)
    part = events(1000, step=NANOSECONDS)
    record(tmp_path, part)
    read: list[int] = []
    monkeypatch.setattr(PartFile, "read", _counted(read))
    start = MIDNIGHT / NANOSECONDS
    found = open_recording(tmp_path).events(PAIR, start=start + 250, end=start + 310)
    assert same(found, part.rows(250, 310))
    assert read == [2, 3]


def _counted(read: list[int]):
    real = PartFile.read

    def counted(self, groups, *arguments):
        groups = list(groups)
        read.extend(groups)
        return real(self, groups, *arguments)

    return counted


@settings(max_examples=30)
@given(start=st.integers(-5, 105), length=st.integers(0, 110), batch=st.integers(1, 60))
def test_iter_events_yields_the_same_rows_in_batches(
    small_recording: tuple[Path, MarketEvents], start: int, length: int, batch: int
) -> None:
    folder, part = small_recording
    zero = MIDNIGHT / NANOSECONDS
    pieces = list(open_recording(folder).iter_events(PAIR, start=zero + start, end=zero + start + length, batch=batch))
    assert all(0 < len(piece) <= batch for piece in pieces)
    wanted = part.between(zero + start, zero + start + length)
    assert same(MarketEvents.concat([part.rows(0, 0), *pieces]), wanted)


@pytest.fixture(scope="module")
def small_recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MarketEvents]:
    folder = tmp_path_factory.mktemp("small")
    part = events(100, step=NANOSECONDS)
    writer = RecordingWriter(folder)
    for start in range(0, 100, 17):
        writer.append(part.rows(start, min(start + 17, 100)))
        writer.flush()
    for market in writer._writers.values():
        market.abandon()
    assert len(files(folder)) == 6
    return folder, part


def test_the_summary_and_the_span(tmp_path: Path) -> None:
    part = events(100)
    record(tmp_path, part)
    recording = kit.open_recording(tmp_path)
    assert isinstance(recording, kit.Recording)
    row = recording.frame().iloc[0]
    assert (row.events, row.trades, row.gaps, row.files) == (100, int((part.kind == EventKind.TRADE).sum()), 0, 1)
    assert row.bytes == files(tmp_path)[0].stat().st_size
    assert recording.span(PAIR) == (part.local_ts[0] / 1e9, part.local_ts[-1] / 1e9)
    assert recording.info(PAIR) == {"source": "a test"}
    assert "BTC/USDT" in recording._repr_html_()


def test_gaps_last_from_the_event_before_to_the_event_after(tmp_path: Path) -> None:
    second = NANOSECONDS
    parts = [
        gap(MIDNIGHT),  # the recorder's start is no gap: nothing was known before
        events(2, start=MIDNIGHT + second, step=second),
        gap(MIDNIGHT + 3 * second),
        gap(MIDNIGHT + 9 * second),
        events(2, start=MIDNIGHT + 10 * second, step=second),
        events(2, start=MIDNIGHT + 20 * second, step=second),
        gap(MIDNIGHT + 30 * second),
    ]
    with RecordingWriter(tmp_path) as writer:
        for part in parts:
            writer.append(part)
            writer.flush()
        before = open_recording(tmp_path).gaps()
    gaps = open_recording(tmp_path).gaps()
    assert gaps.equals(before)
    assert gaps.seconds.tolist() == [8.0]
    assert gaps.start[0].timestamp() == (MIDNIGHT + 2 * second) / 1e9
    assert open_recording(tmp_path).frame().gaps[0] == 1


# -- merging -------------------------------------------------------------------------------------------------------


def test_small_files_are_merged_while_recording_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_writer, "FANOUT", 8)
    part = events(8 * 8 + 5)
    writer = MarketWriter(tmp_path, "binance", PAIR)
    most = 0
    for row in range(len(part)):
        writer.write(part.rows(row, row + 1))
        writer.tidy()
        most = max(most, len(files(tmp_path)))
    assert most <= 2 * 8
    assert len(files(tmp_path)) == 6
    assert same(open_recording(tmp_path).events(PAIR), part)
    writer.close()
    (merged,) = files(tmp_path)
    assert merged.name == f"part-00000001-{len(part):08d}.parquet"
    assert same(open_recording(tmp_path).events(PAIR), part)
    assert writer.bytes == merged.stat().st_size


def test_merging_stops_at_full_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_writer, "FULL", 100)
    part = events(1000)
    with RecordingWriter(tmp_path) as writer:
        for start in range(0, 1000, 15):
            writer.append(part.rows(start, min(start + 15, 1000)))
            writer.flush()
    rows = [PartFile(path).part.rows for path in files(tmp_path)]
    assert max(rows) <= 100
    assert len(rows) <= 20
    assert same(open_recording(tmp_path).events(PAIR), part)


def test_a_merge_that_was_interrupted_leaves_nothing_double(tmp_path: Path) -> None:
    part = events(30)
    writer = MarketWriter(tmp_path, "binance", PAIR)
    for start in (0, 10, 20):
        writer.write(part.rows(start, start + 10))
    folder = files(tmp_path)[0].parent
    kept = [path.read_bytes() for path in files(tmp_path)]
    names = files(tmp_path)
    writer.close()
    for path, content in zip(names, kept, strict=True):  # as if the process died before it deleted them
        path.write_bytes(content)
    (folder / ".part-00000009-00000009.parquet.tmp").write_bytes(b"half")
    assert same(open_recording(tmp_path).events(PAIR), part)
    more = events(5, start=MIDNIGHT + DAY // 2)
    record(tmp_path, more)
    assert [path.name for path in sorted(folder.glob("*part*"))] == ["part-00000001-00000004.parquet"]
    assert same(open_recording(tmp_path).events(PAIR), MarketEvents.concat([part, more]))


def test_a_reader_goes_on_when_files_are_merged_under_it(tmp_path: Path) -> None:
    part = events(100)
    writer = MarketWriter(tmp_path, "binance", PAIR)
    for start in range(0, 100, 10):
        writer.write(part.rows(start, start + 10))
    recording = open_recording(tmp_path)
    pieces = recording.iter_events(PAIR, batch=7)
    read = [next(pieces), next(pieces)]
    writer.close()
    assert same(MarketEvents.concat([*read, *pieces]), part)


def test_later_notes_win(tmp_path: Path) -> None:
    record(tmp_path, replace(events(5), info={"a": "1", "b": "1"}))
    record(tmp_path, replace(events(5, start=MIDNIGHT + NANOSECONDS), info={"b": "2"}))
    assert open_recording(tmp_path).info(PAIR) == {"a": "1", "b": "2"}


# -- refusals ------------------------------------------------------------------------------------------------------


def test_two_writers_of_one_market_are_refused(tmp_path: Path) -> None:
    writer = MarketWriter(tmp_path, "binance", PAIR)
    with pytest.raises(InvalidInput, match=r"pair=BTC-USDT is being recorded into by another recorder"):
        MarketWriter(tmp_path, "binance", PAIR)
    writer.close()
    MarketWriter(tmp_path, "binance", PAIR).close()


def test_unsorted_and_earlier_times_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = events(10)
    wrong = replace(good, local_ts=np.concatenate([good.local_ts[:5], good.local_ts[:5]]))
    with RecordingWriter(tmp_path) as writer:
        writer.append(wrong)
        with pytest.raises(
            InvalidInput, match=r"local times of BTC/USDT are not sorted: row 5 is at 1723161600000000000"
        ):
            writer.flush()
        writer.append(good)
        writer.flush()
        writer.append(good)
        with pytest.raises(InvalidInput, match=r"begin at 1723161600\.000 s, before the end of what .*BTC-USDT holds"):
            writer.flush()
    assert same(open_recording(tmp_path).events(PAIR), good)


def test_a_folder_without_a_recording_teaches(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no .*nowhere; record into it first"):
        open_recording(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"holds no recording \(no \.parquet file\)"):
        open_recording(tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    record(tmp_path, events(1000))
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        InvalidInput, match=r"part-00000001-00000001\.parquet \(\d+ bytes\) cannot be read: it is truncated"
    ):
        open_recording(tmp_path)


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    record(tmp_path, events(1000))
    path = files(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"part-00000001-00000001\.parquet .* cannot be read"):
        open_recording(tmp_path).events(PAIR)


def test_foreign_and_changed_files_are_named(tmp_path: Path) -> None:
    record(tmp_path, events(10))
    path = files(tmp_path)[0]
    foreign = path.with_name("mine.parquet")
    pq.write_table(pa.table({"a": [1]}), foreign)
    with pytest.raises(
        InvalidInput, match=r"mine\.parquet is a Parquet file, but no recording of kit's \(columns: a\)"
    ):
        open_recording(tmp_path)
    foreign.unlink()
    table, metadata = pq.read_table(path), pq.read_metadata(path).metadata
    for changed, told in (
        (table.append_column("mood", pa.array(["good"] * 10)), "unknown columns mood"),
        (table.drop_columns("side"), "no columns side"),
        (table.set_column(3, "side", table["side"].cast(pa.int64())), "columns of another type side"),
        (table.slice(0, 5), "has 5 rows, but says that it has 10"),
    ):
        pq.write_table(changed.replace_schema_metadata(metadata), path)
        with pytest.raises(InvalidInput, match=rf"part-00000001-00000001\.parquet .*{told}"):
            open_recording(tmp_path)


def test_a_file_of_a_later_form_is_refused(tmp_path: Path) -> None:
    record(tmp_path, events(10))
    path = files(tmp_path)[0]
    table = pq.read_table(path)
    text = pq.read_metadata(path).metadata[b"kit.recording"].replace(b'"version": 1', b'"version": 9')
    pq.write_table(table.replace_schema_metadata({b"kit.recording": text}), path)
    with pytest.raises(InvalidInput, match=r"is a recording of form 9, this kit reads form 1; update kit"):
        open_recording(path)


def test_files_that_overlap_are_named(tmp_path: Path) -> None:
    record(tmp_path / "a", events(10))
    record(tmp_path / "b", events(10, start=MIDNIGHT + 5_000_000))
    with pytest.raises(InvalidInput, match=r"begins before .* ends: both recorded BTC/USDT at the same time"):
        open_recording(tmp_path)


def test_a_single_file_opens(tmp_path: Path) -> None:
    write_part(tmp_path / "any name.parquet", events(10))
    assert len(open_recording(tmp_path / "any name.parquet").events(PAIR)) == 10


def test_kit_imports_without_pyarrow() -> None:
    code = "import kit, sys; sys.exit('pyarrow' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_writing_and_reading_need_no_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.storage.test_recordings import *\n"
        "loaded = {'pandas'} & set(sys.modules)\n"
        "record(Path(sys.argv[1]), events(10)); assert len(open_recording(sys.argv[1]).events(PAIR)) == 10\n"
        "sys.exit(bool({'pandas'} & set(sys.modules)) or bool(loaded))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])


def test_one_clock_offset_for_all_that_one_clock_stamped(tmp_path: Path) -> None:
    early, late = (
        MarketEvents.from_rows(
            "binance",
            pair,
            [
                ((10 + n) * NANOSECONDS + ahead, (10 + n) * NANOSECONDS, EventKind.TRADE, BUY, 10.0, 1.0, n, 1)
                for n in range(5)
            ],
        )
        for pair, ahead in (("AAA/BBB", NANOSECONDS), ("CCC/BBB", -NANOSECONDS // 10))
    )
    with RecordingWriter(tmp_path) as writer:
        writer.append(early)
        writer.append(late)
    recording = open_recording(tmp_path)
    assert recording.clock_offset == 1.0
    for one in (early, late):
        read = recording.corrected_events(one.trading_pair)
        assert (read.local_ts - one.local_ts == NANOSECONDS).all()
        assert read.info["clock_offset"] == "1.000000000"
        assert (recording.events(one.trading_pair).local_ts == one.local_ts).all()
    span = recording.corrected_events("AAA/BBB", start=12.0, end=14.0)
    assert (span.local_ts // NANOSECONDS).tolist() == [12, 13]


def test_a_file_that_is_missing_in_the_middle_is_a_gap(tmp_path: Path) -> None:
    writer = MarketWriter(tmp_path, "binance", PAIR)
    for part in range(6):
        writer.write(events(10, start=MIDNIGHT + part * NANOSECONDS))
    writer.abandon()
    files(tmp_path)[0].unlink()  # the beginning may be away: nothing is known before
    assert EventKind.GAP not in open_recording(tmp_path).events(PAIR).kind
    files(tmp_path)[2].unlink()
    recording = open_recording(tmp_path)
    read = recording.events(PAIR)
    assert np.flatnonzero(read.kind == EventKind.GAP).tolist() == [20]
    assert read.local_ts[20] == MIDNIGHT + 4 * NANOSECONDS
    assert recording.gaps()["seconds"].tolist() == pytest.approx([0.991 + 1])
    assert sum(len(piece) for piece in recording.iter_events(PAIR, batch=7)) == 41
    assert len(recording.events(PAIR, start=MIDNIGHT / NANOSECONDS + 4)) == 21


def hours(*, ahead: int = 0) -> MarketEvents:
    """A book told whole at 0, 100 and 200 s, the second time side by side, and a level a second."""
    rows = []
    for second in range(300):
        at = (1000 + second) * NANOSECONDS
        head = {0: [(EventKind.CLEAR, 0)], 100: [(EventKind.CLEAR, BUY), (EventKind.CLEAR, SELL)]}.get(second, [])
        head += [(EventKind.CLEAR, 0)] if second == 200 else [(EventKind.CLEAR, BUY)] if second == 250 else []
        kinds = [*head, *([(EventKind.SNAPSHOT, BUY)] * bool(head)), (EventKind.DEPTH, BUY)]
        rows += [(at + ahead, at, kind, side, 10.0, 1.0, second, 1) for kind, side in kinds]
    return MarketEvents.from_rows("binance", PAIR, rows)


@pytest.mark.parametrize("ahead", [0, NANOSECONDS // 2])
@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [(None, None, 0, 299), (50, 60, 0, 61), (100, 150, 100, 151), (199.5, 299, 100, 299), (299, None, 200, 299)],
)
def test_a_replay_reads_from_the_last_whole_book_to_the_first_row_after_it(
    tmp_path: Path, start: float | None, end: float | None, first: int, last: int, ahead: int
) -> None:
    with RecordingWriter(tmp_path) as writer:
        for part in (hours(ahead=ahead).rows(0, 120), hours(ahead=ahead).rows(120, 1000)):
            writer.append(part)
            writer.flush()
    recording, offset = open_recording(tmp_path), ahead / NANOSECONDS
    start, end = (None if time is None else 1000 + time + offset for time in (start, end))
    read = recording.events_to_replay(PAIR, start=start, end=end)
    assert ((read.local_ts - ahead) / NANOSECONDS - 1000)[[0, -1]].tolist() == [first, last]
    assert read.kind[0] == EventKind.CLEAR
    assert read.info["recorded"] == f"{1000 * NANOSECONDS + ahead} {1299 * NANOSECONDS + ahead}"


@pytest.mark.parametrize("time", [float("nan"), "2024-08-08", [1]])
def test_times_that_are_none_are_refused(tmp_path: Path, time: object) -> None:
    with RecordingWriter(tmp_path) as writer:
        writer.append(MarketEvents.from_rows("binance", "AAA/BBB", [(1, 1, EventKind.TRADE, BUY, 1.0, 1.0, 1, 1)]))
    with pytest.raises(InvalidInput, match="is no time; give seconds"):
        open_recording(tmp_path).events("AAA/BBB", start=time)  # type: ignore[arg-type]


def test_a_write_that_fails_leaves_nothing_on_the_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    trade = [(1, 1, EventKind.TRADE, BUY, 1.0, 1.0, 1, 1)]
    monkeypatch.setattr("kit.storage.parquet_files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_part(tmp_path / "part-00000001-00000001.parquet", MarketEvents.from_rows("binance", "AAA/BBB", trade))
    assert list(tmp_path.iterdir()) == []


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.parquet").symlink_to(tmp_path / "nowhere.parquet")
    with pytest.raises(InvalidInput, match="is it a broken link"):
        open_recording(tmp_path)


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        writer.append(MarketEvents.from_rows("binance", "AAA/BBB", [(1, 1, 99, BUY, 1.0, 1.0, 1, 1)]))
        with pytest.raises(InvalidInput, match=r"AAA/BBB cannot be stored: .*99.*2 TRADE"):
            writer.flush()

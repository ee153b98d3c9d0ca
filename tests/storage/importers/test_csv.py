"""Binance's and Tardis' csv files, in the shapes that their documentation shows."""

import gzip
import random
import zipfile

import numpy as np
import pytest

from kit.errors import InvalidInput
from kit.storage.events import COLUMNS, EventFlag, EventKind
from kit.storage.importers import BadFile, binance_candles, import_binance_csv, import_tardis, tables

PAIR = {"trading_pair": "AAA/BBB"}
SPOT_TRADES = "51,17.80,5.69,101.28200000,1583709433583,True,True\n52,17.81,1.00,17.81000000,1583709433584,False,True\n"
HEADED_TRADES = (
    "id,price,qty,quote_qty,time,is_buyer_maker\n"
    "51,17.80,5.69,101.282,1583709433583,true\n52,17.81,1.00,17.81,1583709433584,false\n"
)
SPOT_AGG = "51,17.80,5.69,70,72,1735689600010866,True,True\n52,17.81,1.00,73,73,1735689600010867,False,True\n"
HEADED_AGG = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    "51,17.80,5.69,70,72,1583709433583,true\n52,17.81,1.00,73,73,1583709433584,false\n"
)
PLAIN_AGG = HEADED_AGG.partition("\n")[2]
KLINE = "4.15,4.16,4.14,4.155,539.23,{close},2240.39,13,401.82,1669.98,0"
KLINES = f"1601510340000,{KLINE.format(close=1601510399999)}\n1601510400000,{KLINE.format(close=1601510459999)}\n"


def write(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}.csv", text)
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("AAABBB-trades-2020-03-08", SPOT_TRADES, 1583709433583_000_000),
        ("some", SPOT_TRADES, 1583709433583_000_000),
        ("some", HEADED_TRADES, 1583709433583_000_000),
        ("AAABBB-aggTrades-2025-01", SPOT_AGG, 1735689600010866_000),
        ("some", SPOT_AGG, 1735689600010866_000),
        ("some", HEADED_AGG, 1583709433583_000_000),
        ("some", PLAIN_AGG, 1583709433583_000_000),
    ],
)
def test_binance_trades(tmp_path, suffix, name, text, first):
    events = import_binance_csv(write(tmp_path / f"{name}{suffix}", text), **PAIR)
    assert events.kind.tolist() == [EventKind.TRADE] * 2
    assert events.side.tolist() == [-1, 1], "the buyer was the maker: the taker sold"
    assert events.price.tolist() == [17.80, 17.81]
    assert events.amount.tolist() == [5.69, 1.0]
    assert events.update_id.tolist() == [51, 52]
    assert events.exch_ts[0] == events.local_ts[0] == first
    assert events.flags.tolist() == [EventFlag.END] * 2


def test_binance_klines(tmp_path):
    path = write(tmp_path / "AAABBB-1m-2020-10.csv", KLINES)
    candles = binance_candles(path)
    assert candles.columns.tolist() == ["open", "high", "low", "close", "volume"]
    assert candles.iloc[0].tolist() == [4.15, 4.16, 4.14, 4.155, 539.23]
    assert str(candles.index[0]) == "2020-09-30 23:59:00+00:00"
    micro = KLINES.replace("1601510340000", "1735689600000000").replace("1601510400000", "1735689660000000")
    assert str(binance_candles(write(tmp_path / "micro.csv", micro)).index[1]) == "2025-01-01 00:01:00+00:00"
    events = import_binance_csv(path, **PAIR)
    assert len(events) == 32
    assert (events.flags & EventFlag.SYNTHETIC).all()


def test_a_byte_order_mark_is_none_of_the_header(tmp_path):
    assert len(import_binance_csv(write(tmp_path / "a.csv", "\ufeff" + HEADED_TRADES), **PAIR)) == 2
    assert len(import_tardis(write(tmp_path / "b.csv", "\ufeff" + BOOK), **PAIR)) == 8


def test_several_files(tmp_path):
    second = SPOT_TRADES.replace("1583709433", "1583709435")
    files = [write(tmp_path / "1.csv", SPOT_TRADES), write(tmp_path / "2.csv", second)]
    assert len(import_binance_csv(files, **PAIR)) == 4
    with pytest.raises(InvalidInput, match=r"the files together: the time goes back by 2\.0"):
        import_binance_csv(files[::-1], **PAIR)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3\n", "none of Binance's trades, aggTrades and klines"),
        ("id,price,amount\n1,2,3\n", r"qty.*the file has the columns id, price, amount"),
        (SPOT_TRADES.replace("17.81,", "x,"), r"bad\.csv: .*Row #2.*'x'"),
        (SPOT_TRADES + "53,1\n", r"bad\.csv: .*Row #3"),
        (
            SPOT_TRADES.replace("1583709433584", "1583709433582"),
            r"bad\.csv: the time goes back by 0\.001000 s in data row 2",
        ),
        (
            SPOT_TRADES.replace("1583709433584", "1583709433584000"),
            r"bad\.csv: the time 1583709433583 \(data row 1\) is none",
        ),
        (SPOT_TRADES.replace("17.81,1", ",1"), r"bad\.csv, data row 2: price is nan"),
        (SPOT_TRADES.replace("False", ""), r"bad\.csv, data row 2: is_buyer_maker is missing"),
    ],
)
def test_damaged_binance_files(tmp_path, text, words):
    with pytest.raises(InvalidInput, match=words):
        import_binance_csv(write(tmp_path / "bad.csv", text), **PAIR)


def test_cut_files(tmp_path):
    for name in ("a.csv.gz", "a.zip"):
        path = write(tmp_path / name, SPOT_TRADES * 3)
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(BadFile, match=name):
            import_binance_csv(path, kind="trades", **PAIR)


BOOK_HEADER = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
BOOK = BOOK_HEADER + "".join(
    f"binance,AAABBB,{time},{local},{snapshot},{side},{price},{amount}\n"
    for time, local, snapshot, side, price, amount in [
        (1585699200000000, 1585699200000100, "true", "bid", 10, 1),
        (1585699200000000, 1585699200000100, "true", "ask", 11, 1),
        (1585699200001000, 1585699200001100, "false", "bid", 10, 0),
        (1585699200001000, 1585699200001100, "false", "bid", 9.5, 2),
        (1585699200002000, 1585699200002100, "false", "ask", 11, 3),
        (1585699200003000, 1585699200003100, "true", "ask", 12, 3),
    ]
)
TRADES = (
    "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    "binance,AAABBB,1585699200000900,1585699200001100,77,sell,10,1\n"
    "binance,AAABBB,1585699200009000,1585699200009100,78,unknown,10,1\n"
)


def test_tardis(tmp_path):
    book = write(tmp_path / "incremental.csv.gz", BOOK)
    events = import_tardis([book, write(tmp_path / "trades.csv.gz", TRADES)], **PAIR)
    assert events.exchange == "binance"
    assert [EventKind(kind).name for kind in events.kind] == [
        *("CLEAR", "SNAPSHOT", "SNAPSHOT", "TRADE", "DEPTH", "DEPTH", "DEPTH", "CLEAR", "SNAPSHOT", "TRADE"),
    ]
    assert events.flags.tolist() == [0, 0, 1, 1, 0, 1, 1, 0, 1, 1]
    assert events.side.tolist() == [0, 1, -1, -1, 1, 1, -1, 0, -1, 0]
    assert events.update_id.tolist() == [0, 0, 0, 77, 0, 0, 0, 0, 0, 78]
    assert events.exch_ts[0] == 1585699200000000_000
    assert events.local_ts[0] == 1585699200000100_000
    assert import_tardis(book, exchange="other", **PAIR).exchange == "other"


def test_tardis_without_numbers_for_ids(tmp_path):
    trades = TRADES.replace(",77,", ",a-b,").replace(",78,", ",,")
    assert import_tardis(write(tmp_path / "t.csv", trades), **PAIR).update_id.tolist() == [0, 0]


def test_tardis_of_several_symbols(tmp_path):
    path = write(
        tmp_path / "b.csv", BOOK + BOOK.partition("\n")[2].replace("AAABBB", "CCC").replace("15856992", "15856993")
    )
    with pytest.raises(InvalidInput, match=r"AAABBB, CCC; pass one as symbol"):
        import_tardis(path, **PAIR)
    assert len(import_tardis(path, symbol="CCC", **PAIR)) == 8
    with pytest.raises(InvalidInput, match="no symbol 'DDD'"):
        import_tardis(path, symbol="DDD", **PAIR)


def test_damaged_tardis_files(tmp_path):
    with pytest.raises(BadFile, match=r"b\.csv, data row 3: side is 'x'"):
        import_tardis(write(tmp_path / "b.csv", BOOK.replace("false,bid,10", "false,x,10")), **PAIR)
    with pytest.raises(InvalidInput, match=r"b\.csv: the time goes back by .* in data row 2"):
        import_tardis(write(tmp_path / "b.csv", TRADES.replace("1585699200009100", "1585699200000100")), **PAIR)
    with pytest.raises(BadFile, match=r"b\.csv: .*amount"):
        import_tardis(write(tmp_path / "b.csv", BOOK.replace("amount", "size")), **PAIR)
    with pytest.raises(InvalidInput, match="the files are empty"):
        import_tardis(write(tmp_path / "b.csv.gz", ""), **PAIR)


# files of any size: read a part at a time, to the same result


def same(one, two):
    assert one.exchange == two.exchange
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def made_book(seed):
    """Messages of one to nine rows, a snapshot now and then: parts end in the middle of both."""
    rng, rows, time = random.Random(seed), [], 1585699200000000
    for _ in range(120):
        time += rng.choice([0, 0, 1000])
        snapshot = "true" if rng.random() < 0.3 else "false"
        for _ in range(rng.randint(1, 9)):
            rows.append(
                f"binance,AAABBB,{time},{time + 100},{snapshot},{rng.choice(['bid', 'ask'])},{rng.randint(1, 99)},1"
            )
    return BOOK_HEADER + "\n".join(rows) + "\n"


@pytest.mark.parametrize("block", [300, 1000, 5000])
def test_parts_of_a_file_make_the_whole(tmp_path, monkeypatch, block):
    book = write(tmp_path / "b.csv.gz", made_book(block))
    trades = write(tmp_path / "t.csv", TRADES + "".join(TRADES.splitlines(keepends=True)[-1:]) * 50)
    agg = write(tmp_path / "AAABBB-aggTrades-2025-01.csv", SPOT_AGG * 1 + SPOT_AGG.splitlines(keepends=True)[-1] * 99)
    klines = write(tmp_path / "k.csv", KLINES + KLINES.splitlines(keepends=True)[-1] * 20)
    loads = [
        lambda: import_tardis(book, **PAIR),
        lambda: import_tardis([book, trades], **PAIR),
        lambda: import_binance_csv(agg, **PAIR),
        lambda: binance_candles(klines),
    ]
    whole = [load() for load in loads]
    monkeypatch.setattr(tables, "BLOCK", block)
    for load, expected in zip(loads[:3], whole[:3], strict=True):
        same(load(), expected)
    assert loads[3]().equals(whole[3])


def test_rows_are_counted_through_all_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK", 300)
    line = BOOK.splitlines(keepends=True)[-1]
    long = BOOK + line * 100
    for wrong, words in (
        (line.replace("ask", "x"), r"data row 107: side is 'x'"),
        (line.replace("true", ""), r"data row 107: is_snapshot is missing"),
        (line.replace("12,3", "12,-3"), r"data row 107: amount is -3"),
        (line.replace("3100,true", "3099,true"), r"goes back by 0\.000001 s in data row 107"),
        (line.replace("AAABBB", "CCC"), "holds the symbols AAABBB, CCC"),
        (line.replace("12,3", "y,3"), r"Row #10[78]: .*'y'"),
    ):
        with pytest.raises(InvalidInput, match=words):
            import_tardis(write(tmp_path / "b.csv", long + wrong + line), **PAIR)
    ids = TRADES + TRADES.splitlines(keepends=True)[-1].replace(",78,", ",79,") * 50
    assert import_tardis(write(tmp_path / "t.csv", ids), **PAIR).update_id[-1] == 79
    ids += ids.splitlines(keepends=True)[-1].replace(",79,", ",z,")
    assert not import_tardis(write(tmp_path / "t.csv", ids), **PAIR).update_id.any()

"""The raw recording reader: kinds, forms, order, damage."""

import gzip
from decimal import Decimal
from itertools import islice

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.testnet.raw_files import (
    BadRecording,
    BookTicker,
    DepthUpdate,
    Snapshot,
    Trade,
    parse_line,
    read_raw,
    text_units,
)
from kit.testnet.symbols import UNITS

DEPTH = (
    b'1723161253937085768 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT",'
    b'"U":11,"u":14,"b":[["61737.63000000","0.00000000"]],"a":[["61837.64000000","1.54698000"]]}}\n'
)
FUTURES_DEPTH = (
    b'1723161255030314667 {"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,'
    b'"s":"BTCUSDT","U":20,"u":25,"pu":14,"b":[["58710.20","0.014"]],"a":[]}}\n'
)
TRADE = (
    b'1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":7,'
    b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}\n'
)
FUTURES_TRADE = (
    b'1723161255088176367 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,'
    b'"s":"BTCUSDT","t":8,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}\n'
)
TICKER = (
    b'1723161254087891268 {"stream":"btcusdt@bookTicker","data":{"u":12,"s":"BTCUSDT","b":"61837.63000000",'
    b'"B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}\n'
)
SNAPSHOT = b'1723161254206652067 {"lastUpdateId":13,"bids":[["61837.63","3.8"]],"asks":[["61837.64","1.5"]]}\n'


def write(path, *lines, zipped=False):
    body = b"".join(lines)
    path.write_bytes(gzip.compress(body) if zipped else body)
    return path


def test_every_kind_is_read_with_its_receive_time(tmp_path):
    path = write(tmp_path / "a.raw", DEPTH, TICKER, TRADE, SNAPSHOT)
    depth, ticker, trade, snapshot = read_raw([path])
    price = 6183764000000
    assert depth == DepthUpdate(
        1723161253937085768, "BTCUSDT", 1723161255208, 11, 14, None, ((6173763000000, 0),), ((price, 154698000),)
    )
    assert ticker == BookTicker(1723161254087891268, "BTCUSDT", 12, price - 10**6, 378826000, price, 154698000)
    assert trade == Trade(1723161254087896568, "BTCUSDT", 7, 1723161255342, price - 10**6, 2000000, True)
    assert snapshot == Snapshot(1723161254206652067, 13, ((price - 10**6, 380000000),), ((price, 150000000),))


def test_futures_messages_have_the_previous_id_and_fewer_decimals(tmp_path):
    depth, trade = read_raw([write(tmp_path / "a.raw", FUTURES_DEPTH, FUTURES_TRADE)])
    assert isinstance(depth, DepthUpdate)
    assert isinstance(trade, Trade)
    assert depth.previous_id == 14
    assert depth.bids == ((5871020000000, 1400000),)
    assert (trade.price, trade.amount, trade.buyer_is_maker) == (6180030000000, 600000, False)


def test_sequence_rules_of_both_markets():
    spot, futures = parse_line(DEPTH), parse_line(FUTURES_DEPTH)
    assert isinstance(spot, DepthUpdate)
    assert isinstance(futures, DepthUpdate)
    assert spot.follows(10)
    assert not spot.follows(11)
    assert futures.follows(14)
    assert not futures.follows(19)


def test_a_message_without_the_combined_envelope_is_read_too():
    bare = b"5 " + orjson.dumps(orjson.loads(TRADE.partition(b" ")[2])["data"])
    combined = parse_line(TRADE)
    trade = parse_line(bare)
    assert isinstance(trade, Trade)
    assert isinstance(combined, Trade)
    assert trade.local_ns == 5
    assert trade.trade_id == combined.trade_id


@pytest.mark.parametrize("zipped", [False, True])
def test_files_are_read_in_sequence_gzip_or_plain_whatever_their_name(tmp_path, zipped):
    first = write(tmp_path / "one", DEPTH, zipped=zipped)
    second = write(tmp_path / "two", TRADE, b"\n", zipped=not zipped)
    files = read_raw([first, second])
    assert [type(message) for message in files] == [DepthUpdate, Trade]
    assert [type(message) for message in files] == [DepthUpdate, Trade], "a second iteration starts afresh"


def test_other_kinds_and_symbols_are_skipped_and_counted(tmp_path):
    other = b'9 {"stream":"x@aggTrade","data":{"e":"aggTrade","s":"BTCUSDT"}}\n'
    answer = b'9 {"result":null,"id":1}\n'
    foreign = TRADE.replace(b'"BTCUSDT"', b'"ETHUSDT"')
    path = write(tmp_path / "a.raw", other, answer, foreign, TRADE)
    files = read_raw([path], symbol="BTCUSDT")
    assert [message.local_ns for message in files] == [1723161254087896568]
    assert files.skipped == 3


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"garbage\n", "no receive time"),
        (b"17231612 not json\n", "invalid literal"),
        (DEPTH[:-20], "unexpected character"),
        (DEPTH.replace(b'"u":14,', b""), "field 'u' is missing"),
        (DEPTH.replace(b'"u":14', b'"u":"14"'), "'14' is no whole number"),
        (DEPTH.replace(b'"1.54698000"', b'"NaN"'), "'NaN' is no non-negative"),
        (DEPTH.replace(b'"1.54698000"', b'"-1.5"'), "'-1.5' is no non-negative"),
        (DEPTH.replace(b'["61837.64000000","1.54698000"]', b'["61837.64000000"]'), "index"),
        (TRADE.replace(b'"m":true', b'"m":null'), "m is None"),
        (TRADE.replace(b'"0.02000000"', b"0.02"), "no attribute"),
        (b"5 [1,2]\n", ""),
        (b"5 7\n", ""),
        (b"5 null\n", ""),
        (b"\xff\xfe\n", "no receive time"),
    ],
)
def test_a_damaged_line_is_named_with_its_file_and_number(tmp_path, bad, reason):
    path = write(tmp_path / "broken.raw", TICKER, TRADE, bad, TRADE)
    messages = iter(read_raw([path]))
    assert len(list(islice(messages, 2))) == 2, "what stands before the damage is read"
    with pytest.raises(BadRecording, match=r"broken\.raw, line 3") as caught:
        next(messages)
    assert reason in str(caught.value)
    assert isinstance(caught.value, InvalidInput)


def test_a_cut_gzip_file_is_named(tmp_path):
    whole = gzip.compress(b"".join(TRADE.replace(b'"t":7', b'"t":%d' % (n * n)) for n in range(2000)))
    path = tmp_path / "cut.raw.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadRecording, match=r"cut\.raw\.gz, after line \d+: the compressed file is damaged or cut"):
        list(read_raw([path]))


def test_files_in_the_wrong_order_are_refused(tmp_path):
    late = write(tmp_path / "late", FUTURES_TRADE)
    early = write(tmp_path / "early", TRADE)
    with pytest.raises(BadRecording, match=r"early starts 1\.000 s before the file ahead of it ends"):
        list(read_raw([late, early]))


def test_missing_files_are_told_before_reading(tmp_path):
    with pytest.raises(InvalidInput, match="nowhere"):
        read_raw([tmp_path / "nowhere"])
    with pytest.raises(InvalidInput, match="at least one file"):
        read_raw([])


@given(st.decimals(min_value=0, max_value=10**12, places=8))
def test_units_are_exact(value):
    assert text_units(f"{value:f}") == value * UNITS


@given(st.integers(min_value=0, max_value=10**9), st.integers(min_value=0, max_value=12))
def test_units_accept_any_number_of_decimals_but_no_ninth_digit(digits, places):
    text = f"{Decimal(digits).scaleb(-places):f}"
    if (Decimal(text) * UNITS) % 1:
        with pytest.raises(ValueError, match="more than eight decimals"):
            text_units(text)
    else:
        assert text_units(text) == Decimal(text) * UNITS


@given(st.binary(max_size=60))
def test_parsing_any_bytes_either_works_or_raises_what_the_reader_catches(noise):
    for line in (noise, b"5 " + noise, b'5 {"e":"trade","p":' + noise + b"}"):
        try:
            parse_line(line)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            continue

import numpy as np
import pytest

from kit.errors import InvalidInput
from kit.storage.events import BUY, COLUMNS, SELL, EventFlag, EventKind, MarketEvents

ROWS = [
    (10, 11, EventKind.DEPTH, BUY, 100.0, 1.5, 7, EventFlag.NONE),
    (10, 11, EventKind.DEPTH, SELL, 101.0, 0.0, 7, EventFlag.END),
    (2_000_000_000, 2_000_000_001, EventKind.TRADE, SELL, 100.0, 0.5, 99, EventFlag.END),
]


def events() -> MarketEvents:
    return MarketEvents.from_rows("binance", "BTC/USDT", ROWS)


def test_rows_and_times_select_without_copying():
    some = events()
    assert len(some) == 3
    assert np.shares_memory(some.rows(1, 3).price, some.price)
    assert some.between(0, 2.0).amount.tolist() == [1.5, 0.0]
    assert len(some.between(-float("inf"), float("inf"))) == 3


def test_events_show_themselves_by_their_ends_whatever_their_number():
    some = events()
    assert repr(some) == (
        "<MarketEvents BTC/USDT on binance: 2 depth, 1 trade; received 1970-01-01T00:00:00.000 to "
        "1970-01-01T00:00:02.000 UTC>"
    )
    assert repr(some.rows(0, 0)) == "<MarketEvents BTC/USDT on binance: none>"
    many = MarketEvents.concat([some] * 100)
    assert many._repr_html_().count("<tr") == 11
    assert "<th>299</th>" in many._repr_html_()
    assert "200 depth" in many._repr_html_()
    assert some.rows(0, 0)._repr_html_()
    odd = MarketEvents.from_rows("x<y", "A/B", [(1, 1, 77, 0, 1.0, 1.0, 0, 0)])
    assert "1 of kind 77" in repr(odd)
    assert "x&lt;y" in odd._repr_html_()


def test_the_frame_speaks_in_words():
    frame = events().frame()
    assert frame["kind"].tolist() == ["depth", "depth", "trade"]
    assert frame["side"].tolist() == ["buy", "sell", "sell"]
    assert str(frame["local_ts"].dtype) == "datetime64[ns, UTC]"


def test_parts_join_in_order_and_other_pairs_are_refused():
    some = events()
    joined = MarketEvents.concat([some.rows(0, 1), some.rows(1, 3)])
    assert joined.update_id.tolist() == [7, 7, 99]
    with pytest.raises(InvalidInput, match="different markets"):
        MarketEvents.concat([some, MarketEvents.from_rows("binance", "ETH/USDT", ROWS)])
    with pytest.raises(InvalidInput, match="no events"):
        MarketEvents.concat([])


@pytest.mark.parametrize(
    ("column", "match"),
    [(np.zeros(3, dtype=np.int64), "column price.*is int64"), (np.zeros(1), "has 1 rows"), ([1.0], "column price")],
)
def test_wrong_columns_are_named(column, match: str):
    columns = {name: getattr(events(), name) for name in COLUMNS} | {"price": column}
    with pytest.raises(InvalidInput, match=match):
        MarketEvents("x", "A/B", **columns)


def test_no_rows_are_events_too():
    assert len(MarketEvents.from_rows("binance", "BTC/USDT", [])) == 0

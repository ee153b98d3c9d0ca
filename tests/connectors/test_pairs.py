import pytest

from kit.connectors.pairs import normalize_pair
from kit.errors import InvalidInput


@pytest.mark.parametrize(
    ("spelled", "unified"),
    [
        ("BTC/USDT", "BTC/USDT"),
        ("btc/usdt", "BTC/USDT"),
        ("BTC-USDT", "BTC/USDT"),
        (" eth-btc ", "ETH/BTC"),
        ("BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("BTC/USD:BTC-260327", "BTC/USD:BTC-260327"),
    ],
)
def test_spellings(spelled, unified):
    assert normalize_pair(spelled) == unified


@pytest.mark.parametrize(
    "wrong", ["", "BTC", "BTC/", "/USDT", "BTC USDT", "BTC/USDT/ETH", "A-B-C", None, 7, ["BTC/USDT"]]
)
def test_anything_else_is_refused_and_named(wrong):
    with pytest.raises(InvalidInput, match="pair") as caught:
        normalize_pair(wrong)
    assert repr(wrong) in str(caught.value)

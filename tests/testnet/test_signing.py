import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.testnet import signing
from kit.testnet.binance_errors import ApiError

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"  # the documentation's example key
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
QUERY = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
NOW = 1_700_000_000_000


def code_of(call, *arguments):
    with pytest.raises(ApiError) as caught:
        call(*arguments)
    return caught.value.code


def test_documented_rest_example():
    documented = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert signing.sign(SECRET, signing.rest_payload(f"{QUERY}&signature={documented}", "")) == documented
    assert signing.sign(SECRET, signing.rest_payload("", f"{QUERY}&signature={documented}")) == documented
    signing.check_signature(SECRET, QUERY, documented.upper())


def test_documented_rest_example_with_characters_outside_ascii():
    query = QUERY.replace("LTCBTC", "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96")
    assert signing.sign(SECRET, query) == "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"


def test_documented_websocket_api_example():
    params = {
        "type": "LIMIT",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "recvWindow": "100",
        "timestamp": "1645423376532",
        "apiKey": KEY,
        "signature": "anything",
    }
    documented = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    assert signing.sign(SECRET, signing.ws_payload(params)) == documented


def test_query_and_body_are_signed_one_after_the_other():
    assert signing.rest_payload("a=1&b=2", "c=3&signature=ff") == "a=1&b=2c=3"


@given(st.sampled_from(range(len(QUERY))), st.characters(codec="ascii"))
def test_any_change_of_the_payload_breaks_the_signature(position, character):
    changed = QUERY[:position] + character + QUERY[position + 1 :]
    signature = signing.sign(SECRET, QUERY)
    if changed == QUERY:
        signing.check_signature(SECRET, changed, signature)
    else:
        assert code_of(signing.check_signature, SECRET, changed, signature) == -1022


@pytest.mark.parametrize("signature", ["", "0", "ff" * 32, "ü" * 8])
def test_wrong_signatures_are_refused(signature):
    assert code_of(signing.check_signature, SECRET, QUERY, signature) == -1022


def test_new_keys_differ_and_look_like_keys():
    keys = {signing.new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) == 64 and signing.check_key_format(key) == key for key in keys)


@pytest.mark.parametrize("key", [None, "", "no spaces", "semi;colon"])
def test_what_cannot_be_a_key(key):
    assert code_of(signing.check_key_format, key) == -2014


@pytest.mark.parametrize(
    ("age", "window", "fine"),
    [
        (0, None, True),
        (5000, None, True),
        (5001, None, False),
        (100, "100", True),
        (101, "100", False),
        (100, "100.5", True),
        (60_000, "60000", True),
        (-999, None, True),
        (-1000, None, False),
    ],
)
def test_time_window(age, window, fine):
    for stamp in (NOW - age, (NOW - age) * 1000):  # milliseconds or microseconds
        if fine:
            signing.check_timing(stamp, window, NOW)
        else:
            assert code_of(signing.check_timing, stamp, window, NOW) == -1021


@pytest.mark.parametrize(
    ("window", "code"), [("60001", -1131), ("-5", -1100), ("5,0", -1100), ("1e3", -1100), ("", -1100)]
)
def test_bad_windows(window, code):
    assert code_of(signing.check_timing, NOW, window, NOW) == code

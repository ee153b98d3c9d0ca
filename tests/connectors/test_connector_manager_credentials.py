"""Where a live connector's key comes from."""

from dataclasses import dataclass

import pytest

from kit.connectors.connector_manager import configure
from kit.errors import MissingCredentials
from kit.types.ports import Credentials

STORED, GIVEN, THERE = (Credentials(f"key-{name}", f"secret-{name}") for name in ("stored", "given", "there"))


@dataclass(frozen=True)
class Place:
    url: str = "http://127.0.0.1:1"
    credentials: Credentials | None = None


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_BINANCE_KEY", STORED.api_key)
    monkeypatch.setenv("KIT_BINANCE_SECRET", STORED.secret)


@pytest.mark.usefixtures("stored")
def test_without_credentials_and_endpoint_a_live_connector_takes_the_stored_key():
    assert configure("binance", "live", None, None).credentials == STORED
    assert configure("binance", "live", None, GIVEN).credentials == GIVEN


@pytest.mark.usefixtures("stored")
def test_the_stored_key_never_goes_to_an_endpoint():
    assert configure("binance", "live", Place(credentials=THERE), None).credentials == THERE
    with pytest.raises(MissingCredentials, match="never sent to an endpoint"):
        configure("binance", "live", Place(), None)


@pytest.mark.usefixtures("stored")
def test_public_data_need_no_key():
    assert configure("binance", "data", None, None).credentials is None


def test_a_missing_key_is_answered_with_every_way_to_give_one():
    with pytest.raises(MissingCredentials, match=r"kit keys add binance.*keyring.*encrypted file.*KIT_BINANCE_KEY"):
        configure("binance", "live", None, None)

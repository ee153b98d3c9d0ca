"""Tab behind a dot: the notebook completes the attributes of what a user has in hand."""

import pytest
from IPython.core.completer import IPCompleter, provisionalcompleter

import kit
from kit.config.store import CredentialStore
from kit.connectors import connector_manager
from kit.connectors.connector import Connector
from kit.guard.guard import Guard
from kit.market.order_book import OrderBook
from kit.orders.in_flight_order import InFlightOrder
from kit.trading.red_button import RedPress
from kit.trading.switch import LiveSwitch
from tests.support.fake_venue import PAIR, FakeVenue

ATTRIBUTES = {
    Connector: "get_mid_price",
    CredentialStore: "usual_place",
    Guard: "cancel_now",
    InFlightOrder: "remaining",
    LiveSwitch: "confirmations",
    OrderBook: "best_bid",
    RedPress: "stage",
    kit.Clock: "stats",
    kit.PureMarketMaking: "explain",
    kit.Recording: "gaps",
    kit.Result: "stats",
    kit.Testnet: "open_orders",
    kit.TradingCore: "go_live",
}


def offered(thing, text, *, use_jedi=True):
    """Return what Tab offers behind a text about ``it``."""
    completer = IPCompleter(namespace={"it": thing}, use_jedi=use_jedi)
    completer.disable_matchers = ["IPCompleter.magic_matcher", "IPCompleter.magic_config_matcher"]
    completer.jedi_compute_type_timeout = 60_000
    with provisionalcompleter():
        return {found.text.removeprefix(".") for found in completer.completions(text, len(text))}


@pytest.mark.parametrize(("kind", "attribute"), ATTRIBUTES.items())
def test_tab_completes_attributes(kind, attribute):
    # jedi reads the annotations of an object's properties, and gives up all of them over one that it cannot digest.
    assert attribute in offered(object.__new__(kind), f"it.{attribute[:4]}")


@pytest.mark.parametrize("use_jedi", [True, False])
def test_tab_completes_public_names_of_the_kit_only(use_jedi):
    public = {*kit.__all__, "config", "errors", "notebook", "simulation"}
    assert offered(kit, "it.", use_jedi=use_jedi) == public
    assert set(dir(kit)) == {*public, "__version__"}
    assert all(getattr(kit, name) is not None for name in dir(kit))


@pytest.mark.parametrize("use_jedi", [True, False])
async def test_tab_completes_the_names_of_connectors(monkeypatch, use_jedi):
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: FakeVenue())
    core = kit.TradingCore("completed", tables=False, guard=False)
    await core.add_connector("binance", [PAIR])
    await core.add_connector("kraken", [PAIR])
    for text in ('it["', 'it.connectors["'):
        assert offered(core, text, use_jedi=use_jedi) >= {"binance", "kraken"}
        assert "kraken" in offered(core, f"{text}kra", use_jedi=use_jedi)
    with pytest.raises(AttributeError, match="connectors cannot be set"):
        core.connectors = {}
    assert "by name" in kit.TradingCore.connectors.__doc__
    await core.stop()

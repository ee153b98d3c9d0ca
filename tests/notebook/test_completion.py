"""Tab behind a dot: the notebook completes the attributes of what a user has in hand."""

import pytest
from IPython.core.completer import IPCompleter, provisionalcompleter

import kit
from kit.connectors.connector import Connector
from kit.guard.guard import Guard
from kit.market.order_book import OrderBook
from kit.orders.in_flight_order import InFlightOrder
from kit.trading.switch import LiveSwitch

ATTRIBUTES = {
    Connector: "get_mid_price",
    Guard: "cancel_now",
    InFlightOrder: "remaining",
    LiveSwitch: "confirmations",
    OrderBook: "best_bid",
    kit.Clock: "stats",
    kit.PureMarketMaking: "explain",
    kit.Recording: "gaps",
    kit.Result: "stats",
    kit.Testnet: "open_orders",
    kit.TradingCore: "go_live",
}


@pytest.mark.parametrize(("kind", "attribute"), ATTRIBUTES.items())
def test_tab_completes_attributes(kind, attribute):
    # jedi reads the annotations of an object's properties, and gives up all of them over one that it cannot digest.
    completer = IPCompleter(namespace={"it": object.__new__(kind)}, use_jedi=True)
    completer.disable_matchers = ["IPCompleter.magic_matcher", "IPCompleter.magic_config_matcher"]
    completer.jedi_compute_type_timeout = 60_000
    text = f"it.{attribute[:4]}"
    with provisionalcompleter():
        assert attribute in {found.text for found in completer.completions(text, len(text))}

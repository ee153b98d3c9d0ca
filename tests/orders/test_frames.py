from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd

from kit.core.pubsub import PubSub
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.frames import balances_frame, fills_frame, orders_frame
from kit.types.orders import Balance, OrderState, OrderType, TokenAmount, TradeFee
from tests.support.orders import NOW, Recorder, make_order, make_trade, make_update

FEE = TradeFee((TokenAmount("BNB", Decimal("0.1")),))
FEES = TradeFee((TokenAmount("BNB", Decimal("0.1")), TokenAmount("USDT", Decimal("0.2"))))


def test_columns_and_types_do_not_depend_on_the_rows(pubsub: PubSub, tracker: ClientOrderTracker) -> None:
    recorder = Recorder(pubsub)
    order = make_order()
    tracker.start_tracking_order(order)
    tracker.process_trade_update(make_trade("1", "0.5", fee=FEE))
    balances = Balances()
    balances.replace_all({"BTC": Balance(Decimal(1), Decimal(1))})
    pairs = [
        (orders_frame([]), orders_frame([("sim", "paper", order)])),
        (fills_frame([]), fills_frame([("sim", "live", event) for event in recorder.of("Filled")])),
        (balances_frame([]), balances_frame([("sim", "paper", balances)])),
    ]
    for empty, full in pairs:
        assert len(empty) == 0
        assert len(full) == 1
        assert list(empty.columns) == list(full.columns)
        assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_orders() -> None:
    order = make_order(exchange_order_id=None, creation_timestamp=NOW + 0.25)
    market = make_order("M", order_type=OrderType.MARKET, price=None)
    market.update_with_trade_update(make_trade("1", "0.4", "M", price="99", fee=FEE))
    market.update_with_trade_update(make_trade("2", "0.6", "M", price="99", fee=FEES, exchange_order_id="X-M"))
    frame = orders_frame([("a", "paper", order), ("b", "live", market)])
    assert frame["price"].dtype == np.float64
    assert frame["created"].dtype == pd.DatetimeTZDtype("ns", "UTC")
    first, second = frame.to_dict("records")
    assert (first["connector"], first["client_order_id"], first["exchange_order_id"]) == ("a", "A", "")
    assert (first["mode"], second["mode"]) == ("paper", "live")
    assert (first["side"], first["type"], first["state"]) == ("buy", "limit", "pending_create")
    assert (first["price"], first["amount"], first["executed"], first["remaining"]) == (100.0, 1.0, 0.0, 1.0)
    assert np.isnan(first["average_price"])
    assert first["created"] == pd.Timestamp(NOW + 0.25, unit="s", tz="UTC")
    assert np.isnan(second["price"])
    assert (second["state"], second["average_price"]) == ("filled", 99.0)
    assert np.isnan(second["fee"])
    assert second["fee_asset"] == "BNB+USDT"


def test_fills(pubsub: PubSub, tracker: ClientOrderTracker) -> None:
    recorder = Recorder(pubsub)
    tracker.start_tracking_order(make_order())
    tracker.process_order_update(make_update(OrderState.OPEN))
    tracker.process_trade_update(make_trade("7", "0.5", price="99.5", timestamp=NOW + 2.000001, fee=FEE))
    (row,) = fills_frame([("sim", "live", event) for event in recorder.of("Filled")]).to_dict("records")
    assert row["time"] == pd.Timestamp("2023-11-14T22:13:22.000001Z")
    assert (row["price"], row["amount"], row["quote_amount"]) == (99.5, 0.5, 49.75)
    assert (row["fee"], row["fee_asset"], row["trade_id"]) == (0.1, "BNB", "7")
    assert (row["client_order_id"], row["exchange_order_id"]) == ("A", "X-A")


def test_balances() -> None:
    balances = Balances()
    balances.replace_all({"USDT": Balance(Decimal(1000), Decimal(900))})
    balances.hold(make_order())
    (row,) = balances_frame([("sim", "live", balances)]).to_dict("records")
    assert row == {
        "connector": "sim",
        "mode": "live",
        "asset": "USDT",
        "total": 1000.0,
        "available": 800.0,
        "held": 200.0,
    }
    assert list(balances.frame().columns) == ["asset", "total", "available", "held"]


def test_importing_the_orders_does_not_import_pandas() -> None:
    code = "import sys, kit.orders.user_stream_tracker, kit.orders.frames; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

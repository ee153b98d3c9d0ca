"""What an account's answers say about its key."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kit.connectors.ccxt_errors import KEY_REFUSED
from kit.connectors.key_check import KeyReport, ask_account
from kit.errors import AuthenticationFailed, NetworkUnavailable
from kit.types.orders import AccountMessage, Balance, CancelFailed, CancelRequest


class Answering:
    """An account that answers as it is told."""

    def __init__(self, balances: Exception | None = None, **cancel: Any) -> None:
        self._balances, self._cancel = balances, cancel
        self._sink: Callable[[AccountMessage], None] = print

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        self._sink = sink

    async def fetch_balances(self) -> dict[str, Balance]:
        if self._balances is not None:
            raise self._balances
        return {"USDT": Balance(Decimal(1), Decimal(1))}

    def cancel(self, request: CancelRequest) -> None:
        self._sink(CancelFailed(request.client_order_id, request.trading_pair, 0.0, **self._cancel))


async def test_no_such_order_means_that_the_key_may_trade():
    report = await ask_account(Answering(reason="unknown order", order_not_found=True), "binance", "BTC/USDT", 0.1)
    assert report == KeyReport("binance", True, True, 0.1, ("USDT",))


@pytest.mark.parametrize(
    ("cancel", "may"),
    [
        ({"reason": f"binance: -2015; {KEY_REFUSED}"}, False),
        ({"reason": "no answer", "ambiguous": True}, None),
        ({"reason": "the exchange is down for maintenance"}, None),
    ],
)
async def test_a_key_for_reading_only_and_answers_that_say_nothing(cancel, may):
    report = await ask_account(Answering(**cancel), "binance", "BTC/USDT")
    assert (report.can_read, report.can_trade, report.problem) == (True, may, cancel["reason"])


async def test_refused_and_unreachable_are_not_the_same():
    refused = await ask_account(Answering(AuthenticationFailed("no")), "binance", "BTC/USDT")
    assert (refused.can_read, refused.can_trade) == (False, False)
    silent = await ask_account(Answering(NetworkUnavailable("gone")), "binance", "BTC/USDT")
    assert (silent.can_read, silent.can_trade, silent.problem) == (None, None, "gone")


async def test_where_only_an_order_would_tell_none_is_placed():
    report = await ask_account(Answering(reason=""), "dummy", None)
    assert (report.can_read, report.can_trade) == (True, None)
    assert "cannot be told" in report.problem

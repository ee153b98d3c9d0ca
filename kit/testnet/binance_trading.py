"""The signed operations: placing, cancelling and replacing orders, and what an account has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from kit.testnet import binance_format as wire
from kit.testnet.binance_errors import ApiError, missing, missing_either, not_required
from kit.testnet.binance_market_data import times
from kit.testnet.binance_params import SYMBOL_RANGE, Params
from kit.testnet.cancel_replace import CancelReplaceReject, CancelReplaceResult
from kit.testnet.exchange import Call, Endpoint, Exchange
from kit.testnet.filters import ORDER_TYPES, STP_MODES, TIMES_IN_FORCE, NewOrder, VenueReject, check
from kit.testnet.market import Market
from kit.testnet.symbols import Side

_RESPONSES = ("ACK", "RESULT", "FULL")
_RESTRICTIONS = ("ONLY_NEW", "ONLY_PARTIALLY_FILLED")
_END = 1 << 62
_PARTLY = -2021


def _open_orders_weight(values: Mapping[str, str]) -> int:
    return 6 if "symbol" in values else 80


def _my_trades_weight(values: Mapping[str, str]) -> int:
    return 5 if "orderId" in values else 20


class Trading:
    """Answers signed requests by driving the engine."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._venue = exchange.venue

    def endpoints(self) -> list[Endpoint]:
        """Return the operations with their weights."""
        return [
            Endpoint("order.place", self.place, 1, "SIGNED"),
            Endpoint("order.test", self.test, 1, "SIGNED"),
            Endpoint("order.cancel", self.cancel, 1, "SIGNED"),
            Endpoint("order.cancelReplace", self.cancel_replace, 1, "SIGNED"),
            Endpoint("order.status", self.status, 4, "SIGNED"),
            Endpoint("openOrders.status", self.open_orders, _open_orders_weight, "SIGNED"),
            Endpoint("openOrders.cancelAll", self.cancel_all, 1, "SIGNED"),
            Endpoint("allOrders", self.all_orders, 20, "SIGNED"),
            Endpoint("myTrades", self.my_trades, _my_trades_weight, "SIGNED"),
            Endpoint("account.status", self.account, 20, "SIGNED"),
            Endpoint("account.rateLimits.orders", self.order_limits, 40, "SIGNED"),
        ]

    def place(self, call: Call) -> Any:
        """Place an order."""
        self._exchange.limiter.check_orders(call.account)
        new, response = _new_order(call.params)
        call.params.finish()
        order = self._venue.place(call.account, new)
        self._count_order(call)
        return wire.placed(order, response)

    def test(self, call: Call) -> Any:
        """Check an order as ``place`` would, without placing it."""
        new, _ = _new_order(call.params)
        call.params.ignore("computeCommissionRates")
        call.params.finish()
        market = self._exchange.market(new.symbol)
        check(market, new, now_ms=self._exchange.clock.now_ms(), open_orders=0)
        return {}

    def cancel(self, call: Call) -> Any:
        """Cancel one open order by either id."""
        params = call.params
        market = self._market(params)
        order_id, client_id = _either_id(params)
        cancel_id = params.client_id("newClientOrderId") or ""
        restrictions = _restrictions(params)
        params.finish()
        order = self._venue.cancel(
            call.account,
            market.symbol,
            order_id,
            client_id,
            new_client_order_id=cancel_id,
            restrictions=restrictions,
        )
        return wire.cancelled(order)

    def cancel_all(self, call: Call) -> list[Any]:
        """Cancel every open order on a symbol; -2011 when there is none."""
        market = self._market(call.params)
        call.params.finish()
        return [wire.cancelled(order) for order in self._venue.cancel_all(call.account, market.symbol)]

    def cancel_replace(self, call: Call) -> Any:
        """Cancel an order and place another one."""
        self._exchange.limiter.check_orders(call.account)
        params = call.params
        new, response = _new_order(params)
        mode = params.required("cancelReplaceMode")
        order_id, client_id = _either_id(params, "cancelOrderId", "cancelOrigClientOrderId")
        cancel_id = params.client_id("cancelNewClientOrderId") or ""
        restrictions = _restrictions(params)
        params.ignore("orderRateLimitExceededMode")
        params.finish()
        try:
            result = self._venue.cancel_replace(
                call.account,
                new,
                mode=mode,
                order_id=order_id,
                client_order_id=client_id,
                new_client_order_id=cancel_id,
                restrictions=restrictions,
            )
        except CancelReplaceReject as reject:
            self._count_order(call)  # also an order that was not attempted counts
            status = 409 if reject.code == _PARTLY else 400
            raise ApiError(
                reject.code, reject.message, status=status, data=_halves(reject.result, response)
            ) from reject
        self._count_order(call)
        return _halves(result, response)

    def status(self, call: Call) -> Any:
        """Return one order by either id."""
        market = self._market(call.params)
        order_id, client_id = _either_id(call.params)
        call.params.finish()
        return wire.order_state(self._venue.order(call.account, market.symbol, order_id, client_id))

    def open_orders(self, call: Call) -> list[Any]:
        """Return the open orders on a symbol or on all."""
        symbol = call.params.text("symbol", SYMBOL_RANGE)
        call.params.finish()
        return [wire.order_state(order) for order in self._venue.open_orders(call.account, symbol)]

    def all_orders(self, call: Call) -> list[Any]:
        """Return orders, open and done."""
        params = call.params
        market = self._market(params)
        order_id = params.integer("orderId")
        start, end = times(params, most_hours=24)
        limit = params.limit()
        params.finish()
        found = self._venue.all_orders(
            call.account,
            market.symbol,
            order_id=order_id,
            start_ms=start or 0,
            end_ms=_END if end is None else end,
            limit=limit,
        )
        return [wire.order_state(order) for order in found]

    def my_trades(self, call: Call) -> list[Any]:
        """Return the account's fills."""
        params = call.params
        market = self._market(params)
        order_id, from_id = params.integer("orderId"), params.integer("fromId")
        start, end = times(params, most_hours=24)
        limit = params.limit()
        params.finish()
        if (from_id is not None or order_id is not None) and (start is not None or end is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        found = self._venue.account_trades(
            call.account,
            market.symbol,
            order_id=order_id,
            from_id=from_id,
            start_ms=start or 0,
            end_ms=_END if end is None else end,
            limit=limit,
        )
        return [wire.own_trade(fill) for fill in found]

    def account(self, call: Call) -> Any:
        """Return balances and fee rates."""
        omit_zero = call.params.flag("omitZeroBalances")
        call.params.finish()
        first = next(iter(self._venue.markets.values())).info
        return wire.account_state(call.account, self._exchange.assets, first, omit_zero=omit_zero)

    def order_limits(self, call: Call) -> list[Any]:
        """Return how many unfilled orders the account has placed."""
        call.params.finish()
        return self._exchange.limiter.order_status(call.account)

    def _market(self, params: Params) -> Market:
        return self._exchange.market(params.required("symbol", SYMBOL_RANGE))

    def _count_order(self, call: Call) -> None:
        limiter = self._exchange.limiter
        limiter.count_order(call.account)
        call.order_count = limiter.order_counts(call.account)


def _either_id(
    params: Params, order_name: str = "orderId", client_name: str = "origClientOrderId"
) -> tuple[int | None, str | None]:
    order_id, client_id = params.integer(order_name), params.client_id(client_name)
    if order_id is None and client_id is None:
        raise missing_either(client_name, order_name)
    return order_id, client_id


def _restrictions(params: Params) -> str:
    return params.choice("cancelRestrictions", _RESTRICTIONS, -1145, "Invalid cancelRestrictions") or ""


def _new_order(params: Params) -> tuple[NewOrder, str]:
    """Read a new order and the kind of answer wanted; what goes with which type is checked here."""
    symbol = params.required("symbol", SYMBOL_RANGE)
    params.required("side")
    side = params.choice("side", ("BUY", "SELL"), -1117, "Invalid side.")
    params.required("type")
    kind = params.choice("type", ORDER_TYPES, -1116, "Invalid orderType.") or ""
    time_in_force = params.choice("timeInForce", TIMES_IN_FORCE, -1115, "Invalid timeInForce.")
    _check_combination(params, kind, time_in_force)
    response = params.choice("newOrderRespType", _RESPONSES)
    stp_mode = params.choice("selfTradePreventionMode", STP_MODES)
    if params.text("icebergQty") is not None:
        raise ApiError(-1013, "Iceberg orders are not supported for this symbol.")
    new = NewOrder(
        symbol=symbol,
        side=cast("Side", side),
        type=kind,
        qty=params.decimal("quantity"),
        quote_qty=params.decimal("quoteOrderQty"),
        price=params.decimal("price"),
        time_in_force=time_in_force or "GTC",
        client_order_id=params.client_id("newClientOrderId") or "",
        stp_mode=stp_mode or "",
    )
    return new, response or ("ACK" if kind == "LIMIT_MAKER" else "FULL")


def _check_combination(params: Params, kind: str, time_in_force: str | None) -> None:
    """Refuse parameters that the order type lacks (-1102) or has no use for (-1106)."""
    if kind == "LIMIT" and time_in_force is None:
        raise missing("timeInForce")
    if kind != "LIMIT" and time_in_force is not None:
        raise not_required("timeInForce")
    if kind != "MARKET":
        for name in ("quantity", "price"):
            params.required(name)
        if "quoteOrderQty" in params:
            raise not_required("quoteOrderQty")
        return
    if "price" in params:
        raise not_required("price")
    if "quantity" not in params and "quoteOrderQty" not in params:
        raise missing_either("quantity", "quoteOrderQty")


def _halves(result: CancelReplaceResult, response: str) -> wire.Json:
    cancelled, placed = result.canceled, result.placed
    return {
        "cancelResult": result.cancel_result,
        "newOrderResult": result.new_result,
        "cancelResponse": wire.cancelled(cancelled) if cancelled else _reason(result.cancel_error),
        "newOrderResponse": wire.placed(placed, response) if placed else _reason(result.place_error),
    }


def _reason(error: VenueReject | None) -> wire.Json | None:
    return None if error is None else {"code": error.code, "msg": error.message}

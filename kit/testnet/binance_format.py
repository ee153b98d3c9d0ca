"""The shapes that go over the wire: orders, trades, books, candles and events as Binance writes them.

Functions here only rename and format; they decide nothing. Prices, quantities and amounts are strings with eight
decimals, times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from kit.testnet.aggregates import AggTrade, DayStats
from kit.testnet.filters import ORDER_TYPES, STP_MODES, describe
from kit.testnet.ledger import Account
from kit.testnet.market import BookChanges, Fill, Market, Order, Prevention, Trade
from kit.testnet.symbols import SymbolInfo, units_text
from kit.testnet.tape import Kline
from kit.testnet.taps import ExecutionReport

Json: TypeAlias = dict[str, Any]
ZERO = "0.00000000"


def symbol_info(info: SymbolInfo) -> Json:
    """Return one entry of ``exchangeInfo.symbols``."""
    return {
        "symbol": info.symbol,
        "status": "TRADING",
        "baseAsset": info.base,
        "baseAssetPrecision": 8,
        "quoteAsset": info.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": describe(info),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": info.default_stp_mode,
        "allowedSelfTradePreventionModes": list(STP_MODES),
    }


def levels(info: SymbolInfo, pairs: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
    """Return (ticks, lots) levels as [price, quantity] texts."""
    tick, lot = info.tick_units, info.lot_units
    return [(units_text(ticks * tick), units_text(lots * lot)) for ticks, lots in pairs]


def book(market: Market, limit: int) -> Json:
    """Return a depth snapshot."""
    return {
        "lastUpdateId": market.last_update_id,
        "bids": levels(market.info, market.bids.depth(limit)),
        "asks": levels(market.info, market.asks.depth(limit)),
    }


def depth_update(info: SymbolInfo, changes: BookChanges, now_ms: int) -> Json:
    """Return a ``depthUpdate`` event."""
    return {
        "e": "depthUpdate",
        "E": now_ms,
        "s": info.symbol,
        "U": changes.first_update_id,
        "u": changes.last_update_id,
        "b": levels(info, sorted(changes.bids, reverse=True)),
        "a": levels(info, sorted(changes.asks)),
    }


def _top(market: Market) -> tuple[str, str, str, str]:
    info, bid, ask = market.info, market.bids.best, market.asks.best
    return (
        info.price_text(bid.price_ticks) if bid else ZERO,
        info.qty_text(bid.lots) if bid else ZERO,
        info.price_text(ask.price_ticks) if ask else ZERO,
        info.qty_text(ask.lots) if ask else ZERO,
    )


def book_ticker(market: Market) -> Json:
    """Return the best bid and ask as REST's ``bookTicker``; zeros where a side is empty."""
    bid, bid_qty, ask, ask_qty = _top(market)
    return {"symbol": market.symbol, "bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}


def book_ticker_event(market: Market) -> Json:
    """Return the ``bookTicker`` stream message, which carries no event name."""
    bid, bid_qty, ask, ask_qty = _top(market)
    return {"u": market.last_update_id, "s": market.symbol, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty}


def price_ticker(market: Market) -> Json:
    """Return the price of the last trade, zero before the first."""
    last = market.tape.last
    return {"symbol": market.symbol, "price": market.info.price_text(last.price_ticks) if last else ZERO}


def public_trade(trade: Trade) -> Json:
    """Return a trade as REST lists it."""
    info = trade.market.info
    return {
        "id": trade.trade_id,
        "price": info.price_text(trade.price_ticks),
        "qty": info.qty_text(trade.qty_lots),
        "quoteQty": units_text(trade.quote_units),
        "time": trade.time_ms,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def trade_event(trade: Trade, now_ms: int) -> Json:
    """Return a ``trade`` event."""
    info = trade.market.info
    return {
        "e": "trade",
        "E": now_ms,
        "s": info.symbol,
        "t": trade.trade_id,
        "p": info.price_text(trade.price_ticks),
        "q": info.qty_text(trade.qty_lots),
        "T": trade.time_ms,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def agg_trade(info: SymbolInfo, agg: AggTrade) -> Json:
    """Return an aggregated trade as REST lists it."""
    return {
        "a": agg.agg_id,
        "p": info.price_text(agg.price_ticks),
        "q": info.qty_text(agg.qty_lots),
        "f": agg.first_trade_id,
        "l": agg.last_trade_id,
        "T": agg.time_ms,
        "m": agg.buyer_is_maker,
        "M": True,
    }


def agg_trade_event(info: SymbolInfo, agg: AggTrade, now_ms: int) -> Json:
    """Return an ``aggTrade`` event."""
    return {"e": "aggTrade", "E": now_ms, "s": info.symbol, **agg_trade(info, agg)}


def kline(info: SymbolInfo, item: Kline) -> list[Any]:
    """Return a candle as REST lists it."""
    return [
        item.open_ms,
        info.price_text(item.open),
        info.price_text(item.high),
        info.price_text(item.low),
        info.price_text(item.close),
        info.qty_text(item.lots),
        item.close_ms,
        units_text(item.quote_units),
        item.trades,
        info.qty_text(item.taker_buy_lots),
        units_text(item.taker_buy_quote),
        "0",
    ]


def kline_event(info: SymbolInfo, item: Kline, interval: str, now_ms: int) -> Json:
    """Return a ``kline`` event."""
    return {
        "e": "kline",
        "E": now_ms,
        "s": info.symbol,
        "k": {
            "t": item.open_ms,
            "T": item.close_ms,
            "s": info.symbol,
            "i": interval,
            "f": item.first_trade_id,
            "L": item.last_trade_id,
            "o": info.price_text(item.open),
            "c": info.price_text(item.close),
            "h": info.price_text(item.high),
            "l": info.price_text(item.low),
            "v": info.qty_text(item.lots),
            "n": item.trades,
            "x": now_ms > item.close_ms,
            "q": units_text(item.quote_units),
            "V": info.qty_text(item.taker_buy_lots),
            "Q": units_text(item.taker_buy_quote),
            "B": "0",
        },
    }


def day_ticker(market: Market, stats: DayStats) -> Json:
    """Return 24 h statistics as REST's full ticker."""
    info, last = market.info, market.tape.last
    bid, bid_qty, ask, ask_qty = _top(market)
    return {
        "symbol": info.symbol,
        "priceChange": units_text((stats.close - stats.open) * info.tick_units),
        "priceChangePercent": f"{stats.change_percent:.3f}",
        "weightedAvgPrice": f"{stats.average_ticks * float(info.tick_size):.8f}",
        "prevClosePrice": info.price_text(stats.previous_close),
        "lastPrice": info.price_text(stats.close),
        "lastQty": info.qty_text(last.qty_lots) if last else ZERO,
        "bidPrice": bid,
        "bidQty": bid_qty,
        "askPrice": ask,
        "askQty": ask_qty,
        "openPrice": info.price_text(stats.open),
        "highPrice": info.price_text(stats.high),
        "lowPrice": info.price_text(stats.low),
        "volume": info.qty_text(stats.lots),
        "quoteVolume": units_text(stats.quote_units),
        "openTime": stats.open_ms,
        "closeTime": stats.close_ms,
        "firstId": stats.first_trade_id,
        "lastId": stats.last_trade_id,
        "count": stats.trades,
    }


_MINI = (
    "symbol",
    "openPrice",
    "highPrice",
    "lowPrice",
    "lastPrice",
    "volume",
    "quoteVolume",
    "openTime",
    "closeTime",
    "firstId",
    "lastId",
    "count",
)
_TICKER_KEYS = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "x": "prevClosePrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}


def mini_day_ticker(full: Json) -> Json:
    """Return the MINI form of REST's 24 h ticker."""
    return {name: full[name] for name in _MINI}


def day_ticker_event(full: Json, now_ms: int) -> Json:
    """Return a ``24hrTicker`` event from REST's full ticker."""
    event: Json = {"e": "24hrTicker", "E": now_ms, "s": full["symbol"]}
    event.update((short, full[name]) for short, name in _TICKER_KEYS.items())
    return event


def mini_ticker_event(full: Json, now_ms: int) -> Json:
    """Return a ``24hrMiniTicker`` event from REST's full ticker."""
    event: Json = {"e": "24hrMiniTicker", "E": now_ms, "s": full["symbol"]}
    event.update((short, full[_TICKER_KEYS[short]]) for short in "cohlvq")
    return event


def _order_core(order: Order) -> Json:
    info = order.market.info
    return {
        "symbol": info.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": info.price_text(order.price_ticks),
        "origQty": info.qty_text(order.qty_lots),
        "executedQty": info.qty_text(order.executed_lots),
        "origQuoteOrderQty": units_text(order.quote_units),
        "cummulativeQuoteQty": units_text(order.cum_quote_units),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "selfTradePreventionMode": order.stp_mode,
    }


def order_state(order: Order) -> Json:
    """Return an order as queries list it."""
    return {
        **_order_core(order),
        **_ended(order),
        "stopPrice": ZERO,
        "icebergQty": ZERO,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.working_ms,
    }


def _ended(order: Order) -> Json:
    """Return the fields that only expired orders have."""
    fields: Json = {"expiryReason": order.expiry_reason} if order.expiry_reason else {}
    if order.prevented_match_id >= 0:
        fields["preventedMatchId"] = order.prevented_match_id
        fields["preventedQuantity"] = order.market.info.qty_text(order.prevented_lots)
    return fields


def placed(order: Order, response: str) -> Json:
    """Return the answer to a new order: ``response`` is ACK, RESULT or FULL."""
    if response == "ACK":
        return {
            "symbol": order.market.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.client_order_id,
            "transactTime": order.updated_ms,
        }
    answer = {
        **_order_core(order),
        **_ended(order),
        "transactTime": order.updated_ms,
        "workingTime": order.working_ms,
    }
    if response == "FULL":
        answer["fills"] = [_fill(order, trade) for trade in order.fills or ()]
    return answer


def _fill(order: Order, trade: Trade) -> Json:
    info = order.market.info
    units, asset = trade.commission(order)
    return {
        "price": info.price_text(trade.price_ticks),
        "qty": info.qty_text(trade.qty_lots),
        "commission": units_text(units),
        "commissionAsset": asset,
        "tradeId": trade.trade_id,
    }


def cancelled(order: Order) -> Json:
    """Return the answer to a cancel; its ``clientOrderId`` is that of the request."""
    return {
        **_order_core(order),
        "origClientOrderId": order.client_order_id,
        "clientOrderId": order.cancel_id,
        "transactTime": order.updated_ms,
    }


def own_trade(fill: Fill) -> Json:
    """Return a fill as ``myTrades`` lists it."""
    trade, order = fill
    return {
        "symbol": order.market.symbol,
        **public_trade(trade),
        "orderId": order.order_id,
        "orderListId": -1,
        "commission": units_text(fill.commission_units),
        "commissionAsset": fill.commission_asset,
        "isBuyer": order.is_buy,
        "isMaker": fill.is_maker,
    }


def account_state(account: Account, assets: Iterable[str], info: SymbolInfo, *, omit_zero: bool) -> Json:
    """Return ``account``: balances of all assets and the fee rates of one symbol, which hold for all here."""
    maker, taker = account.rates(info)
    balances = [
        {
            "asset": asset,
            "free": units_text(account.free.get(asset, 0)),
            "locked": units_text(account.locked.get(asset, 0)),
        }
        for asset in assets
        if account.total(asset) or not omit_zero
    ]
    return {
        "makerCommission": maker // 10_000,  # 1e-8 units to basis points
        "takerCommission": taker // 10_000,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": units_text(maker), "taker": units_text(taker), "buyer": ZERO, "seller": ZERO},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.updated_ms,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": account.account_id,
    }


def execution_report(report: ExecutionReport) -> Json:
    """Return an ``executionReport`` event."""
    order = report.order
    info = order.market.info
    trade = report.trade
    event: Json = {
        "e": "executionReport",
        "E": report.time_ms,
        "s": info.symbol,
        "c": report.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": info.qty_text(report.qty_lots),
        "p": info.price_text(order.price_ticks),
        "P": ZERO,
        "F": ZERO,
        "g": -1,
        "C": report.orig_client_order_id,
        "x": report.execution_type,
        "X": report.status,
        "r": report.reject_reason,
        "i": order.order_id,
        "l": info.qty_text(report.last_lots),
        "z": info.qty_text(report.executed_lots),
        "L": info.price_text(report.last_price_ticks),
        "n": units_text(report.commission_units) if trade else "0",
        "N": report.commission_asset,
        "T": report.time_ms,
        "t": trade.trade_id if trade else -1,
        "I": report.execution_id,
        "w": report.is_working,
        "m": report.is_maker,
        "M": trade is not None,
        "O": order.created_ms,
        "Z": units_text(report.cum_quote_units),
        "Y": units_text(report.last_quote_units),
        "Q": units_text(order.quote_units),
        "W": order.working_ms,
        "V": order.stp_mode,
    }
    if report.execution_type == "EXPIRED":
        event["eR"] = order.expiry_reason
    if report.prevention is not None:
        event |= _prevention(report, report.prevention)
    return event


def _prevention(report: ExecutionReport, prevention: Prevention) -> Json:
    order, info = report.order, report.order.market.info
    expired = (prevention.taker_lots if order is prevention.taker else prevention.maker_lots) or 0
    return {
        "v": prevention.match_id,
        "A": info.qty_text(expired),
        "B": info.qty_text(expired),
        "u": prevention.match_id,
        "U": report.counter_order_id,
        "Cs": info.symbol,
        "pl": info.qty_text(prevention.lots),
        "pL": info.price_text(prevention.price_ticks),
        "pY": units_text(prevention.quote_units),
    }


def account_position(account: Account, assets: Iterable[str], now_ms: int) -> Json:
    """Return an ``outboundAccountPosition`` event with the assets that may have changed."""
    return {
        "e": "outboundAccountPosition",
        "E": now_ms,
        "u": account.updated_ms,
        "B": [
            {"a": asset, "f": units_text(account.free.get(asset, 0)), "l": units_text(account.locked.get(asset, 0))}
            for asset in assets
        ],
    }


def balance_update(asset: str, units: int, now_ms: int) -> Json:
    """Return a ``balanceUpdate`` event: a deposit, or a withdrawal when ``units`` is negative."""
    return {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": units_text(units), "T": now_ms}

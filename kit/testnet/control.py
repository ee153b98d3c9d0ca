"""The test exchange's own HTTP interface under ``/testnet/``: look inside, act on the market, switch faults.

Answers are JSON; amounts are text. Errors are 400 with ``{"error": …}`` that says what was wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias, cast

import orjson
from aiohttp import web

from kit.errors import InvalidInput
from kit.testnet.config import amount, amounts, wire_symbol
from kit.testnet.fault_switches import FaultSwitches
from kit.testnet.filters import NewOrder, VenueReject
from kit.testnet.market import Fill, Order
from kit.testnet.parts import Parts
from kit.testnet.rate_limits import Limits
from kit.testnet.symbols import UNITS, Side, units_text

Body: TypeAlias = dict[str, Any]
PARTICIPANT = "participant"


class Control:
    """Answers requests under ``/testnet/`` from an exchange's parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._exchange = parts.exchange
        self._started = parts.exchange.clock.monotonic()
        faults = FaultSwitches(parts)
        self._routes: dict[tuple[str, str], Callable[[Body], Any]] = {
            ("GET", "status"): self._status,
            ("GET", "stats"): self._stats,
            ("GET", "connections"): lambda _: parts.sockets.describe(),
            ("GET", "ledger"): self._ledger,
            ("GET", "open_orders"): self._open_orders,
            ("GET", "fills"): self._fills,
            ("GET", "faults"): faults.list,
            ("POST", "faults"): faults.add,
            ("DELETE", "faults"): faults.clear,
            ("POST", "accounts"): self._create_account,
            ("POST", "deposit"): self._deposit,
            ("POST", "trade"): self._trade,
            ("POST", "cancel"): self._cancel,
            ("POST", "flow"): self._flow,
            ("POST", "limits"): self._limits,
            ("POST", "stop"): self._stop,
        }

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer one request; its parameters come from the query or, for POST, from a JSON body."""
        perform = self._routes.get((request.method, path))
        if perform is None:
            known = ", ".join(f"{method} {name}" for method, name in self._routes)
            return _json({"error": f"there is no {request.method} {path}; there are {known}"}, 404)
        try:
            body: Body = dict(request.rel_url.query)
            raw = await request.read()
            if raw:
                body |= orjson.loads(raw)
            return _json(perform(body), 200)
        except (InvalidInput, VenueReject, orjson.JSONDecodeError) as error:
            return _json({"error": str(error)}, 400)
        except (KeyError, TypeError, ValueError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    # looking

    def _status(self, _: Body) -> Body:
        parts = self._parts
        return {
            "name": parts.config.name,
            "pid": os.getpid(),
            "url": parts.url,
            "uptime": self._exchange.clock.monotonic() - self._started,
            "symbols": list(parts.config.symbols),
            "activity": parts.activities.states,
            "frozen": parts.activities.time.frozen,
            "clock_skew": self._exchange.clock.skew_ms / 1000,
        }

    def _stats(self, _: Body) -> Body:
        exchange, sockets = self._exchange, self._parts.sockets
        return {
            **exchange.counts,
            **sockets.counts,
            "market_sockets": len(sockets.of_kind("market")),
            "user_sockets": len(sockets.of_kind("user")),
            "rate_limit_refusals": exchange.limiter.refusals,
            "listener_errors": exchange.venue.taps.errors,
            "depth_updates_skipped": self._parts.publishers.skipped_depth,
            "trades": {symbol: market.last_trade_id for symbol, market in exchange.venue.markets.items()},
            "orders": {symbol: market.last_order_id for symbol, market in exchange.venue.markets.items()},
            "faults_struck": exchange.faults.struck,
        }

    def _ledger(self, _: Body) -> Body:
        imbalance = {asset: units for asset, units in self._exchange.venue.check_ledger().items() if units}
        return {
            "balanced": not imbalance,
            "imbalance": {asset: units_text(units) for asset, units in imbalance.items()},
            "balances": {
                account.name: {
                    asset: {
                        "total": units_text(account.total(asset)),
                        "available": units_text(account.free.get(asset, 0)),
                    }
                    for asset in self._exchange.assets
                    if account.total(asset)
                }
                for account in self._exchange.traders()
            },
        }

    def _open_orders(self, body: Body) -> list[Body]:
        tag, wanted = body.get("tag") or "", body.get("account")
        accounts = self._exchange.traders() if wanted is None else [self._exchange.find_account(wanted)]
        return [
            _order(order)
            for account in accounts
            for order in self._exchange.venue.open_orders(account)
            if order.client_order_id.startswith(tag)
        ]

    def _fills(self, body: Body) -> list[Body]:
        account = self._exchange.find_account(body.get("account"))
        symbol = body.get("symbol")
        symbols = self._exchange.venue.markets if symbol is None else [wire_symbol(symbol)]
        fills = [
            fill
            for name in symbols
            for fill in self._exchange.venue.account_trades(account, name, from_id=0, limit=1_000_000)
        ]
        return [_fill(fill) for fill in fills]

    # acting

    def _create_account(self, body: Body) -> Body:
        account = self._exchange.create_account(body.get("name"), amounts(body.get("deposits") or {}))
        return {"name": account.name, "api_key": account.api_key, "secret": account.secret}

    def _deposit(self, body: Body) -> Body:
        account = self._exchange.find_account(body.get("account"))
        self._exchange.deposit(account, str(body["asset"]), amount(body["amount"]))
        return {}

    def _trade(self, body: Body) -> Body:
        """Let a market participant, who has everything, place an order."""
        venue = self._exchange.venue
        account = venue.accounts.get(PARTICIPANT) or venue.create_account(PARTICIPANT, fee_free=True, unlimited=True)
        price = body.get("price")
        symbol = wire_symbol(body["symbol"])
        new = NewOrder(
            symbol,
            cast("Side", str(body["side"]).upper()),
            type="MARKET" if price is None else "LIMIT",
            qty=amount(body["amount"]),
            price=None if price is None else amount(price),
            time_in_force=body.get("time_in_force", "GTC"),
            stp_mode="NONE",
        )
        order = venue.place(account, new)
        self._exchange.changed(symbol)
        return _order(order)

    def _cancel(self, body: Body) -> list[Body]:
        """Cancel traders' open orders by the exchange's own will, those whose client id begins with ``tag``."""
        cancelled = []
        for entry in self._open_orders(body):
            account = self._exchange.find_account(entry["account"])
            order = self._exchange.venue.cancel(account, entry["symbol"], entry["order_id"])
            cancelled.append(_order(order))
            self._exchange.changed(entry["symbol"])
        return cancelled

    def _flow(self, body: Body) -> Body:
        activities = self._parts.activities
        if "frozen" in body:
            (activities.freeze if body["frozen"] else activities.thaw)()
        if body.get("settings"):
            symbol = body.get("symbol")
            activities.set(body["settings"], None if symbol is None else wire_symbol(symbol))
        return {"frozen": activities.time.frozen}

    def _limits(self, body: Body) -> Body:
        limiter = self._exchange.limiter
        current = {name: getattr(limiter.limits, name) for name in Limits.__slots__}
        unknown = sorted(set(body) - set(current))
        if unknown:
            raise InvalidInput(f"there is no limit {', '.join(unknown)}; there are {', '.join(current)}")
        limiter.limits = Limits(**(current | body))
        limiter.lift_bans()
        return current | body

    def _stop(self, _: Body) -> Body:
        self._parts.stopped.set()
        return {}


def _json(result: Any, status: int) -> web.Response:
    return web.Response(body=orjson.dumps(result, default=str), status=status, content_type="application/json")


def _order(order: Order) -> Body:
    info = order.market.info
    return {
        "account": order.account.name,
        "symbol": info.symbol,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "side": order.side.lower(),
        "type": order.type.lower(),
        "price": info.price_text(order.price_ticks),
        "amount": info.qty_text(order.qty_lots),
        "filled": info.qty_text(order.executed_lots),
        "filled_quote": units_text(order.cum_quote_units),
        "status": order.status,
        "timestamp": order.created_ms / 1000,
    }


def _fill(fill: Fill) -> Body:
    trade, order = fill
    info = order.market.info
    return {
        "trade_id": trade.trade_id,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": info.symbol,
        "side": order.side.lower(),
        "price": info.price_text(trade.price_ticks),
        "amount": info.qty_text(trade.qty_lots),
        "quote_amount": units_text(trade.quote_units),
        "fee": str(Decimal(fill.commission_units) / UNITS),
        "fee_asset": fill.commission_asset,
        "is_maker": fill.is_maker,
        "timestamp": trade.time_ms / 1000,
    }

"""What a panel is asked to show: the kind is checked, and a wrong one is answered with what to pass instead."""

from __future__ import annotations

import inspect
from typing import Any

from kit.connectors.connector import Connector
from kit.errors import InvalidInput
from kit.market.order_book import OrderBook
from kit.strategy.strategy_base import StrategyBase
from kit.trading_core import TradingCore


def require_core(value: object, function: str) -> TradingCore:
    """Return the core; raises ``InvalidInput`` for what is none."""
    if isinstance(value, TradingCore):
        return value
    owner = _core_of(value)
    instead = f"kit.TradingCore({owner.name!r}) has it" if owner is not None else "kit.TradingCore() makes one"
    raise _wrong(value, function, "a core", f"kit.notebook.{function}(core), where core = {instead}")


def require_strategy(value: object, function: str) -> StrategyBase:
    """Return the strategy; raises ``InvalidInput`` for what is none."""
    if isinstance(value, StrategyBase):
        return value
    wanted = f"kit.notebook.{function}(core.strategy)"
    if isinstance(value, type) and issubclass(value, StrategyBase):
        wanted = f"kit.notebook.{function}({value.__name__}(market, pair, …)) with an instance of that class"
    elif value is None or (isinstance(value, TradingCore) and value.strategy is None):
        wanted += " once a strategy is there: core.strategy = kit.PureMarketMaking(market, pair, …)"
    raise _wrong(value, function, "a strategy", wanted)


def require_market(value: object, function: str) -> Connector:
    """Return the connector; raises ``InvalidInput`` for what is none."""
    if isinstance(value, Connector):
        return value
    wanted = f"kit.notebook.{function}(market, 'BTC/USDT') with market = await core.add_connector('binance', …)"
    if isinstance(value, TradingCore) and (name := next(iter(value.connectors), None)) is not None:
        wanted = f"kit.notebook.{function}(core[{name!r}], {value[name].trading_pairs[0]!r})"
    elif isinstance(value, StrategyBase) and value.markets:
        wanted = f"kit.notebook.{function}(strategy.market, strategy.trading_pair)"
    raise _wrong(value, function, "a market (a connector)", wanted)


def require_book(value: object, function: str) -> OrderBook:
    """Return the order book; raises ``InvalidInput`` for what is none."""
    if isinstance(value, OrderBook):
        return value
    raise _wrong(value, function, "an order book", f"kit.notebook.{function}(market.get_order_book('BTC/USDT'))")


def _core_of(value: object) -> TradingCore | None:
    markets: tuple[Any, ...] = value.markets if isinstance(value, StrategyBase) else (value,)
    cores = (core for core in TradingCore.all() for market in markets if market in core.connectors.values())
    return next(cores, None)


def _wrong(value: object, function: str, wanted: str, instead: str) -> InvalidInput:
    if inspect.iscoroutine(value):
        value.close()
        instead = f"its result: write 'await' before {value.__qualname__}(…)"
    return InvalidInput(f"{function} shows {wanted}, got {_described(value)}; call {instead}")


def _described(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}…"

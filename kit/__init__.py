"""Live crypto trading from a Jupyter notebook: safe, fast and pleasant.

Everything public is here; submodules load when a name is first used, so ``import kit`` is quick.
"""

# What is imported here is named with an underscore, as completion lists every other name of a module.
import importlib as _importlib
import importlib.util as _importlib_util
import sys as _sys
import typing as _typing

from kit.types import drawn as _drawn

if _typing.TYPE_CHECKING:
    from kit import config as config
    from kit import errors as errors
    from kit import notebook as notebook
    from kit import simulation as simulation
    from kit.backtest.parity import parity as parity
    from kit.backtest.result import Result as Result
    from kit.backtest.runner import backtest as backtest
    from kit.backtest.runner import backtest_async as backtest_async
    from kit.backtest.sweep import sweep as sweep
    from kit.backtest.sweep import sweep_async as sweep_async
    from kit.connectors.history import history as history
    from kit.core.clock import Clock as Clock
    from kit.core.clock import ClockMode as ClockMode
    from kit.core.clock import ManualTime as ManualTime
    from kit.core.time_iterator import TimeIterator as TimeIterator
    from kit.errors import KitError as KitError
    from kit.notebook.running import run as run
    from kit.storage.candles import candles_from_events as candles_from_events
    from kit.storage.candles import events_from_candles as events_from_candles
    from kit.storage.clock_offset import correct_clock as correct_clock
    from kit.storage.exporters import to_hftbacktest as to_hftbacktest
    from kit.storage.importers import import_raw as import_raw
    from kit.storage.importers import load_events as load_events
    from kit.storage.recordings import Recording as Recording
    from kit.storage.recordings import open_recording as open_recording
    from kit.storage.sanity import check as check
    from kit.storage.session_files import open_session as open_session
    from kit.strategy.params import Params as Params
    from kit.strategy.params import param as param
    from kit.strategy.polled_price import UrlPrice as UrlPrice
    from kit.strategy.presets import presets as presets
    from kit.strategy.price_source import PriceSource as PriceSource
    from kit.strategy.price_sources import MarketPrice as MarketPrice
    from kit.strategy.proposal import PriceSize as PriceSize
    from kit.strategy.proposal import Proposal as Proposal
    from kit.strategy.pure_market_making import PureMarketMaking as PureMarketMaking
    from kit.strategy.strategy_base import StrategyBase as Strategy
    from kit.testnet import Testnet as Testnet
    from kit.trading.core_run import StopReport as StopReport
    from kit.trading.disarming import DisarmRules as DisarmRules
    from kit.trading.switch import TradingState as TradingState
    from kit.trading_core import TradingCore as TradingCore
    from kit.types.events import MarketEvent as MarketEvent
    from kit.types.market import PriceType as PriceType
    from kit.types.market import TradeType as TradeType
    from kit.types.orders import OrderState as OrderState
    from kit.types.orders import OrderType as OrderType
    from kit.types.orders import TimeInForce as TimeInForce
    from kit.types.ports import Credentials as Credentials

__version__ = "0.1.0"

_HOMES: _typing.Final = {
    "Clock": "kit.core.clock",
    "ClockMode": "kit.core.clock",
    "Credentials": "kit.types.ports",
    "DisarmRules": "kit.trading.disarming",
    "KitError": "kit.errors",
    "ManualTime": "kit.core.clock",
    "MarketEvent": "kit.types.events",
    "MarketPrice": "kit.strategy.price_sources",
    "OrderState": "kit.types.orders",
    "OrderType": "kit.types.orders",
    "Params": "kit.strategy.params",
    "PriceSize": "kit.strategy.proposal",
    "PriceSource": "kit.strategy.price_source",
    "PriceType": "kit.types.market",
    "Proposal": "kit.strategy.proposal",
    "PureMarketMaking": "kit.strategy.pure_market_making",
    "Recording": "kit.storage.recordings",
    "Result": "kit.backtest.result",
    "StopReport": "kit.trading.core_run",
    "Strategy": "kit.strategy.strategy_base:StrategyBase",
    "Testnet": "kit.testnet",
    "TimeInForce": "kit.types.orders",
    "TimeIterator": "kit.core.time_iterator",
    "TradeType": "kit.types.market",
    "TradingCore": "kit.trading_core",
    "TradingState": "kit.trading.switch",
    "UrlPrice": "kit.strategy.polled_price",
    "backtest": "kit.backtest",
    "backtest_async": "kit.backtest.runner",
    "candles_from_events": "kit.storage.candles",
    "check": "kit.storage.sanity",
    "correct_clock": "kit.storage.clock_offset",
    "events_from_candles": "kit.storage.candles",
    "history": "kit.connectors.history",
    "import_raw": "kit.storage.importers",
    "load_events": "kit.storage.importers",
    "open_recording": "kit.storage.recordings",
    "open_session": "kit.storage.session_files",
    "param": "kit.strategy.params",
    "parity": "kit.backtest.parity",
    "presets": "kit.strategy.presets",
    "run": "kit.notebook.running",
    "sweep": "kit.backtest.sweep",
    "sweep_async": "kit.backtest.sweep",
    "to_hftbacktest": "kit.storage.exporters",
}

__all__ = [
    "Clock",
    "ClockMode",
    "Credentials",
    "DisarmRules",
    "KitError",
    "ManualTime",
    "MarketEvent",
    "MarketPrice",
    "OrderState",
    "OrderType",
    "Params",
    "PriceSize",
    "PriceSource",
    "PriceType",
    "Proposal",
    "PureMarketMaking",
    "Recording",
    "Result",
    "StopReport",
    "Strategy",
    "Testnet",
    "TimeInForce",
    "TimeIterator",
    "TradeType",
    "TradingCore",
    "TradingState",
    "UrlPrice",
    "backtest",
    "backtest_async",
    "candles_from_events",
    "check",
    "correct_clock",
    "events_from_candles",
    "history",
    "import_raw",
    "load_events",
    "open_recording",
    "open_session",
    "param",
    "parity",
    "presets",
    "run",
    "sweep",
    "sweep_async",
    "to_hftbacktest",
]

_MODULES: _typing.Final = ("config", "errors", "notebook", "simulation")
"""Modules that users are told of."""


def __getattr__(name: str) -> _typing.Any:
    home = _HOMES.get(name)
    if home is None:
        if not name.startswith("_") and _importlib_util.find_spec(f"kit.{name}") is not None:
            return _importlib.import_module(f"kit.{name}")
        raise AttributeError(f"module 'kit' has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    value: _typing.Any = _importlib.import_module(module)
    if module != f"kit.{name}":  # else the package itself is meant, which can be called
        value = getattr(value, attribute or name)
    globals()[name] = value
    return value


def _draw(thing: object) -> _drawn.Bundle:
    drawing: _drawn.Bundle = _importlib.import_module("kit.notebook.displays").draw(thing)
    return drawing


def _plot(kind: str, thing: object, **options: _typing.Any) -> _typing.Any:
    return getattr(_importlib.import_module("kit.notebook.plots"), kind)(thing, **options)


def _warm() -> None:
    if "ipykernel" in _sys.modules and _importlib.import_module("kit.notebook.displays").in_kernel():
        _importlib.import_module("kit.notebook.warming").warm_up()


_drawn.draw_with(_draw)
_drawn.plot_with(_plot)
_drawn.warm_with(_warm)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])

"""Files of other forms made into ``MarketEvents``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kit.storage.importers.binance_csv import binance_candles as binance_candles
    from kit.storage.importers.binance_csv import import_binance_csv as import_binance_csv
    from kit.storage.importers.errors import BadFile as BadFile
    from kit.storage.importers.hftbacktest import import_hftbacktest as import_hftbacktest
    from kit.storage.importers.loading import load_events as load_events
    from kit.storage.importers.raw import import_raw as import_raw
    from kit.storage.importers.tardis import import_tardis as import_tardis

_HOMES: Final = {
    "BadFile": "errors",
    "binance_candles": "binance_csv",
    "import_binance_csv": "binance_csv",
    "import_hftbacktest": "hftbacktest",
    "import_raw": "raw",
    "import_tardis": "tardis",
    "load_events": "loading",
}

__all__ = [
    "BadFile",
    "binance_candles",
    "import_binance_csv",
    "import_hftbacktest",
    "import_raw",
    "import_tardis",
    "load_events",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value

"""A backtest described by a mapping or a TOML file, for the command line and for sweeps."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from kit.errors import InvalidInput
from kit.strategy.strategy_base import StrategyBase


@dataclass(frozen=True)
class BacktestConfig:
    """What one run is made of; the fields are the arguments of ``kit.backtest``.

    ``params`` are the strategy's parameters; ``preset`` among them names a preset that the others change, by name or by
    its file (see ``kit.presets``). ``trading_pair`` says which one the strategy quotes where the data hold
    several. In a file, paths are relative to the file, and numbers are read exactly.
    """

    strategy: Any
    data: Any = None
    start: Any = None
    end: Any = None
    balances: Any = None
    fees: Any = None
    queue: Any = None
    latency: Any = None
    exchange: Any = None
    rules: Any = None
    trading_pair: str | None = None
    tick_size: float = 1.0
    seed: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)


_FIELDS: Final = tuple(item.name for item in dataclasses.fields(BacktestConfig))


def read_config(source: Mapping[str, Any] | str | Path) -> BacktestConfig:
    """Return the configuration of a mapping or of a TOML file.

    Raises ``InvalidInput`` for a file that cannot be read, an unknown name, or a strategy that cannot be found.
    """
    if isinstance(source, Mapping):
        return _build(source, Path())
    path = Path(source)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        hint = "" if path.suffix else f"; a strategy is given as its class, kit.{path} or one of your own"
        raise InvalidInput(f"there is no configuration {path} (looked in {Path.cwd()}){hint}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InvalidInput(f"{path} is no readable TOML file: {error}") from error
    return _build(values, path.parent)


def _build(values: Mapping[str, Any], folder: Path) -> BacktestConfig:
    for name in values:
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "parameters of the strategy stand in [params]"
            raise InvalidInput(f"the configuration has no {name!r}; {hint} It has {', '.join(_FIELDS)}")
    if "strategy" not in values:
        raise InvalidInput("the configuration names no strategy; write strategy = 'PureMarketMaking'")
    found = dict(values)
    if isinstance(found["strategy"], str):
        found["strategy"] = find_strategy(found["strategy"], folder)
    if "data" in found:
        found["data"] = _beside(found["data"], folder)
    if isinstance(found.get("params"), Mapping) and "preset" in found["params"]:
        found["params"] = _with_preset(found["strategy"], found["params"], folder)
    if "tick_size" in found:
        found["tick_size"] = float(found["tick_size"])
    return BacktestConfig(**found)


def _with_preset(strategy: Any, params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    from kit.strategy.presets import load_preset, preset_path

    kind = getattr(strategy, "Params", None)
    if kind is None:
        raise InvalidInput(f"params name a preset, but {strategy!r} makes a strategy whose parameters nobody knows")
    changes = {name: value for name, value in params.items() if name != "preset"}
    return {**load_preset(kind, folder / preset_path(kind, params["preset"])), **changes}


def _beside(data: Any, folder: Path) -> Any:
    if isinstance(data, str | Path):
        return folder / data
    if isinstance(data, Mapping):
        return {key: _beside(value, folder) for key, value in data.items()}
    if isinstance(data, list):
        return [_beside(item, folder) for item in data]
    return data


def find_strategy(name: str, folder: Path = Path()) -> Any:
    """Return the strategy class that a text names: one of kit's, ``module:Class`` or ``file.py:Class``.

    Files are looked for in ``folder``. Raises ``InvalidInput`` where there is none.
    """
    place, _, attribute = name.rpartition(":")
    if not place:
        import kit

        found = getattr(kit, attribute, None) if attribute in kit.__all__ else None
        where = "kit"
    else:
        found = getattr(_module(place, folder), attribute, None)
        where = place
    if found is None:
        raise InvalidInput(
            f"{where} has no strategy {attribute!r}; write one of kit's, as 'PureMarketMaking', or 'module:Class' or "
            "'file.py:Class'"
        )
    if not callable(found) or (isinstance(found, type) and not issubclass(found, StrategyBase)):
        raise InvalidInput(f"{name!r} is {found!r}, neither a kit.Strategy class nor a function that makes one")
    return found


def _module(place: str, folder: Path) -> Any:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ImportError as error:
            raise InvalidInput(f"the module {place!r} of the strategy cannot be imported: {error}") from error
    path = (folder / place).resolve()
    if not path.exists():
        raise InvalidInput(f"there is no file {path} to take the strategy from")
    spec = importlib.util.spec_from_file_location(f"kit_strategy_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module

"""Sets of parameters under names, as TOML files that people may edit.

They are in the config folder, ``presets/<strategy>/<name>.toml``::

    strategy = "PureMarketMaking"

    [params]
    bid_spread = 0.001  # fraction; how far the best bid is from the reference price
    max_order_age = "off"

A file may name some parameters only; the others stay as they are when it is loaded.
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kit.config.folders import config_folder
from kit.config.private_files import write_whole
from kit.core.naming import did_you_mean
from kit.errors import InvalidInput
from kit.strategy.param_toml import NotWritable, from_toml, to_toml
from kit.strategy.params import ParamField, Params, owner_name

if TYPE_CHECKING:
    import pandas as pd
    import tomlkit
    from tomlkit.items import Table

logger = logging.getLogger(__name__)

_SUFFIX: Final = ".toml"
_NAME: Final = re.compile(r"\w[\w .+()-]{0,79}")


def preset_folder(cls: type[Params] | None = None) -> Path:
    """Return where presets are kept, all or those of one strategy's parameters; it need not exist."""
    folder = config_folder() / "presets"
    return folder if cls is None else folder / owner_name(cls)


def preset_path(cls: type[Params], name_or_path: str | Path) -> Path:
    """Return the file that is meant: a path, a text that ends in ``.toml``, or the name of a preset.

    Raises ``InvalidInput`` for what can be no name.
    """
    if not isinstance(name_or_path, str | Path):
        raise InvalidInput(f"a preset is named by text or by the path of its file, not by {name_or_path!r}")
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(_SUFFIX):
        return Path(name_or_path).expanduser()
    if not _NAME.fullmatch(text) or text != text.strip():
        shown = text if len(text) <= 80 else f"{text[:80]}…"
        raise InvalidInput(
            f"{shown!r} cannot name a preset: begin with a letter or digit, then letters, digits, spaces "
            "and . + - ( ), 80 at most; a path ends in .toml"
        )
    return preset_folder(cls) / f"{text}{_SUFFIX}"


def preset_names(cls: type[Params]) -> tuple[str, ...]:
    """Return the names of the presets for these parameters, in order."""
    return tuple(sorted((path.stem for path in preset_folder(cls).glob(f"[!.]*{_SUFFIX}")), key=str.casefold))


def load_preset(cls: type[Params], name_or_path: str | Path) -> dict[str, Any]:
    """Return the values of a preset by parameter, to be validated as a set with the others.

    Raises ``InvalidInput`` for a file that is missing or cannot be read, and names every parameter that there is not
    (any more).
    """
    path = preset_path(cls, name_or_path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        names = preset_names(cls)
        guess, known = did_you_mean(path.stem, names), ", ".join(map(repr, names)) or "none"
        raise InvalidInput(
            f"there is no preset {str(name_or_path)!r} of {owner_name(cls)} ({path}){guess}; there are {known}"
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} is no readable TOML file: {error}") from None
    values = content.get("params")
    if not isinstance(values, Mapping):
        raise InvalidInput(f"{path} has no table [params]; write the parameters under that heading")
    try:
        return from_toml(cls, values)
    except InvalidInput as error:
        saved_by = content.get("strategy")
        whose = f" (saved by {saved_by})" if isinstance(saved_by, str) else ""
        raise InvalidInput(f"{path}{whose}: {error}. Delete or rename them in the file to load it") from None


def save_preset(params: Params, name_or_path: str | Path) -> Path:
    """Write parameters as a preset and return its file; comments of a file that is there are kept.

    What TOML cannot hold is left out, which the log tells. Raises ``InvalidInput`` for a name that can be none, and for
    a file that is there and cannot be read.
    """
    cls = type(params)
    path = preset_path(cls, name_or_path)
    document = _document(path)
    document["strategy"] = owner_name(cls)
    table = _table(document, path)
    for name in [name for name in table if name not in cls.model_fields]:
        logger.info("preset %s: %s is no parameter of %s any more and is dropped", path, name, owner_name(cls))
        del table[name]
    for field in cls.describe():
        _put(table, field, getattr(params, field.name), path)
    write_whole(path, document.as_string().encode())
    return path


def _document(path: Path) -> tomlkit.TOMLDocument:
    import tomlkit

    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{path} is there but is no readable TOML file ({error}); mend or delete it, or take another name"
        ) from None


def _table(document: tomlkit.TOMLDocument, path: Path) -> Table:
    import tomlkit
    from tomlkit.items import Table

    table = document.setdefault("params", tomlkit.table())
    if not isinstance(table, Table):
        raise InvalidInput(f"{path} has a params that is no table; mend or delete the file, or take another name")
    return table


def _put(table: Table, field: ParamField, value: Any, path: Path) -> None:
    try:
        item = to_toml(field, value)
    except NotWritable as error:
        logger.warning("preset %s leaves %s out: %s", path, field.name, error)
        table.pop(field.name, None)
        return
    if field.name not in table:
        about = "; ".join(filter(None, (field.unit, field.doc.splitlines()[0] if field.doc else "")))
        if about:
            item.comment(about)
    elif table[field.name] == item and type(table[field.name]) is type(item):
        return  # also the way in which a number is written stays
    table[field.name] = item


@dataclass(frozen=True, slots=True)
class _Preset:
    strategy: str
    preset: str
    parameters: int
    changed: Any
    path: str
    problem: str


def presets(strategy: Any = None) -> pd.DataFrame:
    """Return the presets there are, those of ``strategy`` (an object, a class or its name) or all, as a table.

    Columns: ``strategy``, ``preset``, ``parameters`` (how many it names), ``changed`` (UTC), ``path``, ``problem`` (why
    it cannot be read, else empty).
    """
    import pandas as pd

    only = None if strategy is None else _strategy_name(strategy)
    rows = [
        _describe(path)
        for path in sorted(preset_folder().glob(f"*/[!.]*{_SUFFIX}"))
        if only is None or path.parent.name == only
    ]
    frame = pd.DataFrame(
        [[getattr(row, name) for name in _Preset.__slots__] for row in rows], columns=_Preset.__slots__
    )
    return frame.astype({"parameters": "int64"}).assign(changed=pd.to_datetime(frame["changed"], unit="s", utc=True))


def _strategy_name(strategy: Any) -> str:
    if isinstance(strategy, str):
        return strategy
    cls: Any = strategy if isinstance(strategy, type) else type(strategy)
    return owner_name(cls if issubclass(cls, Params) else cls.Params)


def _describe(path: Path) -> _Preset:
    problem, count = "", 0
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("params")
        problem, count = ("", len(table)) if isinstance(table, Mapping) else ("no table [params]", 0)
    except (OSError, ValueError) as error:
        problem = str(error)
    return _Preset(path.parent.name, path.stem, count, path.stat().st_mtime, str(path), problem)

"""Which form a file is of, told by its first bytes and its first line, not by its name alone."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from kit.errors import InvalidInput
from kit.storage.importers.errors import BadFile
from kit.storage.importers.tables import first_fields, is_header

RAW: Final = "raw"
BINANCE_CSV: Final = "binance_csv"
TARDIS: Final = "tardis"
HFTBACKTEST: Final = "hftbacktest"
RECORDING: Final = "recording"
FORMS: Final = (RAW, BINANCE_CSV, TARDIS, HFTBACKTEST, RECORDING)

_NPY_MAGIC = b"\x93NUMPY"


def form_of(path: Path) -> str:
    """Return the form of a file or folder. Raises ``BadFile`` for one of none of them."""
    if path.is_dir() or _begins(path, b"PAR1"):
        return RECORDING
    if not path.is_file():
        raise InvalidInput(f"there is no {str(path)!r}: check the path")
    if _is_arrays(path):
        return HFTBACKTEST
    fields = first_fields(path)
    if fields and fields[0].partition(" ")[0].isdigit() and "{" in fields[0]:
        return RAW
    if not fields or "local_timestamp" in fields:
        return TARDIS
    if is_header(fields) or fields[0].isdigit():
        return BINANCE_CSV
    raise BadFile(
        f"{path.name} is of no form known here: its first line begins {','.join(fields)[:80]!r}; known are raw "
        "streams, Binance's and Tardis' csv files, hftbacktest's npz and npy, and folders of recordings"
    )


def _begins(path: Path, magic: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _is_arrays(path: Path) -> bool:
    if _begins(path, _NPY_MAGIC):
        return True
    if not _begins(path, b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise BadFile(f"{path.name}: the file is damaged or was cut ({error}); load it down again") from error

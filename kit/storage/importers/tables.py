"""Comma-separated files, plain, gzip or zip, read into columns of known names and types."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from kit.storage.importers.errors import BadFile
from kit.storage.importers.lines import GZIP_MAGIC

Table: TypeAlias = dict[str, NDArray[Any]]

BLOCK = 1 << 20
"""Bytes of text that are read at a time; pyarrow reads some dozens of them ahead."""

_ZIP_MAGIC = b"PK\x03\x04"
_DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError)
TYPES: Mapping[str, Any] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "word": pa.dictionary(pa.int32(), pa.string()),
}


def first_fields(path: Path) -> list[str]:
    """Return the fields of the first line; an empty list for an empty file. Raises ``BadFile`` for damage."""
    try:
        with closing(_open(path)) as file:
            line = file.readline().decode("utf-8-sig")
    except _DAMAGE as error:
        raise BadFile(f"{path.name}: the file cannot be read ({error}); load it down again") from error
    return [field.strip().strip('"') for field in line.split(",")] if line.strip() else []


def is_header(fields: Sequence[str]) -> bool:
    """Tell whether the first line names columns: its first field is a word."""
    return bool(fields) and re.fullmatch(r"[A-Za-z_][\w ]*", fields[0]) is not None


def read_tables(path: Path, columns: Mapping[str, str], names: Sequence[str] | None = None) -> Iterator[Table]:
    """Read ``columns`` (type by name) as arrays, some ten thousand rows at a time, so that files may be of any size.

    Missing numbers and texts become 0, nan or "". Types are int, float, bool, text, and word for text of few different
    values. ``names`` are those of all the file's columns, where it has no header. Raises ``BadFile`` naming the file
    and, where it is known, the row.
    """
    convert = pacsv.ConvertOptions(
        column_types={name: TYPES[kind] for name, kind in columns.items()},
        include_columns=list(columns),
        strings_can_be_null=True,
    )
    # one thread: with several, pyarrow cannot tell the row of an error
    options = pacsv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names)
    before = 0
    try:
        with closing(_open(path)) as file:
            for batch in pacsv.open_csv(file, read_options=options, convert_options=convert):
                table = pa.Table.from_batches([batch])
                for name in (name for name, kind in columns.items() if kind == "bool" and table[name].null_count):
                    row = before + table[name].is_null().index(True).as_py() + 1
                    raise BadFile(f"{path.name}, data row {row}: {name} is missing; it must be true or false")
                before += len(batch)
                if len(batch):
                    yield {name: _array(table[name], kind) for name, kind in columns.items()}
    except pa.ArrowKeyError as error:
        held = ", ".join(first_fields(path))
        raise BadFile(f"{path.name}: {error}; the file has the columns {held}; needed: {', '.join(columns)}") from error
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise BadFile(f"{path.name}: {error}") from error
    except _DAMAGE as error:
        raise BadFile(f"{path.name}: the file is damaged or was cut ({error}); load it down again") from error


_DTYPES = {"int": "int64", "float": "float64", "bool": "bool", "text": "object", "word": "object"}
_FILL: Mapping[str, Any] = {"int": 0, "float": float("nan"), "bool": False, "text": ""}


def _array(column: Any, kind: str) -> NDArray[Any]:
    if kind == "word":
        whole = column.unify_dictionaries().combine_chunks()
        if isinstance(whole, pa.ChunkedArray):  # of a table without rows
            return np.empty(0, dtype=object)
        words = np.array([*whole.dictionary.to_pylist(), ""], dtype=object)
        return cast("NDArray[Any]", words[whole.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)])
    return cast("NDArray[Any]", column.fill_null(_FILL[kind]).to_numpy().astype(_DTYPES[kind]))


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(GZIP_MAGIC):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if magic == _ZIP_MAGIC:
        return _only_member(path)
    return path.open("rb")


def _only_member(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if name.endswith(".csv")]
    if len(names) != 1:
        archive.close()
        raise BadFile(f"{path.name} holds {len(names)} csv files ({', '.join(names[:3])}); one is needed: unpack it")
    return archive.open(names[0])

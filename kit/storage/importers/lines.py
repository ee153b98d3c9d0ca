"""The lines of a text file, gzip or plain, in batches; damage is told with the number of the last whole line."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import BinaryIO, TypeAlias

from kit.errors import InvalidInput
from kit.storage.importers.errors import BadFile

Paths: TypeAlias = str | PathLike[str] | Sequence[str | PathLike[str]]
"""One path, or several in the order of their time."""

GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 1 << 20
_GZIP_WBITS = 31


def existing(paths: Paths) -> tuple[Path, ...]:
    """Return the files named; raises ``InvalidInput`` when there is none or one of them does not exist."""
    several = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not several:
        raise InvalidInput("no file given: name at least one")
    found = tuple(Path(path) for path in several)
    for path in found:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InvalidInput(f"{str(path)!r} {what}; a file is needed here: check the path")
    return found


def batches(path: Path, size: int = 1 << 24, *, cut_ok: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (number of the first line, lines without their line ends) about every ``size`` bytes of text.

    Raises ``BadFile`` where gzip's data are damaged or end early, after the whole lines before that were yielded; with
    ``cut_ok`` an early end is an end, and half a line at it is dropped.
    """
    number, pieces, held = 1, [b""], 0
    try:
        for piece in _pieces(path):
            pieces.append(piece)
            held += len(piece)
            if held < size:
                continue
            *lines, rest = b"".join(pieces).split(b"\n")
            yield number, lines
            number, pieces, held = number + len(lines), [rest], len(rest)
    except _CutShort as error:
        *lines, _ = b"".join(pieces).split(b"\n")
        if lines:
            yield number, lines
        if not (cut_ok and error.early_end):
            hint = "; pass cut_ok=True to import what is whole" if error.early_end else ""
            where = f"{path.name}, after line {number + len(lines) - 1}"
            raise BadFile(f"{where}: the compressed file {error}{hint}") from error
        return
    last = b"".join(pieces).split(b"\n")
    if cut_ok or not last[-1]:
        last.pop()
    if last:
        yield number, last


class _CutShort(Exception):
    """The compressed data end early or are no gzip data."""

    def __init__(self, message: str, *, early_end: bool) -> None:
        super().__init__(message)
        self.early_end = early_end


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if zipped:
            yield from _unzipped(file)
            return
        while piece := file.read(_READ_BYTES):
            yield piece


def _unzipped(file: BinaryIO) -> Iterator[bytes]:
    """Yield what gzip's members hold, everything up to the place of the damage included."""
    packed = file.read(_READ_BYTES)
    while packed:
        member = zlib.decompressobj(_GZIP_WBITS)
        while not member.eof:
            if not packed and not (packed := file.read(_READ_BYTES)):
                raise _CutShort("ends early: it was cut, or its writer was killed", early_end=True)
            try:
                yield member.decompress(packed)
            except zlib.error as error:
                raise _CutShort(f"is damaged ({error})", early_end=False) from error
            packed = member.unused_data
        packed = packed.lstrip(b"\0") or file.read(_READ_BYTES)  # zeros may pad the end

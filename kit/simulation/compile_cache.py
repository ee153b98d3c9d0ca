"""Compile once, for every process: where compiled code is kept and when it is stale.

numba keeps a function's compiled code beside its file, or in the user's cache folder where the package's own is not
writable, and takes it for fresh as long as that one file is unchanged. The kernel's functions call each other across
files, so here it is fresh only while all of them are, and each version of them keeps its code in files of its own.
With no writable folder at all, each process compiles anew.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import llvmlite  # type: ignore[import-untyped]
import numba

from kit.simulation.kernel_compiler import EntryCompiler, PartCompiler

_log = logging.getLogger(__name__)
# What the kernel does without: reference counts (it has no objects), rewrites of array expressions, C entry points.
_OPTIONS: Final = {"error_model": "numpy", "_nrt": False, "no_rewrites": True, "no_cfunc_wrapper": True}
_njit: Any = numba.njit  # its stubs do not know all options
_F = TypeVar("_F", bound=Callable[..., Any])
_loaded: Final = hashlib.sha256()
"""Over the functions marked so far, as they are in this process."""


def part(function: _F) -> _F:
    """Mark a function that is only called from other compiled code: it is compiled with its callers."""
    _loaded.update(described(function))
    return cast("_F", _njit(no_cpython_wrapper=True, pipeline_class=PartCompiler, **_OPTIONS)(function))


def entry(function: _F) -> _F:
    """Compile a function that Python calls, on its first call, and keep the code for later processes."""
    _loaded.update(described(function))
    options = {"pipeline_class": EntryCompiler, **_OPTIONS}
    try:
        compiled = _njit(cache=True, **options)(function)
    except RuntimeError as error:  # numba's word for: no folder to write to
        _log.warning("compiled code cannot be kept (%s): every process will compile it again", error)
        return cast("_F", _njit(**options)(function))
    _bind_to_version(compiled)
    return cast("_F", compiled)


def _bind_to_version(compiled: Any) -> None:
    # numba has no public way to name the files that a cached function depends on.
    files: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if not all(hasattr(files, name) for name in ("_source_stamp", "_index_name", "_index_path", "_data_name_pattern")):
        _log.warning("this numba keeps compiled code differently: clear its cache by hand after changing the kernel")
        return
    stamp = hashlib.sha256(sources_stamp().encode() + _loaded.digest()).hexdigest()[:16]
    files._source_stamp = stamp  # noqa: SLF001
    # numba writes an index before the code that it names. In names of one version only, an index whose code is not
    # there yet, or never will be, finds nothing; in names used again it would find the code of the version before.
    index = Path(files._index_path)  # noqa: SLF001
    base = index.name.removesuffix(".nbi")
    files._index_name = f"{base}.{stamp}.nbi"  # noqa: SLF001
    files._index_path = str(index.with_name(files._index_name))  # noqa: SLF001
    files._data_name_pattern = f"{base}.{stamp}.{{number:d}}.nbc"  # noqa: SLF001
    if not index.with_name(files._index_name).exists():  # noqa: SLF001
        _forget_others(index.parent, base, stamp)


def _forget_others(folder: Path, base: str, stamp: str) -> None:
    """Remove the code of other versions; a process that is about to load one of them compiles instead."""
    function, python = base.partition("-")[0], base.rpartition(".")[2]
    for path in folder.glob(f"{function}-*.{python}.*nb[ic]"):
        if stamp not in path.name:
            with suppress(OSError):  # gone already, or in use, where that keeps it from being removed
                path.unlink()


def described(function: Callable[..., Any]) -> bytes:
    """Return what a function is compiled from: its bytecode and the numbers that it names.

    Not its file: that may have been replaced since it was imported, and then the code of the old one would be kept as
    that of the new.
    """
    code = function.__code__
    named = {name: function.__globals__.get(name) for name in code.co_names}
    numbers = {name: value for name, value in named.items() if isinstance(value, (int, float))}
    return repr((code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_consts, numbers)).encode()


@cache
def sources_stamp() -> str:
    """Return a hash over all files of the kernel and the versions of the compiler."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for path in (Path(__file__), *sorted(Path(__file__).parent.glob("kernel*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""Compile once, for every process: where compiled code is kept and when it is stale.

numba keeps a function's compiled code beside its file, or in the user's cache folder where the package's own is not
writable, and takes it for fresh as long as that one file is unchanged. The kernel's functions call each other across
files, so here it is fresh only while all of them are. With no writable folder at all, each process compiles anew.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

_log = logging.getLogger(__name__)
# What the kernel does without: reference counts (it has no objects), rewrites of array expressions, C entry points.
_OPTIONS: Final = {"error_model": "numpy", "_nrt": False, "no_rewrites": True, "no_cfunc_wrapper": True}
_njit: Any = numba.njit  # its stubs do not know all options
_F = TypeVar("_F", bound=Callable[..., Any])


def inline(function: _F) -> _F:
    """Compile a function that is only called from other compiled code; it is stored with its callers."""
    return cast("_F", _njit(no_cpython_wrapper=True, **_OPTIONS)(function))


def merge(function: _F) -> _F:
    """Mark a small function, or one with a single caller, that becomes part of its callers before they are compiled.

    Each function compiled apart costs about 0.1 s of the first compilation.
    """
    return cast("_F", _njit(inline="always")(function))


def entry(function: _F) -> _F:
    """Compile a function that Python calls, on its first call, and keep the code for later processes."""
    try:
        compiled = _njit(cache=True, **_OPTIONS)(function)
    except RuntimeError as error:  # numba's word for: no folder to write to
        _log.warning("compiled code cannot be kept (%s): every process will compile it again", error)
        return cast("_F", _njit(**_OPTIONS)(function))
    _bind_to_sources(compiled)
    return cast("_F", compiled)


def _bind_to_sources(compiled: Any) -> None:
    # numba has no public way to name the files that a cached function depends on.
    files = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if files is not None and hasattr(files, "_source_stamp"):
        files._source_stamp = sources_stamp()  # noqa: SLF001
    else:
        _log.warning("this numba keeps compiled code differently: clear its cache by hand after changing the kernel")


@cache
def sources_stamp() -> str:
    """Return a hash over all files of the kernel."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("kernel*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

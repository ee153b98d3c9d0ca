"""Compiled code that is kept: never that of another version, whatever other processes do meanwhile."""

import importlib.util

import numba
import pytest

from kit.simulation import (
    kernel,  # noqa: F401 - bound to its version before these tests mark more functions
    kernel_memory,
)
from kit.simulation.compile_cache import described, sources_stamp

MODULE = """
from kit.simulation.compile_cache import entry

NUMBER = {number}

@entry
def add(value):
    return value + NUMBER
"""


@pytest.fixture
def version(tmp_path):
    """Give the function of a module of one version, as a process that imports it now would have it."""

    def load(number):
        path = tmp_path / "kernel_like.py"
        path.write_text(MODULE.format(number=number))
        spec = importlib.util.spec_from_file_location("kernel_like", path)
        module = importlib.util.module_from_spec(spec)
        # Not spec.loader: within a second, Python would take the bytecode of the version before for fresh.
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
        return module.add

    return load


def key_of(function):
    signature = (numba.int64,)
    return function._cache._index_key(signature, function.targetctx.codegen())


def test_an_index_without_its_code_does_not_bring_the_code_of_the_version_before(version):
    old, new = version(1), version(2)
    assert old(10) == 11  # a process of the old version keeps its code late
    files = new._cache._cache_file
    files._save_index({key_of(new): files._data_name(1)})  # a process of the new one was killed between its two files
    assert key_of(old) == key_of(new)
    assert new(10) == 12
    later = version(2)
    assert later(10) == 12
    assert old._cache._cache_file._index_path != files._index_path


def test_what_an_older_version_kept_is_removed(version, tmp_path):
    assert version(1)(10) == 11
    kept = {path.name for path in tmp_path.rglob("*.nb?")}
    assert version(2)(10) == 12
    left = {path.name for path in tmp_path.rglob("*.nb?")}
    assert len(kept) == len(left) == 2
    assert not kept & left


def test_a_function_is_described_by_its_code_and_the_numbers_it_names(version):
    assert described(version(1).py_func) == described(version(1).py_func)
    assert described(version(1).py_func) != described(version(2).py_func)


def test_the_stamp_is_over_the_compiler_too(monkeypatch):
    before = sources_stamp.__wrapped__()
    assert before == sources_stamp.__wrapped__()
    monkeypatch.setattr(numba, "__version__", "0.0")
    assert sources_stamp.__wrapped__() != before


def test_integers_smaller_and_greater():
    @numba.njit
    def both(a, b):
        return kernel_memory.least(a, b), kernel_memory.most(a, b)

    assert both(-3, 2) == both(2, -3) == (-3, 2)
    assert both(1 << 40, 1 << 40) == (1 << 40, 1 << 40)

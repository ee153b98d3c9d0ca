"""Read and write memory by address inside compiled code.

The kernel gets one integer, the address of its state, and finds everything else from there: no array is unboxed per
call (20 array arguments cost 3 µs, one integer 0.1 µs), and no array structure has to be compiled. Every address
comes from an array that the engine keeps alive; an index out of bounds is a crash, so only the kernel may use this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic


def _reader(kind: Any, bits: ir.Type, extend: str = "") -> Callable[..., Any]:
    result = types.int64 if extend else kind

    @intrinsic
    def read(_context: Any, _address: Any, _index: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            pointer = builder.gep(builder.inttoptr(args[0], bits.as_pointer()), [args[1]])
            value = builder.load(pointer)
            return getattr(builder, extend)(value, ir.IntType(64)) if extend else value

        return result(types.int64, types.int64), generate

    return cast("Callable[..., Any]", read)


def _writer(kind: Any, bits: ir.Type) -> Callable[..., Any]:
    @intrinsic
    def write(_context: Any, _address: Any, _index: Any, _value: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            builder.store(args[2], builder.gep(builder.inttoptr(args[0], bits.as_pointer()), [args[1]]))

        return types.void(types.int64, types.int64, kind), generate

    return cast("Callable[..., Any]", write)


read_int: Callable[[int, int], int] = _reader(types.int64, ir.IntType(64))
"""``read_int(address, index)``: the int64 at ``address + 8 * index``."""
read_float: Callable[[int, int], float] = _reader(types.float64, ir.DoubleType())
"""``read_float(address, index)``: the float64 at ``address + 8 * index``."""
read_tick: Callable[[int, int], int] = _reader(types.int32, ir.IntType(32), "sext")
"""``read_tick(address, index)``: the int32 at ``address + 4 * index``, as int64."""
read_byte: Callable[[int, int], int] = _reader(types.uint8, ir.IntType(8), "zext")
"""``read_byte(address, index)``: the byte at ``address + index``, as int64."""
write_int: Callable[[int, int, int], None] = _writer(types.int64, ir.IntType(64))
"""``write_int(address, index, value)``."""
write_float: Callable[[int, int, float], None] = _writer(types.float64, ir.DoubleType())
"""``write_float(address, index, value)``."""


@intrinsic
def _least(_context: Any, _a: Any, _b: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("<", *args), *args)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _most(_context: Any, _a: Any, _b: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed(">", *args), *args)

    return types.int64(types.int64, types.int64), generate


least: Callable[[int, int], int] = cast("Any", _least)
"""``least(a, b)``: ``min`` of two integers, which numba takes a tenth of a second to compile."""
most: Callable[[int, int], int] = cast("Any", _most)
"""``most(a, b)``: ``max`` of two integers."""


@intrinsic
def _call_model(_context: Any, _address: Any, _a: Any, _b: Any, _c: Any, _d: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        double = ir.DoubleType()
        function = ir.FunctionType(double, [double] * 4)
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), args[1:])

    return types.float64(types.int64, *[types.float64] * 4), generate


call_model: Callable[[int, float, float, float, float], float] = cast("Any", _call_model)
"""``call_model(address, a, b, c, d)``: call a C function of four float64 that returns a float64."""

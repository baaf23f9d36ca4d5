"""Loops as machine code, by Numba.

A loop is compiled when it is first called. The machine code is cached beside its file, or in the user's cache if that
folder cannot be written, so only the first use after an installation takes some seconds. Loops release the interpreter
lock, so threads run them side by side. A loop must call only loops of its own file, and the intrinsics below: the cache
does not notice a change in another file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def compiled(loop: _Loop, **options: object) -> _Loop:
    """Compile a function; dividing by zero gives infinity or NaN, as in IEEE 754."""
    try:
        made: _Loop = njit(nogil=True, error_model="numpy", cache=True, **options)(loop)
    except RuntimeError:  # no folder can be written: each process compiles anew
        made = njit(nogil=True, error_model="numpy", **options)(loop)
    return made


def inlined(loop: _Loop) -> _Loop:
    """Compile a function into its callers: a call would take longer than the work in it."""
    return compiled(loop, forceinline=True)


def reordered(loop: _Loop) -> _Loop:
    """The same for a sum whose terms may be added in any order, so that the processor adds several at a time."""
    return compiled(loop, forceinline=True, fastmath={"reassoc", "contract"})


def _same_bits(signature: object, kind: ir.Type) -> tuple[object, Callable[..., object]]:
    """What the compiler makes of a number of another type with the same bits."""
    return signature, lambda context, builder, _, given: builder.bitcast(given[0], kind)


bits_of: Callable[[float], np.int64] = intrinsic(lambda _, x: _same_bits(types.int64(types.float64), ir.IntType(64)))
"""The bits of a float64."""
float_of: Callable[[np.int64], float] = intrinsic(
    lambda _, bits: _same_bits(types.float64(types.int64), ir.DoubleType())
)
"""The float64 of some bits."""


@intrinsic
def prefetch(_, x, row, byte):  # type: ignore[no-untyped-def]
    """Prefetch the cache line that holds a byte of a row of x (N, w)."""

    def codegen(context, builder, signature, given):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, builder, given[0])
        row, byte = (context.cast(builder, given[i], signature.args[i], types.intp) for i in (1, 2))
        start = builder.ptrtoint(array.data, row.type)
        place = builder.add(builder.add(start, builder.mul(row, builder.extract_value(array.strides, 0))), byte)
        pointer = builder.inttoptr(place, ir.IntType(8).as_pointer())
        reading, near, data = (ir.Constant(ir.IntType(32), k) for k in (0, 3, 1))
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, reading.type, near.type, data.type])
        builder.call(
            builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind), [pointer, reading, near, data]
        )
        return context.get_dummy_value()

    return types.void(x, row, byte), codegen

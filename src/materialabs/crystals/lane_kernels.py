"""Eight points at a time: the two innermost steps of the neighbour search.

A compiler turns most loops into vector code by itself, but not one that keeps some of its items
and drops the others. Processors with AVX-512 have an instruction for just that, and LLVM has a
name for it (``llvm.experimental.vector.compress``, since LLVM 19); it is written out here.
Elsewhere plain loops do the same with the same arithmetic, so that both give the same bits.

Each of the two functions looks at the points ``start:stop``, writes those that it keeps after the
``filled`` ones that are there, and gives how many there are then. It may read and write up to
eight places too far: all arrays need that room at their end.

``points`` and ``images`` are float64 [3, room], ``names`` and ``kept`` int32 [room]. Positions are
unsigned inside, which spares the check for negative ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped, unused-ignore]
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic

LANES = 8
"""Points that one step looks at."""

FIRST_LLVM_WITH_COMPRESS = 19

_INTEGER, _LONG = ir.IntType(32), ir.IntType(64)
_REALS = ir.VectorType(ir.DoubleType(), LANES)
_INTEGERS = ir.VectorType(_INTEGER, LANES)
_CHOICE = ir.VectorType(ir.IntType(1), LANES)
_BYTES = {_REALS: 8, _INTEGERS: 4}
_SUFFIX = {_REALS: f"v{LANES}f64", _INTEGERS: f"v{LANES}i32"}


def has_lanes() -> bool:
    """Whether compiler and processor can keep some of eight numbers in one step.

    Not where numba is told to compile for another processor (``NUMBA_CPU_NAME``).
    """
    if config.CPU_NAME or config.CPU_FEATURES:
        return False
    features = binding.get_host_cpu_features()
    return binding.llvm_version_info[0] >= FIRST_LLVM_WITH_COMPRESS and all(
        features.get(name, False) for name in ("avx512f", "avx512vl")
    )


class _Writer:
    """Writes vector instructions for one call of a lane function."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self.arguments = arguments
        self.arrays = [
            context.make_array(kind)(context, builder, value)
            if isinstance(kind, types.Array)
            else None
            for kind, value in zip(signature.args, arguments, strict=True)
        ]

    def place(self, number: int, position: Any, kind: Any, row: int = 0) -> Any:
        """Where a row of array argument ``number`` has its item at ``position``."""
        array: Any = self.arrays[number]
        if row:
            columns = self.builder.extract_value(array.shape, 1)
            ahead = self.builder.mul(ir.Constant(_LONG, row), columns)
            position = self.builder.add(position, ahead)
        return self.builder.bitcast(self.builder.gep(array.data, [position]), kind.as_pointer())

    def read(self, number: int, position: Any, kind: Any = _REALS, row: int = 0) -> Any:
        return self.builder.load(self.place(number, position, kind, row), align=_BYTES[kind])

    def spread(self, value: Any, kind: Any = _REALS) -> Any:
        """One number in all lanes."""
        empty = ir.Constant(kind, ir.Undefined)
        single = self.builder.insert_element(empty, value, ir.Constant(_INTEGER, 0))
        return self.builder.shuffle_vector(single, empty, ir.Constant(_INTEGERS, [0] * LANES))

    def square(self, parts: list[Any]) -> Any:
        """x*x + y*y + z*z, in this order and rounded at each step."""
        x, y, z = (self.builder.fmul(part, part) for part in parts)
        return self.builder.fadd(self.builder.fadd(x, y), z)

    def outside(self, values: Any, half: Any) -> Any:
        """How far beyond [-half, half] the values lie."""
        kind = ir.FunctionType(_REALS, [_REALS])
        size = self.builder.call(self.known(f"llvm.fabs.{_SUFFIX[_REALS]}", kind), [values])
        zero = ir.Constant(_REALS, [0.0] * LANES)
        gap = self.builder.fsub(size, self.spread(half))
        return self.builder.select(self.builder.fcmp_ordered(">", gap, zero), gap, zero)

    def known(self, name: str, kind: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def within(self, values: Any, limit: Any, left: Any) -> Any:
        """Which of the values that exist are at most the limit."""
        lane = ir.Constant(_INTEGERS, list(range(LANES)))
        count = self.spread(self.builder.trunc(left, _INTEGER), _INTEGERS)
        exists = self.builder.icmp_unsigned("<", lane, count)
        near = self.builder.fcmp_ordered("<=", values, self.spread(limit))
        return self.builder.and_(near, exists)

    def keep(self, values: Any, chosen: Any, number: int, position: Any, row: int = 0) -> None:
        """Write the chosen lanes, one after the other."""
        kind = values.type
        name = f"llvm.experimental.vector.compress.{_SUFFIX[kind]}"
        compress = self.known(name, ir.FunctionType(kind, [kind, _CHOICE, kind]))
        packed = self.builder.call(compress, [values, chosen, ir.Constant(kind, ir.Undefined)])
        self.builder.store(packed, self.place(number, position, kind, row), align=_BYTES[kind])

    def count(self, chosen: Any) -> Any:
        bits = self.builder.bitcast(chosen, ir.IntType(LANES))
        return self.builder.zext(self.builder.ctpop(bits), _LONG)


def _write_near(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    writer = _Writer(context, builder, signature, arguments)
    _, _, k, left, *centre, own, limit, _, _, m = arguments
    apart = [
        builder.fsub(writer.read(0, k, row=axis), writer.spread(centre[axis])) for axis in range(3)
    ]
    square = writer.square(apart)
    names = writer.read(1, k, _INTEGERS)
    other = builder.icmp_unsigned("!=", names, writer.spread(own, _INTEGERS))
    near = builder.and_(writer.within(square, limit, left), other)
    writer.keep(names, near, 9, m)
    writer.keep(square, near, 10, m)
    return writer.count(near)


def _write_reaching(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    writer = _Writer(context, builder, signature, arguments)
    _, _, k, left, *numbers, mark, limit, _, _, m = arguments
    shift, centre, half = numbers[:3], numbers[3:6], numbers[6:9]
    moved = [
        builder.fadd(writer.read(0, k, row=axis), writer.spread(shift[axis])) for axis in range(3)
    ]
    gaps = [
        writer.outside(builder.fsub(moved[axis], writer.spread(centre[axis])), half[axis])
        for axis in range(3)
    ]
    near = writer.within(writer.square(gaps), limit, left)
    for axis in range(3):
        writer.keep(moved[axis], near, 15, m, row=axis)
    marks = writer.spread(builder.trunc(mark, _INTEGER), _INTEGERS)
    writer.keep(builder.or_(writer.read(1, k, _INTEGERS), marks), near, 16, m)
    return writer.count(near)


def _near_lanes(
    _typing: Any, points: Any, names: Any, k: Any, left: Any, x: Any, y: Any, z: Any, own: Any,
    limit: Any, kept: Any, squares: Any, m: Any,
) -> Any:  # fmt: skip
    signature = types.uint64(
        points, names, k, left, x, y, z, types.int32, limit, kept, squares, m
    )  # fmt: skip
    return signature, _write_near


def _reaching_lanes(
    _typing: Any, points: Any, names: Any, k: Any, left: Any, shift_x: Any, shift_y: Any,
    shift_z: Any, x: Any, y: Any, z: Any, half_x: Any, half_y: Any, half_z: Any, mark: Any,
    limit: Any, images: Any, kept: Any, m: Any,
) -> Any:  # fmt: skip
    signature = types.uint64(
        points, names, k, left, shift_x, shift_y, shift_z, x, y, z, half_x, half_y, half_z,
        mark, limit, images, kept, m,
    )  # fmt: skip
    return signature, _write_reaching


def near_loop(
    points: Any, names: Any, start: int, stop: int, x: float, y: float, z: float, own: int,
    limit: float, kept: Any, squares: Any, filled: int,
) -> Any:  # fmt: skip
    """Keep the other points within a distance of (x, y, z); give the new number of kept ones.

    Parameters
    ----------
    points, names, start, stop
        What is looked at (see the module).
    x, y, z, own
        The centre in angstrom, and the name of the point that is itself.
    limit
        Largest squared distance, square angstrom.
    kept, squares, filled
        Names and squared distances of kept points, and how many are there already.
    """
    m = np.uint64(filled)
    for i in range(np.uint64(start), np.uint64(stop)):
        dx, dy, dz = points[0, i] - x, points[1, i] - y, points[2, i] - z
        square = dx * dx + dy * dy + dz * dz
        kept[m], squares[m] = names[i], square
        m += np.uint64((square <= limit) & (names[i] != own))
    return np.int64(m)


def reaching_loop(
    points: Any, names: Any, start: int, stop: int,
    shift_x: float, shift_y: float, shift_z: float, box: Any, mark: int, limit: float,
    images: Any, kept: Any, filled: int,
) -> Any:  # fmt: skip
    """Move points and keep those within a distance of a box; give the new number of kept ones.

    Parameters
    ----------
    points, names, start, stop
        What is looked at (see the module).
    shift_x, shift_y, shift_z
        The shift, angstrom.
    box
        float64 [6], centre and half edges, angstrom.
    mark
        Bits that are added to the names.
    limit
        Largest squared distance, square angstrom.
    images, kept, filled
        Moved points and marked names that are kept, and how many are there already.
    """
    m = np.uint64(filled)
    for i in range(np.uint64(start), np.uint64(stop)):
        x, y, z = points[0, i] + shift_x, points[1, i] + shift_y, points[2, i] + shift_z
        dx = max(abs(x - box[0]) - box[3], 0.0)
        dy = max(abs(y - box[1]) - box[4], 0.0)
        dz = max(abs(z - box[2]) - box[5], 0.0)
        images[0, m], images[1, m], images[2, m] = x, y, z
        kept[m] = names[i] | np.int32(mark)
        m += np.uint64(dx * dx + dy * dy + dz * dz <= limit)
    return np.int64(m)


_near_eight: Any = intrinsic(_near_lanes)
_reaching_eight: Any = intrinsic(_reaching_lanes)


def near_lanes(
    points: Any, names: Any, start: int, stop: int, x: float, y: float, z: float, own: int,
    limit: float, kept: Any, squares: Any, filled: int,
) -> Any:  # fmt: skip
    """Do what :func:`near_loop` does, eight points at a time."""
    m, end = np.uint64(filled), np.uint64(stop)
    k = np.uint64(start)
    while k < end:
        m += _near_eight(points, names, k, end - k, x, y, z, own, limit, kept, squares, m)
        k += np.uint64(LANES)
    return np.int64(m)


def reaching_lanes(
    points: Any, names: Any, start: int, stop: int,
    shift_x: float, shift_y: float, shift_z: float, box: Any, mark: int, limit: float,
    images: Any, kept: Any, filled: int,
) -> Any:  # fmt: skip
    """Do what :func:`reaching_loop` does, eight points at a time."""
    x, y, z, half_x, half_y, half_z = box[0], box[1], box[2], box[3], box[4], box[5]
    m, end = np.uint64(filled), np.uint64(stop)
    k = np.uint64(start)
    while k < end:
        m += _reaching_eight(
            points, names, k, end - k, shift_x, shift_y, shift_z, x, y, z,
            half_x, half_y, half_z, np.uint64(mark), limit, images, kept, m,
        )  # fmt: skip
        k += np.uint64(LANES)
    return np.int64(m)


_compiled: Any = njit(cache=True, nogil=True)
keep_near: Any = _compiled(near_lanes if has_lanes() else near_loop)
keep_reaching: Any = _compiled(reaching_lanes if has_lanes() else reaching_loop)

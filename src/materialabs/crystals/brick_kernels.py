"""Crystals as stacks of rectangular bricks, the form in which neighbours are searched.

The periodic cell vectors are shortened and stood up as a lower-triangular matrix: a stack of
rectangular bricks, each layer shifted against the next. Every atom is moved into one brick.
Directions without periods take the remaining axes.

A cell shift (three small whole numbers) travels as one number, ``s0 + s1 * 2**16 + s2 * 2**32``,
which adds and subtracts like the shifts themselves.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

FIELD = 65536.0
"""One field of a packed shift."""

FARTHEST_ATOM = 10_000
"""Cells that an atom may lie away from the origin for shifts to fit 16 bits."""

NEARLY_HALF = 0.5 + 1e-7
"""A projection above this share of a vector is taken off the other vector."""

MOST_TURNS = 200
"""Sweeps after which the shortening of cell vectors stops; real cells need a few."""


@njit(cache=True, nogil=True)
def dot(rows: Any, i: int, others: Any, j: int) -> float:
    """Scalar product of row i of one table with row j of another."""
    product: float = (
        rows[i, 0] * others[j, 0] + rows[i, 1] * others[j, 1] + rows[i, 2] * others[j, 2]
    )
    return product


@njit(cache=True, nogil=True)
def take_off(rows: Any, i: int, others: Any, j: int, times: float) -> None:
    """Subtract a multiple of row j of one table from row i of another."""
    for axis in range(3):
        rows[i, axis] -= times * others[j, axis]


@njit(cache=True, nogil=True)
def shorten(vectors: Any, whole: Any, count: int) -> None:
    """Replace the first ``count`` rows by shorter ones of the same lattice, shortest first.

    Parameters
    ----------
    vectors
        float64 [3, 3], changed in place.
    whole
        float64 [3, 3], the whole numbers that build them from the cell vectors; changed alike.
    count
        How many rows there are.
    """
    for _ in range(MOST_TURNS):
        for turn in range(count - 1):
            for i in range(count - 1 - turn):
                if dot(vectors, i, vectors, i) > dot(vectors, i + 1, vectors, i + 1):
                    for axis in range(3):
                        vectors[i, axis], vectors[i + 1, axis] = (
                            vectors[i + 1, axis], vectors[i, axis],
                        )  # fmt: skip
                        whole[i, axis], whole[i + 1, axis] = whole[i + 1, axis], whole[i, axis]
        changed = False
        for i in range(1, count):
            for j in range(i):
                share = dot(vectors, i, vectors, j) / dot(vectors, j, vectors, j)
                if abs(share) > NEARLY_HALF:
                    times = np.rint(share)
                    take_off(vectors, i, vectors, j, times)
                    take_off(whole, i, whole, j, times)
                    changed = True
        if not changed:
            return


@njit(cache=True, nogil=True)
def stand_up(vectors: Any, count: int, axes: Any, edges: Any) -> None:
    """Find orthonormal axes along which the first ``count`` vectors are lower triangular.

    Parameters
    ----------
    vectors
        float64 [3, 3], angstrom.
    count
        How many rows are vectors; the other axes are any that are perpendicular.
    axes
        float64 [3, 3], rows become the axes (Gram and Schmidt).
    edges
        float64 [3, 3], becomes the vectors along the axes, zero rows for missing ones.
    """
    edges[:] = 0.0
    for i in range(3):
        if i < count:
            for axis in range(3):
                axes[i, axis] = vectors[i, axis]
        else:
            best, least = 0, 2.0
            for axis in range(3):
                covered = 0.0
                for j in range(i):
                    covered += axes[j, axis] ** 2
                if covered < least:
                    best, least = axis, covered
            axes[i] = 0.0
            axes[i, best] = 1.0
        for j in range(i):
            take_off(axes, i, axes, j, dot(axes, i, axes, j))
        length = math.sqrt(dot(axes, i, axes, i))
        for axis in range(3):
            axes[i, axis] /= length
        if i < count:
            for j in range(i + 1):
                edges[i, j] = dot(vectors, i, axes, j)


@njit(cache=True, nogil=True)
def orient(lattice: Any, pbc: Any, whole: Any, edges: Any, frame: Any) -> int:
    """Give the bricks of a cell, and the cell vectors along their axes; say how many periods.

    Parameters
    ----------
    lattice, pbc
        float64 [3, 3] in angstrom and bool [3].
    whole, edges
        As in :func:`shorten` and :func:`stand_up`.
    frame
        float64 [3, 3], becomes the cell vectors along the axes.
    """
    vectors, axes = np.empty((3, 3)), np.empty((3, 3))
    periods = 0
    whole[:] = 0.0
    for i in range(3):
        if pbc[i]:
            vectors[periods] = lattice[i]
            whole[periods, i] = 1.0
            periods += 1
    shorten(vectors, whole, periods)
    stand_up(vectors, periods, axes, edges)
    for i in range(3):
        for j in range(3):
            frame[i, j] = dot(lattice, i, axes, j)
    return periods


@njit(cache=True, nogil=True)
def inverse(period: float) -> float:
    """Steps for each angstrom, none in a direction without a period."""
    return 1.0 / period if period > 0.0 else 0.0


@njit(cache=True, nogil=True)
def nine(m: Any) -> Any:
    """The numbers of a matrix one by one, so that a loop holds them in registers."""
    return m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2], m[2, 0], m[2, 1], m[2, 2]


@njit(cache=True, nogil=True)
def place_atoms(
    frac: Any, pbc: Any, whole: Any, edges: Any, frame: Any, home: Any, wraps: Any
) -> int:
    """Move atoms into the brick; say how many lie too many cells away.

    Parameters
    ----------
    frac
        float64 [m, 3].
    pbc, whole, edges, frame
        The cell, as :func:`orient` gives it.
    home
        float64 [3, room], becomes the coordinates in the brick, angstrom.
    wraps
        int64 [room], becomes the packed shift that was taken off each atom.
    """
    p0, p1, p2 = 1.0 * pbc[0], 1.0 * pbc[1], 1.0 * pbc[2]
    i0, i1, i2 = inverse(edges[0, 0]), inverse(edges[1, 1]), inverse(edges[2, 2])
    e00, e10, e11 = edges[0, 0], edges[1, 0], edges[1, 1]
    e20, e21, e22 = edges[2, 0], edges[2, 1], edges[2, 2]
    v00, v01, v02, v10, v11, v12, v20, v21, v22 = nine(frame)
    n00, n01, n02, n10, n11, n12, n20, n21, n22 = nine(whole)
    home_x, home_y, home_z = home[0], home[1], home[2]
    far = 0
    for i in range(len(frac)):
        w0, w1, w2 = np.floor(frac[i, 0]) * p0, np.floor(frac[i, 1]) * p1, np.floor(frac[i, 2]) * p2
        f0, f1, f2 = frac[i, 0] - w0, frac[i, 1] - w1, frac[i, 2] - w2
        x = f0 * v00 + f1 * v10 + f2 * v20
        y = f0 * v01 + f1 * v11 + f2 * v21
        z = f0 * v02 + f1 * v12 + f2 * v22
        k2 = np.floor(z * i2)
        x, y, z = x - k2 * e20, y - k2 * e21, z - k2 * e22
        k1 = np.floor(y * i1)
        x, y = x - k1 * e10, y - k1 * e11
        k0 = np.floor(x * i0)
        home_x[i], home_y[i], home_z[i] = x - k0 * e00, y, z
        w0 += k0 * n00 + k1 * n10 + k2 * n20
        w1 += k0 * n01 + k1 * n11 + k2 * n21
        w2 += k0 * n02 + k1 * n12 + k2 * n22
        far += not (abs(w0) + abs(w1) + abs(w2) <= FARTHEST_ATOM)
        wraps[i] = np.int64(w0 + w1 * FIELD + w2 * (FIELD * FIELD))
    return far


@njit(cache=True, nogil=True)
def find_box(points: Any, count: int, box: Any) -> None:
    """Find the lowest and the highest corner of the box around points."""
    x, y, z = points[0], points[1], points[2]
    low_x, low_y, low_z = x[0], y[0], z[0]
    high_x, high_y, high_z = low_x, low_y, low_z
    for i in range(1, count):
        low_x = x[i] if x[i] < low_x else low_x
        low_y = y[i] if y[i] < low_y else low_y
        low_z = z[i] if z[i] < low_z else low_z
        high_x = x[i] if x[i] > high_x else high_x
        high_y = y[i] if y[i] > high_y else high_y
        high_z = z[i] if z[i] > high_z else high_z
    box[0], box[1], box[2] = low_x, low_y, low_z
    box[3], box[4], box[5] = high_x, high_y, high_z


@njit(cache=True, nogil=True)
def round_to_grid(home: Any, count: int, edges: Any, reach: float, box: Any) -> None:
    """Round coordinates and edges to multiples of one power of two, and find the atoms' box."""
    find_box(home, count, box)
    largest = np.max(np.abs(box))
    span = 8.0 * (largest + reach + np.sum(np.abs(edges)))
    grid = 1.5 * 2.0 ** math.ceil(math.log2(span))
    for i in range(3):
        for axis in range(3):
            edges[i, axis] = (edges[i, axis] + grid) - grid
    for axis in range(3):
        row = home[axis, :count]
        for i in range(count):
            row[i] = (row[i] + grid) - grid
    find_box(home, count, box)

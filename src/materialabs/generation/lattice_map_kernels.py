"""Compiled search for the cells of one lattice that nearly equal a cell of another."""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.crystals.fingerprint_kernels import inverse
from materialabs.generation.pairing_kernels import gram, square_length

ROOM_FOR_THIRDS = 4096
"""Third cell vectors looked at for one choice of the first two; flat cells have tens."""

ROOM_FOR_MAPS = 48
"""Maps of one lattice on another for which there is room at first; it doubles when needed."""


@njit(cache=True, nogil=True)
def lattice_vectors(
    basis: NDArray[np.float64],
    metric: NDArray[np.float64],
    shortest: float,
    longest: float,
    farthest: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Combinations of the cell vectors with a squared length from shortest to longest.

    Returns them [m, 3] and the largest multiple of each cell vector [3] that a vector of the
    squared length ``farthest`` can hold.
    """
    inv = inverse(basis)
    most, span = np.empty(3, np.int64), np.empty(3, np.int64)
    for k in range(3):
        height = np.sqrt(inv[0, k] ** 2 + inv[1, k] ** 2 + inv[2, k] ** 2)
        most[k] = int(np.sqrt(farthest) * height)
        span[k] = int(np.sqrt(longest) * height)
    vectors = np.empty(((2 * span[0] + 1) * (2 * span[1] + 1) * (2 * span[2] + 1), 3), np.int64)
    found = 0
    for x in range(-span[0], span[0] + 1):
        for y in range(-span[1], span[1] + 1):
            for z in range(-span[2], span[2] + 1):
                square = square_length(metric, x, y, z)
                if shortest <= square <= longest:
                    vectors[found, 0], vectors[found, 1], vectors[found, 2] = x, y, z
                    found += 1
    return vectors[:found], most


@njit(cache=True, nogil=True)
def dot(metric: NDArray[np.float64], u: NDArray[np.int64], v: NDArray[np.int64]) -> float:
    """Scalar product of two combinations of cell vectors."""
    total = 0.0
    for i in range(3):
        total += u[i] * (metric[i, 0] * v[0] + metric[i, 1] * v[1] + metric[i, 2] * v[2])
    return total


@njit(cache=True, nogil=True)
def fill_metric(
    metric: NDArray[np.float64], rows: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Scalar products of three combinations of cell vectors."""
    for a in range(3):
        for b in range(a + 1):
            out[a, b] = out[b, a] = dot(metric, rows[a], rows[b])


@njit(cache=True, nogil=True)
def strain_between(inv: NDArray[np.float64], metric: NDArray[np.float64]) -> float:
    """Frobenius norm of the Green-Lagrange strain from a cell to a metric.

    ``inv`` is the inverse of the cell, ``metric`` the scalar products of the other cell's vectors.
    """
    total = 0.0
    for i in range(3):
        x = inv[i, 0] * metric[0, 0] + inv[i, 1] * metric[0, 1] + inv[i, 2] * metric[0, 2]
        y = inv[i, 0] * metric[0, 1] + inv[i, 1] * metric[1, 1] + inv[i, 2] * metric[1, 2]
        z = inv[i, 0] * metric[0, 2] + inv[i, 1] * metric[1, 2] + inv[i, 2] * metric[2, 2]
        for j in range(i + 1):
            value = x * inv[j, 0] + y * inv[j, 1] + z * inv[j, 2]
            value = 0.5 * (value - (1.0 if i == j else 0.0))
            total += value * value * (1.0 if i == j else 2.0)
    return np.sqrt(total)


@njit(cache=True, nogil=True)
def third_vectors(
    rows: NDArray[np.int64],
    times: int,
    most: NDArray[np.int64],
    small: NDArray[np.float64],
    large: NDArray[np.float64],
    slack: NDArray[np.float64],
    out: NDArray[np.int64],
) -> int:
    """Complete two lattice vectors to a cell of ``times`` the volume and nearly the right shape.

    The determinant is linear in the third vector, so that two of its components fix the last.
    Fills ``out`` [room, 3] and returns how many there are, at most ``room``.
    """
    cross = np.empty(3, np.int64)
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        cross[k] = rows[0, a] * rows[1, b] - rows[0, b] * rows[1, a]
    solved = 0
    for k in range(1, 3):
        if abs(cross[k]) > abs(cross[solved]):
            solved = k
    if cross[solved] == 0:
        return 0
    u, v = (solved + 1) % 3, (solved + 2) % 3
    vector = np.empty(3, np.int64)
    found = 0
    for sign in (-1, 1):
        for x in range(-most[u], most[u] + 1):
            for y in range(-most[v], most[v] + 1):
                total = sign * times - x * cross[u] - y * cross[v]
                if abs(total) > most[solved] * abs(cross[solved]):
                    continue
                z = total * cross[solved] if abs(cross[solved]) == 1 else total // cross[solved]
                if z * cross[solved] != total:
                    continue
                vector[u], vector[v], vector[solved] = x, y, z
                if (
                    abs(dot(small, rows[0], vector) - large[0, 2]) <= slack[0, 2]
                    and abs(dot(small, rows[1], vector) - large[1, 2]) <= slack[1, 2]
                    and abs(dot(small, vector, vector) - large[2, 2]) <= slack[2, 2]
                    and found < len(out)
                ):
                    out[found] = vector
                    found += 1
    return found


@njit(cache=True, nogil=True)
def lattice_maps(
    small_lattice: NDArray[np.float64],
    large_lattice: NDArray[np.float64],
    times: int,
    strain_limit: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells of the smaller lattice that nearly equal a cell ``times`` as large.

    Returns them as whole combinations [m, 3, 3] of the smaller cell's vectors and the strain of
    each [m].
    """
    small, large = gram(small_lattice), gram(large_lattice)
    inv = inverse(large_lattice)
    slack = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            slack[i, j] = 2.0 * strain_limit * np.sqrt(large[i, i] * large[j, j])
    vectors, most = lattice_vectors(
        small_lattice, small, large[0, 0] - slack[0, 0], large[1, 1] + slack[1, 1],
        large[2, 2] + slack[2, 2],
    )  # fmt: skip
    thirds = np.empty((ROOM_FOR_THIRDS, 3), np.int64)
    maps, strains = np.empty((ROOM_FOR_MAPS, 3, 3), np.int64), np.empty(ROOM_FOR_MAPS)
    rows, metric = np.empty((3, 3), np.int64), np.empty((3, 3))
    found = 0
    for i in range(len(vectors)):
        rows[0] = vectors[i]
        if abs(dot(small, rows[0], rows[0]) - large[0, 0]) > slack[0, 0]:
            continue
        for j in range(len(vectors)):
            rows[1] = vectors[j]
            if (
                abs(dot(small, rows[1], rows[1]) - large[1, 1]) > slack[1, 1]
                or abs(dot(small, rows[0], rows[1]) - large[0, 1]) > slack[0, 1]
            ):
                continue
            for k in range(third_vectors(rows, times, most, small, large, slack, thirds)):
                rows[2] = thirds[k]
                fill_metric(small, rows, metric)
                strain = strain_between(inv, metric)
                if strain <= strain_limit:
                    if found == len(maps):
                        maps = np.concatenate((maps, np.empty((found, 3, 3), np.int64)))
                        strains = np.concatenate((strains, np.empty(found)))
                    maps[found] = rows
                    strains[found] = strain
                    found += 1
    return maps[:found], strains[:found]

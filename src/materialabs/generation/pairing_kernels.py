"""Compiled pairing of the atoms of one cell with those of another in the same lattice.

Atoms are sorted by element, the scarcest first, and their fractional coordinates are three rows,
so that the search for the nearest atom runs along memory.
"""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

MISSED, SHARED, PAIRED = 0, 1, 2
"""Outcomes of a pairing: an atom without a partner, one with two, every atom with its own."""


@njit(cache=True, nogil=True)
def blocks(numbers: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where each element's atoms begin, and the end; the atoms are sorted."""
    count = 1
    for i in range(1, len(numbers)):
        if numbers[i] != numbers[i - 1]:
            count += 1
    out = np.empty(count + 1, np.int64)
    out[0] = 0
    k = 1
    for i in range(1, len(numbers)):
        if numbers[i] != numbers[i - 1]:
            out[k] = i
            k += 1
    out[count] = len(numbers)
    return out


@njit(cache=True, nogil=True)
def gram(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scalar products of the cell vectors."""
    out = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            out[i, j] = (
                basis[i, 0] * basis[j, 0] + basis[i, 1] * basis[j, 1] + basis[i, 2] * basis[j, 2]
            )
    return out


@njit(cache=True, nogil=True)
def square_length(metric: NDArray[np.float64], a: float, b: float, c: float) -> float:
    """Squared length of a vector given by its components along the cell vectors."""
    return (
        a * (metric[0, 0] * a + 2.0 * (metric[0, 1] * b + metric[0, 2] * c))
        + b * (metric[1, 1] * b + 2.0 * metric[1, 2] * c)
        + metric[2, 2] * c * c
    )


@njit(cache=True, nogil=True)
def pair_sites(
    sites: NDArray[np.float64],
    targets: NDArray[np.float64],
    starts: NDArray[np.int64],
    metric: NDArray[np.float64],
    shift: NDArray[np.float64],
    catch: float,
    partners: NDArray[np.int64],
    steps: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> int:
    """Find for every target the nearest site of its element after a shift; stop at a miss.

    Fills ``partners`` (site of each target) and ``steps`` [3, N] (site + shift - target,
    fractional). ``squares`` is scratch. ``MISSED`` when a target has no site within ``catch``
    (angstrom^2), ``SHARED`` when two targets have the same one, else ``PAIRED``.
    """
    g00, g11, g22 = metric[0, 0], metric[1, 1], metric[2, 2]
    g01, g02, g12 = 2.0 * metric[0, 1], 2.0 * metric[0, 2], 2.0 * metric[1, 2]
    for block in range(len(starts) - 1):
        begin, end = starts[block], starts[block + 1]
        first, second, third = sites[0, begin:end], sites[1, begin:end], sites[2, begin:end]
        square = squares[begin:end]
        for j in range(begin, end):
            x = targets[0, j] - shift[0]
            y = targets[1, j] - shift[1]
            z = targets[2, j] - shift[2]
            for i in range(len(square)):
                a = first[i] - x
                b = second[i] - y
                c = third[i] - z
                a -= np.rint(a)
                b -= np.rint(b)
                c -= np.rint(c)
                square[i] = (
                    a * (g00 * a + g01 * b + g02 * c) + b * (g11 * b + g12 * c) + g22 * c * c
                )
            nearest = catch
            partner = -1
            for i in range(len(square)):
                if square[i] < nearest:
                    nearest = square[i]
                    partner = i
            if partner < 0:
                return MISSED
            partners[j] = begin + partner
            a, b, c = first[partner] - x, second[partner] - y, third[partner] - z
            steps[0, j] = a - np.rint(a)
            steps[1, j] = b - np.rint(b)
            steps[2, j] = c - np.rint(c)
    for j in range(starts[-1]):
        squares[j] = 0.0
    for j in range(starts[-1]):
        if squares[partners[j]] != 0.0:
            return SHARED
        squares[partners[j]] = 1.0
    return PAIRED


@njit(cache=True, nogil=True)
def centre(
    steps: NDArray[np.float64], metric: NDArray[np.float64], shift: NDArray[np.float64]
) -> tuple[float, float]:
    """Take the mean out of the steps and move it into the shift.

    Returns the mean square and the largest square of what remains, angstrom^2.
    """
    count = steps.shape[1]
    for k in range(3):
        mean = 0.0
        for j in range(count):
            mean += steps[k, j]
        mean /= count
        shift[k] -= mean
        for j in range(count):
            steps[k, j] -= mean
    total = 0.0
    largest = 0.0
    for j in range(count):
        square = square_length(metric, steps[0, j], steps[1, j], steps[2, j])
        total += square
        largest = max(largest, square)
    return total / count, largest


@njit(cache=True, nogil=True)
def settle(
    sites: NDArray[np.float64],
    targets: NDArray[np.float64],
    starts: NDArray[np.int64],
    metric: NDArray[np.float64],
    shift: NDArray[np.float64],
    catch: float,
    partners: NDArray[np.int64],
    steps: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> tuple[float, float]:
    """Pair sites with targets and refine the shift, from one that lays an atom on an atom.

    Returns the mean square and the largest square of the displacements that remain, infinite
    where there is no pairing. Where two targets claim one site, the pairing is made again from
    the refined shift: the atoms that gave the first one may themselves be displaced.
    """
    for _ in range(2):
        outcome = pair_sites(sites, targets, starts, metric, shift, catch, partners, steps, squares)
        if outcome == MISSED:
            break
        mean, largest = centre(steps, metric, shift)
        if outcome == PAIRED:
            return mean, largest
    return np.inf, np.inf

"""Compiled search for the way to lay one primitive cell over another."""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.crystals.fingerprint_kernels import inverse, volume
from materialabs.generation.pairing_kernels import blocks, gram, settle, square_length
from materialabs.generation.primitive_kernels import hermite

NO_MATCH = np.inf
"""Displacement and strain of a pair that does not match."""

ROOM_FOR_THIRDS = 4096
"""Third cell vectors looked at for one choice of the first two; flat cells have tens."""


@njit(cache=True, nogil=True)
def repeated(small: NDArray[np.uint8], large: NDArray[np.uint8]) -> int:
    """How many times the smaller cell's atoms make up the larger's; zero when they do not."""
    times, rest = divmod(len(large), len(small))
    if rest:
        return 0
    for i in range(len(small)):
        if small[i] != large[i * times] or small[i] != large[i * times + times - 1]:
            return 0
    return times


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
def strain_between(inv: NDArray[np.float64], metric: NDArray[np.float64]) -> float:
    """Frobenius norm of the Green-Lagrange strain from a cell to a metric.

    ``inv`` is the inverse of the cell, ``metric`` the scalar products of the other cell's vectors.
    """
    total = 0.0
    for i in range(3):
        for j in range(3):
            value = 0.0
            for a in range(3):
                for b in range(3):
                    value += inv[i, a] * metric[a, b] * inv[j, b]
            value = 0.5 * (value - (1.0 if i == j else 0.0))
            total += value * value
    return np.sqrt(total)


@njit(cache=True, nogil=True)
def fill_cell(frac: NDArray[np.float64], rows: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Sites of the smaller cell repeated through a larger one, as fractions of the larger."""
    inv = inverse(rows.astype(np.float64))
    steps = hermite(rows)
    place = 0
    for site in range(frac.shape[1]):
        for x in range(abs(steps[0, 0])):
            for y in range(abs(steps[1, 1])):
                for z in range(abs(steps[2, 2])):
                    a, b, c = frac[0, site] + x, frac[1, site] + y, frac[2, site] + z
                    for k in range(3):
                        out[k, place] = a * inv[0, k] + b * inv[1, k] + c * inv[2, k]
                    place += 1


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
                z, rest = divmod(sign * times - x * cross[u] - y * cross[v], cross[solved])
                if rest != 0 or abs(z) > most[solved]:
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
def lay(
    rows: NDArray[np.int64],
    metric: NDArray[np.float64],
    small_frac: NDArray[np.float64],
    large_frac: NDArray[np.float64],
    starts: NDArray[np.int64],
    limits: NDArray[np.float64],
) -> tuple[float, float]:
    """Try every origin for one way of laying the lattices over each other; stop at a fit.

    The first atom of the scarcest element is laid on each atom of that element that is not a
    copy of another. Returns the root mean square and the largest displacement, angstrom.
    """
    count = large_frac.shape[1]
    times = count // small_frac.shape[1]
    sites, steps = np.empty((3, count)), np.empty((3, count))
    partners, scratch, shift = np.empty(count, np.int64), np.empty(count), np.empty(3)
    fill_cell(small_frac, rows, sites)
    for origin in range(0, starts[1], times):
        for k in range(3):
            shift[k] = large_frac[k, 0] - sites[k, origin]
        mean, largest = settle(
            sites, large_frac, starts, metric, shift, limits[3], partners, steps, scratch
        )
        if mean <= limits[0] ** 2 and largest <= limits[1] ** 2:
            return np.sqrt(mean), np.sqrt(largest)
    return NO_MATCH, NO_MATCH


@njit(cache=True, nogil=True)
def overlay(
    small_lattice: NDArray[np.float64],
    small_frac: NDArray[np.float64],
    large_lattice: NDArray[np.float64],
    large_frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    limits: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Lay a crystal over another of the same volume per atom; stop at the first fit.

    ``numbers`` are the larger cell's, ``limits`` as :func:`compare` takes them. Returns the root
    mean square and the largest displacement in angstrom and the strain, or ``NO_MATCH`` thrice.
    """
    times = large_frac.shape[1] // small_frac.shape[1]
    starts = blocks(numbers)
    small, large = gram(small_lattice), gram(large_lattice)
    inv = inverse(large_lattice)
    slack = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            slack[i, j] = 2.0 * limits[2] * np.sqrt(large[i, i] * large[j, j])
    vectors, most = lattice_vectors(
        small_lattice, small, large[0, 0] - slack[0, 0], large[1, 1] + slack[1, 1],
        large[2, 2] + slack[2, 2],
    )  # fmt: skip
    thirds = np.empty((ROOM_FOR_THIRDS, 3), np.int64)
    rows, metric = np.empty((3, 3), np.int64), np.empty((3, 3))
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
                for a in range(3):
                    for b in range(3):
                        metric[a, b] = dot(small, rows[a], rows[b])
                strain = strain_between(inv, metric)
                if strain > limits[2]:
                    continue
                for a in range(3):
                    for b in range(3):
                        metric[a, b] = 0.5 * (metric[a, b] + large[a, b])
                mean, largest = lay(rows, metric, small_frac, large_frac, starts, limits)
                if mean < NO_MATCH:
                    return mean, largest, strain
    return NO_MATCH, NO_MATCH, NO_MATCH


@njit(cache=True, nogil=True)
def may_contain(
    small: NDArray[np.float64], large: NDArray[np.float64], ratio: float, times: int, strain: float
) -> bool:
    """Whether the shortest vectors of two reduced cells allow a map within a strain.

    Lattice vectors of the larger cell are lattice vectors of the smaller one, so that its three
    successive minima are at least as long; for equal cells they are equal. A strain changes a
    squared length by at most twice its norm. ``ratio`` scales squared lengths of the smaller.
    """
    for k in range(3):
        mine = ratio * (small[k, 0] ** 2 + small[k, 1] ** 2 + small[k, 2] ** 2)
        theirs = large[k, 0] ** 2 + large[k, 1] ** 2 + large[k, 2] ** 2
        if mine > theirs * (1.0 + 2.0 * strain):
            return False
        if times == 1 and mine < theirs * (1.0 - 2.0 * strain):
            return False
    return True


@njit(cache=True, nogil=True)
def compare(
    first_lattice: NDArray[np.float64],
    first_frac: NDArray[np.float64],
    first_numbers: NDArray[np.uint8],
    second_lattice: NDArray[np.float64],
    second_frac: NDArray[np.float64],
    second_numbers: NDArray[np.uint8],
    limits: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Bring two primitive cells to the same volume per atom and lay the smaller over the larger.

    ``limits`` are the root mean square and the largest displacement (angstrom), the strain and
    the square of the catch distance (angstrom^2).
    """
    swap = len(first_numbers) > len(second_numbers)
    if swap:
        first_lattice, second_lattice = second_lattice, first_lattice
        first_frac, second_frac = second_frac, first_frac
        first_numbers, second_numbers = second_numbers, first_numbers
    times = repeated(first_numbers, second_numbers)
    if times == 0:
        return NO_MATCH, NO_MATCH, NO_MATCH
    ratio = (volume(second_lattice) / (times * volume(first_lattice))) ** (1.0 / 6.0)
    if not may_contain(first_lattice, second_lattice, ratio**4, times, limits[2]):
        return NO_MATCH, NO_MATCH, NO_MATCH
    return overlay(
        first_lattice * ratio,
        first_frac,
        second_lattice / ratio,
        second_frac,
        second_numbers,
        limits,
    )


@njit(cache=True, nogil=True)
def compare_pairs(
    lattice: NDArray[np.float64],
    rows: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    limits: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compare crystals of one packed batch pair by pair; [pairs, 3] as :func:`compare` gives."""
    out = np.empty((len(first), 3))
    for pair in range(len(first)):
        a, b = first[pair], second[pair]
        left = slice(offsets[a], offsets[a + 1])
        right = slice(offsets[b], offsets[b + 1])
        out[pair, 0], out[pair, 1], out[pair, 2] = compare(
            lattice[a], rows[:, left], numbers[left], lattice[b], rows[:, right], numbers[right],
            limits,
        )  # fmt: skip
    return out

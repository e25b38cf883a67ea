"""Compiled reduction of a crystal to the smallest cell that repeats within tolerance."""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.crystals.fingerprint_kernels import inverse, product, reduced_basis, species_order
from materialabs.generation.pairing_kernels import blocks, gram, settle, square_length

TIGHTENING = 0.75
"""Factor on the tolerance when the translations found do not form a group."""

TIGHTENINGS = 6
"""Attempts at a group of translations before the cell is kept as it is."""


@njit(cache=True, nogil=True)
def sorted_cell(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], numbers: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """The reduced cell, coordinates as rows [3, N] and numbers, sorted by element."""
    basis = reduced_basis(lattice)
    turned = product(lattice, inverse(basis))
    ranks, amounts = species_order(numbers)
    begins = np.zeros(128, np.int64)
    for z in range(128):
        if ranks[z] < 0:
            continue
        for other in range(128):
            if ranks[other] >= 0 and ranks[other] < ranks[z]:
                begins[z] += amounts[other]
    out = np.empty((3, len(frac)))
    kinds = np.empty(len(frac), np.uint8)
    for atom in range(len(frac)):
        z = numbers[atom]
        row = begins[z]
        begins[z] += 1
        kinds[row] = z
        for k in range(3):
            value = (
                frac[atom, 0] * turned[0, k]
                + frac[atom, 1] * turned[1, k]
                + frac[atom, 2] * turned[2, k]
            )
            out[k, row] = value - np.floor(value)
    return basis, out, kinds


@njit(cache=True, nogil=True)
def common_divisor(starts: NDArray[np.int64]) -> int:
    """The greatest common divisor of the amounts of the elements."""
    divisor = 0
    for block in range(len(starts) - 1):
        amount = starts[block + 1] - starts[block]
        while amount:
            divisor, amount = amount, divisor % amount
    return divisor


@njit(cache=True, nogil=True)
def hermite(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The triangular basis [3,3] of the lattice that integer rows [r,3] of full rank span."""
    work = rows.copy()
    for column in range(3):
        while True:
            pivot, others = -1, 0
            for i in range(column, len(work)):
                if work[i, column] != 0:
                    others += 1
                    if pivot < 0 or abs(work[i, column]) < abs(work[pivot, column]):
                        pivot = i
            for k in range(3):
                work[column, k], work[pivot, k] = work[pivot, k], work[column, k]
            if others == 1:
                break
            for i in range(column + 1, len(work)):
                times = work[i, column] // work[column, column]
                for k in range(3):
                    work[i, k] -= times * work[column, k]
    return work[:3].copy()


@njit(cache=True, nogil=True)
def find_translations(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    starts: NDArray[np.int64],
    mean_limit: float,
    largest_limit: float,
    catch: float,
) -> tuple[int, NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Translations inside the cell that lay the crystal over itself within tolerance.

    Returns how many, the shifts [t, 3], the site that falls on each site [t, N], and for each
    translation the larger of its mean and largest displacement as shares of their limits.
    """
    metric = gram(lattice)
    count, scarce = frac.shape[1], starts[1]
    shifts = np.zeros((scarce, 3))
    images = np.empty((scarce, count), np.int64)
    misfit = np.zeros(scarce)
    steps, squares = np.empty((3, count)), np.empty(count)
    found = 1
    images[0] = np.arange(count)
    for j in range(1, scarce):
        for k in range(3):
            shifts[found, k] = frac[k, j] - frac[k, 0]
        mean, largest = settle(
            frac, frac, starts, metric, shifts[found], catch, images[found], steps, squares
        )
        misfit[found] = max(np.sqrt(mean) / mean_limit, np.sqrt(largest) / largest_limit)
        if misfit[found] <= 1.0:
            found += 1
    return found, shifts, images, misfit


@njit(cache=True, nogil=True)
def translation_lattice(
    shifts: NDArray[np.float64],
    chosen: NDArray[np.int64],
    metric: NDArray[np.float64],
    snap: float,
) -> tuple[bool, NDArray[np.int64]]:
    """Snap translations to exact fractions and give the basis they span, in those fractions.

    The chosen shifts become exact in place. False when they do not form a group, or when one
    lies further than ``snap`` (angstrom) from its fraction.
    """
    order = len(chosen)
    rows = np.zeros((order + 3, 3), np.int64)
    rest = np.empty(3)
    for t in range(order):
        for k in range(3):
            value = shifts[chosen[t], k] * order
            rows[t, k] = int(np.rint(value))
            rest[k] = (value - np.rint(value)) / order
        if square_length(metric, rest[0], rest[1], rest[2]) > snap * snap:
            return False, rows[:3]
    for k in range(3):
        rows[order + k, k] = order
    basis = hermite(rows)
    size = abs(basis[0, 0] * basis[1, 1] * basis[2, 2])
    if size * order != order**3:
        return False, basis
    for t in range(order):
        for k in range(3):
            shifts[chosen[t], k] = rows[t, k] / order
    return True, basis


@njit(cache=True, nogil=True)
def averaged_sites(
    frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    shifts: NDArray[np.float64],
    images: NDArray[np.int64],
    chosen: NDArray[np.int64],
    turned: NDArray[np.float64],
) -> tuple[int, NDArray[np.float64], NDArray[np.uint8]]:
    """Sites of the smaller cell, each the mean over its copies in the larger one."""
    count, order = frac.shape[1], len(chosen)
    out = np.empty((3, count))
    kinds = np.empty(count, np.uint8)
    seen = np.zeros(count, np.bool_)
    mean = np.empty(3)
    row = 0
    for site in range(count):
        if seen[site]:
            continue
        for k in range(3):
            mean[k] = frac[k, site]
        for t in chosen:
            copy = images[t, site]
            seen[copy] = True
            for k in range(3):
                step = frac[k, copy] + shifts[t, k] - frac[k, site]
                mean[k] += (step - np.rint(step)) / order
        for k in range(3):
            value = mean[0] * turned[0, k] + mean[1] * turned[1, k] + mean[2] * turned[2, k]
            out[k, row] = value - np.floor(value)
        kinds[row] = numbers[site]
        row += 1
    return row, out[:, :row].copy(), kinds[:row]


@njit(cache=True, nogil=True)
def primitive_cell(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    mean_limit: float,
    largest_limit: float,
    catch: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """The smallest cell that repeats within tolerance, its sites averaged over the copies.

    Takes and gives a cell as :func:`sorted_cell` does. Where the translations within tolerance
    do not form a group, the worst are left out until they do.
    """
    starts = blocks(numbers)
    divisor = common_divisor(starts)
    if divisor == 1:
        return lattice, frac, numbers
    found, shifts, images, misfit = find_translations(
        lattice, frac, starts, mean_limit, largest_limit, catch
    )
    limit = 1.0
    for _ in range(TIGHTENINGS):
        chosen = np.flatnonzero(misfit[:found] <= limit)
        limit *= TIGHTENING
        order = len(chosen)
        if order == 1:
            break
        if divisor % order != 0:
            continue
        closed, fractions = translation_lattice(shifts, chosen, gram(lattice), mean_limit)
        if not closed:
            continue
        basis = reduced_basis(product(fractions / order, lattice))
        turned = product(lattice, inverse(basis))
        count, out, kinds = averaged_sites(frac, numbers, shifts, images, chosen, turned)
        if count * order == frac.shape[1]:
            return basis, out, kinds
    return lattice, frac, numbers


@njit(cache=True, nogil=True)
def primitive_batch(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    mean_limit: float,
    largest_limit: float,
    catch: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8], NDArray[np.int64]]:
    """Reduced, sorted, averaged primitive cells of a batch: lattice, rows [3,M], numbers, offsets.

    ``frac`` of crystals is [N, 3] from ``offsets[0]`` on; what is given back is packed.
    """
    count = len(offsets) - 1
    cells = np.empty((count, 3, 3))
    rows = np.empty((3, offsets[-1] - offsets[0]))
    kinds = np.empty(rows.shape[1], np.uint8)
    ends = np.zeros(count + 1, np.int64)
    for crystal in range(count):
        atoms = slice(offsets[crystal], offsets[crystal + 1])
        basis, place, kind = sorted_cell(lattice[crystal], frac[atoms], numbers[atoms])
        basis, place, kind = primitive_cell(basis, place, kind, mean_limit, largest_limit, catch)
        begin, end = ends[crystal], ends[crystal] + len(kind)
        cells[crystal] = basis
        rows[:, begin:end] = place
        kinds[begin:end] = kind
        ends[crystal + 1] = end
    return cells, rows[:, : ends[-1]].copy(), kinds[: ends[-1]].copy(), ends

"""Compiled loops of the fingerprints: cell reduction and histograms of distances."""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

REDUCTION_TURNS = 200
"""Sweeps after which the reduction of a cell stops; real cells need fewer than ten."""

SHORTER = 1.0 - 1e-9
"""A vector replaces another only if its squared length is below this share of the other's."""

ITSELF = 1e-4
"""Grid points within which a distance is that of an atom to itself."""


@njit(cache=True, nogil=True)
def shorten_by_pairs(basis: NDArray[np.float64]) -> bool:
    """Subtract whole multiples of shorter vectors from longer ones; say if anything changed."""
    changed = False
    for i in range(3):
        for j in range(3):
            longer = basis[i, 0] ** 2 + basis[i, 1] ** 2 + basis[i, 2] ** 2
            shorter = basis[j, 0] ** 2 + basis[j, 1] ** 2 + basis[j, 2] ** 2
            if i == j or shorter > longer:
                continue
            dot = basis[i, 0] * basis[j, 0] + basis[i, 1] * basis[j, 1] + basis[i, 2] * basis[j, 2]
            times = np.rint(dot / shorter)
            x = basis[i, 0] - times * basis[j, 0]
            y = basis[i, 1] - times * basis[j, 1]
            z = basis[i, 2] - times * basis[j, 2]
            if x * x + y * y + z * z < longer * SHORTER:
                basis[i, 0], basis[i, 1], basis[i, 2] = x, y, z
                changed = True
    return changed


@njit(cache=True, nogil=True)
def shorten_by_diagonals(basis: NDArray[np.float64]) -> bool:
    """Replace a vector by its shortest sum with the other two; say if anything changed."""
    changed = False
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        length = basis[i, 0] ** 2 + basis[i, 1] ** 2 + basis[i, 2] ** 2
        for step_j in (-1.0, 1.0):
            for step_k in (-1.0, 1.0):
                x = basis[i, 0] + step_j * basis[j, 0] + step_k * basis[k, 0]
                y = basis[i, 1] + step_j * basis[j, 1] + step_k * basis[k, 1]
                z = basis[i, 2] + step_j * basis[j, 2] + step_k * basis[k, 2]
                square = x * x + y * y + z * z
                if square < length * SHORTER:
                    basis[i, 0], basis[i, 1], basis[i, 2] = x, y, z
                    length = square
                    changed = True
    return changed


@njit(cache=True, nogil=True)
def reduced_basis(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shortest three vectors that span the same lattice, by rising length (Minkowski)."""
    basis = lattice.copy()
    for _ in range(REDUCTION_TURNS):
        if not shorten_by_pairs(basis) and not shorten_by_diagonals(basis):
            break
    for low, high in ((0, 1), (1, 2), (0, 1)):
        if np.sum(basis[low] ** 2) > np.sum(basis[high] ** 2):
            for k in range(3):
                basis[low, k], basis[high, k] = basis[high, k], basis[low, k]
    return basis


@njit(cache=True, nogil=True)
def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of a 3 x 3 matrix by cofactors."""
    out = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            a, b, c, d = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            out[i, j] = matrix[a, c] * matrix[b, d] - matrix[a, d] * matrix[b, c]
    det = matrix[0, 0] * out[0, 0] + matrix[0, 1] * out[1, 0] + matrix[0, 2] * out[2, 0]
    for i in range(3):
        for j in range(3):
            out[i, j] /= det
    return out


@njit(cache=True, nogil=True)
def volume(basis: NDArray[np.float64]) -> float:
    """The volume of a cell."""
    return abs(
        basis[0, 0] * (basis[1, 1] * basis[2, 2] - basis[1, 2] * basis[2, 1])
        - basis[0, 1] * (basis[1, 0] * basis[2, 2] - basis[1, 2] * basis[2, 0])
        + basis[0, 2] * (basis[1, 0] * basis[2, 1] - basis[1, 1] * basis[2, 0])
    )


@njit(cache=True, nogil=True)
def product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product of [n,3] and [3,3] matrices, without the overhead of a library call."""
    out = np.empty((len(left), 3))
    for i in range(len(left)):
        for j in range(3):
            out[i, j] = (
                left[i, 0] * right[0, j] + left[i, 1] * right[1, j] + left[i, 2] * right[2, j]
            )
    return out


@njit(cache=True, nogil=True)
def species_order(numbers: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rank of each element, the scarcest first and by atomic number where amounts tie.

    Returns the rank by atomic number [128] (-1 for absent ones) and the amounts [128].
    """
    amounts = np.zeros(128, np.int64)
    for number in numbers:
        amounts[number] += 1
    ranks = np.full(128, -1, np.int64)
    for z in range(128):
        if amounts[z] == 0:
            continue
        ranks[z] = 0
        for other in range(128):
            if amounts[other] == 0:
                continue
            if amounts[other] < amounts[z] or (amounts[other] == amounts[z] and other < z):
                ranks[z] += 1
    return ranks, amounts


@njit(cache=True, nogil=True)
def add_distances(
    histogram: NDArray[np.float64],
    step: NDArray[np.float64],
    basis: NDArray[np.float64],
    extent: NDArray[np.float64],
    reach: float,
    weight: float,
) -> None:
    """Add the distances between one atom and all images of another to a histogram.

    Each distance is shared between the two nearest grid points, so that the histogram moves
    continuously with the atoms. ``step`` is the fractional vector between the two, ``extent``
    how far ``reach`` goes along each fractional axis; an atom is no neighbour of itself.
    """
    grid = (len(histogram) - 1) / reach
    square = reach * reach
    length = basis[2, 0] ** 2 + basis[2, 1] ** 2 + basis[2, 2] ** 2
    low0, high0 = int(np.ceil(-extent[0] - step[0])), int(np.floor(extent[0] - step[0]))
    low1, high1 = int(np.ceil(-extent[1] - step[1])), int(np.floor(extent[1] - step[1]))
    for p in range(low0, high0 + 1):
        a = step[0] + p
        for q in range(low1, high1 + 1):
            b = step[1] + q
            x = a * basis[0, 0] + b * basis[1, 0]
            y = a * basis[0, 1] + b * basis[1, 1]
            z = a * basis[0, 2] + b * basis[1, 2]
            middle = -(x * basis[2, 0] + y * basis[2, 1] + z * basis[2, 2]) / length
            nearest = x * x + y * y + z * z - middle * middle * length
            if nearest >= square:
                continue
            half = np.sqrt((square - nearest) / length)
            for t in range(
                int(np.ceil(middle - half - step[2])), int(np.floor(middle + half - step[2])) + 1
            ):
                along = step[2] + t - middle
                place = np.sqrt(max(nearest + along * along * length, 0.0)) * grid
                left = int(place)
                if place > ITSELF and left < len(histogram) - 1:
                    share = place - left
                    histogram[left] += weight * (1.0 - share)
                    histogram[left + 1] += weight * share


@njit(cache=True, nogil=True)
def distance_histogram(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    classes: int,
    reach: float,
    points: int,
) -> NDArray[np.float64]:
    """Histogram of distances for each pair of element classes, per atom of the crystal.

    Lengths are in units of the cube root of the volume per atom. The classes are the scarcest
    elements in turn, the last one all that remain. Returns [classes * (classes + 1) / 2, points].
    """
    count = len(frac)
    basis = reduced_basis(lattice)
    inv = inverse(basis)
    place = product(product(frac, lattice), inv)
    scale = np.cbrt(count / volume(basis))
    extent = np.empty(3)
    for k in range(3):
        extent[k] = reach / scale * np.sqrt(inv[0, k] ** 2 + inv[1, k] ** 2 + inv[2, k] ** 2)
    basis *= scale
    ranks, _ = species_order(numbers)
    histogram = np.zeros((classes * (classes + 1) // 2, points))
    step = np.empty(3)
    for i in range(count):
        for j in range(i, count):
            first = min(ranks[numbers[i]], classes - 1)
            second = min(ranks[numbers[j]], classes - 1)
            if first > second:
                first, second = second, first
            row = first * classes - first * (first - 1) // 2 + second - first
            for k in range(3):
                step[k] = place[j, k] - place[i, k]
            weight = (1.0 if i == j else 2.0) / count
            add_distances(histogram[row], step, basis, extent, reach, weight)
    return histogram


@njit(cache=True, nogil=True)
def fingerprint_batch(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    projection: NDArray[np.float64],
    floor: float,
    classes: int,
    reach: float,
) -> NDArray[np.float32]:
    """Fingerprints [n, pairs * width] of a batch; ``projection`` is [points, width]."""
    points, width = projection.shape
    pairs = classes * (classes + 1) // 2
    out = np.zeros((len(offsets) - 1, pairs * width), np.float32)
    base = np.sqrt(floor)
    smooth = np.empty(width)
    for crystal in range(len(offsets) - 1):
        atoms = slice(offsets[crystal], offsets[crystal + 1])
        histogram = distance_histogram(
            lattice[crystal], frac[atoms], numbers[atoms], classes, reach, points
        )
        for pair in range(pairs):
            smooth[:] = 0.0
            for point in range(points):
                amount = histogram[pair, point]
                if amount != 0.0:
                    for column in range(width):
                        smooth[column] += amount * projection[point, column]
            for column in range(width):
                out[crystal, pair * width + column] = np.sqrt(smooth[column] + floor) - base
    return out

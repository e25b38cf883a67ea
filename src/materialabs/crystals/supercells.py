"""Supercells: every shape of a given size, and the most compact of them."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

REDUCTION_PASSES: Final = 50
"""Rounds of shortening basis vectors against one another; a handful is enough in practice."""

LENGTH_DIGITS: Final = 6
"""Lengths in angstrom that agree to this many digits are equal."""


def supercell_matrices(
    copies: int, periodic: tuple[bool, bool, bool] = (True, True, True)
) -> NDArray[np.int64]:
    """Every distinct superlattice of a size, as matrices in Hermite normal form.

    Parameters
    ----------
    copies
        Number of cells in the supercell.
    periodic
        Directions that may be multiplied.

    Returns
    -------
    NDArray[np.int64]
        [m, 3, 3], lower triangular; rows are the new cell vectors in units of the old ones.
        A. Santoro and A. D. Mighell, Acta Cryst. A28, 284 (1972).
    """
    rows = []
    for diagonal in itertools.product(_divisors(copies), repeat=3):
        if np.prod(diagonal) != copies:
            continue
        if any(size > 1 and not free for size, free in zip(diagonal, periodic, strict=True)):
            continue
        b_in_c = range(diagonal[1]) if periodic[2] and periodic[1] else range(1)
        a_in_b = range(diagonal[0]) if periodic[1] and periodic[0] else range(1)
        a_in_c = range(diagonal[0]) if periodic[2] and periodic[0] else range(1)
        rows += [
            [[diagonal[0], 0, 0], [ab, diagonal[1], 0], [ac, bc, diagonal[2]]]
            for ab, ac, bc in itertools.product(a_in_b, a_in_c, b_in_c)
        ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3, 3)


def compact_supercell(
    lattice: NDArray[np.float64],
    copies: int,
    periodic: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The supercell of a size whose nearest periodic images are farthest apart.

    Parameters
    ----------
    lattice
        [3, 3], rows are cell vectors in angstrom.
    copies
        Number of cells.
    periodic
        Directions that may be multiplied.

    Returns
    -------
    matrix, points
        int64 [3, 3], rows are the new vectors in units of the old ones, short and of the same
        hand; int64 [copies, 3], the old cells inside, in units of the old vectors.
    """
    if copies == 1:
        return np.eye(3, dtype=np.int64), np.zeros((1, 3), np.int64)
    shapes = supercell_matrices(copies, periodic)
    reduced = _reduced(shapes, lattice, np.flatnonzero(periodic))
    shortest, longest = _extent(reduced @ lattice, np.flatnonzero(periodic))
    best = int(np.lexsort((longest, -shortest))[0])
    ranges = [range(int(size)) for size in np.diag(shapes[best])]
    return reduced[best], np.array(list(itertools.product(*ranges)), dtype=np.int64)


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


def _reduced(
    shapes: NDArray[np.int64], lattice: NDArray[np.float64], axes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Shorten the vectors of all shapes together by subtracting whole multiples of others."""
    matrices = shapes.copy()
    for _ in range(REDUCTION_PASSES):
        changed = False
        for i, j in itertools.permutations(axes.tolist(), 2):
            vectors = matrices @ lattice
            overlap = np.einsum("hk,hk->h", vectors[:, i], vectors[:, j])
            # Just below one half stays, so that two equal choices do not alternate.
            times = np.rint(
                0.999999 * overlap / np.einsum("hk,hk->h", vectors[:, j], vectors[:, j])
            ).astype(np.int64)
            matrices[:, i] -= times[:, None] * matrices[:, j]
            changed |= bool(times.any())
        if not changed:
            break
    return matrices


def _extent(
    vectors: NDArray[np.float64], axes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shortest lattice vector and longest basis vector of each shape, along the axes."""
    steps = np.zeros((3 ** len(axes), 3))
    steps[:, axes] = list(itertools.product((-1, 0, 1), repeat=len(axes)))
    lengths = np.linalg.norm(steps[np.any(steps != 0, axis=1)] @ vectors, axis=-1)
    longest = np.linalg.norm(vectors[:, axes], axis=-1).max(axis=1)
    return np.round(lengths.min(axis=1), LENGTH_DIGITS), np.round(longest, LENGTH_DIGITS)

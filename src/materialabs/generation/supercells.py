"""Larger cells of a crystal, how its symmetry permutes their sites, and which ones differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError, PhysicsError

IMAGE_TOLERANCE: Final = 0.3
"""Angstrom within which the image of a site is looked for: half the shortest bond, H2's 0.74."""


@dataclass(frozen=True, eq=False)
class Supercell:
    """A crystal's sites in a larger cell, and how symmetry permutes them.

    Parameters
    ----------
    matrix
        int64 [3, 3]; rows are the new cell vectors in the old ones.
    lattice
        float64 [3, 3], angstrom.
    frac
        float64 [m, 3], site by site of the small cell: its images stand together.
    parent_site
        int64 [m], the site of the small cell.
    permutations
        int16 [g, m], where the operations take each site: every distinct permutation by the
        operations of the crystal that keep the larger cell, its inner translations included.
    translations
        int16 [t, m], those of them that are inner translations, the identity left out.
    """

    matrix: NDArray[np.int64]
    lattice: NDArray[np.float64]
    frac: NDArray[np.float64]
    parent_site: NDArray[np.int64]
    permutations: NDArray[np.int16]
    translations: NDArray[np.int16]


def supercell(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    operations: tuple[NDArray[np.int8], NDArray[np.float64]],
    matrix: ArrayLike,
) -> Supercell:
    """Repeat a crystal by an integer matrix and carry its symmetry over.

    Parameters
    ----------
    lattice, frac
        [3, 3] in angstrom and [n, 3], the small cell.
    operations
        Its rotations [g, 3, 3] and translations [g, 3] on fractional columns.
    matrix
        [3, 3] whole numbers; rows are the new cell vectors in the old ones.

    Raises
    ------
    PhysicsError
        When an operation does not permute the sites, as where atoms lie on one another.
    """
    from materialabs.generation.orbit_kernels import site_images

    change = np.asarray(matrix, dtype=np.int64)
    if change.shape != (3, 3) or round(float(np.linalg.det(change))) == 0:
        raise InputError("A supercell matrix has 3 x 3 whole numbers and a determinant.")
    points = _lattice_points(change)
    inverse = np.linalg.inv(change)
    large = change @ lattice
    sites = ((frac[:, None, :] + points[None, :, :]) @ inverse).reshape(-1, 3)
    rotations, shifts = _carried(operations, change, inverse, points)
    images = site_images(sites, large @ large.T, rotations, shifts, IMAGE_TOLERANCE)
    if not np.all(np.sort(images, axis=1) == np.arange(len(sites))):
        raise PhysicsError(
            "An operation does not permute the sites: look for atoms that lie on one another.",
            code="symmetry.failed",
        )
    still = np.all(rotations == np.eye(3), axis=(1, 2))
    moves = np.unique(images[still], axis=0)
    identity = np.all(moves == np.arange(len(sites)), axis=1)
    return Supercell(
        change,
        large,
        sites - np.floor(sites),
        np.repeat(np.arange(len(frac)), len(points)),
        np.unique(images, axis=0),
        moves[~identity],
    )


def _lattice_points(change: NDArray[np.int64]) -> NDArray[np.float64]:
    """Points [abs(det), 3] of the small lattice inside the large cell."""
    size = abs(round(float(np.linalg.det(change))))
    corners = np.array(list(itertools.product((0, 1), repeat=3))) @ change
    extent = zip(corners.min(axis=0), corners.max(axis=0), strict=True)
    grids = [np.arange(low, high + 1) for low, high in extent]
    points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points @ np.linalg.inv(change)
    chosen = points[np.all((inside > -1e-9) & (inside < 1 - 1e-9), axis=1)]
    if len(chosen) != size:
        raise PhysicsError(f"A supercell of {size} cells came out with {len(chosen)}.")
    return chosen.astype(np.float64)


def _carried(
    operations: tuple[NDArray[np.int8], NDArray[np.float64]],
    change: NDArray[np.int64],
    inverse: NDArray[np.float64],
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The operations in the large cell's basis: x' = H^-T R H^T x + H^-T (t + lattice point)."""
    rotations = inverse.T @ operations[0].astype(np.float64) @ change.T
    whole = np.rint(rotations)
    kept = np.all(np.abs(rotations - whole) < 1e-6, axis=(1, 2))
    shifts = (operations[1][kept][:, None, :] + points[None, :, :]) @ inverse
    return np.repeat(whole[kept], len(points), axis=0), shifts.reshape(-1, 3)


def superlattices(rotations: NDArray[np.int8], size: int) -> list[NDArray[np.int64]]:
    """Every supercell of exactly ``size`` cells that symmetry does not make equal to another.

    Hermite normal forms reduced by the point group (Hart and Forcade, Phys. Rev. B 77, 224115
    (2008)).

    Parameters
    ----------
    rotations
        [g, 3, 3], acting on fractional column vectors.
    size
        How many cells the supercell holds.
    """
    kept: list[NDArray[np.int64]] = []
    seen: set[bytes] = set()
    for matrix in _hermite_forms(size):
        if matrix.tobytes() in seen:
            continue
        kept.append(matrix)
        for rotation in rotations:
            image = matrix @ rotation.T.astype(np.int64)
            seen.add(_hermite_form(image).tobytes())
    return kept


def _hermite_forms(size: int) -> Iterator[NDArray[np.int64]]:
    for a in _divisors(size):
        for c in _divisors(size // a):
            f = size // a // c
            for b, d, e in itertools.product(range(c), range(f), range(f)):
                yield np.array([[a, b, d], [0, c, e], [0, 0, f]], dtype=np.int64)


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _hermite_form(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """The upper triangular form of a lattice's row basis, the same for every basis of it."""
    rows = matrix.astype(np.int64).copy()
    for column in range(3):
        while True:
            nonzero = [r for r in range(column, 3) if rows[r, column] != 0]
            pivot = min(nonzero, key=lambda r: abs(int(rows[r, column])))
            rows[[column, pivot]] = rows[[pivot, column]]
            others = [r for r in range(column + 1, 3) if rows[r, column] != 0]
            if not others:
                break
            for r in others:
                rows[r] -= (rows[r, column] // rows[column, column]) * rows[column]
        if rows[column, column] < 0:
            rows[column] = -rows[column]
        for r in range(column):
            rows[r] -= (rows[r, column] // rows[column, column]) * rows[column]
    return rows

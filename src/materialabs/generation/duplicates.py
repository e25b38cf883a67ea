"""Finds copies of the same crystal in a batch of any size.

Crystals are compared only inside their reduced formula. There each is compared, in the order of
the batch, with the representatives found so far whose fingerprints are near, nearest first; where
the atoms match (:mod:`materialabs.generation.matching`) it joins that group, otherwise it becomes
a representative itself. Representatives are found through a grid over the directions in which the
fingerprints spread most, so that the work grows in proportion to the number of crystals. Space
groups play no part: those of slightly relaxed copies differ.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.fingerprints import fingerprints
from materialabs.generation.matching import (
    DEFAULT_TOLERANCE,
    Primitives,
    Tolerance,
    primitives,
)
from materialabs.threads import map_chunks

NEAR: Final = 1.5
"""Fingerprint distance within which atoms are compared at the default tolerance. Over 5,035
crystals of the half of mp36k kept for choosing, copies with every atom moved by 0.1 angstrom and
2 % of strain in both reach 0.97; 45 % of the pairs of polymorphs are further apart than 1.5."""

GRID_FROM: Final = 256
"""Crystals of one formula above which the grid is laid; fewer are compared one by one."""

AXES: Final = 3
"""Directions of the grid."""

FORMULAS_A_CHUNK: Final = 64
"""Reduced formulas handed to one thread at a time."""


def duplicates(
    crystals: Crystals, *, tolerance: Tolerance = DEFAULT_TOLERANCE, threads: int = 1
) -> NDArray[np.int64]:
    """Group the copies of the same crystal.

    Parameters
    ----------
    crystals
        Ordered crystals, periodic in three directions.
    tolerance
        How far copies of one crystal may differ.
    threads
        Threads that share the work; the answer does not depend on it.

    Returns
    -------
    int64 [n]
        A group for each crystal, numbered in the order in which the groups first appear. The
        first member of a group is its representative: all others match it.
    """
    leaders = _leaders(crystals, tolerance, threads)
    representatives, labels = np.unique(leaders, return_inverse=True)
    del representatives
    return np.asarray(labels, dtype=np.int64)


def unique(
    crystals: Crystals, *, tolerance: Tolerance = DEFAULT_TOLERANCE, threads: int = 1
) -> NDArray[np.int64]:
    """Positions of the crystals that are left when copies are dropped, in order.

    Parameters
    ----------
    crystals
        Ordered crystals, periodic in three directions.
    tolerance
        How far copies of one crystal may differ.
    threads
        Threads that share the work.

    Returns
    -------
    int64 [m]
        The first member of each group; ``crystals[unique(crystals)]`` holds no copies.
    """
    return np.unique(_leaders(crystals, tolerance, threads))


def _leaders(crystals: Crystals, tolerance: Tolerance, threads: int) -> NDArray[np.int64]:
    """The representative of every crystal [n]."""
    cells = primitives(crystals, tolerance=tolerance, threads=threads)
    if len(cells) == 0:
        return np.zeros(0, np.int64)
    prints = fingerprints(cells.as_crystals(), threads=threads)
    families = _families(crystals)
    starts = range(0, len(families), FORMULAS_A_CHUNK)
    chunks = [families[start : start + FORMULAS_A_CHUNK] for start in starts]
    leaders = np.arange(len(crystals), dtype=np.int64)

    def work(chunk: list[NDArray[np.int64]]) -> None:
        for members in chunk:
            leaders[members] = _lead(cells, prints, members, tolerance)

    map_chunks(work, chunks, threads=threads)
    return leaders


def _families(crystals: Crystals) -> list[NDArray[np.int64]]:
    """Positions of the crystals of each reduced formula that more than one has, rising."""
    _, formula = np.unique(crystals.reduced_formulas(), return_inverse=True)
    order = np.argsort(formula, kind="stable").astype(np.int64)
    families = np.split(order, np.cumsum(np.bincount(formula))[:-1])
    return [members for members in families if len(members) > 1]


def _lead(
    cells: Primitives,
    prints: NDArray[np.float32],
    members: NDArray[np.int64],
    tolerance: Tolerance,
) -> NDArray[np.int64]:
    """The representative of each member of one formula."""
    from materialabs.generation.grouping_kernels import lead

    near = NEAR * max(
        tolerance.displacement / DEFAULT_TOLERANCE.displacement,
        tolerance.strain / DEFAULT_TOLERANCE.strain,
    )
    bins = _grid(prints[members], near)
    sizes = bins.max(axis=0) + 1
    keys = (bins[:, 0] * sizes[1] + bins[:, 1]) * sizes[2] + bins[:, 2]
    occupied, bucket = np.unique(keys, return_inverse=True)
    return np.asarray(
        lead(
            cells.lattice,
            cells.frac,
            cells.numbers,
            cells.offsets,
            prints,
            members,
            bins,
            sizes,
            occupied,
            bucket,
            near,
            tolerance.limits(),
        )
    )


def _grid(prints: NDArray[np.float32], near: float) -> NDArray[np.int64]:
    """Grid cell [m, AXES] of each fingerprint; members within ``near`` lie in adjacent cells.

    A projection on orthonormal directions never lengthens a distance.
    """
    if len(prints) <= GRID_FROM:
        return np.zeros((len(prints), AXES), np.int64)
    centred = prints - prints.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    along = centred @ directions[:, -AXES:]
    return np.asarray((along - along.min(axis=0)) / near, dtype=np.int64)

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
from materialabs.crystals.fingerprints import distance, fingerprints
from materialabs.generation.matching import (
    DEFAULT_TOLERANCE,
    Primitives,
    Tolerance,
    primitives,
)
from materialabs.threads import map_chunks

NEAR: Final = 1.5
"""Fingerprint distance within which atoms are compared at the default tolerance, and the most in
a crowded formula. Copies with every atom moved by 0.1 angstrom and 2 % of strain in both reach
1.0 over 5,035 crystals of the half of mp36k that is kept for choosing."""

LEAST_NEAR: Final = 0.5
"""The least that such a distance is in a crowded formula."""

MARGIN: Final = 2.0
"""In a crowded formula a crystal is compared within this multiple of how far one disturbance moves
its own fingerprint: sharp shells move further than those of a crystal without symmetry. None of
the copies above lies beyond."""

PROBE_DISPLACEMENT: Final = 0.45
"""Standard deviation along each axis of that disturbance, as a share of the tolerance."""

PROBE_STRAIN: Final = 0.25
"""Size of each component of its strain, as a share of the tolerance."""

PROBE_SEED: Final = 14
"""Seed of that disturbance."""

CROWDED: Final = 256
"""Crystals of one formula above which the grid is laid and distances are made narrow."""

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
    reach = _reach(cells, prints, families, tolerance, threads)
    starts = range(0, len(families), FORMULAS_A_CHUNK)
    chunks = [families[start : start + FORMULAS_A_CHUNK] for start in starts]
    leaders = np.arange(len(crystals), dtype=np.int64)

    def work(chunk: list[NDArray[np.int64]]) -> None:
        for members in chunk:
            leaders[members] = _lead(cells, prints, reach, members, tolerance)

    map_chunks(work, chunks, threads=threads)
    return leaders


def _families(crystals: Crystals) -> list[NDArray[np.int64]]:
    """Positions of the crystals of each reduced formula that more than one has, rising."""
    _, formula = np.unique(crystals.reduced_formulas(), return_inverse=True)
    order = np.argsort(formula, kind="stable").astype(np.int64)
    families = np.split(order, np.cumsum(np.bincount(formula))[:-1])
    return [members for members in families if len(members) > 1]


def _reach(
    cells: Primitives,
    prints: NDArray[np.float32],
    families: list[NDArray[np.int64]],
    tolerance: Tolerance,
    threads: int,
) -> NDArray[np.float64]:
    """How far from each crystal's fingerprint those of its copies may lie [n]."""
    width = max(
        tolerance.displacement / DEFAULT_TOLERANCE.displacement,
        tolerance.strain / DEFAULT_TOLERANCE.strain,
    )
    reach = np.full(len(cells), NEAR * width)
    crowds = [members for members in families if len(members) > CROWDED]
    if crowds:
        rows = np.concatenate(crowds)
        crowd = cells.as_crystals().take(rows)
        moved = distance(fingerprints(_probe(crowd, tolerance), threads=threads), prints[rows])
        reach[rows] = np.clip(MARGIN * moved, LEAST_NEAR * width, NEAR * width)
    return reach


def _probe(crystals: Crystals, tolerance: Tolerance) -> Crystals:
    """Every crystal with its atoms moved and its cell strained, always in the same way."""
    generator = np.random.default_rng(PROBE_SEED)
    strain = np.triu(generator.choice([-1.0, 1.0], size=(3, 3)))
    strain = PROBE_STRAIN * tolerance.strain * (strain + np.triu(strain, 1).T)
    steps = generator.normal(size=crystals.frac.shape)
    steps *= PROBE_DISPLACEMENT * tolerance.displacement
    to_frac = np.linalg.inv(crystals.lattice)[crystals.owners]
    return crystals.replace(
        frac=crystals.frac + np.einsum("ij,ijk->ik", steps, to_frac),
        lattice=crystals.lattice @ (np.eye(3) + strain),
    )


def _lead(
    cells: Primitives,
    prints: NDArray[np.float32],
    reach: NDArray[np.float64],
    members: NDArray[np.int64],
    tolerance: Tolerance,
) -> NDArray[np.int64]:
    """The representative of each member of one formula."""
    from materialabs.generation.grouping_kernels import lead

    own, near = prints[members], reach[members]
    if len(members) > CROWDED:
        own = _turned(own)
        along = own[:, :AXES]
        bins = ((along - along.min(axis=0)) / near.max()).astype(np.int64)
    else:
        bins = np.zeros((len(members), AXES), np.int64)
    sizes = bins.max(axis=0) + 1
    keys = (bins[:, 0] * sizes[1] + bins[:, 1]) * sizes[2] + bins[:, 2]
    occupied, bucket = np.unique(keys, return_inverse=True)
    return np.asarray(
        lead(
            cells.lattice,
            cells.frac,
            cells.numbers,
            cells.offsets,
            own,
            members,
            bins,
            sizes,
            occupied,
            bucket,
            near,
            tolerance.limits(),
        )
    )


def _turned(prints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fingerprints turned so that they spread most along the first columns; distances stay.

    A projection on orthonormal directions never lengthens a distance, so that crystals near each
    other lie in adjacent cells of a grid over the first columns.
    """
    centred = prints - prints.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(centred @ directions[:, ::-1])

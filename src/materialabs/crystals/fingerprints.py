"""Fingerprints: a crystal as a short vector that does not depend on how it is written down.

A fingerprint holds smoothed numbers of neighbours against distance, for each pair of element
classes, averaged over the atoms (partial radial distribution functions; the form follows Valle
and Oganov, Acta Cryst. A 66, 507, 2010). It is the same for every cell, origin, orientation and
order of the atoms, and for a mirror image; the size of the crystal is taken out by the volume per
atom. It moves continuously with the atoms. It is complete for no one: crystals far apart in
fingerprint are different, crystals close together may be, and a match of the atoms decides
(:mod:`materialabs.generation.matching`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError
from materialabs.threads import chunk_bounds, map_chunks

FINGERPRINT_VERSION: Final = 1
"""Rises whenever a fingerprint changes for any crystal; stored beside fingerprints."""

ELEMENT_CLASSES: Final = 3
"""The scarcest element of a crystal, the second scarcest, and all others together."""

REACH: Final = 3.0
"""Largest distance seen, in cube roots of the volume per atom: about 110 neighbours."""

FADE: Final = 0.5
"""The last stretch of the reach, in the same unit, over which neighbours fade out."""

NEAREST: Final = 0.4
"""Centre of the first shell, in the same unit."""

WIDTH_AT_ZERO: Final = 0.1
"""Smoothing width at distance zero, in the same unit; about 0.25 angstrom in an oxide."""

WIDTH_SLOPE: Final = 0.05
"""Growth of the smoothing width with distance: a strain moves far neighbours further."""

SHELL_SPACING: Final = 1.2
"""Distance between shells, in smoothing widths."""

GRID_STEP: Final = 0.01
"""Resolution of the underlying histogram, in cube roots of the volume per atom."""

FLOOR: Final = 0.01
"""Neighbours per unit of distance below which a difference counts linearly."""

CRYSTALS_A_CHUNK: Final = 256
"""Crystals handed to one thread at a time."""


@lru_cache(maxsize=1)
def shells() -> NDArray[np.float64]:
    """Centres of the smoothed shells [w], in cube roots of the volume per atom."""
    centres = [NEAREST]
    while centres[-1] < REACH:
        centres.append(centres[-1] + SHELL_SPACING * (WIDTH_AT_ZERO + WIDTH_SLOPE * centres[-1]))
    return np.array(centres)


@lru_cache(maxsize=1)
def _projection() -> NDArray[np.float64]:
    """Weights [points, w] that turn a histogram of distances into smoothed shells."""
    distance = np.linspace(0.0, REACH, round(REACH / GRID_STEP) + 1)
    width = WIDTH_AT_ZERO + WIDTH_SLOPE * shells()
    bells = np.exp(-0.5 * ((distance[:, None] - shells()) / width) ** 2)
    bells /= width * np.sqrt(2.0 * np.pi)
    faded = np.clip((distance - (REACH - FADE)) / FADE, 0.0, 1.0)
    return np.asarray(bells * (0.5 + 0.5 * np.cos(np.pi * faded))[:, None])


def fingerprint_columns() -> list[tuple[int, int, float]]:
    """What each column of a fingerprint stands for.

    Returns
    -------
    list of (class, class, distance)
        The two element classes (0 is the scarcest element of the crystal, 1 the next, 2 all
        others; equal amounts are ordered by atomic number) and the distance in cube roots of the
        volume per atom. The value is sqrt(g + FLOOR) - sqrt(FLOOR), where g is the smoothed
        number of such neighbours for each atom of the crystal and each unit of distance.
    """
    pairs = [(a, b) for a in range(ELEMENT_CLASSES) for b in range(a, ELEMENT_CLASSES)]
    return [(a, b, float(centre)) for a, b in pairs for centre in shells()]


def require_bulk(crystals: Crystals, purpose: str) -> None:
    """Refuse empty cells, partial occupancies and directions without periodicity.

    Parameters
    ----------
    crystals
        The batch.
    purpose
        What needs ordinary crystals, to begin the sentence.
    """
    crystals.require_order(purpose)
    if len(crystals) == 0:
        return
    for wrong, trouble, advice in (
        (crystals.counts == 0, "has no atoms", "leave it out"),
        (~crystals.pbc.all(axis=1), "is not periodic in all three directions",
         "give it a full cell and pbc=True along all of it"),
    ):  # fmt: skip
        if wrong.any():
            name = crystals.ids()[int(np.argmax(wrong))]
            raise InputError(f"{purpose} needs crystals and {name!r} {trouble}: {advice}.")


def fingerprints(crystals: Crystals, *, threads: int = 1) -> NDArray[np.float32]:
    """Fingerprint of every crystal, independent of cell, origin, orientation and atom order.

    Parameters
    ----------
    crystals
        Ordered crystals, periodic in three directions.
    threads
        Threads that share the work.

    Returns
    -------
    float32 [n, d]
        One row for each crystal; :func:`fingerprint_columns` says what the columns are. Rows of
        crystals with the same reduced formula compare by :func:`distance`.
    """
    require_bulk(crystals, "A fingerprint")
    from materialabs.crystals.fingerprint_kernels import fingerprint_batch

    def work(bounds: tuple[int, int]) -> NDArray[np.float32]:
        start, stop = bounds
        return np.asarray(
            fingerprint_batch(
                crystals.lattice[start:stop],
                crystals.frac,
                crystals.numbers,
                crystals.offsets[start : stop + 1],
                _projection(),
                FLOOR,
                ELEMENT_CLASSES,
                REACH,
            )
        )

    parts = map_chunks(work, chunk_bounds(len(crystals), CRYSTALS_A_CHUNK), threads=threads)
    width = len(fingerprint_columns())
    return np.concatenate([np.zeros((0, width), np.float32), *parts])


def distance(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distance between fingerprints, row by row.

    Parameters
    ----------
    first, second
        Fingerprints [..., d] that broadcast against each other.

    Returns
    -------
    float64 [...]
        Zero for the same crystal; about 0.5 between a crystal and a copy whose atoms are moved by
        0.1 angstrom and whose cell is strained by 2 %.
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.asarray(np.linalg.norm(difference, axis=-1))

"""Numbers that describe how a crystal is built, as columns: density, coordination, distances.

What is said of neighbours follows L. Ward et al., Phys. Rev. B 96, 024104 (2017): differences of
elemental properties between neighbours, coordination, and spread of bond lengths. Neighbours are
weighted by distance (R. Hoppe, Z. Kristallogr. 150, 23, 1979) in place of Voronoi faces, which
gives a continuous answer at a fraction of the cost. Everything is per atom, so that a supercell is
described like its primitive cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.descriptors import Descriptors, element_properties
from materialabs.crystals.neighbours import Neighbours, nearest
from materialabs.crystals.symmetry import Symmetry
from materialabs.errors import InputError

NEAREST: Final = 16
"""Neighbours of each atom that are looked at: the largest Frank-Kasper coordination."""

STEEPNESS: Final = 6
"""Power of the distance in Hoppe's weight exp(1 - (d / d_mean)^6)."""

ROUNDS: Final = 5
"""Repetitions of Hoppe's mean distance, which then changes by less than 1e-3 angstrom."""

COMPARED: Final = (
    "electronegativity", "covalent_radius", "mendeleev_number", "valence", "group", "period",
)  # fmt: skip
"""Elemental properties that are compared between neighbours."""

HISTOGRAM: Final = tuple(np.linspace(0.7, 2.5, 13).round(2).tolist())
"""Distances over the sum of covalent radii at which neighbours are counted."""

SPREADS: Final = ("mean", "average_deviation", "minimum", "maximum")
"""Statistics over the atoms of a crystal."""

AMU_PER_CUBIC_ANGSTROM: Final = 1.66053906660
"""g/cm^3 (CODATA 2018)."""

SYSTEMS: Final = (
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic",
)  # fmt: skip
"""Crystal systems, in the order of their space-group numbers."""

CHUNK: Final = 1_500
"""Crystals worked on at once, so that memory stays bounded."""


def structure_descriptors(crystals: Crystals, *, threads: int = 1) -> Descriptors:
    """Describe crystals by density, coordination, bond lengths and unlikeness of neighbours.

    Parameters
    ----------
    crystals
        n crystals with full occupancy and at least one atom each, periodic in three directions.
    threads
        Threads of the neighbour search.

    Returns
    -------
    Descriptors
        [n, 60], column names such as ``"coordination: mean"``.
    """
    crystals.require_order("A description of the structure")
    if not crystals.pbc.all() or np.any(crystals.counts == 0):
        raise InputError("Only crystals with atoms and three periods have structure descriptors.")
    parts = [_described(part, threads) for part in crystals.chunks(CHUNK)]
    names = _names()
    return Descriptors(np.concatenate(parts) if parts else np.zeros((0, len(names))), names)


def symmetry_descriptors(found: Symmetry) -> Descriptors:
    """Describe crystals by space group, crystal system and share of distinct sites.

    Parameters
    ----------
    found
        What :func:`materialabs.crystals.symmetry.symmetry` found for n crystals; where it found
        nothing the space group counts as 1.

    Returns
    -------
    Descriptors
        [n, 9].
    """
    number = np.maximum(found.number, 1).astype(np.float64)
    systems = np.array(found.crystal_systems())
    atoms = np.diff(found.offsets)
    owners = np.repeat(np.arange(len(found)), atoms)
    heads = found.orbits == np.arange(len(found.orbits))
    distinct = np.bincount(owners, heads, minlength=len(found)) / np.maximum(atoms, 1)
    members = [(systems == system).astype(np.float64) for system in SYSTEMS]
    return Descriptors(
        np.stack([number, *members, distinct], axis=1),
        ("space group", *SYSTEMS, "distinct sites per atom"),
    )


def _names() -> tuple[str, ...]:
    measures = (
        "coordination", "bond length (angstrom)", "bond length over radii",
        "shortest distance over radii", "share of like neighbours",
        *(f"{name} difference to neighbours" for name in COMPARED),
    )  # fmt: skip
    return (
        "volume per atom (angstrom^3)",
        "density (g/cm^3)",
        "packing fraction",
        *(f"{measure}: {spread}" for measure in measures for spread in SPREADS),
        *(f"neighbours at {centre:g} radii" for centre in HISTOGRAM),
    )


def _described(crystals: Crystals, threads: int) -> NDArray[np.float64]:
    """All descriptors of some crystals [n, d]."""
    bonds = _bonds(crystals, nearest(crystals, NEAREST, threads=threads))
    spreads = [_spread(values, crystals) for values in _of_atoms(bonds)]
    return np.concatenate([_density(crystals), *spreads, _histogram(bonds, crystals)], axis=1)


def _density(crystals: Crystals) -> NDArray[np.float64]:
    """Volume per atom, density, and share of space inside covalent spheres [n, 3]."""
    names, table = element_properties()
    mass = table[crystals.numbers, names.index("atomic_mass")]
    radius = table[crystals.numbers, names.index("covalent_radius")]
    totals = [
        np.bincount(crystals.owners, values, minlength=len(crystals))
        for values in (mass, 4.0 / 3.0 * np.pi * radius**3)
    ]
    volumes = crystals.volumes
    return np.stack(
        [
            volumes / crystals.counts,
            AMU_PER_CUBIC_ANGSTROM * totals[0] / volumes,
            totals[1] / volumes,
        ],
        axis=1,
    )


@dataclass(frozen=True, eq=False)
class _Bonds:
    """Neighbours of N atoms as rectangles [N, k] with Hoppe's weights."""

    distance: NDArray[np.float64]
    weight: NDArray[np.float64]
    scaled: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    others: NDArray[np.uint8]


def _bonds(crystals: Crystals, found: Neighbours) -> _Bonds:
    shape = (len(crystals.frac), NEAREST)
    distance = found.distance.reshape(shape)
    others = crystals.numbers[found.second].reshape(shape)
    names, table = element_properties()
    radius = table[:, names.index("covalent_radius")]
    reach = radius[crystals.numbers][:, None] + radius[others]
    return _Bonds(distance, _weights(distance), distance / reach, crystals.numbers, others)


def _weights(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hoppe's weights of neighbours [N, k], about 1 for a full bond."""
    scale = distance.min(axis=1, keepdims=True)
    for _ in range(ROUNDS):
        weight = np.exp(1.0 - (distance / scale) ** STEEPNESS)
        scale = np.sum(weight * distance, axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    return np.asarray(np.exp(1.0 - (distance / scale) ** STEEPNESS))


def _of_atoms(bonds: _Bonds) -> Sequence[NDArray[np.float64]]:
    """The measures of each atom's surroundings, each [N], in the order of the names."""
    total = bonds.weight.sum(axis=1)
    share = bonds.weight / total[:, None]
    names, table = element_properties()
    unlike = [
        np.sum(share * np.abs(column[bonds.others] - column[bonds.numbers][:, None]), axis=1)
        for column in (table[:, names.index(name)] for name in COMPARED)
    ]
    return [
        total,
        np.sum(share * bonds.distance, axis=1),
        np.sum(share * bonds.scaled, axis=1),
        bonds.scaled.min(axis=1),
        np.sum(share * (bonds.others == bonds.numbers[:, None]), axis=1),
        *unlike,
    ]


def _spread(values: NDArray[np.float64], crystals: Crystals) -> NDArray[np.float64]:
    """Statistics of a value of atoms over each crystal [n, 4]."""
    starts, counts = crystals.offsets[:-1], crystals.counts
    mean = np.add.reduceat(values, starts) / counts
    deviation = np.add.reduceat(np.abs(values - mean[crystals.owners]), starts) / counts
    least, most = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return np.stack([mean, deviation, least, most], axis=1)


def _histogram(bonds: _Bonds, crystals: Crystals) -> NDArray[np.float64]:
    """Neighbours of an atom near each scaled distance [n, 13], shared between adjoining bins."""
    step = HISTOGRAM[1] - HISTOGRAM[0]
    place = np.clip((bonds.scaled - HISTOGRAM[0]) / step, 0.0, len(HISTOGRAM) - 1.0)
    lower = np.minimum(place.astype(np.int64), len(HISTOGRAM) - 2)
    upper = place - lower
    row = crystals.owners[:, None] * len(HISTOGRAM) + lower
    size = len(crystals) * len(HISTOGRAM)
    counts = np.bincount(row.ravel(), (1.0 - upper).ravel(), minlength=size)
    counts += np.bincount(row.ravel() + 1, upper.ravel(), minlength=size + 1)[:size]
    return counts.reshape(len(crystals), -1) / crystals.counts[:, None]

"""Random slabs: atoms between two planes, periodic in the plane, with vacuum above and below."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import InputError
from materialabs.generation.amorphous import kept
from materialabs.generation.candidates import Candidates
from materialabs.generation.packing import MinimumDistances, check_density, distance_table
from materialabs.generation.seeds import checked_count, checked_seed
from materialabs.generation.site_choices import cell_contents

VACUUM: Final = 15.0
"""Angstrom between a slab and its image above."""

LONGEST_RATIO: Final = 2.0
"""The in-plane cell vectors differ by at most this factor."""

NARROWEST, WIDEST = math.radians(60.0), math.radians(120.0)
"""In-plane angles; any plane lattice has such a cell."""


def random_slabs(
    formula: str,
    count: int,
    *,
    thickness: float,
    cells: int = 4,
    vacuum: float = VACUUM,
    volume_factors: tuple[float, float] = (0.8, 1.2),
    minimum_distances: MinimumDistances = None,
    seed: int = 0,
    threads: int = 1,
) -> Candidates:
    """Draw slabs of a given thickness with a random plane lattice and push the atoms apart.

    Parameters
    ----------
    formula, cells
        Formula and formula units in the cell.
    count
        Number of slabs.
    thickness
        Angstrom between the lowest and the highest plane that atoms may lie on; zero gives
        single flat layers.
    vacuum
        Angstrom added to the thickness; the third cell vector is upright and not periodic.
    volume_factors
        Volume of the slab over the crystal's estimate, drawn between these; the slab's volume
        counts one mean atom's diameter more than its thickness.
    minimum_distances
        Smallest distances by pair, angstrom.
    seed
        The same seed gives the same slabs.
    threads
        Slabs worked on at a time.

    Returns
    -------
    Candidates
        Slabs with ``pbc`` (True, True, False), centred along the third vector, and the reasons
        for those left out.
    """
    contents = cell_contents(formula, cells)
    low, high = checked_factors(volume_factors)
    if not (math.isfinite(thickness) and thickness >= 0):
        raise InputError(f"A slab's thickness is in angstrom, from zero; got {thickness!r}.")
    if not (math.isfinite(vacuum) and vacuum > 0):
        raise InputError(f"The vacuum is above zero angstrom; got {vacuum!r}.")
    estimate = cells * float(estimated_volumes(Compositions.parse([formula]))[0])
    counts = list(contents.values())
    nearest = distance_table(list(contents), minimum_distances)
    outer = thickness + float(nearest.max())
    diameter = (estimate / sum(counts)) ** (1.0 / 3.0)
    area = estimate / (thickness + diameter)
    check_density(counts, nearest, high * area * outer, f"A slab of {cells} {formula}")
    if checked_count(count) == 0:
        return Candidates(Crystals.empty())
    rng = np.random.default_rng(checked_seed(seed))
    factors = rng.uniform(low, high, count)
    total = sum(counts)
    height = thickness + vacuum
    frac = rng.random((count * total, 3))
    frac[:, 2] = 0.5 + (frac[:, 2] - 0.5) * thickness / height
    numbers = np.repeat(np.array(list(contents), dtype=np.uint8), counts)
    start = Crystals(
        _plane_lattices(rng, area * factors, height),
        frac,
        np.tile(numbers, count),
        np.arange(count + 1) * total,
        np.tile([True, True, False], (count, 1)),
    ).with_columns(generator=["slab"] * count, volume_factor=factors)
    return kept(
        start,
        minimum_distances,
        threads,
        "the push-off did not end: give more thickness, volume or smaller distances",
    )


def _plane_lattices(
    rng: np.random.Generator, areas: NDArray[np.float64], height: float
) -> NDArray[np.float64]:
    """Random plane lattices of these areas, the third vector upright [n, 3, 3]."""
    ratio = LONGEST_RATIO ** rng.uniform(-1.0, 1.0, len(areas))
    angle = rng.uniform(NARROWEST, WIDEST, len(areas))
    first = np.sqrt(areas * ratio / np.sin(angle))
    second = first / ratio
    lattices = np.zeros((len(areas), 3, 3))
    lattices[:, 0, 0] = first
    lattices[:, 1, 0] = second * np.cos(angle)
    lattices[:, 1, 1] = second * np.sin(angle)
    lattices[:, 2, 2] = height
    return lattices


def checked_factors(factors: tuple[float, float]) -> tuple[float, float]:
    """Lower and upper volume factor, refused when they are no range above zero."""
    low, high = float(factors[0]), float(factors[1])
    if not (math.isfinite(high) and 0 < low <= high):
        raise InputError(
            f"Volume factors are a range above zero, such as (0.4, 1.2); got {factors!r}."
        )
    return low, high

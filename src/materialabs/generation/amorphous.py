"""Amorphous cells: atoms packed at random in a cube, without symmetry."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_formula
from materialabs.crystals.volumes import estimated_volumes
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError, PhysicsError
from materialabs.generation.candidates import Candidates
from materialabs.generation.packing import (
    MinimumDistances,
    check_density,
    distance_table,
    push_apart,
)
from materialabs.generation.seeds import checked_count, checked_seed
from materialabs.units import GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM

LOOSENESS: Final = 1.1
"""Volume over the crystal's estimate where no density is given; glasses are 2 to 15 % lighter
than their crystals (Zallen, The Physics of Amorphous Solids, 1983)."""

MOST_AMORPHOUS_ATOMS: Final = 20000
"""Atoms in one cell; larger ones are refused."""


def amorphous(
    formula: str,
    count: int = 1,
    *,
    atoms: int = 100,
    density: float | None = None,
    minimum_distances: MinimumDistances = None,
    seed: int = 0,
    threads: int = 1,
) -> Candidates:
    """Pack whole formula units at random into cubes and push the atoms apart.

    Parameters
    ----------
    formula
        What is packed.
    count
        Number of cells.
    atoms
        Atoms wanted in a cell; the nearest number of whole formula units is taken, at least one.
    density
        g/cm^3; by default the volume is :data:`LOOSENESS` times the crystal's estimate.
    minimum_distances
        Smallest distances by pair, angstrom; see
        :data:`~materialabs.generation.packing.MinimumDistances`.
    seed
        The same seed gives the same cells.
    threads
        Cells worked on at a time.

    Returns
    -------
    Candidates
        The cells whose distances are all kept, and the reasons for those left out.

    Raises
    ------
    PhysicsError
        When the density is certainly too high for the distances.
    """
    units, elements, amounts = whole_units(formula, atoms)
    counts = amounts * units
    volume = _volume(formula, units, density)
    nearest = distance_table(elements, minimum_distances)
    check_density(counts.tolist(), nearest, volume, f"Amorphous {formula}")
    if checked_count(count) == 0:
        return Candidates(Crystals.empty())
    edge = math.cbrt(volume)
    numbers = np.repeat(np.array(elements, dtype=np.uint8), counts)
    total = len(numbers)
    rng = np.random.default_rng(checked_seed(seed))
    start = Crystals(
        np.broadcast_to(edge * np.eye(3), (count, 3, 3)),
        rng.random((count * total, 3)),
        np.tile(numbers, count),
        np.arange(count + 1) * total,
    )
    return kept(
        start.with_columns(generator=["amorphous"] * count),
        minimum_distances,
        threads,
        "the push-off did not end: lower the density or the smallest distances",
    )


def kept(
    start: Crystals, minimum_distances: MinimumDistances, threads: int, reason: str
) -> Candidates:
    """Push apart and keep what ends with all distances kept; the rest counts for the reason."""
    packing = push_apart(start, minimum_distances, threads=threads)
    failed = int(np.sum(~packing.packed))
    reasons = Counter({reason: failed} if failed else {})
    return Candidates(packing.crystals[packing.packed], reasons)


def whole_units(formula: str, atoms: int) -> tuple[int, list[int], NDArray[np.int64]]:
    """Formula units nearest to a number of atoms, the elements, and their amounts in a unit."""
    amounts = parse_formula(formula)
    values = np.array(list(amounts.values()))
    whole = np.rint(values).astype(np.int64)
    if np.abs(values - whole).max() > 1e-6:
        raise InputError(
            f"{formula} has amounts that are not whole: write it with whole numbers, such as "
            "Li3PS4."
        )
    if not 1 <= atoms <= MOST_AMORPHOUS_ATOMS:
        raise InputError(f"A cell holds 1 to {MOST_AMORPHOUS_ATOMS} atoms; {atoms} were asked for.")
    return max(1, round(atoms / int(whole.sum()))), list(amounts), whole


def _volume(formula: str, units: int, density: float | None) -> float:
    """Volume of the cell in cubic angstrom."""
    if density is None:
        estimate = estimated_volumes(Compositions.parse([formula]))
        return float(LOOSENESS * units * estimate[0])
    if not (math.isfinite(density) and density > 0):
        raise InputError(f"A density is above zero, in g/cm^3; {density!r} was given.")
    return units * _mass(formula) * GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM / density


def _mass(formula: str) -> float:
    """Mass of a formula unit in atomic mass units (IUPAC 2016, as ASE gives them)."""
    from ase.data import atomic_masses

    amounts = parse_formula(formula)
    masses = {number: float(atomic_masses[number]) for number in amounts}
    unknown = [number for number, mass in masses.items() if not mass > 0]
    if unknown:  # pragma: no cover - every element has a mass number today
        raise PhysicsError(f"No atomic mass is known for {SYMBOLS[unknown[0]]}.")
    return sum(masses[number] * amount for number, amount in amounts.items())

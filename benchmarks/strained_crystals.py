"""How stiff crystals are, found by straining cells and displacing atoms; random solid solutions.

Moduli are those of a cell whose atoms stay where they are in it, averaged as Voigt did. Solutions
stand on bcc and on fcc sites.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.volumes import estimated_volumes
from materialabs.elements import SYMBOLS
from materialabs.oracles.oracle import Evaluation, Oracle

Floats = NDArray[np.float64]
Columns = dict[str, Floats]

GPA: Final = 160.21766
"""Of one eV per cubic angstrom."""

STRAIN: Final = 0.01
"""Of the volume up and down, and in each shape."""

SWELL: Final = 0.03
"""Change of the logarithm of the volume from which the Grueneisen parameter follows."""

AMPLITUDE: Final = 0.05
"""Standard deviation of random displacements along each axis, angstrom."""

DRAWS: Final = 2
"""Random displacements of a crystal, each taken forwards and backwards."""

WIDTH: Final = 4.5
"""Angstrom between opposite faces of a cell in which atoms are displaced: those closer to their own
images would move along with them, and seem to stand in softer springs."""

SHEARS: Final = np.array(
    [
        np.diag([1.0, -1.0, 0.0]) / np.sqrt(2.0), np.diag([1.0, 1.0, -2.0]) / np.sqrt(6.0),
        *(
            (np.outer(*pair) + np.outer(*pair[::-1])) / np.sqrt(2.0)
            for pair in combinations(np.eye(3), 2)
        ),
    ]
)  # fmt: skip
"""The five changes of shape, orthonormal: the mean stiffness against them is Voigt's."""


# -- straining and displacing ---------------------------------------------------------------------


def strained(crystals: Crystals, strain: Floats) -> Crystals:
    """Cells strained by one tensor [3, 3], atoms with them."""
    return crystals.replace(lattice=crystals.lattice @ (np.eye(3) + strain))


def displaced(crystals: Crystals, moves: Floats) -> Crystals:
    """Atoms moved by these vectors [N, 3], angstrom."""
    inverse = np.linalg.inv(crystals.lattice)[crystals.owners]
    return crystals.replace(frac=crystals.frac + np.einsum("ni,nij->nj", moves, inverse))


def widened(crystals: Crystals, width: float = WIDTH) -> Crystals:
    """Crystals repeated along their vectors until opposite faces of each cell are so far apart."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(crystals.lattice), axis=1)
    repeats = np.ceil(width / heights - 1e-9).astype(int)
    lattices, sites, numbers = [], [], []
    for place, times in enumerate(repeats):
        atoms = slice(*crystals.offsets[place : place + 2])
        cells = np.indices(times).reshape(3, -1).T
        lattices.append(crystals.lattice[place] * times[:, None])
        sites.append(((crystals.frac[atoms][:, None] + cells) / times).reshape(-1, 3))
        numbers.append(np.repeat(crystals.numbers[atoms], len(cells)))
    return Crystals.from_arrays(lattices, sites, numbers)


def pressures(found: Evaluation) -> Floats:
    """Of each crystal [n], eV/A^3."""
    return np.asarray(-np.trace(found.stress, axis1=1, axis2=2) / 3.0)


def moduli(oracle: Oracle, crystals: Crystals, stress: Floats) -> tuple[Floats, Floats]:
    """Bulk and shear modulus of each crystal, GPa.

    Parameters
    ----------
    oracle
        What calculates.
    crystals
        n crystals.
    stress
        [n, 3, 3] of these as they are.
    """
    third = STRAIN / 3.0 * np.eye(3)
    wide, narrow = (oracle.evaluate(strained(crystals, sign * third)) for sign in (1.0, -1.0))
    bulk = -(pressures(wide) - pressures(narrow)) / (2.0 * STRAIN) * GPA
    shear = np.zeros(len(crystals))
    for shape in SHEARS:
        there = oracle.evaluate(strained(crystals, STRAIN * shape)).stress
        shear += ((there - stress) * shape).sum(axis=(1, 2)) / STRAIN / 2.0 * GPA
    return bulk, shear / len(SHEARS)


def springs(
    oracle: Oracle, crystals: Crystals, random: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Force constant of each atom [N], mean over directions, and odd and even part of its force.

    All atoms move at once by chance, so that the others' forces cancel on average: an estimate of
    each diagonal of the matrix of force constants from two evaluations.
    """
    moves = random.normal(0.0, AMPLITUDE, (len(crystals.frac), 3))
    ahead, back = (
        oracle.evaluate(displaced(crystals, sign * moves)).forces for sign in (1.0, -1.0)
    )
    odd, even = (ahead - back) / 2.0, (ahead + back) / 2.0
    return -(odd * moves).sum(axis=1) / (3.0 * AMPLITUDE**2), odd, even


# -- known crystals -------------------------------------------------------------------------------


def vibrations(oracle: Oracle, crystals: Crystals, seed: int) -> Columns:
    """Stiffness, springs and anharmonicity of crystals as they stand, one number each.

    Parameters
    ----------
    oracle
        What calculates.
    crystals
        n crystals.
    seed
        Of the random displacements.
    """
    random, wide = np.random.default_rng(seed), widened(crystals)
    bulk, shear = moduli(oracle, crystals, oracle.evaluate(crystals).stress)
    still = oracle.evaluate(wide).forces
    found = [springs(oracle, wide, random) for _ in range(DRAWS)]
    constants = np.mean([one[0] for one in found], axis=0)
    odd = sum(_squares(wide, one[1]) for one in found)
    even = sum(_squares(wide, one[2] - still) for one in found)
    swollen = strained(wide, SWELL / 3.0 * np.eye(3))
    again, _, _ = springs(oracle, swollen, np.random.default_rng(seed))
    weakened = _log_spring(wide, found[0][0]) - _log_spring(wide, again)
    masses = atomic_masses[wide.numbers]
    return {
        "volume": crystals.volumes / crystals.counts, "bulk": bulk, "shear": shear,
        "spring": _mean(wide, constants), "softest": _softest(wide, constants),
        "frequency": _mean(wide, np.sqrt(np.maximum(constants, 0.0) / masses)),
        "anharmonic": np.sqrt(even / odd), "grueneisen": 0.5 * weakened / SWELL,
    }  # fmt: skip


def _mean(crystals: Crystals, values: Floats) -> Floats:
    return np.asarray(np.bincount(crystals.owners, values, len(crystals)) / crystals.counts)


def _squares(crystals: Crystals, vectors: Floats) -> Floats:
    sums = np.bincount(crystals.owners, (vectors**2).sum(axis=1), len(crystals))
    return np.asarray(sums, dtype=np.float64)


def _log_spring(crystals: Crystals, constants: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(_mean(crystals, constants), 1e-3)))


def _softest(crystals: Crystals, constants: Floats) -> Floats:
    """The least, over the elements of each crystal, of the mean force constant of its atoms."""
    kinds = crystals.owners * len(SYMBOLS) + crystals.numbers.astype(np.int64)
    names, place, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    means = np.bincount(place, constants) / counts
    least = np.full(len(crystals), np.inf)
    np.minimum.at(least, names // len(SYMBOLS), means)
    return least


# -- random solid solutions -----------------------------------------------------------------------

SITES: Final = 16
"""Of a solution's cell."""

METALS: Final = (3, 4, 11, 12, 13, *range(19, 33), *range(37, 52), *range(55, 84))
LIGHT: Final = (5, 6, 7, 14, 15)
"""Atomic numbers that solutions are drawn from; at most one of the light ones, on few sites."""

CHANCES: Final = (0.02, 0.28, 0.25, 0.20, 0.15, 0.10)
"""Of one to six elements."""

LIGHT_CHANCE, LIGHT_SITES, EVENNESS = 0.25, 4, 1.2
"""How often the last element is a light one, its sites at most, and Dirichlet's parameter."""

NEWTON_STEPS: Final = 4
"""Towards the volume without pressure; five evaluations with the last one."""

FIRST_MODULUS, MODULI = 100 / GPA, (5 / GPA, 600 / GPA)
"""What bulk modulus the first step believes, and between which limits it is corrected."""

LONGEST_STEP: Final = 0.15
"""In the logarithm of the volume."""

LATTICES: Final = ("bcc", "fcc")


def drawn(random: np.random.Generator) -> NDArray[np.int64]:
    """Atomic numbers on the sites of one random solution."""
    count = int(random.choice(len(CHANCES), p=CHANCES)) + 1
    kinds = [int(one) for one in random.choice(METALS, count, replace=False)]
    if count > 1 and random.random() < LIGHT_CHANCE:
        kinds[-1] = int(random.choice(LIGHT))
    light = count > 1 and kinds[-1] in LIGHT
    sites = np.floor(random.dirichlet(np.full(count, EVENNESS)) * SITES).astype(int)
    if light:
        sites[-1] = min(sites[-1], LIGHT_SITES)
    while sites.sum() < SITES:
        sites[random.integers(count - 1 if light else count)] += 1
    return random.permutation(np.repeat(kinds, sites))


def on_sites(lattice: str, numbers: NDArray[np.int64]) -> Crystals:
    """Solutions [n, 16] on the sites of a lattice, in cells that are still to be scaled."""
    if lattice == "bcc":
        corners = np.indices((2, 2, 2)).reshape(3, -1).T.astype(float)
        cell, sites = np.eye(3), np.concatenate([corners, corners + 0.5]) / 2.0
    else:
        face = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
        moved = [face + np.array([i, j, 0.0]) for i in range(2) for j in range(2)]
        cell, sites = np.diag([1.0, 1.0, 0.5]), np.concatenate(moved) / (2.0, 2.0, 1.0)
    count = len(numbers)
    return Crystals.from_arrays([cell] * count, [sites] * count, list(numbers))


def without_pressure(
    oracle: Oracle, crystals: Crystals, volumes: Floats
) -> tuple[Crystals, Evaluation]:
    """Cells scaled until their pressure is next to nothing, and what is calculated there.

    Parameters
    ----------
    oracle
        What calculates.
    crystals
        n crystals.
    volumes
        [n] of the cells to begin with.
    """
    now = crystals.scaled(volumes)
    found = oracle.evaluate(now)
    believed = np.full(len(now), FIRST_MODULUS)
    for _ in range(NEWTON_STEPS):
        before, pressure = now.volumes, pressures(found)
        step = np.clip(pressure / believed, -LONGEST_STEP, LONGEST_STEP)
        now = now.scaled(before * np.exp(step))
        found = oracle.evaluate(now)
        seen = np.divide(
            pressure - pressures(found), step, out=np.full(len(now), np.nan),
            where=np.abs(step) > 1e-4,
        )  # fmt: skip
        believed = np.where(np.isfinite(seen), np.clip(seen, *MODULI), believed)
    return now, found


def solutions(oracle: Oracle, numbers: NDArray[np.int64]) -> Columns:
    """Both lattices of random solutions [n, 16]: a column of each, such as ``bcc energy``."""
    volumes = estimated_volumes(on_sites("bcc", numbers).compositions)
    columns: Columns = {}
    for lattice in LATTICES:
        crystals, found = without_pressure(oracle, on_sites(lattice, numbers), volumes)
        volumes = crystals.volumes
        bulk, shear = moduli(oracle, crystals, found.stress)
        sides = found.stress + pressures(found)[:, None, None] * np.eye(3)
        some = {
            "energy": found.energies, "volume": volumes / SITES, "pressure": pressures(found) * GPA,
            "bulk": bulk, "shear": shear,
            "force": np.sqrt(_squares(crystals, found.forces) / SITES),
            "stress": np.sqrt((sides**2).sum(axis=(1, 2))) * GPA,
        }  # fmt: skip
        columns |= {f"{lattice} {name}": values for name, values in some.items()}
    return columns


def element_references(oracle: Oracle) -> tuple[Floats, Floats]:
    """Energy and volume of an atom of each element by atomic number, on its lower lattice."""
    kinds = np.array([*METALS, *LIGHT])
    numbers = np.repeat(kinds[:, None], SITES, axis=1)
    energies, volumes = np.full(len(SYMBOLS), np.nan), np.full(len(SYMBOLS), np.nan)
    start = estimated_volumes(on_sites("bcc", numbers).compositions)
    found = {}
    for lattice in LATTICES:
        crystals, told = without_pressure(oracle, on_sites(lattice, numbers), start)
        found[lattice] = told.energies, crystals.volumes / SITES
    lower = found["bcc"][0] < found["fcc"][0]
    for place, table in enumerate((energies, volumes)):
        table[kinds] = np.where(lower, found["bcc"][place], found["fcc"][place])
    return energies, volumes

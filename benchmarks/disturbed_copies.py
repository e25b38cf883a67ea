"""Copies of crystals, written down differently and disturbed, for the benchmark of duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals

MOST_CELLS = 4
MOST_ATOMS = 200
RATTLE = 0.1
STRAIN = 0.02


@dataclass(frozen=True)
class Disturbance:
    """How copies are disturbed: displacements in angstrom, strain components."""

    rattle: float
    strain: float
    gaussian: bool = False


@cache
def supercells(cells: int) -> NDArray[np.int64]:
    """All triangular matrices of a determinant: every superlattice once."""
    found = [
        [[a, x, y], [0, b, z], [0, 0, cells // a // b]]
        for a in range(1, cells + 1)
        for b in range(1, cells + 1)
        if cells % (a * b) == 0
        for x in range(b)
        for y in range(cells // a // b)
        for z in range(cells // a // b)
    ]
    return np.array(found)


def shear(generator: np.random.Generator) -> NDArray[np.int64]:
    """A random change of setting."""
    matrix = np.eye(3, dtype=np.int64)
    for _ in range(3):
        i, j = generator.choice(3, 2, replace=False)
        matrix[i] += generator.integers(-1, 2) * matrix[j]
    return matrix


def transformed(
    crystal: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    disturbance: Disturbance,
    generator: np.random.Generator,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A copy of (lattice, frac, numbers) written down differently and disturbed."""
    lattice, frac, numbers = crystal
    fitting = [m for m in range(1, MOST_CELLS + 1) if m == 1 or len(numbers) * m <= MOST_ATOMS]
    choice = supercells(int(generator.choice(fitting)))
    matrix = shear(generator) @ choice[generator.integers(len(choice))] @ shear(generator)
    cells = abs(round(np.linalg.det(matrix)))
    inverse = np.linalg.inv(matrix)
    corners = np.array(np.meshgrid(*[np.arange(cells)] * 3)).reshape(3, -1).T @ inverse
    corners = np.unique(np.round(corners % 1.0, 6) % 1.0, axis=0)
    place = ((frac @ inverse)[:, None] + corners).reshape(-1, 3) + generator.random(3)
    strain = generator.uniform(-1, 1, (3, 3)) * disturbance.strain
    strain = np.triu(strain) + np.triu(strain, 1).T
    rotation, triangle = np.linalg.qr(generator.normal(size=(3, 3)))
    rotation *= np.sign(np.diag(triangle))
    rotation[0] *= np.linalg.det(rotation)
    cell = matrix @ lattice @ (np.eye(3) + strain) @ rotation
    steps = generator.normal(size=place.shape)
    if not disturbance.gaussian:
        steps /= np.linalg.norm(steps, axis=1)[:, None]
    place += disturbance.rattle * steps @ np.linalg.inv(cell)
    order = generator.permutation(len(place))
    return cell, (place % 1.0)[order], np.repeat(numbers, len(corners))[order]


def arrays(crystals: Crystals, index: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Lattice, coordinates and numbers of one crystal."""
    atoms = slice(crystals.offsets[index], crystals.offsets[index + 1])
    return crystals.lattice[index], crystals.frac[atoms], crystals.numbers[atoms]


def copies(
    crystals: Crystals, rows: NDArray[np.int64], seed: int, *, fixed: Disturbance | None = None
) -> Crystals:
    """A transformed copy of each of these crystals, evenly disturbed unless ``fixed``."""
    generator = np.random.default_rng(seed)
    made = []
    for row in rows:
        disturbance = fixed or Disturbance(
            generator.uniform(0, RATTLE), generator.uniform(0, STRAIN)
        )
        made.append(transformed(arrays(crystals, int(row)), disturbance, generator))
    return Crystals.from_arrays(*map(list, zip(*made, strict=True)))  # type: ignore[arg-type]

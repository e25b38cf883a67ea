"""A few small crystals with and without symmetry, made by ASE and by hand."""

import numpy as np
from ase.build import bulk, fcc111

from materialabs.crystals.batch import Crystals


def copper(constant: float = 3.6) -> Crystals:
    return Crystals.from_ase(bulk("Cu", "fcc", a=constant, cubic=True))


def rutile(strain: float = 0.0) -> Crystals:
    """TiO2: six atoms, one free coordinate."""
    u = 0.305
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [u, u, 0], [-u, -u, 0],
              [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]  # fmt: skip
    return Crystals.from_arrays(
        [np.diag([4.6, 4.6, 2.96]) * (1 + strain)], [places], [[22, 22, 8, 8, 8, 8]]
    )


def low_symmetry(seed: int = 0) -> Crystals:
    """A sheared LiMgO2-like cell with displaced atoms."""
    source = np.random.default_rng(seed)
    lattice = np.array([[3.1, 0.2, 0.1], [-0.3, 4.4, 0.2], [0.4, -0.1, 5.2]])
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.05, 0.52, 0.02], [0.48, 0.03, 0.55]]
    moved = np.array(frac) + source.normal(0, 0.01, (4, 3))
    return Crystals.from_arrays([lattice], [moved], [[3, 12, 8, 8]])


def rattled(crystal: Crystals, size: float = 0.1, seed: int = 0) -> Crystals:
    source = np.random.default_rng(seed)
    lattice = crystal.lattice[0] @ (np.eye(3) + source.uniform(-0.03, 0.03, (3, 3)))
    moved = crystal.frac @ lattice + source.uniform(-size, size, crystal.frac.shape)
    return crystal.replace(lattice=lattice[None], frac=np.linalg.solve(lattice.T, moved.T).T)


def slab() -> Crystals:
    return Crystals.from_ase(fcc111("Cu", (1, 1, 4), a=3.6, vacuum=8.0))


def some() -> Crystals:
    return Crystals.concat(
        [copper(), rutile(), low_symmetry(), rattled(rutile()), Crystals.from_ase(bulk("Si")),
         Crystals.from_ase(bulk("NaCl", "rocksalt", a=5.6)), rattled(copper(), 0.2, 3)]
    )  # fmt: skip

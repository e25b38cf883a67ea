"""A first guess of how stiff a crystal is: springs between atoms that weaken with distance.

With it the first step of a relaxation already knows that a cell is stiffer than an atom, and a
bond stiffer along than across. The idea is that of Lindh et al., Chem. Phys. Lett. 241, 423 (1995)
and Packwood et al., J. Chem. Phys. 144, 164109 (2016); the springs here are our own, simpler.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.neighbours import neighbours
from materialabs.elements import COVALENT_RADIUS

Array = NDArray[np.float64]

STIFFNESS: Final = 6.0
"""eV/angstrom^2, of a bond as long as the covalent radii add up to. From 4 to 9 the number of
force calls changes by less than a tenth."""

DECAY: Final = 3.0
"""A bond twice as long is weaker by exp of this. From 2 to 4.5 nothing changes."""

ACROSS: Final = 0.15
"""Stiffness across a bond over that along it. From 0.05 to 0.3 nothing changes."""

LARGEST_STIFFNESS: Final = 3.0
"""Times ``STIFFNESS``; for atoms that nearly overlap."""

REACH: Final = 6.0
"""Angstrom; farther atoms have no spring."""

FLOOR: Final = 0.1
"""eV/angstrom^2 for each coordinate of an atom; eV, times the number of atoms, for each strain."""

SHORTEST: Final = 1e-3
"""Angstrom; atoms in one place have no direction between them."""

UNKNOWN_RADIUS: Final = 1.6
"""Angstrom, for elements without a covalent radius."""

ROOT_TWO: Final = float(np.sqrt(2.0))


def strain_vector(strain: Array) -> Array:
    """A symmetric [3, 3] as [6] with the same length: xx, yy, zz, then yz, xz, xy times root 2."""
    return np.array(
        [strain[0, 0], strain[1, 1], strain[2, 2],
         ROOT_TWO * strain[1, 2], ROOT_TWO * strain[0, 2], ROOT_TWO * strain[0, 1]]
    )  # fmt: skip


def strain_matrix(vector: Array) -> Array:
    """The symmetric [3, 3] of a [6]; see :func:`strain_vector`."""
    xx, yy, zz = vector[:3]
    yz, xz, xy = vector[3:] / ROOT_TWO
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def model_hessian(crystal: Crystals) -> Array:
    """Second derivatives of the model by the atoms' coordinates and six strains.

    Parameters
    ----------
    crystal
        A batch of one with m atoms.

    Returns
    -------
    NDArray[np.float64]
        [3m+6, 3m+6], eV/angstrom^2, eV/angstrom and eV.
    """
    atoms = len(crystal.frac)
    found = neighbours(crystal, REACH)
    first, second = found.first, found.second
    vectors = np.asarray(found.vectors(crystal))
    springs = _springs(crystal, first, second, vectors, found.distance)
    hessian = np.zeros((3 * atoms + 6, 3 * atoms + 6))
    inner = np.zeros((atoms, atoms, 3, 3))
    np.add.at(inner, (first, first), springs)
    np.add.at(inner, (second, second), springs)
    np.add.at(inner, (first, second), -springs)
    np.add.at(inner, (second, first), -springs)
    hessian[:-6, :-6] = inner.transpose(0, 2, 1, 3).reshape(3 * atoms, 3 * atoms)
    units = np.array([strain_matrix(unit) for unit in np.eye(6)])
    moves = np.einsum("ea,sab->esb", vectors, units)
    pulls = np.einsum("eab,esb->eas", springs, moves)
    mixed = np.zeros((atoms, 3, 6))
    np.add.at(mixed, second, pulls)
    np.add.at(mixed, first, -pulls)
    hessian[:-6, -6:] = mixed.reshape(3 * atoms, 6)
    hessian[-6:, :-6] = hessian[:-6, -6:].T
    hessian[-6:, -6:] = np.einsum("esa,eat->st", moves, pulls)
    floor = np.full(len(hessian), FLOOR)
    floor[-6:] *= atoms
    return hessian + np.diag(floor)


def _springs(
    crystal: Crystals,
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    vectors: Array,
    distance: Array,
) -> Array:
    """Stiffness of each directed edge [E, 3, 3]; half of the bond's, which has two."""
    radius = np.nan_to_num(COVALENT_RADIUS[crystal.numbers], nan=UNKNOWN_RADIUS)
    natural = radius[first] + radius[second]
    stiffness = np.exp(-DECAY * (distance / natural - 1.0))
    stiffness = 0.5 * STIFFNESS * np.minimum(stiffness, LARGEST_STIFFNESS)
    units = vectors / np.maximum(distance, SHORTEST)[:, None]
    along = (1.0 - ACROSS) * units[:, :, None] * units[:, None, :]
    return np.asarray(stiffness[:, None, None] * (along + ACROSS * np.eye(3)))

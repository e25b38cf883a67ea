"""The symmetry of a start, as a projection of displacements and strains that keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import operations
from materialabs.oracles.model_hessian import strain_matrix, strain_vector

Array = NDArray[np.float64]

LOOSENESS: Final = 3.0
"""An image may lie this many tolerances from the atom that it is."""


@dataclass(frozen=True, eq=False)
class KeptSymmetry:
    """Operations of one crystal in its start cell.

    Parameters
    ----------
    rotations
        [g, 3, 3], acting on rows of Cartesian coordinates from the right.
    images
        [g, m], the atom that each atom becomes.
    """

    rotations: Array
    images: NDArray[np.int64]

    @classmethod
    def of(cls, crystal: Crystals, tolerance: float) -> KeptSymmetry:
        """Find the operations of a batch of one, or none where they do not map its atoms."""
        turns, shifts = operations(crystal, tolerance).of(0)
        lattice, frac = crystal.lattice[0], crystal.frac
        rotations: list[Array] = []
        images: list[NDArray[np.int64]] = []
        for turn, shift in zip(turns, shifts, strict=True):
            image = _images(crystal, frac @ turn.T + shift, LOOSENESS * tolerance)
            if image is None:
                rotations = []
                break
            rotations.append(np.linalg.inv(lattice) @ turn.T @ lattice)
            images.append(image)
        if not rotations:
            return cls(np.eye(3)[None], np.arange(len(frac))[None])
        return cls(np.array(rotations), np.array(images))

    def project(self, vector: Array) -> Array:
        """The symmetric part of displacements or forces with a strain or virial [3m+6]."""
        rows = vector[:-6].reshape(-1, 3)
        turned = np.einsum("ma,gab->gmb", rows, self.rotations)
        mean = np.zeros_like(rows)
        np.add.at(mean, self.images, turned)
        strain = strain_matrix(vector[-6:])
        turned_strain = np.einsum("gba,bc,gcd->ad", self.rotations, strain, self.rotations)
        count = len(self.rotations)
        return np.concatenate([(mean / count).ravel(), strain_vector(turned_strain / count)])


def _images(crystal: Crystals, moved: Array, tolerance: float) -> NDArray[np.int64] | None:
    """Which atom each moved one is, or nothing where they are not a permutation."""
    away = moved[:, None, :] - crystal.frac[None, :, :]
    away -= np.rint(away)
    distance = np.linalg.norm(away @ crystal.lattice[0], axis=2)
    distance[crystal.numbers[:, None] != crystal.numbers[None, :]] = np.inf
    nearest = np.argmin(distance, axis=1)
    near = distance[np.arange(len(moved)), nearest] < tolerance
    return nearest if near.all() and len(set(nearest.tolist())) == len(moved) else None

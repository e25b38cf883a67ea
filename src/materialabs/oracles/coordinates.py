"""What moves in a relaxation: the atoms in the start cell, and a symmetric strain of it.

A point is [3m+6]: Cartesian coordinates in the start cell, then the strain (as
:func:`materialabs.oracles.model_hessian.strain_vector`). The crystal at a point has the cell
``start @ (1 + strain)``, and its atoms move along. Cells do not turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.oracles.kept_symmetry import KeptSymmetry
from materialabs.oracles.model_hessian import strain_matrix, strain_vector
from materialabs.oracles.relaxation import RelaxationSettings

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The points of one crystal's relaxation.

    Parameters
    ----------
    crystal
        The start, a batch of one; points refer to its cell.
    mobile
        [m, 3], whether an atom moves along each axis.
    plane
        [3, 3], projection on the periodic directions; zero for a fixed cell.
    symmetry
        What is kept, or ``None``.
    """

    crystal: Crystals
    mobile: NDArray[np.bool_]
    plane: Array
    symmetry: KeptSymmetry | None = None

    @classmethod
    def of(cls, crystal: Crystals, settings: RelaxationSettings) -> Coordinates:
        """Coordinates of a batch of one, as the settings and its own constraints say."""
        mobile = np.ones((len(crystal.frac), 3), dtype=bool)
        fixed = crystal.site_columns.get("fixed")
        if fixed is not None and fixed.shape == mobile.shape:
            mobile = ~np.ma.filled(fixed, False).astype(bool)
        plane = np.zeros((3, 3))
        periodic = crystal.lattice[0][crystal.pbc[0]]
        if settings.cell == "free" and len(periodic):
            basis, _ = np.linalg.qr(periodic.T)
            plane = basis @ basis.T
        symmetry = None
        if settings.symmetry == "kept" and crystal.pbc.all():
            symmetry = KeptSymmetry.of(crystal, settings.symmetry_tolerance)
        return cls(crystal, mobile, plane, symmetry)

    def start(self) -> Array:
        """The point of the start itself."""
        return np.concatenate([self.crystal.positions.ravel(), np.zeros(6)])

    def cell_at(self, point: Array) -> tuple[Array, Array]:
        """Lattice [3, 3] and fractional coordinates [m, 3] at a point."""
        start = self.crystal.lattice[0]
        frac = np.linalg.solve(start.T, point[:-6].reshape(-1, 3).T).T
        return start @ (np.eye(3) + strain_matrix(point[-6:])), frac

    def crystal_at(self, point: Array) -> Crystals:
        """The crystal at a point, with the start's columns."""
        lattice, frac = self.cell_at(point)
        return self.crystal.replace(lattice=lattice[None], frac=frac)

    def slope(self, point: Array, forces: Array, virial: Array) -> Array:
        """Slope of the energy along each coordinate [3m+6].

        Parameters
        ----------
        point
            Where.
        forces
            [m, 3], eV/angstrom.
        virial
            [3, 3], eV: stress (with the pressure wanted) times volume.
        """
        deformation = np.eye(3) + strain_matrix(point[-6:])
        strain = np.asarray(np.linalg.solve(deformation, virial), dtype=np.float64)
        by_atoms = -forces @ deformation
        return self.allowed(np.concatenate([by_atoms.ravel(), strain_vector(_symmetric(strain))]))

    def allowed(self, vector: Array) -> Array:
        """The part of a displacement, or of a slope, that may happen [3m+6]."""
        atoms = np.where(self.mobile, vector[:-6].reshape(-1, 3), 0.0)
        if self.mobile.all():
            atoms = atoms - atoms.mean(0)
        strain = self.plane @ strain_matrix(vector[-6:]) @ self.plane
        allowed = np.concatenate([atoms.ravel(), strain_vector(strain)])
        return allowed if self.symmetry is None else self.symmetry.project(allowed)


def _symmetric(matrix: Array) -> Array:
    return np.asarray(0.5 * (matrix + matrix.T))

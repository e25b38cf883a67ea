"""Quasi-Newton moves of atoms and cell together, for few and dear force calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

USUAL_MODULUS: Final = 0.5
"""eV/angstrom^3 (80 GPa); the stiffness of a solid before anything is known of it."""

USUAL_SPRING: Final = 12.0
"""eV/angstrom^2; the stiffness of an atom against the others before anything is known of it."""

LARGEST_MOVE: Final = 0.15
"""Angstrom that an atom may move in one step."""

LARGEST_STRAIN: Final = 0.04
"""Strain that the cell may take in one step."""

SMALLEST_CURVATURE: Final = 0.2
"""Share of the start curvature below which no direction is believed to be softer."""


@dataclass(eq=False)
class CellOptimiser:
    """Broyden-Fletcher-Goldfarb-Shanno over strain and displacements of one cell.

    The coordinates are the strain times a length, so that they compare with displacements; the
    inverse of the start curvature stands in ``hessian``.

    Parameters
    ----------
    hessian
        [9 + 3 m, 9 + 3 m], eV/angstrom^2.
    length
        Angstrom that stands for a strain of one.
    gradient, move
        Of the last step, empty before there is one.
    """

    hessian: Floats
    length: float
    gradient: Floats
    move: Floats

    @classmethod
    def start(cls, volume: float, atoms: int) -> Self:
        """An optimiser for a cell of this volume in cubic angstrom and this many atoms."""
        length = float(np.sqrt(USUAL_MODULUS * volume / USUAL_SPRING))
        size = 9 + 3 * atoms
        return cls(np.eye(size) * USUAL_SPRING, length, np.zeros(0), np.zeros(0))

    def step(
        self, lattice: Floats, forces: Floats, virial: Floats, *, shrink: float = 1.0
    ) -> tuple[Floats, Floats]:
        """The next strain [3, 3] and displacements [m, 3] in angstrom.

        Parameters
        ----------
        lattice
            [3, 3], the cell now.
        forces
            [m, 3], eV/angstrom.
        virial
            [3, 3], eV: the slope of the energy with strain, volume times stress.
        shrink
            Share of the usual largest step.
        """
        gradient = np.concatenate([virial.ravel() / self.length, -forces.ravel()])
        self._learn(gradient)
        values, vectors = np.linalg.eigh(self.hessian)
        values = np.maximum(np.abs(values), SMALLEST_CURVATURE * USUAL_SPRING)
        move = -vectors @ ((vectors.T @ gradient) / values)
        move *= self._scale(move) * shrink
        self.gradient, self.move = gradient, move
        return move[:9].reshape(3, 3) / self.length, move[9:].reshape(-1, 3)

    def forget(self) -> None:
        """Start the curvature anew, after a step that went wrong."""
        self.hessian = np.eye(len(self.hessian)) * USUAL_SPRING
        self.gradient, self.move = np.zeros(0), np.zeros(0)

    def _learn(self, gradient: Floats) -> None:
        if not len(self.move):
            return
        change = gradient - self.gradient
        product = float(self.move @ change)
        bent = self.hessian @ self.move
        if product > 1e-3 * float(self.move @ self.move):
            self.hessian = (
                self.hessian
                + np.outer(change, change) / product
                - np.outer(bent, bent) / float(self.move @ bent)
            )

    def _scale(self, move: Floats) -> float:
        strain = float(np.abs(move[:9]).max()) / self.length
        distance = float(np.linalg.norm(move[9:].reshape(-1, 3), axis=1).max(initial=0.0))
        return min(1.0, LARGEST_STRAIN / max(strain, 1e-12), LARGEST_MOVE / max(distance, 1e-12))


def moved(
    lattice: Floats, frac: Floats, strain: Floats, displacements: Floats
) -> tuple[Floats, Floats]:
    """Lattice and fractional coordinates after a symmetric strain and displacements."""
    symmetric = (strain + strain.T) / 2
    shifted = frac + displacements @ np.linalg.inv(lattice)
    return np.asarray(lattice @ (np.eye(3) + symmetric)), np.asarray(shifted)

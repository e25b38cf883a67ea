"""Quasi-Newton steps for one crystal: a model of its stiffness, corrected by every step made.

BFGS (Nocedal and Wright, Numerical Optimization, 2006, eq. 6.19) with Powell's damping (ibid.
18.22), started from springs between the atoms, within a radius that grows while the model
predicts the energy and shrinks when it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import IntegrityError

Array = NDArray[np.float64]

FIRST_RADIUS, LARGEST_RADIUS, SMALLEST_RADIUS = 0.15, 0.4, 0.02
"""Angstrom; the farthest that an atom moves in a step."""

STRAIN_PER_ANGSTROM: Final = 0.3
"""A radius of 1 angstrom allows a strain of this much."""

GOOD, POOR = 0.7, 0.25
"""Actual over predicted change of energy from which the radius grows, or shrinks."""

RISE: Final = 1e-3
"""eV/atom; a step that raises the energy by more is taken back."""

TAKEN_BACK: Final = 3
"""Steps that are taken back one after the other at most."""

DAMPING: Final = 0.2
"""Least share of the model's curvature along a step that is kept."""

SMALLEST_SCALE, LARGEST_SCALE = 0.2, 5.0
"""Bounds of the factor by which the first step corrects the whole model."""


def length(step: Array) -> float:
    """How far a step [3m+6] goes, in angstrom: its longest move, or its strain turned into one."""
    atoms = np.linalg.norm(step[:-6].reshape(-1, 3), axis=1).max(initial=0.0)
    return float(max(atoms, np.abs(step[-6:]).max() / STRAIN_PER_ANGSTROM))


@dataclass(eq=False)
class QuasiNewton:
    """Where the search stands.

    Parameters
    ----------
    hessian
        [k, k], the model of the stiffness.
    point, slope, energy
        Where the search stands, and energy and slope there; ``None`` and NaN before the first.
    radius
        Angstrom.
    taken_back
        Steps taken back one after the other.
    moves
        Steps from which the model has learned.
    """

    hessian: Array
    point: Array | None = None
    slope: Array | None = None
    energy: float = float("nan")
    radius: float = FIRST_RADIUS
    taken_back: int = 0
    moves: int = 0

    def next_point(self, point: Array, energy: float, slope: Array) -> tuple[Array, bool]:
        """Learn from an evaluation; give where to go next, and whether this one was accepted."""
        accepted = True
        if self.point is None or self.slope is None:
            self.point, self.slope, self.energy = point, slope, energy
        else:
            accepted = self._learn(point, energy, slope)
        return self.point + self._step(), accepted

    def shrink(self) -> Array:
        """Go less far than the last time: where to go from the last good point."""
        if self.point is None:
            raise IntegrityError("There is no good point to go back to.")
        self.radius = max(0.25 * self.radius, SMALLEST_RADIUS)
        return self.point + self._step()

    def _learn(self, point: Array, energy: float, slope: Array) -> bool:
        assert self.point is not None and self.slope is not None
        step = point - self.point
        bent = self.hessian @ step
        foreseen = float(self.slope @ step + 0.5 * step @ bent)
        change = energy - self.energy
        share = change / foreseen if foreseen < 0 else 1.0
        self._update(step, slope - self.slope, bent)
        atoms = (len(point) - 6) // 3
        if change > RISE * atoms and share < 0 and self.taken_back < TAKEN_BACK:
            self.radius = max(0.25 * min(self.radius, length(step)), SMALLEST_RADIUS)
            self.taken_back += 1
            return False
        self.taken_back = 0
        if share > GOOD:
            self.radius = min(LARGEST_RADIUS, max(self.radius, 1.6 * length(step)))
        elif share < POOR:
            self.radius = max(SMALLEST_RADIUS, 0.5 * min(self.radius, length(step)))
        self.point, self.slope, self.energy = point, slope, energy
        return True

    def _update(self, step: Array, change: Array, bent: Array) -> None:
        curvature, model = float(change @ step), float(step @ bent)
        if not model > 0.0:
            return
        if self.moves == 0 and curvature > 0:
            scale = min(max(curvature / model, SMALLEST_SCALE), LARGEST_SCALE)
            self.hessian, bent, model = self.hessian * scale, bent * scale, model * scale
        self.moves += 1
        if curvature < DAMPING * model:
            share = (1.0 - DAMPING) * model / (model - curvature)
            change = share * change + (1.0 - share) * bent
            curvature = float(change @ step)
        self.hessian += np.outer(change, change / curvature) - np.outer(bent, bent / model)

    def _step(self) -> Array:
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        assert self.slope is not None
        try:
            step = -cho_solve(cho_factor(self.hessian), self.slope)
        except LinAlgError:  # rounding made the model indefinite: start it anew from its diagonal
            self.hessian = np.diag(np.maximum(np.diag(self.hessian), 1.0))
            step = -self.slope / np.diag(self.hessian)
        return np.asarray(step * min(1.0, self.radius / max(length(step), 1e-12)))

    def arrays(self) -> dict[str, Array]:
        """All of it as plain arrays."""
        numbers = [self.energy, self.radius, float(self.taken_back), float(self.moves)]
        kept = {"hessian": self.hessian, "numbers": np.array(numbers)}
        if self.point is not None and self.slope is not None:
            kept |= {"point": self.point, "slope": self.slope}
        return kept

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> Self:
        """Continue from :meth:`arrays`."""
        energy, radius, taken_back, moves = arrays["numbers"].tolist()
        return cls(
            arrays["hessian"].copy(), arrays.get("point"), arrays.get("slope"),
            energy, radius, int(taken_back), int(moves),
        )  # fmt: skip

"""FIRE steps for one crystal: a ball that rolls downhill and stops when it would roll up.

Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), with their parameters. It keeps three vectors
where quasi-Newton keeps a matrix, and is used where that would be too large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import IntegrityError
from materialabs.oracles.quasi_newton import length

Array = NDArray[np.float64]

FIRST_TIME_STEP, LARGEST_TIME_STEP = 0.1, 1.0
"""Angstrom times the square root of (mass / eV), with a mass of 1."""

LONGEST_MOVE: Final = 0.2
"""Angstrom; the farthest that an atom moves in a step."""

PATIENCE: Final = 5
"""Downhill steps before the time step grows."""

GROWTH, SHRINKAGE, FIRST_MIXING, MIXING_DECAY = 1.1, 0.5, 0.1, 0.99


@dataclass(eq=False)
class Fire:
    """Where the search stands.

    Parameters
    ----------
    weights
        [k], by which coordinates are scaled: a strain moves all atoms at once.
    point, velocity
        [k].
    time_step, mixing, downhill
        As in the paper.
    """

    weights: Array
    point: Array | None = None
    velocity: Array | None = None
    time_step: float = FIRST_TIME_STEP
    mixing: float = FIRST_MIXING
    downhill: int = 0

    @classmethod
    def of(cls, atoms: int, volume: float) -> Self:
        """For a crystal of this many atoms and this volume in cubic angstrom."""
        weights = np.ones(3 * atoms + 6)
        weights[-6:] = np.cbrt(volume / max(atoms, 1)) * max(atoms, 1)
        return cls(weights)

    def next_point(self, point: Array, energy: float, slope: Array) -> tuple[Array, bool]:
        """Learn from an evaluation; give where to go next, and that this one was accepted."""
        force = -slope / self.weights
        velocity = np.zeros_like(force) if self.velocity is None else self.velocity
        if force @ velocity > 0:
            size = np.linalg.norm(velocity) / max(float(np.linalg.norm(force)), 1e-30)
            velocity = (1.0 - self.mixing) * velocity + self.mixing * size * force
            self.downhill += 1
            if self.downhill > PATIENCE:
                self.time_step = min(self.time_step * GROWTH, LARGEST_TIME_STEP)
                self.mixing *= MIXING_DECAY
        else:
            velocity = np.zeros_like(force)
            self.time_step *= SHRINKAGE if self.velocity is not None else 1.0
            self.mixing, self.downhill = FIRST_MIXING, 0
        self.velocity = velocity + self.time_step * force
        self.point = point
        return point + self._step(), True

    def shrink(self) -> Array:
        """Go less far than the last time: where to go from the last good point."""
        if self.point is None or self.velocity is None:
            raise IntegrityError("There is no good point to go back to.")
        self.velocity = self.velocity * SHRINKAGE
        self.time_step *= SHRINKAGE
        return self.point + self._step()

    def _step(self) -> Array:
        assert self.velocity is not None
        step = self.time_step * self.velocity / self.weights
        return np.asarray(step * min(1.0, LONGEST_MOVE / max(length(step), 1e-12)))

    def arrays(self) -> dict[str, Array]:
        """All of it as plain arrays."""
        numbers = np.array([self.time_step, self.mixing, float(self.downhill)])
        kept = {"weights": self.weights, "numbers": numbers}
        if self.point is not None and self.velocity is not None:
            kept |= {"point": self.point, "velocity": self.velocity}
        return kept

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> Self:
        """Continue from :meth:`arrays`."""
        time_step, mixing, downhill = arrays["numbers"].tolist()
        return cls(
            arrays["weights"], arrays.get("point"), arrays.get("velocity"),
            time_step, mixing, int(downhill),
        )  # fmt: skip

"""One crystal on its way through a relaxation: what is evaluated next, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import SMALLEST_VOLUME, Crystals
from materialabs.errors import IntegrityError
from materialabs.levels import Level
from materialabs.oracles.broken_symmetry import displacement, symmetrised
from materialabs.oracles.coordinates import Coordinates
from materialabs.oracles.fire import Fire
from materialabs.oracles.model_hessian import model_hessian
from materialabs.oracles.oracle import Evaluation
from materialabs.oracles.quasi_newton import QuasiNewton
from materialabs.oracles.relaxation import (
    LARGEST_FORCE,
    LARGEST_VOLUME_RATIO,
    SMALLEST_VOLUME_RATIO,
    Relaxation,
    RelaxationSettings,
    RelaxationState,
    Status,
)
from materialabs.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

Array = NDArray[np.float64]

LARGEST_DENSE: Final = 400
"""Atoms up to which the stiffness is kept as a matrix (12 MB); larger crystals go by FIRE."""

NEAREST_ALLOWED: Final = 0.4
"""Angstrom; nearer atoms overlap (the shortest bond there is, H-H, is 0.74)."""

LARGEST_FALL: Final = 25.0
"""eV/atom; an energy that falls by more has no floor: no relaxation of atoms gives as much."""

SECOND_CHANCES: Final = 4
"""Steps without an answer that are made again shorter, before a relaxation is given up."""

NO_HIGHER: Final = 2e-4
"""eV/atom; a crystal whose symmetry was made exact is taken where it lies no higher than this."""


class Optimiser(Protocol):
    """Goes from point to point; see :class:`QuasiNewton` and :class:`Fire`."""

    point: Array | None

    def next_point(self, point: Array, energy: float, slope: Array) -> tuple[Array, bool]:
        """Learn from an evaluation; give where to go next, and whether this one was accepted."""
        ...

    def shrink(self) -> Array:
        """Go less far than the last time: where to go from the last good point."""
        ...

    def arrays(self) -> dict[str, Array]:
        """All of it as plain arrays."""
        ...


@dataclass(frozen=True, eq=False)
class _Answer:
    """An evaluation of one crystal."""

    crystal: Crystals
    energy: float
    forces: Array
    stress: Array
    moments: Array | None


class Journey:
    """The relaxation of one crystal, driven from outside by evaluations.

    Parameters
    ----------
    crystal
        A batch of one.
    settings
        What is asked for.
    level
        Of the oracle that answers.
    state
        Where to continue, or ``None``.
    """

    def __init__(
        self,
        crystal: Crystals,
        settings: RelaxationSettings,
        level: Level,
        state: RelaxationState | None = None,
    ) -> None:
        self.settings, self.level = settings, level
        self.steps, self.calls, self.seconds = 0, 0, 0.0
        self.chances = SECOND_CHANCES
        self.first_energy = float("nan")
        self.good: _Answer | None = None
        self.given = crystal
        self.symmetrised: list[Crystals] = []
        self.breaks = (
            settings.symmetry == "broken"
            and settings.max_steps > 0
            and len(crystal.frac) <= LARGEST_DENSE
        )
        if state is None:
            self.coordinates = Coordinates.of(crystal, settings)
            self.trial = self.coordinates.start()
            if self.breaks:
                self.trial += self.coordinates.allowed(displacement(crystal))
            self.optimiser: Optimiser = _first_optimiser(self.coordinates)
        else:
            start = crystal.replace(lattice=state.start_lattice[None])
            self.coordinates = Coordinates.of(start, settings)
            self._continue(state)

    def _continue(self, state: RelaxationState) -> None:
        arrays = dict(state.optimiser)
        try:
            self.trial = arrays.pop("trial")
            self.chances, self.first_energy = int(arrays["journey"][0]), float(arrays["journey"][1])
            kind = Fire if "weights" in arrays else QuasiNewton
            self.optimiser = kind.from_arrays(arrays)
        except KeyError as error:
            raise IntegrityError(
                f"The saved relaxation has no {error.args[0]!r}: start it anew."
            ) from error
        if len(self.trial) != len(self.coordinates.start()):
            raise IntegrityError("The saved relaxation is of another crystal: start it anew.")
        self.steps, self.calls, self.seconds = state.steps, state.force_calls, state.seconds

    def state(self) -> RelaxationState:
        """Where the relaxation stands, between two evaluations."""
        lattice, frac = self.coordinates.cell_at(self.trial)
        journey = np.array([float(self.chances), self.first_energy])
        return RelaxationState(
            lattice, frac, self.coordinates.crystal.lattice[0], self.steps, self.calls,
            self.seconds, {**self.optimiser.arrays(), "trial": self.trial, "journey": journey},
        )  # fmt: skip

    def crystal(self) -> Crystals:
        """What is to be evaluated next."""
        return self.symmetrised[0] if self.symmetrised else self.coordinates.crystal_at(self.trial)

    def fault(self) -> tuple[Status, str] | None:
        """Why the next crystal cannot be evaluated, if so; found without any neighbours."""
        if self.symmetrised:
            return None
        lattice, frac = self.coordinates.cell_at(self.trial)
        if not (np.isfinite(lattice).all() and np.isfinite(frac).all()):
            return "exploded", "the coordinates are no longer numbers"
        volume = abs(float(np.linalg.det(lattice)))
        ratio = volume / self.coordinates.crystal.volumes[0]
        if volume < 2 * SMALLEST_VOLUME or not (
            SMALLEST_VOLUME_RATIO < ratio < LARGEST_VOLUME_RATIO
        ):
            return "exploded", f"the volume came to {ratio:.3g} times that of the start"
        return None

    def stumble(self, status: Status, reason: str) -> Relaxation | None:
        """Take a step that led nowhere again, shorter; or end, when there were too many."""
        if self.symmetrised:
            return self._without_symmetry()
        if self.optimiser.point is None or self.chances == 0:
            return self._end(status, reason)
        self.chances -= 1
        self._go(self.optimiser.shrink())
        return None

    def spend(self, seconds: float) -> None:
        """Count an evaluation that was paid for."""
        self.calls += 1
        self.seconds += seconds

    def learn(self, crystal: Crystals, found: Evaluation) -> Relaxation | None:
        """Take an evaluation of :meth:`crystal` in; give the end where it is one."""
        energy, atoms = float(found.energies[0]), len(crystal.frac)
        if found.reasons[0]:
            return self.stumble("failed", found.reasons[0])
        if not (np.isfinite(energy) and np.isfinite(found.forces).all()):
            return self.stumble("failed", "the energy or a force is not a number")
        if self.coordinates.plane.any() and not np.isfinite(found.stress).all():
            return self.stumble("failed", "there is no stress: relax with cell='fixed'")
        largest = float(np.linalg.norm(found.forces, axis=1).max(initial=0.0))
        if largest > LARGEST_FORCE:
            return self.stumble("exploded", f"a force came to {largest:.3g} eV/angstrom")
        if np.isnan(self.first_energy):
            self.first_energy = energy
        if self.first_energy - energy > LARGEST_FALL and not self.symmetrised:
            return self._end(
                "unphysical",
                f"the energy fell by {self.first_energy - energy:.3g} eV/atom, which no "
                "relaxation gives",
            )
        answer = _Answer(crystal, energy, found.forces, found.stress[0], found.moments)
        virial = self._virial(answer)
        arrived = self._arrived(answer, virial)
        if self.symmetrised:
            return self._with_symmetry(answer, arrived=arrived)
        if self.good is None:
            self.good = answer
        if arrived:
            self.good = answer
            return self._arrive(answer)
        slope = self.coordinates.slope(self.trial, answer.forces, virial)
        enthalpy = self._enthalpy(answer) * atoms
        following, accepted = self.optimiser.next_point(self.trial, enthalpy, slope)
        if accepted:
            self.good = answer
        if self.steps >= self.settings.max_steps:
            return self._end("not_converged", f"{self.steps} steps were not enough")
        self._go(following)
        return None

    def _virial(self, answer: _Answer) -> Array:
        """Stress, with the pressure wanted, times volume; zero in a fixed cell [3, 3]."""
        if not self.coordinates.plane.any():
            return np.zeros((3, 3))
        return (answer.stress + self._pressure * np.eye(3)) * float(answer.crystal.volumes[0])

    def _enthalpy(self, answer: _Answer) -> float:
        """Energy with pressure times volume, eV/atom."""
        volume = float(answer.crystal.volumes[0])
        return answer.energy + self._pressure * volume / len(answer.forces)

    @property
    def _pressure(self) -> float:
        return self.settings.pressure / GPA_PER_EV_PER_CUBIC_ANGSTROM

    # -- the symmetry that is left ----------------------------------------------------------------

    def _arrive(self, answer: _Answer) -> Relaxation | None:
        """End, or see first whether the symmetry that is left can be made exact."""
        whole = bool(self.coordinates.mobile.all() and answer.crystal.pbc.all())
        if self.breaks and self.settings.cell == "free" and whole:
            self.symmetrised = symmetrised(answer.crystal)
        return None if self.symmetrised else self._end("converged", "")

    def _with_symmetry(self, answer: _Answer, *, arrived: bool) -> Relaxation | None:
        """Take a crystal of exact symmetry where it is as good, else look at the next."""
        assert self.good is not None
        if arrived and self._enthalpy(answer) <= self._enthalpy(self.good) + NO_HIGHER:
            self.good = answer
            return self._end("converged", "")
        return self._without_symmetry()

    def _without_symmetry(self) -> Relaxation | None:
        """Give the crystal of exact symmetry that was looked at up."""
        self.symmetrised = self.symmetrised[1:]
        return None if self.symmetrised else self._end("converged", "")

    def _go(self, point: Array) -> None:
        base = self.optimiser.point
        assert base is not None
        self.trial = base + self.coordinates.allowed(point - base)
        self.steps += 1

    def _arrived(self, answer: _Answer, virial: Array) -> bool:
        """Whether what may move is pulled by less than the tolerances."""
        slope = np.concatenate([-answer.forces.ravel(), np.zeros(6)])
        pulls = self.coordinates.allowed(slope)[:-6].reshape(-1, 3)
        force = float(np.linalg.norm(pulls, axis=1).max(initial=0.0))
        plane = self.coordinates.plane
        share = plane @ virial @ plane / len(answer.forces)
        pull = float(np.linalg.norm(share, axis=1).max())
        return force < self.settings.force_tolerance and pull < self.settings.virial_tolerance

    def _end(self, status: Status, reason: str) -> Relaxation:
        last = self.good
        if last is None:
            return Relaxation.without_answer(
                self.given, self.level, reason, status=status,
                steps=self.steps, force_calls=self.calls, seconds=self.seconds,
            )  # fmt: skip
        return Relaxation(
            last.crystal, last.energy, last.forces, last.stress, status, reason,
            self.steps, self.calls, self.seconds, self.level, last.moments,
        )  # fmt: skip


def _first_optimiser(coordinates: Coordinates) -> Optimiser:
    crystal = coordinates.crystal
    if len(crystal.frac) > LARGEST_DENSE:
        return Fire.of(len(crystal.frac), float(crystal.volumes[0]))
    hessian = model_hessian(crystal)
    frozen = np.concatenate([~coordinates.mobile.ravel(), np.zeros(6, dtype=bool)])
    frozen[-6:] = not coordinates.plane.any()
    hessian[frozen] = 0.0
    hessian[:, frozen] = 0.0
    hessian[frozen, frozen] = 1.0
    return QuasiNewton(hessian)

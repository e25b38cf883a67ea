"""Relax one cell by DFT: to the minimum of the energy over volume, not to zero Pulay stress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import ExternalError, PhysicsError
from materialabs.oracles.dft_cells import DftCell
from materialabs.oracles.dft_engine import (
    PROGRAM_ENDED,
    DftEngine,
    DftTimeoutError,
    NotSelfConsistentError,
    Question,
    SinglePoint,
)
from materialabs.oracles.dft_equation_of_state import EquationOfState, fit_equation_of_state
from materialabs.oracles.dft_optimiser import CellOptimiser, moved
from materialabs.oracles.dft_settings import DftSettings
from materialabs.oracles.relaxation import (
    LARGEST_VOLUME_RATIO,
    SMALLEST_VOLUME_RATIO,
    RelaxationSettings,
    Status,
)
from materialabs.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

Floats = NDArray[np.float64]

VOLUME_STEP: Final = 1.03
"""Ratio of neighbouring volumes of an equation of state; five points span 12 %."""

LADDER_LIMIT: Final = 24
"""Volume steps from the start that are looked at: a factor of two both ways."""

CUTOFF_STEP: Final = 1.04
"""Ratio of cut-offs by which the slope of the energy with the cut-off is measured."""

TIGHT_VIRIAL: Final = 0.02
"""eV/atom; the shape of the cell is always relaxed to this, which costs little."""

LARGEST_PULAY_ERROR: Final = 0.1 / GPA_PER_EV_PER_CUBIC_ANGSTROM
"""eV/angstrom^3 (1 kbar): the pressure that may be left, by the energy over volume."""

UPHILL: Final = 0.003
"""eV/atom by which a step may raise the enthalpy before it is taken back."""

SMALLEST_STEP: Final = 0.1
"""Share of the usual step below which halving ends."""

ROUNDS: Final = 3
"""Times that shape and volume are relaxed in turn."""


class RelaxationEndedError(Exception):
    """A relaxation came to an end other than the wanted one."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


@dataclass(eq=False)
class CellRelaxation:
    """The relaxation of one cell, with what it has spent and learnt so far.

    Parameters
    ----------
    engine
        The program.
    cell
        What is computed; its lattice and coordinates are the start.
    dft, settings
        How energies are computed, and what is asked for.
    moments
        Start moments [m], or ``None`` for no spin.
    deadline
        Second of :func:`time.monotonic` after which no new single point starts.
    save
        Called after each step.
    answers
        What was answered before, by question; shared between relaxations of one crystal.
    """

    engine: DftEngine
    cell: DftCell
    dft: DftSettings
    settings: RelaxationSettings
    moments: Floats | None
    deadline: float = float("inf")
    save: Callable[[CellRelaxation], None] = field(default=lambda _: None)
    lattice: Floats = field(default_factory=lambda: np.zeros(0))
    frac: Floats = field(default_factory=lambda: np.zeros(0))
    mesh: tuple[int, int, int] = (1, 1, 1)
    pulay: float = 0.0
    steps: int = 0
    calls: int = 0
    notes: list[str] = field(default_factory=list)
    equation: EquationOfState | None = None
    optimiser: CellOptimiser | None = None
    scf_steps: int | None = None
    last: SinglePoint | None = None
    answers: dict[bytes, SinglePoint] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.lattice.size:
            self.lattice, self.frac = self.cell.lattice, self.cell.frac
        self.mesh = self._mesh(self.cell.lattice)

    # -- asking -----------------------------------------------------------------------------------

    def ask(self, lattice: Floats, frac: Floats, *, cutoff: float | None = None) -> SinglePoint:
        """One single point at these settings; the answer is symmetrised."""
        if time.monotonic() > self.deadline:
            raise RelaxationEndedError("not_converged", "The time allowed for a crystal ran out.")
        question = Question(
            lattice, frac, self.cell.numbers, self.mesh, cutoff or self.dft.cutoff,
            self.dft.smearing, self.moments,
        )  # fmt: skip
        if self.scf_steps is not None:
            question = replace(question, scf_steps=self.scf_steps)
        answer = self._answer(question)
        self.notes += [note for note in answer.notes if note not in self.notes]
        if not np.isfinite(answer.energy) or not np.isfinite(answer.forces).all():
            raise RelaxationEndedError("failed", "The program gave an energy that is no number.")
        symmetric = replace(
            answer,
            forces=self.cell.symmetric_vectors(answer.forces - answer.forces.mean(axis=0), lattice),
            stress=self.cell.symmetric_tensor(answer.stress, lattice),
        )
        if lattice is self.lattice and cutoff is None:
            self.last = symmetric
        return symmetric

    def _answer(self, question: Question) -> SinglePoint:
        """From memory where the same was asked before."""
        key = question.key()
        if key not in self.answers:
            self.answers[key] = self._asked_twice(question)
        return self.answers[key]

    def _asked_twice(self, question: Question) -> SinglePoint:
        """What the program says; one that was killed from outside is started once more."""
        self.calls += 1
        try:
            return self.engine.single_point(question)
        except ExternalError as error:
            if error.code != PROGRAM_ENDED:
                raise
        self._say("the program ended in the middle of a calculation and was started again")
        self.calls += 1
        return self.engine.single_point(question)

    def measure_pulay(self, lattice: Floats, frac: Floats) -> float:
        """The Pulay stress in eV/angstrom^3 at a cell, to be added to the program's.

        Two thirds of the slope of the energy with the logarithm of the cut-off, over the volume
        (Francis and Payne, J. Phys.: Condens. Matter 2, 4395, 1990).
        """
        high = self.ask(lattice, frac, cutoff=self.dft.cutoff * CUTOFF_STEP).energy
        low = self.ask(lattice, frac, cutoff=self.dft.cutoff / CUTOFF_STEP).energy
        slope = (high - low) / (2 * np.log(CUTOFF_STEP))
        return float(2 / 3 * slope / volume_of(lattice))

    def corrected(self, point: SinglePoint) -> Floats:
        """The stress [3, 3] without its Pulay part, eV/angstrom^3."""
        return point.stress + self.pulay * np.eye(3)

    # -- relaxing ---------------------------------------------------------------------------------

    def run(self) -> SinglePoint:
        """Relax, and give the single point at the end.

        Raises
        ------
        RelaxationEndedError
            When it ends otherwise; ``lattice`` and ``frac`` are where it stood.
        """
        if self.settings.max_steps == 0:
            return self._only_look()
        if self.settings.cell == "fixed" or self.cell.molecule:
            if self.cell.has_free_positions():
                self._descend(cell_moves=False)
        elif self.cell.has_free_positions() or self.cell.has_free_shape():
            self._relax_freely()
        else:
            self._scale_to_minimum(points=2)
        return self.finish()

    def _only_look(self) -> SinglePoint:
        point = self.ask(self.lattice, self.frac)
        if not (self.cell.molecule or self.settings.cell == "fixed"):
            self.pulay = self.measure_pulay(self.lattice, self.frac)
        if not self._is_still(point, cell_moves=not self.cell.molecule):
            raise RelaxationEndedError("not_converged", "No steps were allowed.")
        return point

    def finish(self) -> SinglePoint:
        """The single point at the end, with the k-points of the final cell."""
        self.mesh = self._mesh(self.lattice)
        point = self.ask(self.lattice, self.frac)
        if self.equation is not None:
            volume = volume_of(self.lattice)
            self.pulay = -self.equation.pressure_at(volume) - float(np.trace(point.stress)) / 3
        return point

    def _relax_freely(self) -> None:
        """Shape and positions by their slopes, volume by its energies, in turn."""
        if not self.pulay:
            self.pulay = self.measure_pulay(self.lattice, self.frac)
        for _ in range(ROUNDS):
            point = self._descend(cell_moves=True)
            shift = self._scale_to_minimum(points=1, middle=point)
            if abs(shift) < LARGEST_PULAY_ERROR:
                return
            equation = self.equation
            assert equation is not None
            moved_point = self.ask(self.lattice, self.frac)
            pressure = equation.pressure_at(volume_of(self.lattice))
            self.pulay = -pressure - float(np.trace(moved_point.stress)) / 3
            if self._is_still(moved_point, cell_moves=True):
                return
        raise RelaxationEndedError(
            "not_converged", f"Shape and volume did not settle in {ROUNDS} rounds."
        )

    def _descend(self, *, cell_moves: bool) -> SinglePoint:
        """Quasi-Newton steps until forces and stress are below the tolerances."""
        point = self.ask(self.lattice, self.frac)
        self._check(point)
        if self.optimiser is None:
            self.optimiser = CellOptimiser.start(volume_of(self.lattice), len(self.frac))
        shrink = 1.0
        while not self._is_still(point, cell_moves=cell_moves):
            if self.steps >= self.settings.max_steps:
                raise RelaxationEndedError(
                    "not_converged",
                    f"Forces or stress are above the tolerance after {self.steps} steps.",
                )
            virial = self._virial(point) if cell_moves else np.zeros((3, 3))
            strain, shifts = self.optimiser.step(self.lattice, point.forces, virial, shrink=shrink)
            lattice, frac = moved(self.lattice, self.frac, strain, shifts)
            self.steps += 1
            following = self._try(lattice, frac)
            if following is None or self._enthalpy(following, lattice) > self._enthalpy(
                point, self.lattice
            ) + UPHILL * len(self.frac):
                shrink = self._smaller(shrink)
                continue
            self.lattice, self.frac, point = lattice, frac, following
            self.last = following
            shrink = min(1.0, 2 * shrink)
            self._check(point)
            self.save(self)
        return point

    def _try(self, lattice: Floats, frac: Floats) -> SinglePoint | None:
        """The point there, or nothing where the density does not settle."""
        try:
            return self.ask(lattice, frac)
        except NotSelfConsistentError:
            self._say("a step was halved because the density did not settle")
            return None

    def _smaller(self, shrink: float) -> float:
        if self.optimiser is not None:
            self.optimiser.forget()
        if shrink / 2 < SMALLEST_STEP:
            raise RelaxationEndedError(
                "not_converged", "No step lowers the energy: forces and energy disagree."
            )
        self._say("steps were halved")
        return shrink / 2

    # -- volume -----------------------------------------------------------------------------------

    def _scale_to_minimum(self, *, points: int, middle: SinglePoint | None = None) -> float:
        """Move to the volume where the enthalpy is least, by an equation of state.

        Volumes stand on a ladder of equal ratios; rungs are added until ``points`` of them lie
        on each side of the minimum.

        Returns
        -------
        float
            The pressure that was left before, less the one wanted, eV/angstrom^3.
        """
        lattice, start = self.lattice, volume_of(self.lattice)
        energies: dict[int, float] = {} if middle is None else {0: middle.energy}
        pressure = self.settings.pressure / GPA_PER_EV_PER_CUBIC_ANGSTROM
        centre, seen = 0, {0}
        while True:
            rungs = range(centre - points, centre + points + 1)
            for rung in rungs:
                if rung not in energies:
                    scaled = lattice * VOLUME_STEP ** (rung / 3)
                    energies[rung] = self.ask(scaled, self.frac).energy
            chosen = {rung: energies[rung] for rung in rungs}
            equation = self._fit(chosen, start)
            if equation is None:
                following = self._downhill(chosen, start)
            else:
                wanted = equation.volume_at(pressure)
                following = round(float(np.log(wanted / start) / np.log(VOLUME_STEP)))
                following = max(centre - 2 * points, min(centre + 2 * points, following))
                if following in seen:
                    break
            if abs(following) > LADDER_LIMIT or following in seen:
                raise RelaxationEndedError("exploded", "No volume has the least energy.")
            seen.add(following)
            centre = following
        self.equation = equation
        self.steps += 1
        self.lattice = lattice * (wanted / start) ** (1 / 3)
        self.save(self)
        return equation.pressure_at(start) - pressure

    def _downhill(self, energies: dict[int, float], start: float) -> int:
        """The end of the ladder at which the enthalpy is lower."""
        pressure = self.settings.pressure / GPA_PER_EV_PER_CUBIC_ANGSTROM
        ends = (min(energies), max(energies))
        return min(ends, key=lambda r: energies[r] + pressure * start * VOLUME_STEP**r)

    @staticmethod
    def _fit(energies: dict[int, float], start: float) -> EquationOfState | None:
        volumes = [start * VOLUME_STEP**rung for rung in energies]
        try:
            return fit_equation_of_state(volumes, list(energies.values()))
        except PhysicsError:
            return None

    # -- judging ----------------------------------------------------------------------------------

    def _virial(self, point: SinglePoint) -> Floats:
        """Slope of the enthalpy with strain [3, 3], eV."""
        pressure = self.settings.pressure / GPA_PER_EV_PER_CUBIC_ANGSTROM
        return volume_of(self.lattice) * (self.corrected(point) + pressure * np.eye(3))

    def _is_still(self, point: SinglePoint, *, cell_moves: bool) -> bool:
        force = float(np.linalg.norm(point.forces, axis=1).max())
        if force > self.settings.force_tolerance:
            return False
        if not cell_moves:
            return True
        rows = np.linalg.norm(self._virial(point), axis=1) / len(self.frac)
        return bool(rows.max() < min(self.settings.virial_tolerance, TIGHT_VIRIAL))

    def _enthalpy(self, point: SinglePoint, lattice: Floats) -> float:
        pressure = self.settings.pressure / GPA_PER_EV_PER_CUBIC_ANGSTROM
        return point.energy + pressure * volume_of(lattice)

    def _check(self, point: SinglePoint) -> None:
        ratio = volume_of(self.lattice) / volume_of(self.cell.lattice)
        if not SMALLEST_VOLUME_RATIO < ratio < LARGEST_VOLUME_RATIO:
            raise RelaxationEndedError(
                "exploded", f"The volume changed by a factor of {ratio:.2f}."
            )

    def _mesh(self, lattice: Floats) -> tuple[int, int, int]:
        return (1, 1, 1) if self.cell.molecule else self.dft.mesh(lattice)

    def _say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def volume_of(lattice: Floats) -> float:
    """Cubic angstrom."""
    return float(abs(np.linalg.det(lattice)))


def ended_by(error: ExternalError) -> RelaxationEndedError:
    """What a failure of the program means for the relaxation."""
    if isinstance(error, NotSelfConsistentError | DftTimeoutError):
        return RelaxationEndedError("not_converged", str(error))
    return RelaxationEndedError("failed", str(error))

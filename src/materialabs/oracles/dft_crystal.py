"""Relax one crystal by DFT from start to result: cell, spin, relaxation, what to tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import ExternalError
from materialabs.oracles.dft_cells import DftCell
from materialabs.oracles.dft_elements import doubts
from materialabs.oracles.dft_engine import DftEngine, SinglePoint
from materialabs.oracles.dft_optimiser import CellOptimiser
from materialabs.oracles.dft_relaxing import CellRelaxation, RelaxationEndedError, ended_by
from materialabs.oracles.dft_settings import OXYGEN_SHIFT, DftSettings
from materialabs.oracles.dft_spin import (
    NOT_SEARCHED,
    OXYGEN,
    SAME_ENERGY,
    has_vanished,
    nearest_distances,
    start_moments,
)
from materialabs.oracles.relaxation import RelaxationSettings, RelaxationState, Status

Floats = NDArray[np.float64]

SMALLEST_DISTANCE: Final = 0.6
"""Angstrom; shorter than any bond (H2 has 0.74), so atoms closer than this overlap."""


@dataclass(frozen=True, eq=False)
class DftResult:
    """How one crystal ended; fields as those of a relaxation."""

    crystal: Crystals
    energy: float
    forces: Floats
    stress: Floats
    status: Status
    reason: str
    steps: int
    calls: int
    moments: Floats | None


class CrystalRelaxation:
    """One crystal on its way.

    Parameters
    ----------
    engine
        The program.
    crystal
        A batch of one, fully occupied.
    dft, settings
        How energies are computed, and what is asked for.
    deadline
        Second of :func:`time.monotonic` after which no new single point starts.
    scf_steps
        Steps to self-consistency at most; the engine's own number by default.
    state
        Where an earlier attempt stood.
    save
        Takes the state after each step.
    """

    def __init__(
        self,
        engine: DftEngine,
        crystal: Crystals,
        dft: DftSettings,
        settings: RelaxationSettings,
        *,
        deadline: float = float("inf"),
        scf_steps: int | None = None,
        state: RelaxationState | None = None,
        save: Callable[[RelaxationState], None] | None = None,
    ) -> None:
        self.engine, self.dft, self.settings = engine, dft, settings
        self.deadline, self.scf_steps, self.save = deadline, scf_steps, save
        self.began = time.monotonic()
        self.given = crystal
        start = crystal
        if settings.volume == "estimated":
            start = crystal.scaled(estimated_volumes(crystal.compositions))
        self.start = start
        self.cell = DftCell.of(start, settings.symmetry_tolerance)
        self.state = state
        self.answers: dict[bytes, SinglePoint] = {}
        self.notes: list[str] = []

    def run(self) -> DftResult:
        """Relax, and say how it ended; nothing that the program does is raised."""
        closest = nearest_distances(self.cell.lattice, self.cell.frac)
        if closest.min() < SMALLEST_DISTANCE:
            reason = f"Two atoms are {closest.min():.2f} angstrom apart: they overlap."
            return self._without_answer("unphysical", reason)
        moments = start_moments(self.cell.lattice, self.cell.frac, self.cell.numbers)
        relaxation = self._relaxation(moments)
        try:
            if moments is None:
                return self._result(relaxation, relaxation.run())
            return self._with_spin(relaxation)
        except RelaxationEndedError as end:
            return self._ended(self.current, end)
        except ExternalError as error:
            return self._ended(self.current, ended_by(error))

    # -- spin -------------------------------------------------------------------------------------

    def _with_spin(self, relaxation: CellRelaxation) -> DftResult:
        """With spin all the way, or without where the moments vanish and the energy agrees."""
        self.notes.append(NOT_SEARCHED)
        if self.state is not None and not self.state.optimiser.get("spin", np.ones(1))[0]:
            plain: CellRelaxation | None = self._relaxation(None)
        elif self.cell.molecule or relaxation.steps:
            return self._result(relaxation, relaxation.run())
        else:
            plain = self._plain_where_same(relaxation)
        if plain is None:
            return self._result(relaxation, relaxation.run())
        point = plain.run()
        if self._is_same_with_spin(plain, point):
            return self._result(plain, point)
        self.notes.append("moments came back on the way: relaxed again with spin")
        again = self._relaxation(relaxation.moments, lattice=plain.lattice, frac=plain.frac)
        again.calls += plain.calls
        again.steps += plain.steps
        return self._result(again, again.run())

    def _plain_where_same(self, relaxation: CellRelaxation) -> CellRelaxation | None:
        """A relaxation without spin, where at the start that is the same state."""
        polarised = relaxation.ask(relaxation.lattice, relaxation.frac)
        if polarised.moments is None or not has_vanished(
            polarised.moments, polarised.magnetization
        ):
            return None
        plain = self._relaxation(None)
        unpolarised = plain.ask(plain.lattice, plain.frac)
        plain.calls += relaxation.calls
        excess = (unpolarised.energy - polarised.energy) / len(self.cell.numbers)
        if excess > SAME_ENERGY:
            plain.calls, relaxation.calls = 0, plain.calls
            self.current = relaxation
            return None
        self.notes.append(
            f"the moments vanish, so computed without spin ({1000 * excess:+.1f} meV/atom)"
        )
        return plain

    def _is_same_with_spin(self, plain: CellRelaxation, point: SinglePoint) -> bool:
        """Whether spin still lowers nothing where a relaxation without it has ended."""
        if self.settings.max_steps == 0:
            return True
        check = self._relaxation(
            start_moments(plain.lattice, plain.frac, self.cell.numbers),
            lattice=plain.lattice, frac=plain.frac,
        )  # fmt: skip
        self.current = plain
        check.mesh = plain.mesh
        polarised = check.ask(plain.lattice, plain.frac)
        plain.calls += 1
        return (point.energy - polarised.energy) / len(self.cell.numbers) < SAME_ENERGY

    # -- starting ---------------------------------------------------------------------------------

    def _relaxation(
        self,
        moments: Floats | None,
        *,
        lattice: Floats | None = None,
        frac: Floats | None = None,
    ) -> CellRelaxation:
        relaxation = CellRelaxation(
            self.engine, self.cell, self.dft, self.settings, moments,
            deadline=self.deadline, save=self._save, scf_steps=self.scf_steps,
            answers=self.answers,
        )  # fmt: skip
        if lattice is not None and frac is not None:
            relaxation.lattice, relaxation.frac = lattice, frac
        elif self.state is not None:
            restore(relaxation, self.state)
        self.current = relaxation
        return relaxation

    def _save(self, relaxation: CellRelaxation) -> None:
        if self.save is not None:
            seconds = time.monotonic() - self.began
            self.save(kept(relaxation, self._crystal(relaxation), self.start, seconds))

    # -- ending -----------------------------------------------------------------------------------

    def _crystal(self, relaxation: CellRelaxation) -> Crystals:
        return self.cell.given(self.start, relaxation.lattice, relaxation.frac)

    def _result(self, relaxation: CellRelaxation, point: SinglePoint) -> DftResult:
        moved = relaxation.settings.max_steps > 0
        return self._told(relaxation, point, "converged", "", moved=moved)

    def _ended(self, relaxation: CellRelaxation, end: RelaxationEndedError) -> DftResult:
        """The last good point, where there is one; otherwise no energy."""
        point = relaxation.last
        if point is None or end.status == "failed":
            return self._without_answer(end.status if point else "failed", end.reason)
        return self._told(relaxation, point, end.status, end.reason, moved=True)

    def _without_answer(self, status: Status, reason: str) -> DftResult:
        atoms = len(self.given.frac)
        blank = np.full((atoms, 3), np.nan)
        current = getattr(self, "current", None)
        return DftResult(
            self._annotated(self.given, None, None), float("nan"), blank, np.full((3, 3), np.nan),
            status, reason, 0 if current is None else current.steps,
            0 if current is None else current.calls, None,
        )  # fmt: skip

    def _told(
        self,
        relaxation: CellRelaxation,
        point: SinglePoint,
        status: Status,
        reason: str,
        *,
        moved: bool,
    ) -> DftResult:
        members = self.cell.members
        crystal = self._crystal(relaxation) if moved else self.given
        moments = None if point.moments is None else point.moments[members]
        stress = np.zeros((3, 3)) if self.cell.molecule else relaxation.corrected(point)
        return DftResult(
            self._annotated(crystal, relaxation, point),
            point.energy / len(self.cell.numbers) + self._correction(),
            point.forces[members], stress, status, reason,
            relaxation.steps, relaxation.calls, moments,
        )  # fmt: skip

    def _correction(self) -> float:
        """eV/atom added to O2 where the level says so."""
        oxygen_gas = self.cell.molecule and bool((self.cell.numbers == OXYGEN).all())
        return OXYGEN_SHIFT if self.dft.correction and oxygen_gas else 0.0

    def _annotated(
        self, crystal: Crystals, relaxation: CellRelaxation | None, point: SinglePoint | None
    ) -> Crystals:
        notes = list(self.notes)
        columns: dict[str, list[object]] = {}
        if relaxation is not None and point is not None:
            notes += [note for note in relaxation.notes if note not in notes]
            if relaxation.equation is not None:
                columns["bulk_modulus"] = [relaxation.equation.bulk_modulus_gpa]
            if point.moments is not None:
                whole = len(self.cell.members) / len(self.cell.numbers)
                columns["magnetization"] = [point.magnetization * whole]
                crystal = crystal.with_site_columns(
                    magnetic_moment=point.moments[self.cell.members]
                )
        if self._correction():
            notes.append(f"O2 raised by {OXYGEN_SHIFT} eV/atom (Wang 2006)")
        columns["notes"] = ["; ".join(notes) or None]
        columns["doubts"] = ["; ".join(doubts(self.cell.numbers.tolist())) or None]
        return crystal.with_columns(**columns)


# -- states to continue from ----------------------------------------------------------------------


def kept(
    relaxation: CellRelaxation, crystal: Crystals, start: Crystals, seconds: float
) -> RelaxationState:
    """Where a relaxation stands, as it is stored."""
    optimiser = {
        "cell": relaxation.lattice,
        "frac": relaxation.frac,
        "pulay": np.array([relaxation.pulay]),
        "spin": np.array([0.0 if relaxation.moments is None else 1.0]),
    }
    if relaxation.optimiser is not None:
        optimiser["hessian"] = relaxation.optimiser.hessian
        optimiser["length"] = np.array([relaxation.optimiser.length])
    return RelaxationState(
        crystal.lattice[0], crystal.frac, start.lattice[0], relaxation.steps, relaxation.calls,
        seconds, optimiser,
    )  # fmt: skip


def restore(relaxation: CellRelaxation, state: RelaxationState) -> None:
    """Put a relaxation of the same crystal where an earlier one stood."""
    kept_arrays = state.optimiser
    if "cell" not in kept_arrays or kept_arrays["frac"].shape != relaxation.frac.shape:
        return
    relaxation.lattice, relaxation.frac = kept_arrays["cell"], kept_arrays["frac"]
    relaxation.pulay = float(kept_arrays["pulay"][0])
    relaxation.steps, relaxation.calls = state.steps, state.force_calls
    if "hessian" in kept_arrays:
        relaxation.optimiser = CellOptimiser(
            kept_arrays["hessian"], float(kept_arrays["length"][0]), np.zeros(0), np.zeros(0)
        )

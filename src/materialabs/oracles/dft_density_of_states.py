"""The density of states of a crystal by DFT, with linear tetrahedra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import ExternalError, InputError
from materialabs.levels import Level
from materialabs.oracles.dft_cells import DftCell
from materialabs.oracles.dft_engine import Question
from materialabs.oracles.dft_oracle import AS_IT_STANDS, DftOracle
from materialabs.oracles.dft_settings import kpoint_mesh
from materialabs.oracles.dft_spin import start_moments
from materialabs.oracles.gpaw_engine import GpawEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float64]

DENSE_DENSITY: Final = 7.0
"""Angstrom; k-points along a reciprocal vector for each 1/angstrom of it, twice the usual."""

WINDOW: Final = (-12.0, 8.0)
"""eV from the Fermi energy; most valence bands and the first empty ones."""

POINTS: Final = 2001
"""Energies in the window; 0.01 eV apart in the usual one."""

MOST_POINTS: Final = 100_001

BANDS_ABOVE: Final = 8
"""Empty bands for each atom; enough to fill the usual window above the Fermi energy."""


@dataclass(frozen=True, eq=False)
class DensityOfStates:
    """How many electron states a cell has at each energy.

    Parameters
    ----------
    energies
        [k], eV, from the Fermi energy.
    states
        [s, k], states/eV for the cell given; s is 2 (up, down) with spin, else 1 (both).
    fermi
        eV, on the program's own scale.
    electrons
        Valence electrons of the cell given.
    level
        The level of theory.
    """

    energies: Floats
    states: Floats
    fermi: float
    electrons: float
    level: Level

    @property
    def total(self) -> Floats:
        """States/eV for the cell [k], both spins."""
        return np.asarray(self.states.sum(axis=0))

    @property
    def at_fermi(self) -> float:
        """States/eV for the cell at the Fermi energy, both spins."""
        return float(np.interp(0.0, self.energies, self.total))

    def states_below(self, energy: float = 0.0) -> float:
        """States for the cell between the window's begin and an energy in eV."""
        inside = self.energies <= energy
        return float(np.trapezoid(self.total[inside], self.energies[inside]))


def density_of_states(
    oracle: DftOracle,
    crystal: Crystals,
    *,
    window: Sequence[float] = WINDOW,
    points: int = POINTS,
    kpoint_density: float = DENSE_DENSITY,
) -> DensityOfStates:
    """Compute the density of states of one crystal as it stands; relax it first.

    The charge density is made self-consistent at the oracle's settings, the states are found in
    it on a denser mesh, and the zone is filled with tetrahedra in which energies are linear
    (Jepsen and Andersen, Solid State Commun. 9, 1763, 1971), so that nothing is broadened.

    Parameters
    ----------
    oracle
        A GPAW oracle of a system that the crystal belongs to.
    crystal
        A batch of one.
    window
        Lowest and highest energy, eV from the Fermi energy.
    points
        Energies in the window.
    kpoint_density
        Angstrom; k-points along a reciprocal vector for each 1/angstrom of it.

    Raises
    ------
    ExternalError
        When the program fails.
    """
    energies = _checked_energies(crystal, window, points)
    refusal = oracle.refusal(crystal)
    if refusal:
        raise InputError(refusal)
    cell = DftCell.of(crystal, AS_IT_STANDS)
    settings = oracle.settings
    question = Question(
        cell.lattice, cell.frac, cell.numbers, settings.mesh(cell.lattice), settings.cutoff,
        settings.smearing, start_moments(cell.lattice, cell.frac, cell.numbers),
    )  # fmt: skip
    wanted = {
        "dense_mesh": list(kpoint_mesh(cell.lattice, kpoint_density)),
        "energies": energies.tolist(),
        "empty_bands": BANDS_ABOVE * len(cell.numbers),
    }
    answer = _answer(oracle, question, wanted)
    copies = len(cell.members) / len(cell.numbers)
    return DensityOfStates(
        energies, np.array(answer["states"]) * copies, float(answer["fermi"]),
        float(answer["electrons"]) * copies, oracle.level,
    )  # fmt: skip


def _answer(oracle: DftOracle, question: Question, wanted: dict[str, Any]) -> dict[str, Any]:
    with oracle.engine() as engine:
        if not isinstance(engine, GpawEngine):
            raise ExternalError(
                f"{engine.code} gives no density of states here: make the oracle with GPAW.",
                code="dft.no_density_of_states",
            )
        return engine.density_of_states(question, wanted)


def _checked_energies(crystal: Crystals, window: Sequence[float], points: int) -> Floats:
    if len(crystal) != 1:
        raise InputError(f"One crystal at a time has a density of states here, not {len(crystal)}.")
    lowest, highest = (float(edge) for edge in window)
    if not lowest < highest or not np.isfinite([lowest, highest]).all():
        raise InputError("The energy window goes from a lower to a higher energy in eV.")
    if not 2 <= points <= MOST_POINTS:
        raise InputError(f"A window holds 2 to {MOST_POINTS} energies, not {points}.")
    return np.linspace(lowest, highest, points)

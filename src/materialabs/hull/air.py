"""Stability in air: against oxygen, carbon dioxide and water.

The three figures of the GNoME notebooks (Merchant et al., Nature 624, 2023): oxygen through the
grand-potential hull at the potential of O2 in air, carbon dioxide and water through the most
negative reaction energy with the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from materialabs.errors import InputError
from materialabs.hull.gas import OXYGEN_REFERENCE, oxygen_potential
from materialabs.hull.intake import Phases
from materialabs.hull.points import Floats
from materialabs.hull.reactions import interface_reactions
from materialabs.levels import Energies

if TYPE_CHECKING:
    from materialabs.hull.hull import Hull

GASES = {"carbon dioxide": "CO2", "water": "H2O"}
"""The gases that react as compounds."""


@dataclass(frozen=True, eq=False)
class AirStability:
    """How candidates stand up to air.

    Parameters
    ----------
    oxygen
        float64 [m], distance to the hull open to oxygen, eV for one atom that is not oxygen.
    carbon_dioxide, water
        float64 [m], most negative reaction energy, eV for one atom of the mixture; NaN where the
        hull lacks carbon or hydrogen.
    oxygen_potential
        The chemical potential of oxygen that was used, eV/atom on the hull's scale.
    """

    oxygen: Floats
    carbon_dioxide: Floats
    water: Floats
    oxygen_potential: float


def air_stability(
    hull: Hull, candidates: Phases, energies: Energies, *, potential: float | None = None
) -> AirStability:
    """Judge candidates against oxygen, carbon dioxide and water.

    Parameters
    ----------
    hull
        A hull that contains oxygen, and carbon and hydrogen for CO2 and water.
    candidates, energies
        The candidates and their energies.
    potential
        Chemical potential of oxygen, eV/atom on the hull's scale; by default that of O2 in air at
        300 K and 21,200 Pa: -4.95 eV plus the gas correction for PBE total energies, the
        correction alone for formation energies.
    """
    if "O" not in hull.symbols:
        raise InputError(
            f"Stability in air needs oxygen on the hull; this one is of {hull.system}: "
            "build it with oxygen and the oxides."
        )
    if potential is None:
        potential = oxygen_potential(
            reference=0.0 if hull.energies.kind == "formation" else OXYGEN_REFERENCE
        )
    compositions = hull._inside(candidates)
    values = {
        name: np.full(len(compositions), np.nan)
        if not _holds(hull, formula)
        else np.array(
            [
                interface_reactions(
                    hull, compositions[row], formula, _with_gas(hull, energies, row, formula)
                ).reaction_energy
                for row in range(len(compositions))
            ]
        )
        for name, formula in GASES.items()
    }
    oxygen = hull.grand_potential({"O": potential}).distance(compositions, energies)
    return AirStability(oxygen, values["carbon dioxide"], values["water"], potential)


def _holds(hull: Hull, formula: str) -> bool:
    needed = {"CO2": "C", "H2O": "H"}[formula]
    return needed in hull.symbols


def _with_gas(hull: Hull, energies: Energies, row: int, formula: str) -> Energies:
    """The energy of one candidate and of the lowest entry of a gas."""
    values = hull._comparable(energies, len(energies))
    compound = hull._inside(formula)
    x = compound.fractions(hull.elements)[0]
    same = np.abs(hull.fractions - x).max(axis=1) < 1e-9
    gas = hull.energies.values[same].min() if same.any() else hull.energy(compound).values[0]
    return Energies(np.array([values[row], gas]), hull.energies.kind, hull.level)

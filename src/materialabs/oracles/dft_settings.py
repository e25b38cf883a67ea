"""DFT settings of a chemical system: one set for its elements, its compounds and its hull."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.formula_texts import parse_system
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError, NotFound
from materialabs.levels import Level
from materialabs.oracles.dft_elements import CUTOFFS, SOFT_CUTOFF, WITH_DATASET

KPOINT_DENSITY: Final = 3.5
"""Angstrom; k-points along a reciprocal vector for each 1/angstrom of it (2 pi counted), so a
spacing of 0.29 per angstrom. Mg2Si and Mg are then within 8 meV/atom of a spacing of 0.17."""

SMEARING: Final = 0.05
"""eV; width of the Fermi-Dirac distribution. Energies are those extrapolated to zero width, and
forces are slopes of the free energy: at 0.1 eV the two differed by a third for distorted Si on a
coarse mesh."""

MAGNETISM: Final = "ferromagnetic high spin"
"""How spins start; part of the level, since antiferromagnets lie lower."""

DATASETS: Final = "gpaw-data 1.2.1"

FITTED_OXYGEN: Final = "O2 fitted"
"""Name of the correction of the O2 molecule in a level."""

OXYGEN_SHIFT: Final = 0.68
"""eV for each atom of an O2 molecule, added to PBE's energy: 1.36 eV a molecule, fitted to the
formation enthalpies of six oxides (Wang, Maxisch and Ceder, Phys. Rev. B 73, 195107, 2006)."""

LARGEST_MESH: Final = 60
"""k-points along one direction; more than that is a cell thinner than an atom."""


@dataclass(frozen=True)
class DftSettings:
    """Everything that changes a DFT energy; equal settings give comparable energies.

    Parameters
    ----------
    cutoff
        Plane-wave cut-off, eV.
    kpoint_density
        Angstrom; see :data:`KPOINT_DENSITY`.
    smearing
        Width of the Fermi-Dirac distribution, eV.
    functional
        Exchange and correlation; PBE is what there is.
    datasets
        Pseudopotentials, with their version.
    magnetism
        How spins start; :data:`MAGNETISM` is what there is.
    correction
        Empty, or ``"O2 fitted"``: O2 is raised by 1.36 eV a molecule, by which PBE binds it too
        strongly.
    """

    cutoff: float = SOFT_CUTOFF
    kpoint_density: float = KPOINT_DENSITY
    smearing: float = SMEARING
    functional: str = "PBE"
    datasets: str = DATASETS
    magnetism: str = MAGNETISM
    correction: str = ""

    def __post_init__(self) -> None:
        for name in ("cutoff", "kpoint_density", "smearing"):
            value = getattr(self, name)
            if not np.isfinite(value) or value <= 0:
                raise InputError(f"The DFT setting {name} is above zero, not {value!r}.")
        if self.functional != "PBE" or self.magnetism != MAGNETISM:
            raise InputError(
                f"DFT is done with PBE and {MAGNETISM} starts here, not {self.functional!r} and "
                f"{self.magnetism!r}."
            )
        if self.correction not in ("", FITTED_OXYGEN):
            raise InputError(f"The correction is '' or {FITTED_OXYGEN!r}, not {self.correction!r}.")

    @classmethod
    def of(cls, system: str | Iterable[str]) -> Self:
        """The settings of a chemical system: its hardest element decides.

        Parameters
        ----------
        system
            ``"Mg-Si"``, or element symbols.

        Raises
        ------
        NotFound
            Naming the elements that have no PAW dataset.
        """
        symbols = system_symbols(system)
        refuse_without_dataset(symbols)
        return cls(cutoff=max(CUTOFFS.get(symbol, SOFT_CUTOFF) for symbol in symbols))

    def with_fitted_oxygen(self) -> Self:
        """The same settings with the O2 molecule corrected."""
        return replace(self, correction=FITTED_OXYGEN)

    @property
    def hash(self) -> str:
        """SHA-256 over all fields except the correction, which a level names by itself."""
        fields = {name: value for name, value in asdict(self).items() if name != "correction"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def level(self, code: str, version: str) -> Level:
        """The level of theory that a program reaches with these settings."""
        return Level(
            self.functional,
            pseudopotentials=self.datasets,
            correction=self.correction,
            code=code,
            version=version,
            settings=self.hash,
        )

    def mesh(self, lattice: NDArray[np.float64]) -> tuple[int, int, int]:
        """k-points along each reciprocal vector of a cell [3, 3] in angstrom, zone centre included.

        The smallest whole numbers that reach the density.
        """
        return kpoint_mesh(lattice, self.kpoint_density)


def kpoint_mesh(lattice: NDArray[np.float64], density: float) -> tuple[int, int, int]:
    """k-points along each reciprocal vector of a cell [3, 3] at a density in angstrom."""
    lengths = 2.0 * np.pi * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    counts = np.clip(np.ceil(density * lengths - 1e-9), 1, LARGEST_MESH).astype(int)
    return int(counts[0]), int(counts[1]), int(counts[2])


def system_symbols(system: str | Iterable[str]) -> tuple[str, ...]:
    """Symbols of a chemical system given as ``"Mg-Si"`` or as symbols."""
    text = system if isinstance(system, str) else "-".join(system)
    return tuple(SYMBOLS[number] for number in parse_system(text))


def refuse_without_dataset(
    symbols: Sequence[str], available: frozenset[str] = WITH_DATASET
) -> None:
    """Refuse elements that no PAW dataset describes, by name and before anything starts."""
    missing = [symbol for symbol in symbols if symbol not in available]
    if missing:
        raise NotFound(
            f"There is no PBE dataset for {', '.join(missing)}: leave "
            f"{'it' if len(missing) == 1 else 'them'} out, or use a potential.",
            code="dft.no_dataset",
        )

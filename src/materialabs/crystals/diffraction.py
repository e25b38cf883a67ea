"""Simulated powder X-ray diffraction, through pymatgen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError

COPPER: Final = "CuKa"
"""Copper K-alpha, the average of its two lines, 1.54184 angstrom."""


@dataclass(frozen=True, eq=False)
class PowderPattern:
    """Reflections of each crystal of a batch, by rising angle, ragged.

    Parameters
    ----------
    two_theta
        float64 [M], degrees.
    intensity
        float64 [M], the strongest of each crystal 100; Lorentz and polarisation factors included.
    hkl
        int64 [M, 3], Miller indices of one plane of the reflection, in the crystal's own cell.
    multiplicity
        int64 [M], number of equivalent planes; of the plane named where several coincide.
    spacing
        float64 [M], distance of the planes in angstrom.
    offsets
        int64 [n+1]; crystal i has the reflections ``offsets[i]:offsets[i+1]``.
    wavelength
        Angstrom.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    hkl: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    spacing: NDArray[np.float64]
    offsets: NDArray[np.int64]
    wavelength: float

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> PowderPattern:
        """The pattern of one crystal."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"pattern {index} of {len(self)}")
        start, stop = self.offsets[index % len(self)], self.offsets[index % len(self) + 1]
        return PowderPattern(
            self.two_theta[start:stop],
            self.intensity[start:stop],
            self.hkl[start:stop],
            self.multiplicity[start:stop],
            self.spacing[start:stop],
            np.array([0, stop - start]),
            self.wavelength,
        )


def powder_pattern(
    crystals: Crystals,
    wavelength: str | float = COPPER,
    two_theta: tuple[float, float] = (5.0, 90.0),
) -> PowderPattern:
    """Simulate the powder diffraction of every crystal; partial occupancies count as fractions.

    Kinematic, with tabulated atomic scattering factors and without thermal motion (M. De Graef
    and M. E. McHenry, Structure of Materials, 2007, chapters 11 and 12).

    Parameters
    ----------
    crystals
        The batch, periodic in three directions.
    wavelength
        Angstrom, or a tube such as ``"CuKa"``, ``"CuKa1"``, ``"MoKa"``.
    two_theta
        First and last angle, degrees.

    Raises
    ------
    InputError
        For an unknown tube, angles outside 0 to 180, or a crystal that gives no pattern: not
        periodic, or with an element that has no tabulated scattering factor.
    """
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    low, high = two_theta
    if not 0 <= low < high <= 180:
        raise InputError(f"Angles rise from 0 to 180 degrees at most; {two_theta} does not.")
    calculator = XRDCalculator(wavelength=_wavelength(wavelength))
    names = crystals.ids()
    periodic = np.asarray(crystals.pbc.all(axis=1), dtype=bool)
    if not periodic.all():
        raise InputError(
            f"Crystal {names[int(np.argmin(periodic))]!r} is not periodic in three directions: "
            "it has no powder pattern."
        )
    _require_scattering_factors(crystals, names)
    plain = crystals.replace(columns=None, site_columns=None)
    patterns = [_pattern(calculator, one, two_theta) for one in plain.to_pymatgen()]
    sizes = [len(pattern.x) for pattern in patterns]
    planes = [family[0] for pattern in patterns for family in pattern.hkls]
    return PowderPattern(
        np.array([angle for pattern in patterns for angle in pattern.x], dtype=np.float64),
        np.array([height for pattern in patterns for height in pattern.y], dtype=np.float64),
        np.array([_miller(plane["hkl"]) for plane in planes], dtype=np.int64).reshape(-1, 3),
        np.array([plane["multiplicity"] for plane in planes], dtype=np.int64),
        np.array([gap for pattern in patterns for gap in pattern.d_hkls], dtype=np.float64),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        float(calculator.wavelength),
    )


def _wavelength(wavelength: str | float) -> float:
    from pymatgen.analysis.diffraction.xrd import WAVELENGTHS

    if isinstance(wavelength, str):
        if wavelength not in WAVELENGTHS:
            raise InputError(
                f"{wavelength!r} is not a known tube: give angstrom or one of "
                f"{', '.join(sorted(WAVELENGTHS))}."
            )
        return float(WAVELENGTHS[wavelength])
    if not 0 < wavelength < np.inf:
        raise InputError(f"A wavelength is a length above zero, not {wavelength}.")
    return float(wavelength)


def _require_scattering_factors(crystals: Crystals, names: list[str]) -> None:
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS

    compositions = crystals.compositions
    known = np.array([symbol in ATOMIC_SCATTERING_PARAMS for symbol in SYMBOLS])
    unknown = np.flatnonzero(~known[compositions.elements])
    if len(unknown):
        row = int(np.searchsorted(compositions.offsets, unknown[0], side="right")) - 1
        raise InputError(
            f"Crystal {names[row]!r} gives no powder pattern: "
            f"{SYMBOLS[int(compositions.elements[unknown[0]])]} has no scattering factor."
        )


def _pattern(calculator: Any, structure: Any, two_theta: tuple[float, float]) -> Any:
    """Pymatgen's pattern; it stops with a ValueError where no reflection is in the range."""
    from pymatgen.analysis.diffraction.core import DiffractionPattern

    try:
        return calculator.get_pattern(structure, two_theta_range=two_theta)
    except ValueError:
        return DiffractionPattern([], [], [], [])


def _miller(indices: tuple[int, ...]) -> tuple[int, int, int]:
    """Three indices; pymatgen writes four for hexagonal cells."""
    return (int(indices[0]), int(indices[1]), int(indices[-1]))

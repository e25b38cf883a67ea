"""Which crystals are computed with spin, and from which moments they start."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.elements import atomic_number
from materialabs.oracles.dft_elements import (
    SMALLEST_UNPAIRED,
    has_odd_electrons,
    high_spin_moment,
)

Floats = NDArray[np.float64]

OXYGEN: Final = atomic_number("O")

MAGNETIC_BOND: Final = 1.42
"""Angstrom; oxygen pairs closer than this are O2 (1.21) or superoxide (1.28 to 1.35), which have
unpaired electrons; peroxide (1.45 to 1.5) has none (Vannerberg, Prog. Inorg. Chem. 4, 1962)."""

VANISHED: Final = 0.05
"""Bohr magneton for an atom; smaller moments are none."""

SAME_ENERGY: Final = 1e-3
"""eV/atom; a state without spin that lies no higher than this above one with spin is the same."""

NOT_SEARCHED: Final = "antiferromagnetism not searched"
"""What every spin-polarised result says."""


def start_moments(lattice: Floats, frac: Floats, numbers: NDArray[np.uint8]) -> Floats | None:
    """Start moments [m] in Bohr magnetons, or ``None`` where the crystal is computed without spin.

    Spin is used when an element has an open d or f shell, when the number of electrons is odd,
    and where oxygen atoms are as close as in O2. The start is ferromagnetic: open shells by
    Hund's rule (:data:`~materialabs.oracles.dft_elements.HIGH_SPIN_MOMENTS`), oxygen pairs one
    unpaired electron an atom, and without either one an atom as well.
    """
    moments = np.array([high_spin_moment(int(number)) for number in numbers])
    paired = oxygen_in_pairs(lattice, frac, numbers)
    moments[paired] = SMALLEST_UNPAIRED
    if moments.any():
        return moments
    if has_odd_electrons(numbers):
        return np.full(len(numbers), SMALLEST_UNPAIRED)
    return None


def oxygen_in_pairs(lattice: Floats, frac: Floats, numbers: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Oxygen atoms with another closer than in a peroxide [m]."""
    oxygen = numbers == OXYGEN
    close = nearest_distances(lattice, frac[oxygen]) < MAGNETIC_BOND
    paired = np.zeros(len(numbers), dtype=bool)
    paired[np.flatnonzero(oxygen)[close]] = True
    return paired


def nearest_distances(lattice: Floats, frac: Floats) -> Floats:
    """Distance from each atom [m] to the nearest other one or image, angstrom.

    Images in the 27 cells around are looked at, enough for reduced cells.
    """
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = frac[:, None] - frac[None]
    apart = (apart - np.rint(apart))[:, :, None] + steps
    distances = np.linalg.norm(apart @ lattice, axis=-1)
    distances[distances < 1e-8] = np.inf
    return np.asarray(distances.min(axis=(1, 2), initial=np.inf))


def has_vanished(moments: Floats, magnetization: float) -> bool:
    """Whether neither atoms nor the cell keep a moment."""
    per_atom = abs(magnetization) / len(moments)
    return bool(max(float(np.abs(moments).max()), per_atom) < VANISHED)

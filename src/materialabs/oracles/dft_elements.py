"""What DFT has to know of each element: how hard it is, how it is magnetic, where PBE errs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.elements import (
    BLOCK,
    GROUP,
    SYMBOLS,
    VALENCE_D,
    VALENCE_F,
    atomic_number,
)

# -- plane waves ----------------------------------------------------------------------------------

SOFT_CUTOFF: Final = 400.0
"""eV; enough where no element is named below."""

MEDIUM_CUTOFF: Final = 500.0
"""eV."""

HARD_CUTOFF: Final = 600.0
"""eV."""

_MEDIUM: Final = "H C Na Mg Ca Ti V Cr Mn Ni Cu Zn Pd Ag Cd In Sn Sb Tl Pb Nd Pr Yb"
_HARD: Final = "N O F Ne Fe Co Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu"

CUTOFFS: Final[dict[str, float]] = {
    **dict.fromkeys(_MEDIUM.split(), MEDIUM_CUTOFF),
    **dict.fromkeys(_HARD.split(), HARD_CUTOFF),
}
"""eV by element, for the PAW datasets of gpaw-data 1.2.1; others take :data:`SOFT_CUTOFF`.

The tail of the atom's kinetic energy beyond the cut-off (the sum that GPAW prints with
``python -m gpaw.utilities.ekin``) is below 0.05 eV for the cut-off given; Na, Mg, Ca and V stand
a step higher, because their shallow p shell is harder than that sum says (Mg hcp: 0.05 eV/atom
from convergence at 400 eV). In N, O and F 0.1 to 0.2 eV are left at 600 eV, which are of the
atom and cancel in differences."""

_MISSING: Final = "Tc Po At Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr"
_LAST_HEAVY: Final = 86

WITH_DATASET: Final[frozenset[str]] = frozenset(
    symbol for symbol in SYMBOLS[1 : _LAST_HEAVY + 1] if symbol not in _MISSING.split()
)
"""Elements with a PBE dataset in gpaw-data 1.2.1 (83 of them; Rn is there, Tc, Po and At not)."""

# -- magnetism ------------------------------------------------------------------------------------

D_SHELL, F_SHELL = 10, 14
"""Electrons in a full shell."""

COINAGE_MOMENT: Final = 1.0
"""Bohr magneton; group 11 has a full d shell as an atom and one hole in it as an M(II) ion."""

SMALLEST_UNPAIRED: Final = 1.0
"""Bohr magneton; one unpaired electron."""

LAST_OPEN_GROUP: Final = 11
"""Group 12 keeps its d shell full in every compound."""


def has_open_shell(number: int) -> bool:
    """Whether an element has an open d or f shell, as an atom or as an ion that is common."""
    if BLOCK[number] == "f":
        return True
    return BLOCK[number] == "d" and bool(GROUP[number] <= LAST_OPEN_GROUP)


def high_spin_moment(number: int) -> float:
    """Moment of the high-spin atom in Bohr magnetons, from its d and f electrons alone.

    Hund's first rule: as many parallel spins as the shell can hold (Hund 1925), so n electrons
    in a shell of m orbitals have min(n, 2 m - n) unpaired. 5 for Mn, 4 for Fe, 7 + 1 for Gd;
    0 where there is no open shell.
    """
    if not has_open_shell(number):
        return 0.0
    d = min(VALENCE_D[number], D_SHELL - VALENCE_D[number])
    f = min(VALENCE_F[number], F_SHELL - VALENCE_F[number]) if BLOCK[number] == "f" else 0.0
    return float(d + f) or COINAGE_MOMENT


HIGH_SPIN_MOMENTS: Final[dict[str, float]] = {
    symbol: high_spin_moment(number)
    for number, symbol in enumerate(SYMBOLS)
    if symbol in WITH_DATASET and has_open_shell(number)
}
"""Start moments in Bohr magnetons of the elements with an open d or f shell."""

# -- where PBE is not to be believed ------------------------------------------------------------

HUBBARD_METALS: Final = frozenset({"V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Mo", "W"})
"""Transition metals whose oxides and fluorides need +U.

V, Cr, Mn, Fe, Co, Ni, Mo and W are those of the Materials Project (Jain et al., Phys. Rev. B 84,
045115, 2011); Cu is in the set of Wang, Maxisch and Ceder, Phys. Rev. B 73, 195107 (2006)."""

HUBBARD_ANIONS: Final = frozenset({"O", "F"})


def doubts(numbers: Iterable[int]) -> tuple[str, ...]:
    """Reasons why plain PBE is unreliable for a crystal of these elements; empty for none."""
    symbols = {SYMBOLS[number] for number in numbers}
    found = []
    lanthanides = sorted(s for s in symbols if BLOCK[atomic_number(s)] == "f")
    if lanthanides:
        found.append(f"PBE is unreliable for the f electrons of {', '.join(lanthanides)}")
    metals = sorted(symbols & HUBBARD_METALS)
    if metals and symbols & HUBBARD_ANIONS:
        found.append(
            f"PBE without +U is unreliable for oxides and fluorides of {', '.join(metals)}"
        )
    return tuple(found)


# -- electrons ------------------------------------------------------------------------------------


def has_odd_electrons(numbers: NDArray[np.uint8]) -> bool:
    """Whether a neutral cell with these atoms [m] has an odd number of electrons."""
    return bool(int(np.sum(np.asarray(numbers, dtype=np.int64))) % 2)

"""Leaving a symmetric start, and finding the symmetry again that is left at the end.

On a crystal that is symmetric no force acts that would break its symmetry, so that a relaxation may
end on a saddle point. A start that is displaced a little goes on to a minimum, which is symmetric
but for what the tolerances leave; its exact form is looked at once more.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import operations, refined

DISPLACED_BY: Final = 0.03
"""Angstrom; standard deviation of each coordinate of an atom."""

STRAINED_BY: Final = 0.006
"""Standard deviation of each coordinate of the strain (:func:`.model_hessian.strain_vector`)."""

GRID: Final = 1e-4
"""Angstrom and fractions: what a displacement depends on is rounded to this."""

CLOSENESS: Final = (0.1, 0.03)
"""Angstrom; how near to a symmetric crystal a relaxed one is taken for it, if its energy allows."""


def displacement(crystal: Crystals) -> NDArray[np.float64]:
    """A small random move of a batch of one: [3m+6], atoms in angstrom, then the strain.

    It depends on the crystal alone, rounded, so that a relaxation that is made again, perhaps on
    another machine, is the same.
    """
    steps = round(1.0 / GRID)
    parts = (crystal.lattice[0] * steps, np.rint(crystal.frac * steps) % steps, crystal.numbers)
    digest = hashlib.sha256(b"".join(np.rint(part).astype("<i8").tobytes() for part in parts))
    rng = np.random.default_rng(int.from_bytes(digest.digest()[:8], "little"))
    atoms = rng.normal(0.0, DISPLACED_BY, 3 * len(crystal.frac))
    return np.concatenate([atoms, rng.normal(0.0, STRAINED_BY, 6)])


def symmetrised(crystal: Crystals) -> list[Crystals]:
    """Crystals of exact symmetry near a batch of one, the most symmetric first."""
    plain = crystal.replace(columns=None, site_columns=None)
    found: list[Crystals] = []
    fewest = 1
    for tolerance in reversed(CLOSENESS):
        count = len(operations(plain, tolerance).rotations)
        if count > fewest:
            exact = refined(plain, tolerance)
            found.insert(0, crystal.replace(lattice=exact.lattice, frac=exact.frac))
            fewest = count
    return found

"""Angles between short bonds that share an atom, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_ends(
    first: NDArray[np.int32], second: NDArray[np.int32], atoms: int
) -> NDArray[np.int64]:
    """Where the bond ends of each atom start when they are put side by side [atoms + 1]."""
    starts = np.zeros(atoms + 1, dtype=np.int64)
    for bond in range(len(first)):
        starts[first[bond] + 1] += 1
        starts[second[bond] + 1] += 1
    for atom in range(atoms):
        starts[atom + 1] += starts[atom]
    return starts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def pair_ends(
    first: NDArray[np.int32], second: NDArray[np.int32], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
    """All pairs of bond ends at each atom: the atom, both bonds, and a sign.

    The sign is 1 where the vectors of both bonds point away from the atom or both to it.
    """
    atoms = len(starts) - 1
    bond_of = np.empty(starts[-1], dtype=np.int32)
    away = np.empty(starts[-1], dtype=np.int8)
    filled = starts[:-1].copy()
    for bond in range(len(first)):
        bond_of[filled[first[bond]]] = bond
        away[filled[first[bond]]] = 1
        filled[first[bond]] += 1
        bond_of[filled[second[bond]]] = bond
        away[filled[second[bond]]] = -1
        filled[second[bond]] += 1
    total = 0
    for atom in range(atoms):
        ends = starts[atom + 1] - starts[atom]
        total += ends * (ends - 1) // 2
    centre = np.empty(total, dtype=np.int32)
    one = np.empty(total, dtype=np.int32)
    other = np.empty(total, dtype=np.int32)
    sign = np.empty(total, dtype=np.int8)
    place = 0
    for atom in range(atoms):
        for left in range(starts[atom], starts[atom + 1]):
            for right in range(left + 1, starts[atom + 1]):
                centre[place] = atom
                one[place] = bond_of[left]
                other[place] = bond_of[right]
                sign[place] = away[left] * away[right]
                place += 1
    return centre, one, other, sign

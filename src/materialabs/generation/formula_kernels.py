"""Compiled enumeration of reduced formulas."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def fill_amounts(state: Array, atoms: int, fewest_elements: int, out: Array) -> int:
    """Write the next reduced formulas and give their number, below ``len(out)`` at the end.

    Parameters
    ----------
    state
        int64 [k+1], changed in place: the amounts of the formula to look at next, and their sum.
        Begin with one atom of the first element.
    atoms
        The largest sum.
    fewest_elements
        Formulas with fewer elements are left out.
    out
        uint8 [m, k], where the amounts are written.
    """
    kinds = len(state) - 1
    written = 0
    while state[kinds] <= atoms and written < len(out):
        divisor, present = 0, 0
        for place in range(kinds):
            amount = state[place]
            if amount > 0:
                present += 1
                divisor = _common_divisor(divisor, amount)
        if divisor == 1 and present >= fewest_elements:
            for place in range(kinds):
                out[written, place] = state[place]
            written += 1
        _advance(state, kinds)
    return written


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _common_divisor(first: int, second: int) -> int:
    while second:
        first, second = second, first % second
    return first


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _advance(state: Array, kinds: int) -> None:
    """The next amounts: by rising sum, within a sum by falling amount of the first elements."""
    place = kinds - 2
    while place >= 0 and state[place] == 0:
        place -= 1
    last = state[kinds - 1]
    state[kinds - 1] = 0
    if place < 0:
        state[kinds] += 1
        state[0] = state[kinds]
        return
    state[place] -= 1
    state[place + 1] = last + 1

"""Compositions and chemical systems as 64-bit marks, so that a million of them sort in a moment.

Equal compositions have equal marks whatever the size of their formula; two different ones among a
million share a mark with a probability below 1e-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.hull.compiled import compiled

FRACTION_GRID = 1e9
"""Compositions are equal when their atomic fractions agree on this grid (1e-9)."""


@compiled
def mark_of(value: Any) -> Any:
    """Scatter a whole number over 64 bits (splitmix64: Steele, Lea and Flood, 2014)."""
    mixed = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@compiled
def fill_element_marks(marks: Any) -> None:
    """A mark for each atomic number [256]."""
    for number in range(len(marks)):
        marks[number] = mark_of(number)


@compiled
def fill_marks(elements: Any, amounts: Any, offsets: Any, marks: Any, systems: Any) -> None:
    """The mark of each composition (sum over elements and fractions) and of its system."""
    for row in range(len(offsets) - 1):
        total = 0.0
        for i in range(offsets[row], offsets[row + 1]):
            total += amounts[i]
        composition, system = np.uint64(0), np.uint64(0)
        for i in range(offsets[row], offsets[row + 1]):
            grid = np.uint64(np.rint(amounts[i] / total * FRACTION_GRID))
            element = np.uint64(elements[i])
            composition += mark_of((element << np.uint64(40)) + grid)
            system += mark_of(element)
        marks[row], systems[row] = composition, system


def element_marks() -> NDArray[np.uint64]:
    """The mark of each element by atomic number [256]; a system's mark is the sum of these."""
    marks = np.zeros(256, dtype=np.uint64)
    fill_element_marks(marks)
    return marks


def marks(compositions: Compositions) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Marks of compositions [n] and of their chemical systems [n]."""
    found = np.zeros(len(compositions), dtype=np.uint64)
    systems = np.zeros(len(compositions), dtype=np.uint64)
    fill_marks(compositions.elements, compositions.amounts, compositions.offsets, found, systems)
    return found, systems

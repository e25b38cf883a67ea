"""Phases as points over composition space: the lowest of each composition is what counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Points:
    """Phases over composition space; the first k are the elements at zero energy.

    Parameters
    ----------
    fractions
        float64 [p, k].
    energies
        float64 [p], eV/atom above the elements; infinite for one that has been replaced.
    marks
        uint64 [p], a mark for each composition.
    """

    fractions: Floats
    energies: Floats
    marks: NDArray[np.uint64]


def lowest_of_each(codes: NDArray[np.uint64], energies: Floats) -> Indices:
    """The lowest of all phases that share a composition, for each composition, by its mark.

    Of equal ones the first is taken.
    """
    order = np.lexsort((energies, codes))
    first = np.ones(len(order), dtype=bool)
    first[1:] = codes[order][1:] != codes[order][:-1]
    return np.asarray(order[first])


def with_points(
    points: Points, x: Floats, energies: Floats, codes: NDArray[np.uint64]
) -> tuple[Points, Indices]:
    """Add the lowest new entry of each composition where it lies below the old one.

    The point of an entry that is undercut stays in its place with infinite energy.
    """
    chosen = np.sort(lowest_of_each(codes, energies))
    sorted_points = np.argsort(points.marks, kind="stable")
    present = points.marks[sorted_points]
    right = np.searchsorted(present, codes[chosen], side="right") - 1
    matched = (right >= 0) & (present[right] == codes[chosen])
    old = np.where(matched, sorted_points[right], -1)
    lower = ~matched | (energies[chosen] < points.energies[old])
    chosen, old = chosen[lower], old[lower]
    replaced = points.energies.copy()
    replaced[old[old >= 0]] = np.inf
    return (
        Points(
            np.concatenate([points.fractions, x[chosen]]),
            np.concatenate([replaced, energies[chosen]]),
            np.concatenate([points.marks, codes[chosen]]),
        ),
        chosen,
    )

"""Compositions grouped by chemical system."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions, ragged_rows
from materialabs.errors import InputError
from materialabs.hull.points import Floats, Indices

LARGEST_SYSTEM = 16
"""Elements; a system has two to this power sub-systems, which are all looked up."""


@dataclass(frozen=True, eq=False)
class Systems:
    """Compositions grouped by chemical system.

    Parameters
    ----------
    order
        int64 [m], the compositions by size and mark of their system.
    starts
        int64 [s+1], where each system begins in ``order``.
    elements
        int64 [s, w], atomic numbers; unused places are zero.
    sizes
        int64 [s].
    marks
        uint64 [s].
    """

    order: Indices
    starts: Indices
    elements: Indices
    sizes: Indices
    marks: NDArray[np.uint64]


def group_by_system(compositions: Compositions, width: int = 1) -> Systems:
    """Group compositions by chemical system, small systems first.

    Parameters
    ----------
    compositions
        What to group.
    width
        Least number of columns of the table of elements.
    """
    from materialabs.hull.mark_kernels import marks

    _, codes = marks(compositions)
    sizes = np.diff(compositions.offsets)
    if len(sizes) and sizes.max() > LARGEST_SYSTEM:
        name = compositions[int(np.argmax(sizes))].formulas()[0]
        raise InputError(
            f"{name} has {int(sizes.max())} elements; a database is judged up to "
            f"{LARGEST_SYSTEM}: judge it on a hull of its own."
        )
    order = np.lexsort((codes, sizes))
    first = np.ones(len(order), dtype=bool)
    first[1:] = codes[order][1:] != codes[order][:-1]
    heads = order[first]
    table = np.zeros((len(heads), max(width, int(sizes.max(initial=1)))), dtype=np.int64)
    gathered, offsets = ragged_rows(compositions.offsets, heads)
    rows = np.repeat(np.arange(len(heads)), np.diff(offsets))
    table[rows, np.arange(len(gathered)) - offsets[rows]] = compositions.elements[gathered]
    starts = np.append(np.flatnonzero(first), len(order)).astype(np.int64)
    return Systems(order, starts, table, sizes[heads], codes[heads])


def fractions_in_systems(compositions: Compositions, width: int) -> Floats:
    """Atomic fractions [m, w] over each composition's own elements."""
    rows = np.repeat(np.arange(len(compositions)), np.diff(compositions.offsets))
    table = np.zeros((len(compositions), width))
    table[rows, np.arange(len(rows)) - compositions.offsets[rows]] = compositions.amounts
    return np.asarray(table / compositions.atoms[:, None])

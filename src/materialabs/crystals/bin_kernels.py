"""A box of atoms cut into bins, so that large cells take time in proportion to their atoms.

``points`` are float64 [3, room], ``names`` int32 [room], ``box`` float64 [6] (lowest and highest
corner), ``boxes`` float64 [bins, 6] (centre and half edges of the box around a bin's atoms).
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

ATOMS_A_BIN = 8
"""Bins get no smaller: one step of the search looks at eight atoms."""

GATHERING = 30.0
"""Cost of gathering an image, in comparisons of an atom with an image (measured)."""


@njit(cache=True, nogil=True)
def grown_volume(x: float, y: float, z: float, reach: float) -> float:
    """Volume of all that lies within ``reach`` of a box (Steiner 1840), cubic angstrom."""
    faces = 2.0 * (x * y + y * z + z * x) * reach
    return x * y * z + faces + math.pi * reach**2 * (x + y + z) + 4.0 / 3.0 * math.pi * reach**3


@njit(cache=True, nogil=True)
def choose_bins(box: Any, count: int, reach: float, bins: Any) -> int:
    """Cut the box where that makes gathering and comparing cheaper; give the number of bins."""
    bins[:] = 1
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    best = grown_volume(x, y, z, reach) * (1.0 + GATHERING / count)
    while True:
        edges = (x / bins[0], y / bins[1], z / bins[2])
        longest = 0
        for axis in range(1, 3):
            if edges[axis] > edges[longest]:
                longest = axis
        bins[longest] += 1
        total = bins[0] * bins[1] * bins[2]
        volume = grown_volume(x / bins[0], y / bins[1], z / bins[2], reach)
        cost = volume * (1.0 + GATHERING * total / count)
        if cost >= best or total * ATOMS_A_BIN > count:
            bins[longest] -= 1
            return int(bins[0] * bins[1] * bins[2])
        best = cost


@njit(cache=True, nogil=True)
def assign_bins(home: Any, count: int, box: Any, bins: Any, chosen: Any) -> None:
    """Find the bin of each atom: ``(x * bins[1] + y) * bins[2] + z``."""
    chosen[:count] = 0
    for axis in range(3):
        widths = (box[axis + 3] - box[axis]) / bins[axis]
        scale = 1.0 / widths if bins[axis] > 1 else 0.0
        row, low, last = home[axis, :count], box[axis], np.int32(bins[axis] - 1)
        for i in range(count):
            place = min(np.int32((row[i] - low) * scale), last)
            chosen[i] = chosen[i] * np.int32(bins[axis]) + place


@njit(cache=True, nogil=True)
def sort_into_bins(
    home: Any, count: int, chosen: Any, points: Any, names: Any, starts: Any, boxes: Any
) -> None:
    """Order the atoms by bin and find the box around the atoms of each bin.

    Parameters
    ----------
    home, count, chosen
        Coordinates, how many, and the bin of each atom.
    points, names
        Become the coordinates in the order of the bins and whose they are.
    starts
        int64 [bins + 1], becomes where each bin starts.
    boxes
        float64 [bins, 6], becomes centre and half edges of each bin's atoms.
    """
    total = len(boxes)
    starts[:] = 0
    for i in range(count):
        starts[chosen[i] + 1] += 1
    for b in range(total):
        starts[b + 1] += starts[b]
    filled = starts[:total].copy()
    for i in range(count):
        place = filled[chosen[i]]
        filled[chosen[i]] += 1
        names[place] = i
        points[0, place], points[1, place], points[2, place] = home[0, i], home[1, i], home[2, i]
    for b in range(total):
        for axis in range(3):
            low, high = math.inf, -math.inf
            for place in range(starts[b], starts[b + 1]):
                low, high = min(low, points[axis, place]), max(high, points[axis, place])
            boxes[b, axis], boxes[b, axis + 3] = 0.5 * (low + high), 0.5 * (high - low)


@njit(cache=True, nogil=True)
def keep_order(
    home: Any, count: int, box: Any, points: Any, names: Any, starts: Any, boxes: Any
) -> None:
    """Do what :func:`sort_into_bins` does when there is one bin."""
    starts[0], starts[1] = 0, count
    for axis in range(3):
        points[axis, :count] = home[axis, :count]
        boxes[0, axis] = 0.5 * (box[axis] + box[axis + 3])
        boxes[0, axis + 3] = 0.5 * (box[axis + 3] - box[axis])
    for i in range(count):
        names[i] = i


@njit(cache=True, nogil=True)
def bin_range(
    boxes: Any, b: int, axis: int, box: Any, bins: Any, shift: float, reach: float
) -> tuple[int, int]:
    """Which bins along an axis, moved by a shift, may come within reach of bin b."""
    if bins[axis] == 1:
        return 0, 1
    width = (box[axis + 3] - box[axis]) / bins[axis]
    centre, half = boxes[b, axis] - shift - box[axis], boxes[b, axis + 3] + reach
    low = math.floor((centre - half) / width)
    high = math.floor((centre + half) / width) + 1
    return max(low, 0), min(high, bins[axis])

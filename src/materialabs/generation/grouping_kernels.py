"""Compiled grouping of crystals of one formula by their first matching representative."""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.generation.overlay_kernels import NO_MATCH, compare

ROOM_TO_START = 64
"""Near representatives for which there is room at first; it doubles when needed."""


@njit(cache=True, nogil=True)
def squared_distance(
    first: NDArray[np.float32], second: NDArray[np.float32], enough: float
) -> float:
    """Squared distance of two fingerprints; stops once it exceeds ``enough``."""
    total = 0.0
    for column in range(len(first)):
        step = first[column] - second[column]
        total += step * step
        if total > enough:
            break
    return total


@njit(cache=True, nogil=True)
def bucket_near(
    place: NDArray[np.int64],
    neighbour: int,
    sizes: NDArray[np.int64],
    occupied: NDArray[np.int64],
) -> int:
    """The occupied bucket at one of the 27 cells around a place, or -1."""
    key = 0
    for axis in range(3):
        at = place[axis] + neighbour % 3 - 1
        neighbour //= 3
        if at < 0 or at >= sizes[axis]:
            return -1
        key = key * sizes[axis] + at
    found = np.searchsorted(occupied, key)
    if found < len(occupied) and occupied[found] == key:
        return int(found)
    return -1


@njit(cache=True, nogil=True)
def near_leaders(
    prints: NDArray[np.float32],
    member: int,
    place: NDArray[np.int64],
    sizes: NDArray[np.int64],
    occupied: NDArray[np.int64],
    first: NDArray[np.int64],
    following: NDArray[np.int64],
    reach: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Representatives within reach of a member's fingerprint or it of theirs, nearest first."""
    found = np.empty(ROOM_TO_START, np.int64)
    distances = np.empty(ROOM_TO_START)
    count = 0
    for neighbour in range(27):
        bucket = bucket_near(place, neighbour, sizes, occupied)
        if bucket < 0:
            continue
        leader = first[bucket]
        while leader >= 0:
            near = max(reach[member], reach[leader]) ** 2
            square = squared_distance(prints[member], prints[leader], near)
            if square <= near:
                if count == len(found):
                    found = np.concatenate((found, np.empty(count, np.int64)))
                    distances = np.concatenate((distances, np.empty(count)))
                found[count] = leader
                distances[count] = square
                count += 1
            leader = following[leader]
    return found[:count][np.argsort(distances[:count])]


@njit(cache=True, nogil=True)
def lead(
    lattice: NDArray[np.float64],
    rows: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    prints: NDArray[np.float32],
    members: NDArray[np.int64],
    places: NDArray[np.int64],
    sizes: NDArray[np.int64],
    occupied: NDArray[np.int64],
    bucket: NDArray[np.int64],
    reach: NDArray[np.float64],
    limits: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Representative of each member, in order; cells as ``primitive_batch`` gives them.

    ``members`` [m] are positions among the cells; ``prints`` [m, d] their fingerprints, turned so
    that the first columns tell most. ``places`` [m, 3] are grid cells, ``sizes`` their number
    along each axis, ``occupied`` the rising keys of those in use and ``bucket`` [m] the position
    of each member's key there;
    ``reach`` [m] is how far from each fingerprint those of copies may lie.
    """
    first = np.full(len(occupied), -1, np.int64)
    following = np.full(len(members), -1, np.int64)
    out = members.copy()
    for member in range(len(members)):
        own = members[member]
        mine = slice(offsets[own], offsets[own + 1])
        joined = False
        for leader in near_leaders(
            prints, member, places[member], sizes, occupied, first, following, reach
        ):
            other = members[leader]
            theirs = slice(offsets[other], offsets[other + 1])
            displacement, _, _ = compare(
                lattice[other], rows[:, theirs], numbers[theirs],
                lattice[own], rows[:, mine], numbers[mine], limits,
            )  # fmt: skip
            if displacement < NO_MATCH:
                out[member] = other
                joined = True
                break
        if not joined:
            following[member] = first[bucket[member]]
            first[bucket[member]] = member
    return out

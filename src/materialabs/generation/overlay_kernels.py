"""Compiled search for the way to lay one primitive cell over another."""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.crystals.fingerprint_kernels import inverse, volume
from materialabs.generation.lattice_map_kernels import fill_metric, lattice_maps
from materialabs.generation.pairing_kernels import blocks, gram, settle, square_length
from materialabs.generation.primitive_kernels import hermite

NO_MATCH = np.inf
"""Displacement and strain of a pair that does not match."""


@njit(cache=True, nogil=True)
def repeated(small: NDArray[np.uint8], large: NDArray[np.uint8]) -> int:
    """How many times the smaller cell's atoms make up the larger's; zero when they do not."""
    times, rest = divmod(len(large), len(small))
    if rest:
        return 0
    for i in range(len(small)):
        if small[i] != large[i * times] or small[i] != large[i * times + times - 1]:
            return 0
    return times


@njit(cache=True, nogil=True)
def fill_cell(frac: NDArray[np.float64], rows: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Sites of the smaller cell repeated through a larger one, as fractions of the larger."""
    inv = inverse(rows.astype(np.float64))
    steps = hermite(rows)
    place = 0
    for site in range(frac.shape[1]):
        for x in range(abs(steps[0, 0])):
            for y in range(abs(steps[1, 1])):
                for z in range(abs(steps[2, 2])):
                    a, b, c = frac[0, site] + x, frac[1, site] + y, frac[2, site] + z
                    for k in range(3):
                        out[k, place] = a * inv[0, k] + b * inv[1, k] + c * inv[2, k]
                    place += 1


@njit(cache=True, nogil=True)
def farthest_sites(
    frac: NDArray[np.float64], starts: NDArray[np.int64], metric: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The atom of each element that is farthest from the first atom of all."""
    out = starts[:-1].copy()
    for block in range(len(out)):
        far = -1.0
        for j in range(starts[block], starts[block + 1]):
            a, b, c = frac[0, j] - frac[0, 0], frac[1, j] - frac[1, 0], frac[2, j] - frac[2, 0]
            square = square_length(metric, a - np.rint(a), b - np.rint(b), c - np.rint(c))
            if square > far:
                far = square
                out[block] = j
    return out


@njit(cache=True, nogil=True)
def probes_fit(
    sites: NDArray[np.float64],
    targets: NDArray[np.float64],
    starts: NDArray[np.int64],
    probes: NDArray[np.int64],
    metric: NDArray[np.float64],
    shift: NDArray[np.float64],
    catch: float,
) -> bool:
    """Whether chosen targets, one of each element, have a site of it near after a shift."""
    for block in range(len(probes)):
        j = probes[block]
        x, y, z = targets[0, j] - shift[0], targets[1, j] - shift[1], targets[2, j] - shift[2]
        found = False
        for i in range(starts[block], starts[block + 1]):
            a, b, c = sites[0, i] - x, sites[1, i] - y, sites[2, i] - z
            if square_length(metric, a - np.rint(a), b - np.rint(b), c - np.rint(c)) < catch:
                found = True
                break
        if not found:
            return False
    return True


@njit(cache=True, nogil=True)
def lay(
    rows: NDArray[np.int64],
    metric: NDArray[np.float64],
    small_frac: NDArray[np.float64],
    large_frac: NDArray[np.float64],
    starts: NDArray[np.int64],
    probes: NDArray[np.int64],
    limits: NDArray[np.float64],
) -> tuple[float, float]:
    """Try every origin for one way of laying the lattices over each other; stop at a fit.

    The first atom of the scarcest element is laid on each atom of that element that is not a
    copy of another; ``probes`` are looked at before all others. Returns the root mean square and
    the largest displacement, angstrom.
    """
    count = large_frac.shape[1]
    times = count // small_frac.shape[1]
    sites, steps = np.empty((3, count)), np.empty((3, count))
    partners, scratch, shift = np.empty(count, np.int64), np.empty(count), np.empty(3)
    fill_cell(small_frac, rows, sites)
    for origin in range(0, starts[1], times):
        for k in range(3):
            shift[k] = large_frac[k, 0] - sites[k, origin]
        if not probes_fit(sites, large_frac, starts, probes, metric, shift, limits[3]):
            continue
        mean, largest = settle(
            sites, large_frac, starts, metric, shift, limits[3], partners, steps, scratch
        )
        if mean <= limits[0] ** 2 and largest <= limits[1] ** 2:
            return np.sqrt(mean), np.sqrt(largest)
    return NO_MATCH, NO_MATCH


@njit(cache=True, nogil=True)
def overlay(
    small_lattice: NDArray[np.float64],
    small_frac: NDArray[np.float64],
    large_lattice: NDArray[np.float64],
    large_frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    limits: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Lay a crystal over another of the same volume per atom; stop at the least strained fit.

    ``numbers`` are the larger cell's, ``limits`` as :func:`compare` takes them. Returns the root
    mean square and the largest displacement in angstrom and the strain, or ``NO_MATCH`` thrice.
    """
    times = large_frac.shape[1] // small_frac.shape[1]
    maps, strains = lattice_maps(small_lattice, large_lattice, times, limits[2])
    if len(maps) == 0:
        return NO_MATCH, NO_MATCH, NO_MATCH
    starts = blocks(numbers)
    small, large = gram(small_lattice), gram(large_lattice)
    probes = farthest_sites(large_frac, starts, large)
    metric = np.empty((3, 3))
    best = np.argmin(strains)
    order = np.full(1, best)
    for turn in range(len(maps) + 1):
        if turn == 1:
            order = np.argsort(strains)
        k = order[max(turn - 1, 0)]
        if turn > 0 and k == best:
            continue
        fill_metric(small, maps[k], metric)
        for a in range(3):
            for b in range(3):
                metric[a, b] = 0.5 * (metric[a, b] + large[a, b])
        mean, largest = lay(maps[k], metric, small_frac, large_frac, starts, probes, limits)
        if mean < NO_MATCH:
            return mean, largest, strains[k]
    return NO_MATCH, NO_MATCH, NO_MATCH


@njit(cache=True, nogil=True)
def may_contain(
    small: NDArray[np.float64], large: NDArray[np.float64], ratio: float, times: int, strain: float
) -> bool:
    """Whether the shortest vectors of two reduced cells allow a map within a strain.

    Lattice vectors of the larger cell are lattice vectors of the smaller one, so that its three
    successive minima are at least as long; for equal cells they are equal. A strain changes a
    squared length by at most twice its norm. ``ratio`` scales squared lengths of the smaller.
    """
    for k in range(3):
        mine = ratio * (small[k, 0] ** 2 + small[k, 1] ** 2 + small[k, 2] ** 2)
        theirs = large[k, 0] ** 2 + large[k, 1] ** 2 + large[k, 2] ** 2
        if mine > theirs * (1.0 + 2.0 * strain):
            return False
        if times == 1 and mine < theirs * (1.0 - 2.0 * strain):
            return False
    return True


@njit(cache=True, nogil=True)
def compare(
    first_lattice: NDArray[np.float64],
    first_frac: NDArray[np.float64],
    first_numbers: NDArray[np.uint8],
    second_lattice: NDArray[np.float64],
    second_frac: NDArray[np.float64],
    second_numbers: NDArray[np.uint8],
    limits: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Bring two primitive cells to the same volume per atom and lay the smaller over the larger.

    ``limits`` are the root mean square and the largest displacement (angstrom), the strain and
    the square of the catch distance (angstrom^2).
    """
    swap = len(first_numbers) > len(second_numbers)
    if swap:
        first_lattice, second_lattice = second_lattice, first_lattice
        first_frac, second_frac = second_frac, first_frac
        first_numbers, second_numbers = second_numbers, first_numbers
    times = repeated(first_numbers, second_numbers)
    if times == 0:
        return NO_MATCH, NO_MATCH, NO_MATCH
    ratio = (volume(second_lattice) / (times * volume(first_lattice))) ** (1.0 / 6.0)
    if not may_contain(first_lattice, second_lattice, ratio**4, times, limits[2]):
        return NO_MATCH, NO_MATCH, NO_MATCH
    return overlay(
        first_lattice * ratio,
        first_frac,
        second_lattice / ratio,
        second_frac,
        second_numbers,
        limits,
    )


@njit(cache=True, nogil=True)
def compare_pairs(
    lattice: NDArray[np.float64],
    rows: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    limits: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compare crystals of one packed batch pair by pair; [pairs, 3] as :func:`compare` gives."""
    out = np.empty((len(first), 3))
    for pair in range(len(first)):
        a, b = first[pair], second[pair]
        left = slice(offsets[a], offsets[a + 1])
        right = slice(offsets[b], offsets[b + 1])
        out[pair, 0], out[pair, 1], out[pair, 2] = compare(
            lattice[a], rows[:, left], numbers[left], lattice[b], rows[:, right], numbers[right],
            limits,
        )  # fmt: skip
    return out

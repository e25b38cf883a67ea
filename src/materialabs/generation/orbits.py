"""Choices of sites that symmetry does not make equal, counted and written out."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError

MOST_SITES: Final = 64
"""Sites of one ion in a cell among which is chosen."""

MOST_CHOICES: Final = 50
"""Inequivalent choices of one size that are written out."""


def restricted(permutations: NDArray[np.int16], sites: ArrayLike) -> NDArray[np.int16]:
    """A permutation group on some of its sites [g', k], numbered anew, repeats left out.

    Raises
    ------
    InputError
        When an operation takes one of the sites outside them.
    """
    chosen = np.asarray(sites, dtype=np.int64)
    place = np.full(permutations.shape[1], -1, dtype=np.int16)
    place[chosen] = np.arange(len(chosen))
    images = place[permutations[:, chosen]]
    if images.size and images.min() < 0:
        raise InputError("The sites to choose from must be whole orbits.")
    return np.unique(images, axis=0)


def choice_counts(permutations: NDArray[np.int16]) -> list[int]:
    """How many choices of k sites are inequivalent, for k = 0 ... n (Burnside's lemma).

    An operation with cycles of lengths c fixes as many k-subsets as the coefficient of x^k in
    the product of (1 + x^c); the count is the mean over the group.

    Parameters
    ----------
    permutations
        [g, n], every operation of the group once.
    """
    sites = permutations.shape[1]
    totals = [0] * (sites + 1)
    for cycles, repeats in _cycle_types(permutations).items():
        fixed = [1] + [0] * sites
        for length in cycles:
            for k in range(sites, length - 1, -1):
                fixed[k] += fixed[k - length]
        totals = [total + repeats * count for total, count in zip(totals, fixed, strict=True)]
    return [total // len(permutations) for total in totals]


def _cycle_types(permutations: NDArray[np.int16]) -> Counter[tuple[int, ...]]:
    types: Counter[tuple[int, ...]] = Counter()
    for row in permutations.tolist():
        lengths, seen = [], [False] * len(row)
        for first in range(len(row)):
            length, site = 0, first
            while not seen[site]:
                seen[site] = True
                site = row[site]
                length += 1
            if length:
                lengths.append(length)
        types[tuple(sorted(lengths))] += 1
    return types


@dataclass(frozen=True, eq=False)
class Choices:
    """Inequivalent choices among n sites, by rising number of chosen ones.

    Parameters
    ----------
    chosen
        bool [c, n], True for sites that are chosen.
    cut
        Sizes k that were left out because too many choices are inequivalent: {k: how many}.
    """

    chosen: NDArray[np.bool_]
    cut: dict[int, int]


def inequivalent_choices(permutations: NDArray[np.int16], *, most: int = MOST_CHOICES) -> Choices:
    """One representative of every class of k-subsets under the group, for k = 1 ... n.

    A size k whose classes, counted beforehand, are more than ``most`` is left out whole and
    named in ``cut``. Subsets of more than half the sites are complements of smaller ones.

    Parameters
    ----------
    permutations
        [g, n], every operation of the group on these sites once; n at most 64.
    most
        Largest number of choices of one size.
    """
    from materialabs.generation.orbit_kernels import WORD, grown_choices

    sites = permutations.shape[1]
    if sites > MOST_SITES:
        raise InputError(
            f"Choices are made among at most {MOST_SITES} sites and {sites} were given: "
            "take a smaller cell.",
            code="orbits.too_many_sites",
        )
    counts = choice_counts(permutations)
    bits = site_bits(permutations)
    everything = np.uint64(((1 << sites) - 1) << (WORD - sites))
    level = np.zeros(1, dtype=np.uint64)
    by_size: dict[int, NDArray[np.uint64]] = {sites: np.array([everything])}
    for k in range(1, sites // 2 + 1):
        if counts[k] > most:
            break
        level = grown_choices(level, bits)
        by_size[k] = level
        if k != sites - k:
            by_size[sites - k] = everything ^ level
    masks = np.concatenate([by_size[k] for k in sorted(by_size)])
    cut = {k: counts[k] for k in range(1, sites + 1) if k not in by_size}
    return Choices(unpacked(masks, sites), cut)


def site_bits(permutations: NDArray[np.int16]) -> NDArray[np.uint64]:
    """For each operation and site the one-bit mask of the site's image [g, n]."""
    from materialabs.generation.orbit_kernels import WORD

    shifts = (WORD - 1 - permutations).astype(np.uint64)
    return np.ascontiguousarray(np.left_shift(np.uint64(1), shifts))


def unpacked(masks: NDArray[np.uint64], sites: int) -> NDArray[np.bool_]:
    """Masks as truth values [c, n], site 0 from the highest bit."""
    from materialabs.generation.orbit_kernels import WORD

    shifts = (WORD - 1 - np.arange(sites)).astype(np.uint64)
    return np.asarray((masks[:, None] >> shifts[None, :]) & np.uint64(1), dtype=bool)


def periodic_choices(
    chosen: NDArray[np.bool_], translations: NDArray[np.int16]
) -> NDArray[np.bool_]:
    """True for choices [c] that an inner translation repeats: they fit into a smaller cell."""
    repeated = np.zeros(len(chosen), dtype=bool)
    for row in translations:
        moved = np.zeros_like(chosen)
        moved[:, row] = chosen
        repeated |= np.all(moved == chosen, axis=1)
    return repeated


def orbit_choices(orbits: ArrayLike, *, most_orbits: int) -> NDArray[np.bool_]:
    """Every set of up to ``most_orbits`` whole orbits, and all of them together.

    Parameters
    ----------
    orbits
        int [n], the orbit of each site.
    most_orbits
        Largest number of orbits taken at once, short of all.

    Returns
    -------
    NDArray[np.bool_]
        [c, n], True for sites that are chosen.
    """
    labels, place = np.unique(np.asarray(orbits), return_inverse=True)
    count = len(labels)
    sizes = range(1, min(most_orbits, count - 1) + 1)
    sets = [chosen for k in sizes for chosen in itertools.combinations(range(count), k)]
    table = np.zeros((len(sets) + 1, count), dtype=bool)
    for row, chosen in enumerate(sets):
        table[row, list(chosen)] = True
    table[-1] = True
    return np.asarray(table[:, place])

"""Families of crystals that differ only in which elements play which role.

Members of a family share the space group and, role by role, the kinds of sites; and the mean
distances between roles, in units of the mean spacing, agree within :data:`LIKENESS`. It is a
coarse equality, meant for grouping what substitution turns into the same thing, not a proof.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import Symmetry, symmetry

LIKENESS: Final = 0.08
"""Largest difference of a role-to-role distance within a family, in mean spacings."""

SAMENESS: Final = 0.01
"""Largest such difference between roles that count as mirror images."""

MOST_ORDERS: Final = 24
"""Orders of interchangeable roles that are tried when a crystal is laid on a family."""


@dataclass(frozen=True, eq=False)
class Families:
    """The family of each crystal and the role of each atom.

    Parameters
    ----------
    family
        int64 [n], numbered from 0 in order of first appearance; -1 without a symmetry.
    role
        int64 [N], the role of each atom, from 0, the same in all members of a family.
    sizes
        int64 [n], number of roles of each crystal.
    likeness
        For each family, the renamings of roles [r, k] that leave it as it is, the identity
        first: roles that they exchange are one another's mirror image.
    """

    family: NDArray[np.int64]
    role: NDArray[np.int64]
    sizes: NDArray[np.int64]
    likeness: tuple[NDArray[np.int64], ...]


def families(
    crystals: Crystals,
    kinds: NDArray[np.int64] | None = None,
    found: Symmetry | None = None,
) -> Families:
    """Group crystals by what they are once the elements are forgotten.

    Parameters
    ----------
    crystals
        Ordered crystals.
    kinds
        int [N], what counts as the same on the sites of a crystal; the element by default.
    found
        Their symmetry where it is known already.
    """
    found = symmetry(crystals) if found is None else found
    kinds = crystals.numbers.astype(np.int64) if kinds is None else kinds
    family = np.full(len(crystals), -1, dtype=np.int64)
    role = np.zeros(len(crystals.frac), dtype=np.int64)
    sizes = np.zeros(len(crystals), dtype=np.int64)
    known: dict[object, list[tuple[int, NDArray[np.float64]]]] = {}
    likeness: list[NDArray[np.int64]] = []
    for index in range(len(crystals)):
        span = slice(int(crystals.offsets[index]), int(crystals.offsets[index + 1]))
        labels, place = np.unique(kinds[span], return_inverse=True)
        signature, order, ties = _signature(found.site_symmetry[span], place, len(labels))
        rank = np.argsort(order)
        sizes[index], role[span] = len(labels), rank[place]
        if found.number[index] == 0:
            continue
        distances = _distances(crystals, index, role[span], len(labels))
        leaders = known.setdefault((int(found.number[index]), signature), [])
        number, permutation = _nearest(leaders, distances, ties)
        if number < 0:
            number = len(likeness)
            leaders.append((number, distances))
            likeness.append(_own_renamings(distances, ties))
        elif permutation is not None:
            role[span] = permutation[role[span]]
        family[index] = number
    return Families(family, role, sizes, tuple(likeness))


def _signature(
    site_symmetry: NDArray[np.str_], place: NDArray[np.int64], count: int
) -> tuple[tuple[tuple[tuple[str, int], ...], ...], list[int], list[list[int]]]:
    """What kinds of sites each role has, the roles in that order, and which ones tie."""
    tallies: list[Counter[str]] = [Counter() for _ in range(count)]
    for label, symbol in zip(place.tolist(), site_symmetry.tolist(), strict=True):
        tallies[label][symbol.replace(".", "")] += 1
    divisor = reduce(math.gcd, (n for tally in tallies for n in tally.values()))
    marks = [tuple(sorted((s, n // divisor) for s, n in tally.items())) for tally in tallies]
    order = sorted(range(count), key=lambda label: (marks[label], label))
    signature = tuple(marks[label] for label in order)
    ties = [
        [place for place, _ in group]
        for _, group in itertools.groupby(enumerate(signature), key=lambda item: item[1])
    ]
    return signature, order, ties


def _distances(
    crystals: Crystals, index: int, roles: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    from materialabs.generation.family_kernels import role_distances

    span = slice(int(crystals.offsets[index]), int(crystals.offsets[index + 1]))
    return np.asarray(role_distances(crystals.lattice[index], crystals.frac[span], roles, count))


def _nearest(
    leaders: list[tuple[int, NDArray[np.float64]]],
    distances: NDArray[np.float64],
    ties: list[list[int]],
) -> tuple[int, NDArray[np.int64] | None]:
    """The closest family within likeness, and the renaming of roles that lays one on the other.

    The renaming says where each role of the crystal goes among the leader's.
    """
    if not leaders:
        return -1, None
    stack = np.stack([leader for _, leader in leaders])
    best, number, renaming = LIKENESS, -1, None
    for permutation in itertools.islice(_orders(ties), MOST_ORDERS):
        moved = np.empty_like(distances)
        moved[np.ix_(permutation, permutation)] = distances
        apart = np.abs(stack - moved).reshape(len(stack), -1).max(axis=1)
        nearest = int(np.argmin(apart))
        if apart[nearest] < best:
            best, number, renaming = float(apart[nearest]), leaders[nearest][0], permutation
    return number, renaming


def _own_renamings(distances: NDArray[np.float64], ties: list[list[int]]) -> NDArray[np.int64]:
    """The renamings of roles that leave all role-to-role distances as they are [r, k]."""
    orders = itertools.islice(_orders(ties), MOST_ORDERS)
    same = [
        order
        for order in orders
        if np.abs(distances[np.ix_(order, order)] - distances).max() < SAMENESS
    ]
    return np.stack(same)


def _orders(ties: list[list[int]]) -> itertools.chain[NDArray[np.int64]]:
    """Every renaming of roles that exchanges only roles of the same kinds of sites."""
    products = itertools.product(*(itertools.permutations(tie) for tie in ties))
    return itertools.chain(
        np.array([place for group in product for place in group], dtype=np.int64)
        for product in products
    )

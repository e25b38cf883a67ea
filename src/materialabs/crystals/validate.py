"""Is this a crystal at all? The checks that every crystal passes before it is let in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.batch import SMALLEST_VOLUME

if TYPE_CHECKING:
    from materialabs.crystals.batch import Crystals

Reasons = list["str | None"]

HEAVIEST_ELEMENT = 118
"""Oganesson, the last element of the tables."""


@dataclass(frozen=True)
class SanityLimits:
    """Beyond these a crystal is refused.

    Parameters
    ----------
    sites
        Most sites of one crystal.
    shortest_distance
        Angstrom; two atoms closer than this overlap. The shortest bond there is, H-H, is 0.74,
        and hydrogen placed by X-ray diffraction is found as near as 0.6.
    smallest_volume_per_atom
        Cubic angstrom; solid hydrogen at 500 GPa still takes 1.6 (Loubeyre et al., 2020).
    largest_volume_per_atom
        Cubic angstrom; a single atom in a box of 100 angstrom takes a million.
    longest_vector
        Angstrom; the longest cell vector.
    """

    sites: int = 5_000
    shortest_distance: float = 0.5
    smallest_volume_per_atom: float = 1.0
    largest_volume_per_atom: float = 2e6
    longest_vector: float = 1e5


def check(crystals: Crystals, limits: SanityLimits | None = None) -> Reasons:
    """Say of each crystal why it cannot be real, or ``None`` where nothing is wrong.

    Parameters
    ----------
    crystals
        The batch, n crystals.
    limits
        What is still allowed.

    Returns
    -------
    n texts or ``None``.
    """
    occupancy = crystals.occupancy
    return check_arrays(
        crystals.lattice,
        crystals.frac,
        crystals.numbers,
        crystals.offsets,
        crystals.pbc,
        share=None if occupancy is None else occupancy.totals(),
        limits=limits,
    )


def check_arrays(
    lattice: ArrayLike,
    frac: ArrayLike,
    numbers: ArrayLike,
    offsets: ArrayLike,
    pbc: ArrayLike,
    *,
    share: NDArray[np.float64] | None = None,
    limits: SanityLimits | None = None,
) -> Reasons:
    """Check raw arrays, before they are made into a batch, which would refuse them whole.

    Parameters
    ----------
    lattice, frac, numbers, offsets, pbc
        [n,3,3], [N,3], [N], [n+1], [n,3] as in :class:`~materialabs.crystals.batch.Crystals`.
    share
        Occupied fraction of each site [N]; by default all are full.
    limits
        What is still allowed.
    """
    limits = limits or SanityLimits()
    cells = np.asarray(lattice, dtype=np.float64).reshape(-1, 3, 3)
    coordinates = np.ascontiguousarray(frac, dtype=np.float64).reshape(-1, 3)
    elements = np.asarray(numbers).astype(np.int64)
    bounds = np.asarray(offsets, dtype=np.int64)
    periodic = np.asarray(pbc, dtype=bool).reshape(-1, 3)
    full = np.ones(len(coordinates)) if share is None else share
    reasons: Reasons = [None] * len(cells)
    counts = np.diff(bounds)

    _mark(reasons, counts == 0, lambda _: "has no atoms")
    _mark(
        reasons,
        counts > limits.sites,
        lambda i: f"has {counts[i]:,} atoms and at most {limits.sites:,} are read: raise the limit",
    )
    strange: NDArray[np.bool_] = np.isin(elements, np.arange(1, HEAVIEST_ELEMENT + 1), invert=True)
    _mark(
        reasons,
        _any_in(strange, bounds),
        lambda i: f"names atomic number {_first(elements, strange, bounds, i)}, not an element",
    )
    _mark(
        reasons,
        np.asarray(~np.isfinite(cells).all(axis=(1, 2))),
        lambda _: "has a cell that is not made of numbers",
    )
    _mark(
        reasons,
        _any_in(np.asarray(~np.isfinite(coordinates).all(axis=1)), bounds),
        lambda _: "has an atom whose coordinates are not numbers",
    )
    _check_volumes(reasons, cells, bounds, periodic, full, limits)
    _check_overlaps(reasons, cells, coordinates, bounds, periodic, full, limits)
    return reasons


def _check_volumes(
    reasons: Reasons,
    cells: NDArray[np.float64],
    bounds: NDArray[np.int64],
    periodic: NDArray[np.bool_],
    share: NDArray[np.float64],
    limits: SanityLimits,
) -> None:
    finite = np.where(np.isfinite(cells), cells, 0.0)
    _mark(
        reasons,
        np.abs(finite).max(axis=(1, 2), initial=0.0) > limits.longest_vector,
        lambda i: f"has a cell vector longer than {limits.longest_vector:g} angstrom",
    )
    with np.errstate(over="ignore", invalid="ignore"):
        volumes = np.abs(np.linalg.det(finite))
    _mark(
        reasons,
        ~(volumes >= SMALLEST_VOLUME),
        lambda i: f"has a cell without volume ({volumes[i]:.2g} cubic angstrom)",
    )
    owners = np.repeat(np.arange(len(cells)), np.diff(bounds))
    each = volumes / np.maximum(np.bincount(owners, share, minlength=len(cells)), 1e-12)
    closed = periodic.all(axis=1)
    _mark(
        reasons,
        closed & (each < limits.smallest_volume_per_atom),
        lambda i: (
            f"is impossibly dense: {each[i]:.2g} cubic angstrom for each atom, "
            f"at least {limits.smallest_volume_per_atom:g} is needed"
        ),
    )
    _mark(
        reasons,
        closed & (each > limits.largest_volume_per_atom),
        lambda i: f"is impossibly dilute: {each[i]:.2g} cubic angstrom for each atom",
    )


def _check_overlaps(
    reasons: Reasons,
    cells: NDArray[np.float64],
    coordinates: NDArray[np.float64],
    bounds: NDArray[np.int64],
    periodic: NDArray[np.bool_],
    share: NDArray[np.float64],
    limits: SanityLimits,
) -> None:
    from materialabs.crystals.compositions import ragged_rows
    from materialabs.crystals.validate_kernels import closest_pairs

    sound = np.array([reason is None for reason in reasons], dtype=bool)
    rows = np.flatnonzero(sound)
    if not len(rows):
        return
    atoms, offsets = ragged_rows(bounds, rows)
    distances, pairs = closest_pairs(
        np.ascontiguousarray(cells[rows]),
        np.ascontiguousarray(coordinates[atoms]),
        offsets,
        np.ascontiguousarray(periodic[rows]),
        np.ascontiguousarray(share[atoms], dtype=np.float64),
        limits.shortest_distance,
    )
    for place in np.flatnonzero(np.isfinite(distances)):
        first, second = sorted(int(site) + 1 for site in pairs[place])
        who = (
            f"atom {first} overlaps with its own image"
            if first == second
            else f"atoms {first} and {second} overlap"
        )
        reasons[rows[place]] = (
            f"has overlapping atoms: {who}, {distances[place]:.3f} angstrom apart"
        )


def _mark(reasons: Reasons, bad: NDArray[np.bool_], sentence: _Sentence) -> None:
    """Write the reason where there is none yet."""
    for index in np.flatnonzero(bad):
        if reasons[index] is None:
            reasons[index] = sentence(int(index))


def _any_in(bad: NDArray[np.bool_], bounds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for crystals that own a bad atom [n]."""
    before = np.concatenate([[0], np.cumsum(bad)])
    return np.asarray(before[bounds[1:]] > before[bounds[:-1]])


def _first(
    values: NDArray[np.int64], bad: NDArray[np.bool_], bounds: NDArray[np.int64], index: int
) -> int:
    start, stop = bounds[index], bounds[index + 1]
    return int(values[start:stop][bad[start:stop]][0])


if TYPE_CHECKING:
    from collections.abc import Callable

    _Sentence = Callable[[int], str]

"""Crystals as graphs of distinct sites and distinct bonds: what the networks read.

Atoms with equal surroundings get equal features in every layer of a network that sees distances
only, so one of them is enough, and equal bonds of one atom are one bond with a count. The graph of
a crystal is then as small as its symmetry allows, and a supercell has the graph of its primitive
cell. In a database of inorganic crystals this leaves about a third of the atoms and a quarter of
the bonds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import ragged_rows
from materialabs.crystals.neighbours import stream_neighbours
from materialabs.errors import InputError
from materialabs.networks.bond_kernels import distinct_bonds

NEIGHBOURS = 16
"""Nearest neighbours of an atom that make its bonds; the last shell is kept whole."""

SHELL_SLACK = 0.01
"""Relative difference of two distances in one outermost shell."""

SAME_LENGTH = 4e-4
"""Distances that follow one another within this are equal; in units of the atomic spacing."""

SPAN = 5.0
"""A group of equal distances spans at most this many ``SAME_LENGTH``."""

FIRST_REACH = 2.0
"""Radius of the search in atomic spacings: about 33 neighbours in a uniform solid."""

GROWTH = 1.5
"""Growth of the radius for crystals in which some atom has too few neighbours."""

LONGEST_REACH = 12.0
"""Angstrom; atoms further apart than this are not bonded, however few neighbours there are."""


@dataclass(frozen=True, eq=False)
class BondGraphs:
    """Distinct sites and bonds of many crystals.

    Parameters
    ----------
    numbers
        uint8 [S], element of each site.
    share
        float32 [S], share of the crystal's atoms that this site stands for.
    site_offsets
        int64 [n+1]; crystal c owns sites ``site_offsets[c]:site_offsets[c+1]``.
    origin, target
        int16 [B], sites of each bond, counted within their crystal; sorted by ``origin``.
    length
        float32 [B], angstrom.
    count
        float32 [B], bonds of one atom that are equal to this one.
    bond_offsets
        int64 [n+1]; crystal c owns bonds ``bond_offsets[c]:bond_offsets[c+1]``.
    spacing
        float32 [n], cube root of the volume of an atom, angstrom.
    """

    numbers: NDArray[np.uint8]
    share: NDArray[np.float32]
    site_offsets: NDArray[np.int64]
    origin: NDArray[np.int16]
    target: NDArray[np.int16]
    length: NDArray[np.float32]
    count: NDArray[np.float32]
    bond_offsets: NDArray[np.int64]
    spacing: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.spacing)

    def take(self, rows: ArrayLike) -> BondGraphs:
        """The graphs of some crystals, in the order given."""
        chosen = np.asarray(rows, dtype=np.int64)
        sites, site_offsets = ragged_rows(self.site_offsets, chosen)
        bonds, bond_offsets = ragged_rows(self.bond_offsets, chosen)
        return BondGraphs(
            self.numbers[sites], self.share[sites], site_offsets,
            self.origin[bonds], self.target[bonds], self.length[bonds], self.count[bonds],
            bond_offsets, self.spacing[chosen],
        )  # fmt: skip

    def scaled(self, factors: ArrayLike) -> BondGraphs:
        """The same graphs with all lengths multiplied, one factor for each crystal [n]."""
        factor = np.broadcast_to(np.asarray(factors, dtype=np.float32), self.spacing.shape)
        length = self.length * np.repeat(factor, np.diff(self.bond_offsets))
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return BondGraphs(**values | {"length": length, "spacing": self.spacing * factor})

    @classmethod
    def concat(cls, parts: list[BondGraphs]) -> BondGraphs:
        """Join graphs one after another."""
        joined = {}
        for field in fields(cls):
            arrays = [getattr(part, field.name) for part in parts]
            if field.name.endswith("offsets"):
                joined[field.name] = np.concatenate([[0], np.concatenate(
                    [np.diff(array) for array in arrays])]).cumsum()  # fmt: skip
            else:
                joined[field.name] = np.concatenate(arrays)
        return cls(**joined)

    def save(self, folder: Path) -> None:
        """Write one .npy file for each array into a folder, which appears when it is whole."""
        part = folder.with_name(folder.name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            np.save(part / f"{field.name}.npy", getattr(self, field.name))
        part.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map the arrays of a folder into memory."""
        names = [field.name for field in fields(cls)]
        return cls(**{
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in names
        })  # fmt: skip


def bond_graphs(
    crystals: Crystals, *, neighbours: int = NEIGHBOURS, threads: int = 1
) -> BondGraphs:
    """Find the distinct sites and bonds of every crystal.

    Parameters
    ----------
    crystals
        The batch, ordered crystals only.
    neighbours
        Nearest neighbours of an atom that make its bonds.
    threads
        Threads to work on; the answer does not depend on it.
    """
    crystals.require_order("The graph of a crystal")
    if len(crystals) and np.diff(crystals.offsets).max() > np.iinfo(np.int16).max:
        raise InputError("A crystal has more than 32,767 atoms: give a smaller cell.")
    spacing = atomic_spacing(crystals)
    reach = np.minimum(FIRST_REACH * spacing, LONGEST_REACH)
    rows = np.arange(len(crystals))
    found: list[tuple[NDArray[np.int64], BondGraphs]] = []
    while len(rows):
        part, lacking = _search(crystals.take(rows), reach[rows], neighbours, threads)
        again = lacking & (reach[rows] < LONGEST_REACH)
        done = np.flatnonzero(~again)
        found.append((rows[done], part.take(done) if again.any() else part))
        rows = rows[again]
        reach[rows] = np.minimum(reach[rows] * GROWTH, LONGEST_REACH)
    if not found:
        return _empty()
    if len(found) == 1:
        return found[0][1]
    order = np.argsort(np.concatenate([places for places, _ in found]))
    return BondGraphs.concat([part for _, part in found]).take(order)


def atomic_spacing(crystals: Crystals) -> NDArray[np.float64]:
    """Cube root of the volume of an atom [n], angstrom."""
    return np.cbrt(crystals.volumes / np.maximum(crystals.counts, 1))


def _search(
    crystals: Crystals, reach: NDArray[np.float64], neighbours: int, threads: int
) -> tuple[BondGraphs, NDArray[np.bool_]]:
    """Graphs within a reach, and which crystals have an atom with too few neighbours."""
    spacing = atomic_spacing(crystals)
    parts, lacking = [], np.zeros(len(crystals), dtype=bool)
    for rows, edges in stream_neighbours(crystals, reach, threads=threads):
        part = crystals[rows]
        degrees = np.diff(edges.starts)
        if len(part):
            lacking[rows] = np.minimum.reduceat(degrees, part.offsets[:-1]) < neighbours
        sites, bonds = len(part.frac), len(edges)
        number, share = np.empty(sites, np.uint8), np.empty(sites, np.float64)
        origin, target = np.empty(bonds, np.int16), np.empty(bonds, np.int16)
        length, count = np.empty(bonds), np.empty(bonds)
        site_offsets, bond_offsets = np.empty((2, len(part) + 1), np.int64)
        distinct_bonds(
            part.numbers, part.offsets, edges.first, edges.second, edges.distance, edges.offsets,
            spacing[rows] * SAME_LENGTH, SPAN, neighbours, SHELL_SLACK,
            number, share, site_offsets, origin, target, length, count, bond_offsets,
        )  # fmt: skip
        s, b = site_offsets[-1], bond_offsets[-1]
        parts.append(BondGraphs(
            number[:s].copy(), share[:s].astype(np.float32), site_offsets,
            origin[:b].copy(), target[:b].copy(), length[:b].astype(np.float32),
            count[:b].astype(np.float32), bond_offsets, spacing[rows].astype(np.float32),
        ))  # fmt: skip
    return (BondGraphs.concat(parts) if parts else _empty()), lacking


def _empty() -> BondGraphs:
    nothing, start = np.empty(0, np.float32), np.zeros(1, np.int64)
    sites = np.empty(0, np.int16)
    return BondGraphs(
        np.empty(0, np.uint8), nothing, start, sites, sites, nothing, nothing, start, nothing
    )

"""CHGNet's graph of a batch: bonds up to 6 angstrom, and angles between those up to 3.

Each bond stands once. Energy is a function of the bond vectors alone, so that one derivative by
them gives forces and stress together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.neighbours import neighbours

BOND_CUTOFF: Final = 6.0
"""Angstrom; atoms nearer are bonded (Deng et al. 2023, version 0.3.0)."""

ANGLE_CUTOFF: Final = 3.0
"""Angstrom; shorter bonds have angles."""


@dataclass(frozen=True, eq=False)
class BondGraph:
    """Bonds and angles of a batch, without repetition.

    Parameters
    ----------
    numbers
        [N], atomic numbers.
    owners
        [N], the crystal of each atom.
    first, second
        [E], atoms of each bond.
    vectors
        [E, 3], from the first to the second atom, angstrom.
    distance
        [E], angstrom.
    short
        [B], the bonds below the angle cut-off.
    centre
        [A], the atom of each angle.
    one, other
        [A], the bonds of each angle, as positions in ``short``.
    sign
        [A], -1 where one bond's vector points away from the centre and the other's to it.
    atom_offsets, bond_offsets, short_offsets, angle_offsets
        [n+1], where the atoms, bonds, short bonds and angles of each crystal begin.
    """

    numbers: NDArray[np.int64]
    owners: NDArray[np.int64]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    vectors: NDArray[np.float64]
    distance: NDArray[np.float64]
    short: NDArray[np.int32]
    centre: NDArray[np.int32]
    one: NDArray[np.int32]
    other: NDArray[np.int32]
    sign: NDArray[np.int8]
    atom_offsets: NDArray[np.int64]
    bond_offsets: NDArray[np.int64]
    short_offsets: NDArray[np.int64]
    angle_offsets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NetworkAnswer:
    """What the network gives for a graph.

    Parameters
    ----------
    atom_energies
        [N], eV: each atom's share.
    slopes
        [E, 3], eV/angstrom: derivative of the total by each bond vector.
    moments
        [N], Bohr magneton.
    """

    atom_energies: NDArray[np.float64]
    slopes: NDArray[np.float64]
    moments: NDArray[np.float64]

    @classmethod
    def concat(cls, parts: Sequence[NetworkAnswer]) -> NetworkAnswer:
        """Join the answers for one crystal after the other."""
        return cls(
            np.concatenate([part.atom_energies for part in parts]),
            np.concatenate([part.slopes for part in parts]),
            np.concatenate([part.moments for part in parts]),
        )


def bond_graph(crystals: Crystals) -> BondGraph:
    """Build the graph of a batch."""
    from materialabs.oracles.chgnet_graph_kernels import count_ends, pair_ends

    found = neighbours(crystals, BOND_CUTOFF)
    x, y, z = found.image.T
    ahead = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    chosen = (found.first < found.second) | ((found.first == found.second) & ahead)
    first, second = found.first[chosen], found.second[chosen]
    distance = found.distance[chosen]
    short = np.flatnonzero(distance < ANGLE_CUTOFF).astype(np.int32)
    ends = first[short], second[short]
    starts = count_ends(*ends, len(crystals.frac))
    centre, one, other, sign = pair_ends(*ends, starts)
    return BondGraph(
        crystals.numbers.astype(np.int64), crystals.owners, first, second,
        np.asarray(found.vectors(crystals)[chosen]), distance, short, centre, one, other, sign,
        crystals.offsets, *(_bounds(crystals, ends) for ends in (first, first[short], centre)),
    )  # fmt: skip


def _bounds(crystals: Crystals, atoms: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where what belongs to these atoms begins for each crystal [n+1]."""
    counts = np.bincount(crystals.owners[atoms], minlength=len(crystals))
    return np.concatenate([[0], np.cumsum(counts)])


def split_graph(graph: BondGraph) -> Iterator[BondGraph]:
    """The graph of each crystal by itself."""
    for row in range(len(graph.atom_offsets) - 1):
        atoms, bonds, shorts, angles = (
            slice(int(offsets[row]), int(offsets[row + 1]))
            for offsets in (
                graph.atom_offsets, graph.bond_offsets, graph.short_offsets, graph.angle_offsets
            )
        )  # fmt: skip
        one = np.array([0, 1])
        yield BondGraph(
            graph.numbers[atoms], graph.owners[atoms] - row,
            graph.first[bonds] - np.int32(atoms.start), graph.second[bonds] - np.int32(atoms.start),
            graph.vectors[bonds], graph.distance[bonds],
            graph.short[shorts] - np.int32(bonds.start),
            graph.centre[angles] - np.int32(atoms.start),
            graph.one[angles] - np.int32(shorts.start),
            graph.other[angles] - np.int32(shorts.start),
            graph.sign[angles],
            one * len(graph.numbers[atoms]), one * len(graph.distance[bonds]),
            one * len(graph.short[shorts]), one * len(graph.centre[angles]),
        )  # fmt: skip

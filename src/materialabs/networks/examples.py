"""What the graph network learns from: relaxed crystals and their unrelaxed copies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from materialabs.networks.bond_network import BondBatch
from materialabs.networks.graphs import BondGraphs

LEAST_VOLUME, MOST_VOLUME = 0.8, 1.2
"""Volumes that an unrelaxed copy is shown at, relative to its own."""

JITTER = 0.005
"""Relative noise on every length that is learned from, so that no crystal looks the same twice."""


@dataclass(frozen=True)
class CrystalExamples:
    """Graphs of relaxed crystals, and of unrelaxed copies that stand in for them now and then.

    Parameters
    ----------
    relaxed
        One graph for each row.
    copies
        Graphs of unrelaxed copies; possibly none.
    original
        int64 [m], the row that each copy is of, rising.
    share
        Share of the rows of a batch that a copy stands in for, where the row has one.
    jitter
        Relative noise on every length.
    """

    relaxed: BondGraphs
    copies: BondGraphs
    original: NDArray[np.int64]
    share: float = 0.4
    jitter: float = JITTER

    def __len__(self) -> int:
        return len(self.relaxed)

    def batch(self, rows: NDArray[np.int64], random: np.random.Generator) -> BondBatch:
        """The rows, some as unrelaxed copies at a random volume, all with a little noise."""
        first = np.searchsorted(self.original, rows)
        available = np.searchsorted(self.original, rows, side="right") - first
        standing_in = (random.random(len(rows)) < self.share) & (available > 0)
        chosen = first + (random.random(len(rows)) * available).astype(np.int64)
        volumes = random.uniform(LEAST_VOLUME, MOST_VOLUME, int(standing_in.sum()))
        graphs = BondGraphs.concat([
            self.relaxed.take(rows[~standing_in]),
            self.copies.take(chosen[standing_in]).scaled(np.cbrt(volumes)),
        ]).take(_places(standing_in))  # fmt: skip
        return BondBatch.of(jittered(graphs, self.jitter, random), ~standing_in)

    def exact(self, rows: NDArray[np.int64]) -> BondBatch:
        """The relaxed crystals as they are."""
        return BondBatch.of(self.relaxed.take(rows), 1.0)


def jittered(graphs: BondGraphs, jitter: float, random: np.random.Generator) -> BondGraphs:
    """The graphs with every length changed a little, by this relative spread."""
    noise = 1.0 + jitter * random.standard_normal(len(graphs.length))
    return replace(graphs, length=(graphs.length * noise).astype(np.float32))


def _places(standing_in: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where each row of a batch stands once the relaxed ones come first."""
    places = np.empty(len(standing_in), dtype=np.int64)
    order = np.argsort(standing_in, kind="stable")
    places[order] = np.arange(len(standing_in))
    return places


@dataclass(frozen=True)
class FlaggedExamples:
    """Graphs of which some are relaxed and some are not, each shown as it is.

    Parameters
    ----------
    graphs
        One for each row.
    relaxed
        bool [n], whether the geometry of a row is final.
    """

    graphs: BondGraphs
    relaxed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, rows: NDArray[np.int64], random: np.random.Generator) -> BondBatch:
        """The rows with a little noise."""
        noisy = jittered(self.graphs.take(rows), JITTER, random)
        return BondBatch.of(noisy, self.relaxed[rows])

    def exact(self, rows: NDArray[np.int64]) -> BondBatch:
        """The rows as they are."""
        return BondBatch.of(self.graphs.take(rows), self.relaxed[rows])

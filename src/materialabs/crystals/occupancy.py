"""Partial occupancy: sites that several elements share, or that are partly empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import ragged_rows
from materialabs.errors import InputError

FULL = 1e-6
"""A fraction this close to one is one."""


OVERFULL = 1e-3
"""A site may hold this much more than one, since files round their fractions."""


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Who sits on each site, ragged over the atoms of a batch.

    Parameters
    ----------
    offsets
        int64 [N+1]; site i is shared by ``occupants[offsets[i]:offsets[i+1]]``.
    occupants
        uint8 [M], atomic numbers.
    fractions
        float64 [M], above 0; their sum on a site is at most 1, the rest is empty.
    """

    offsets: NDArray[np.int64]
    occupants: NDArray[np.uint8]
    fractions: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, dtype in (("offsets", np.int64), ("occupants", np.uint8), ("fractions", float)):
            array: NDArray[Any] = np.ascontiguousarray(getattr(self, name), dtype=dtype).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.offsets) == 0 or self.offsets[0] != 0 or np.any(np.diff(self.offsets) < 1):
            raise InputError("Every site needs at least one occupant.")
        if not self.offsets[-1] == len(self.occupants) == len(self.fractions):
            raise InputError("An occupancy table has one fraction for each occupant.")
        if np.any(self.fractions <= 0) or not np.all(np.isfinite(self.fractions)):
            raise InputError("Site occupancies are above zero.")
        totals = self.totals()
        if np.any(totals > 1 + OVERFULL):
            site = int(np.argmax(totals))
            raise InputError(f"The occupancies of site {site} sum to {totals[site]:.4f}, above 1.")

    @classmethod
    def full(cls, numbers: NDArray[np.uint8]) -> Occupancy:
        """Every site wholly taken by its own element."""
        return cls(
            np.arange(len(numbers) + 1, dtype=np.int64),
            numbers.astype(np.uint8),
            np.ones(len(numbers)),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def totals(self) -> NDArray[np.float64]:
        """Sum of the fractions on each site [N]."""
        return np.add.reduceat(self.fractions, self.offsets[:-1]) if len(self) else np.zeros(0)

    def partial(self) -> NDArray[np.bool_]:
        """True for sites that are shared or partly empty [N]."""
        shared = np.diff(self.offsets) > 1
        return shared | (np.abs(self.totals() - 1.0) > FULL)

    def majority(self) -> NDArray[np.uint8]:
        """The element with the largest fraction on each site [N]."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        order = np.lexsort((self.occupants, -self.fractions, owner))
        return np.asarray(self.occupants[order][self.offsets[:-1]])

    def take(self, sites: NDArray[np.int64]) -> Occupancy:
        """The chosen sites, in the order given."""
        gathered, offsets = ragged_rows(self.offsets, sites)
        return Occupancy(offsets, self.occupants[gathered], self.fractions[gathered])

    @staticmethod
    def concat(parts: list[Occupancy]) -> Occupancy:
        """Join tables site after site."""
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        return Occupancy(
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate([part.occupants for part in parts]),
            np.concatenate([part.fractions for part in parts]),
        )

"""Formation energies in a chemical system, learned from a campaign's own results.

A formation energy vanishes at the elements, so that what two compositions share fades with how
little is mixed in them. It is a sum of what the composition brings, regular solution and beyond,
and of what the structure brings, with a remainder in each crystal of its own: polymorphs of one
formula differ. Candidates are drawn together from the posterior, so that errors that they share
cancel in hull distances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.descriptors import composition_descriptors
from materialabs.crystals.structure_descriptors import structure_descriptors
from materialabs.discovery.surrogate import Kernel, Surrogate, Term
from materialabs.discovery.surrogate_factors import Along, Floats, Inputs, Near
from materialabs.errors import InputError
from materialabs.levels import Energies
from materialabs.predictions import Prediction

FEWEST: Final = 3
"""Crystals that it learns from at least."""

MEMBERS: Final = 64
"""Draws from the posterior."""

MOST_JOINT: Final = 1_500
"""Candidates that are drawn together, those that may lie lowest: memory grows with the square of
their number. The others are drawn each for itself."""

FARTHEST: Final = 10.0
"""Widths from the centre from which on all is equally far. A column in which the first crystals
hardly differ would put others millions of widths away, and rounding would eat the likeness of
those among themselves."""

REACH: Final = 0.25
"""Root of the summed squares of differences of atomic fractions over which energies are alike."""

NOISE: Final = 0.05
"""Variance of what is each crystal's own, as a share of the energies' mean square."""

KERNEL: Final = Kernel(
    (Along("mixed"), Near("fractions", REACH), Along("pairs"), Near("chemistry"),
     Near("structure")),
    (Term((2,), 1.0), Term((0, 1), 1.0), Term((0, 3), 0.4), Term((4,), 0.05)),
    NOISE,
)  # fmt: skip
"""Pairs of elements; composition and its chemistry, both fading at the elements; structure."""


@dataclass(frozen=True, eq=False)
class SystemSurrogate:
    """Formation energies learned from a campaign's own results; predicts at their level.

    Parameters
    ----------
    elements
        Of the system.
    scale
        Centre and width of the columns of each block.
    surrogate
        Has learned.
    labels
        What was learned from, for level and kind.
    seed
        Of the draws.
    """

    elements: tuple[int, ...]
    scale: dict[str, tuple[Floats, Floats]]
    surrogate: Surrogate
    labels: Energies
    seed: int

    @classmethod
    def fit(
        cls,
        crystals: Crystals,
        labels: Energies,
        elements: tuple[int, ...],
        *,
        seed: int,
        pool: Crystals | None = None,
        settings: Floats | None = None,
    ) -> SystemSurrogate:
        """Learn from starts and the formation energies that they relaxed to.

        Parameters
        ----------
        crystals
            As they were generated: what will be asked is unrelaxed too.
        labels
            Formation energies, eV/atom.
        elements
            Of the system.
        seed
            Of the draws.
        pool
            Crystals that tell how wide each column of a description is; by default those that are
            learned from.
        settings
            Of the last round, to start the search from.
        """
        described = describe(crystals, elements)
        around = None if pool is None else describe(pool, elements)
        return cls.learned(described, labels, elements, seed=seed, around=around, settings=settings)

    @classmethod
    def learned(
        cls,
        described: Inputs,
        labels: Energies,
        elements: tuple[int, ...],
        *,
        seed: int,
        around: Inputs | None = None,
        settings: Floats | None = None,
    ) -> SystemSurrogate:
        """Learn from crystals that :func:`describe` has described; the rest as in :meth:`fit`."""
        if len(labels) < FEWEST:
            raise InputError(f"The surrogate learns from {FEWEST} crystals or more.")
        wide = described if around is None else around
        scale = {name: widths_of(name, block) for name, block in wide.items()}
        surrogate = Surrogate(KERNEL, settings)
        surrogate.fit(scaled(described, scale), labels.values, middle=0.0)
        return cls(elements, scale, surrogate, labels, seed)

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        """Formation energies with members, at the level learned from; relaxed or not is alike."""
        del relaxed
        return self.predict_described(describe(crystals, self.elements))

    def predict_described(self, described: Inputs) -> Prediction:
        """The same of crystals that :func:`describe` has described."""
        inputs = scaled(described, self.scale)
        mean, deviation = self.surrogate.predict(inputs)
        low = np.sort(np.argsort(mean - deviation, kind="stable")[:MOST_JOINT])
        normal = np.random.default_rng([self.seed, 1]).standard_normal((MEMBERS, len(mean)))
        members = mean + deviation * normal
        members[:, low] = self.surrogate.draws(
            {name: block[low] for name, block in inputs.items()}, MEMBERS, seed=self.seed
        )
        return Prediction(
            mean, deviation, "eV/atom", f"surrogate of {len(self.labels)} relaxations",
            level=self.labels.level, kind=self.labels.kind, quantity="formation energy",
            members=members,
        )  # fmt: skip


def describe(crystals: Crystals, elements: tuple[int, ...]) -> Inputs:
    """What the surrogate is told of crystals: blocks of columns before scaling.

    Parameters
    ----------
    crystals
        n crystals, unrelaxed.
    elements
        Of the system.
    """
    fractions = crystals.compositions.fractions(elements)
    first, second = np.triu_indices(len(elements), 1)
    return {
        "mixed": np.sqrt(np.maximum(1.0 - (fractions**2).sum(axis=1, keepdims=True), 0.0)),
        "fractions": fractions * np.sqrt(len(elements)),
        "pairs": fractions[:, first] * fractions[:, second],
        "chemistry": composition_descriptors(crystals.compositions).values,
        "structure": np.nan_to_num(structure_descriptors(crystals).values),
    }


def widths_of(name: str, block: Floats) -> tuple[Floats, Floats]:
    """Centre and width of the columns: standard for descriptors, one length for pairs."""
    nothing = np.zeros(block.shape[1])
    if name in ("chemistry", "structure"):
        width = block.std(axis=0)
        return block.mean(axis=0), np.where(width > 1e-9, width, np.inf)
    if name == "pairs":
        return nothing, nothing + max(float(np.sqrt((block**2).sum(axis=1).mean())), 1e-9)
    return nothing, nothing + 1.0


def scaled(blocks: Inputs, scale: Mapping[str, tuple[Floats, Floats]]) -> Inputs:
    """Blocks in units of the widths of their columns, at most :data:`FARTHEST` from the centre."""
    return {
        name: np.clip((block - scale[name][0]) / scale[name][1], -FARTHEST, FARTHEST)
        for name, block in blocks.items()
    }

"""What strategies see of a composition: named blocks of numbers, and the conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors, composition_descriptors
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.transfer.alloying import alloying_descriptors
from materialabs.transfer.sources import Source

Floats = NDArray[np.float64]

STATISTICS, ALLOYING, FRACTIONS = "statistics", "alloying", "fractions"

PHYSICAL = (STATISTICS, ALLOYING, FRACTIONS)
"""Blocks that every composition has, whatever the sources."""


@dataclass(frozen=True, eq=False)
class Described:
    """Compositions as blocks of numbers that follow from them alone, and measuring conditions.

    Parameters
    ----------
    compositions
        n compositions.
    blocks
        Named tables of n rows. Nothing in them was learned from measured values.
    conditions
        Table of n rows; of no columns where nothing but the composition matters.
    sources
        What calculated crystals have taught, by name; networks may begin as theirs.
    """

    compositions: Compositions
    blocks: Mapping[str, Descriptors]
    conditions: Descriptors
    sources: Mapping[str, Source] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.compositions)

    def take(self, rows: ArrayLike) -> Described:
        """The chosen rows, in this order."""
        chosen = np.asarray(rows, dtype=np.int64)
        blocks = {name: block[chosen] for name, block in self.blocks.items()}
        return Described(self.compositions[chosen], blocks, self.conditions[chosen], self.sources)

    def table(self, names: Sequence[str]) -> Floats:
        """Blocks and the conditions side by side [n, d]."""
        parts = [self.blocks[name].values for name in names]
        return np.concatenate([*parts, self.conditions.values], axis=1)


def describe(
    compositions: Compositions,
    sources: Sequence[Source] = (),
    conditions: Descriptors | None = None,
) -> Described:
    """Describe compositions by physics and by what sources have learned from calculations.

    Parameters
    ----------
    compositions
        n compositions, each with at least one element.
    sources
        What calculated crystals have taught; each adds two blocks.
    conditions
        Of each measurement, n rows.
    """
    given = no_conditions(len(compositions)) if conditions is None else conditions
    if len(given) != len(compositions):
        raise InputError(f"{len(given)} conditions do not go with {len(compositions)} formulas.")
    blocks = {
        STATISTICS: composition_descriptors(compositions),
        ALLOYING: alloying_descriptors(compositions),
        FRACTIONS: fraction_descriptors(compositions),
    }
    for source in sources:
        blocks |= source.blocks(compositions)
    return Described(compositions, blocks, given, {one.name: one for one in sources})


def fraction_descriptors(compositions: Compositions) -> Descriptors:
    """Square roots of the atomic fractions of all elements [n, 118], which shows dopants."""
    numbers = range(1, len(SYMBOLS))
    fractions = compositions.fractions(numbers)
    return Descriptors(np.sqrt(fractions), tuple(f"share of {one}" for one in SYMBOLS[1:]))


def no_conditions(rows: int) -> Descriptors:
    """A table of conditions with no columns."""
    return Descriptors(np.zeros((rows, 0)), ())

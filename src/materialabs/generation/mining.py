"""Learn from a set of crystals which element stands for which, ions and intermetallics alike.

Two crystals of one family that differ in the element of a single role are evidence that the two
elements replace each other there (the idea of Glawe, Sanna, Gross and Marques, New J. Phys. 18,
093011 (2016), who count pairs within structure prototypes). No oxidation states are needed.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.generation.families import Families, families
from materialabs.generation.substitution import SubstitutionTable

PRIOR: Final = 0.5
"""Weight of the elements' own frequencies against one observed exchange."""

SHIPPED: Final = "replaceability.npz"
"""Table mined from Materials Project crystals (CC BY 4.0), written by scripts."""


def mined_table(crystals: Crystals, found: Families | None = None) -> SubstitutionTable:
    """Make a table of elements from the exchanges that occur among these crystals.

    Every set of crystals equal in family and in all roles but one spreads a weight of one from
    each of its elements over the others; P(new | old) is the share of the weight that left
    ``old`` for ``new``, with the elements' frequencies as a weak prior. Unchanged elements
    bring the factor one.

    Parameters
    ----------
    crystals
        Ordered crystals; the more the better.
    found
        Their families by element where these are known.
    """
    found = families(crystals) if found is None else found
    exchanges, frequency = exchange_counts(crystals, found)
    elements = np.flatnonzero(frequency)
    counts = exchanges[np.ix_(elements, elements)]
    base = frequency[elements] / frequency.sum()
    factors = (counts + PRIOR * base[:, None]) / (counts.sum(axis=0) + PRIOR)
    np.fill_diagonal(factors, 1.0)
    return SubstitutionTable(elements.astype(np.uint8), np.full(len(elements), np.nan), factors)


def exchange_counts(
    crystals: Crystals, found: Families
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of exchanges between elements [119, 119] and crystals with each element [119]."""
    contexts: dict[tuple[int, ...], set[int]] = defaultdict(set)
    frequency = np.zeros(119)
    for index, elements in enumerate(role_elements(crystals, found)):
        frequency[np.unique(elements)] += 1
        if found.family[index] < 0 or len(elements) < 2:
            continue
        family = int(found.family[index])
        for renaming in found.likeness[family]:
            row = elements[renaming].tolist()
            for place, element in enumerate(row):
                contexts[(family, place, *row[:place], *row[place + 1 :])].add(element)
    exchanges = np.zeros((119, 119))
    for (family, *_), alternatives in contexts.items():
        if len(alternatives) > 1:
            members = np.array(sorted(alternatives))
            share = len(found.likeness[family]) * (len(members) - 1)
            exchanges[np.ix_(members, members)] += 1.0 / share
    np.fill_diagonal(exchanges, 0.0)
    return exchanges, frequency


def role_elements(crystals: Crystals, found: Families) -> list[NDArray[np.int64]]:
    """The element in each role of each crystal."""
    rows = []
    for index in range(len(crystals)):
        span = slice(int(crystals.offsets[index]), int(crystals.offsets[index + 1]))
        row = np.zeros(int(found.sizes[index]), dtype=np.int64)
        row[found.role[span]] = crystals.numbers[span]
        rows.append(row)
    return rows


@cache
def replaceability() -> SubstitutionTable:
    """The table of elements that ships, mined from 36,737 crystals of the Materials Project."""
    with resources.files("materialabs.generation").joinpath(SHIPPED).open("rb") as file:
        stored = np.load(file)
        numbers, factors = stored["numbers"], stored["factors"].astype(np.float64)
    return SubstitutionTable(numbers, np.full(len(numbers), np.nan), factors)

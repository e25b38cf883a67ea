"""pymatgen's ion substitution as a peer: what it says of each candidate of a pool.

The probability and the threshold are those of pymatgen's ``Substitutor`` (Hautier et al., Inorg.
Chem. 50, 656, 2011): all ions of a parent exchanged for the wanted ones, charges balanced. It is
asked of every parent that leads to the candidate, and its best answer counts.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.generation.oxidation import with_oxidation_states
from materialabs.generation.pool import ParentPool

THRESHOLD = 1e-3
"""pymatgen's default."""

BALANCED = 1e-9
"""Elementary charges a cell."""


def pymatgen_probabilities(pool: Crystals, parents: ParentPool) -> np.ndarray:
    """Probability of each candidate of the pool [n]; zero where pymatgen would not propose it."""
    places = {name: place for place, name in enumerate(parents.crystals.ids())}
    chance = np.zeros(len(pool))
    for row in range(len(pool)):
        place = places.get(str(pool.columns["parent"][row]))
        filling = None if place is None else _filling(
            parents.elements_of(place), str(pool.columns["substitution"][row])
        )  # fmt: skip
        if place is not None and filling is not None:
            chance[row] = _best(parents, int(parents.families.family[place]), filling)
    return chance


def _filling(before: list[int], text: str) -> tuple[int, ...] | None:
    """The element in each role of a candidate; nothing for a role that is shared, or filled alike.

    The text reads ``Mg -> Fe, O -> S``.
    """
    if " on " in text:
        return None
    swaps = dict(part.split(" -> ") for part in text.split(", ") if part)
    after = tuple(atomic_number(swaps.get(SYMBOLS[old], SYMBOLS[old])) for old in before)
    return after if len(set(after)) == len(after) else None


@lru_cache(maxsize=100_000)
def _best(parents: ParentPool, family: int, filling: tuple[int, ...]) -> float:
    """The best probability over the parents of a family and the charges of the new elements."""
    best = 0.0
    for old, counts in _members(parents)[family]:
        if old is None or len(old) != len(filling):
            continue
        for new in itertools.product(*(_ions_of_element(number) for number in filling)):
            charge = sum(ion.oxi_state * count for ion, count in zip(new, counts, strict=True))
            if abs(charge) < BALANCED and new != old:
                best = max(best, _probability(new, old))
    return best if best > THRESHOLD else 0.0


@lru_cache(maxsize=4)
def _members(parents: ParentPool) -> dict[int, list[tuple[tuple[Any, ...] | None, list[int]]]]:
    """For each family the ions of its members by role, and how many atoms each role has."""
    found: dict[int, list[tuple[tuple[Any, ...] | None, list[int]]]] = defaultdict(list)
    for place, (ions, counts) in enumerate(_ions_of_parents(parents)):
        found[int(parents.families.family[place])].append((ions, counts))
    return found


def _ions_of_parents(parents: ParentPool) -> Iterator[tuple[tuple[Any, ...] | None, list[int]]]:
    from pymatgen.core import Species

    decorated = with_oxidation_states(parents.crystals)
    states = np.asarray(decorated.site_columns["oxidation_state"])
    allowed = set(_model().species)
    for place in range(len(parents)):
        span = parents.span(place)
        role = parents.families.role[span]
        counts = np.bincount(role)
        first = [int(np.argmax(role == one)) for one in range(len(counts))]
        ions = tuple(
            Species(SYMBOLS[int(parents.crystals.numbers[span][site])], float(states[span][site]))
            for site in first
        )
        yield (ions if set(ions) <= allowed else None), counts.tolist()


@cache
def _model() -> Any:
    from pymatgen.analysis.structure_prediction.substitution_probability import (
        SubstitutionProbability,
    )

    return SubstitutionProbability()


@cache
def _ions_of_element(number: int) -> tuple[Any, ...]:
    return tuple(ion for ion in _model().species if number == ion.Z)


@cache
def _one(new: Any, old: Any) -> float:
    return float(_model().cond_prob(new, old))


def _probability(new: tuple[Any, ...], old: tuple[Any, ...]) -> float:
    return float(np.prod([_one(one, other) for one, other in zip(new, old, strict=True)]))

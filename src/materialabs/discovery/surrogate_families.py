"""A property of crystals of one structure type, learned from which element stands at which site.

In a family such as the perovskites ABX3 candidates differ by their occupants alone. A property is
then a sum of what each site brings, what pairs of sites bring, and so on; elements bring what their
properties suggest and something of their own. How far the charges of the sites are from balance is
told to the model, since it is what no sum over sites shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.descriptors import element_properties
from materialabs.discovery.surrogate import Kernel, Surrogate, Term
from materialabs.discovery.surrogate_factors import (
    Along,
    Factor,
    Floats,
    Inputs,
    Named,
    Near,
)
from materialabs.elements import (
    COMMON_OXIDATION_STATES,
    ELECTRONEGATIVITY,
    ICSD_OXIDATION_STATES,
    IS_METAL,
    VALENCE_ELECTRONS,
)
from materialabs.errors import InputError
from materialabs.predictions import Prediction

VARIANCES: Final = (1.0, 1.0, 0.3, 0.1)
"""Of terms of no, one, two and three sites, and of the rest, before any label is seen."""

MOST_SITES: Final = 6
"""Kinds of sites; with more, the terms grow beyond what labels can tell apart."""

ANION: Final = 2.5
"""Pauling electronegativity from which a non-metal at a site counts as an anion there."""

MEMBERS: Final = 64
"""Draws from the posterior."""

Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Family:
    """Crystals of one structure type, by their occupants.

    Parameters
    ----------
    sites
        For each kind of site, the atomic numbers of its occupants [n, k].
    """

    sites: tuple[Whole, ...]

    @classmethod
    def of(cls, crystals: Crystals, orbits: Sequence[Sequence[int]]) -> Family:
        """Read the occupants of crystals whose atoms stand in the same order.

        Parameters
        ----------
        crystals
            n crystals made from one prototype.
        orbits
            Positions of the atoms of each kind of site.
        """
        crystals.require_order("A family of crystals")
        counts = np.unique(crystals.counts)
        listed = sorted(place for orbit in orbits for place in orbit)
        if len(counts) > 1 or (len(counts) and listed != list(range(int(counts[0])))):
            raise InputError(
                "Crystals of a family have the same number of atoms, and each atom is of one kind "
                "of site."
            )
        if len(orbits) > MOST_SITES:
            raise InputError(f"A family has at most {MOST_SITES} kinds of sites.")
        numbers = crystals.numbers.reshape(-1, max(len(listed), 1)).astype(np.int64)
        return cls(tuple(np.sort(numbers[:, list(orbit)], axis=1) for orbit in orbits))

    def __len__(self) -> int:
        return len(self.sites[0])

    def __getitem__(self, rows: Whole) -> Family:
        return Family(tuple(site[rows] for site in self.sites))

    @property
    def kernel(self) -> Kernel:
        """All products of sites, pairs of sites first, and the balance of charges."""
        kinds = range(len(self.sites))
        factors: tuple[Factor, ...] = (*(Named(f"site {kind}") for kind in kinds), Near("charges"))
        most = min(len(self.sites), 3 if len(self.sites) <= 4 else 2)
        groups = [group for size in range(most + 1) for group in combinations(kinds, size)]
        terms = [Term(group, VARIANCES[min(len(group), 3)]) for group in groups]
        return Kernel(factors, (*terms, Term((len(self.sites),), VARIANCES[1])))

    def described(self) -> Inputs:
        """Properties of the occupants of each kind of site, and what their charges can be.

        Columns are centred and scaled by what occurs in this family.
        """
        _, table = element_properties()
        blocks = {f"site {kind}": table[site].mean(axis=1) for kind, site in enumerate(self.sites)}
        blocks["charges"] = self.charges()
        return {name: _standard(block) for name, block in blocks.items()}

    def charges(self) -> Floats:
        """How the charges add up [n, 4], in units of the elementary charge per formula.

        The least imbalance with common oxidation states, and with observed ones; what cations can
        give, by common states and by valence electrons, beyond what anions take. At a site that
        holds nothing but electronegative non-metals, each takes its lowest state.
        """
        taken = np.zeros(len(self), dtype=np.int64)
        cations = []
        for site in self.sites:
            occupants = np.unique(site)
            if bool(np.all(~IS_METAL[occupants] & (ELECTRONEGATIVITY[occupants] >= ANION))):
                taken += _LOWEST[site].sum(axis=1)
            else:
                cations.append(site)
        given = np.concatenate(cations, axis=1) if cations else np.zeros((len(self), 0), np.int64)
        return np.stack(
            [
                _imbalance(given, taken, COMMON_OXIDATION_STATES),
                _imbalance(given, taken, ICSD_OXIDATION_STATES),
                _HIGHEST[given].sum(axis=1) + taken,
                np.nan_to_num(VALENCE_ELECTRONS)[given].sum(axis=1) + taken,
            ],
            axis=1,
        ).astype(np.float64)


@dataclass(eq=False)
class FamilySurrogate:
    """A property learned from some crystals of a family, asked about all of them.

    Parameters
    ----------
    family
        All candidates, labelled or not.
    unit, quantity
        Of what is learned.
    opinions
        [n, k], what other models say of the candidates, in any unit and at any level: how far to
        believe them is learned too.
    """

    family: Family
    unit: str
    quantity: str = ""
    opinions: Floats | None = None

    def __post_init__(self) -> None:
        self.inputs = dict(self.family.described())
        kernel = self.family.kernel
        if self.opinions is not None:
            self.inputs["opinions"] = _standard(np.asarray(self.opinions, dtype=np.float64))
            kernel = _hearing(kernel)
        self.surrogate = Surrogate(kernel)
        self.learned = 0

    def learn(self, rows: Whole, labels: Floats) -> FamilySurrogate:
        """Learn from the crystals at these rows; gives itself."""
        self.surrogate.fit(self._at(rows), np.asarray(labels, dtype=np.float64))
        self.learned = len(rows)
        return self

    def predict(self, rows: Whole) -> Prediction:
        """What to expect of the crystals at these rows."""
        mean, deviation = self.surrogate.predict(self._at(rows))
        name = f"family surrogate of {self.learned} labels"
        return Prediction(mean, deviation, self.unit, name, quantity=self.quantity)

    def draws(self, rows: Whole, *, seed: int) -> Floats:
        """Values of the crystals at these rows drawn together [64, n]."""
        return self.surrogate.draws(self._at(rows), MEMBERS, seed=seed)

    def _at(self, rows: Whole) -> Inputs:
        return {name: block[rows] for name, block in self.inputs.items()}


def _hearing(kernel: Kernel) -> Kernel:
    """A kernel that also follows opinions, in proportion and in any smooth way."""
    first = len(kernel.factors)
    return Kernel(
        (*kernel.factors, Along("opinions"), Near("opinions")),
        (*kernel.terms, Term((first,), VARIANCES[1]), Term((first + 1,), VARIANCES[2])),
        kernel.noise,
    )


def _standard(block: Floats) -> Floats:
    width = block.std(axis=0)
    return np.asarray((block - block.mean(axis=0)) / np.where(width > 1e-9, width, np.inf))


def _state_table(lowest: bool) -> Whole:
    states = [row or (0,) for row in COMMON_OXIDATION_STATES]
    return np.array([min(row) if lowest else max(row) for row in states], dtype=np.int64)


_LOWEST, _HIGHEST = _state_table(lowest=True), _state_table(lowest=False)


def _imbalance(given: Whole, taken: Whole, states: Sequence[Sequence[int]]) -> Whole:
    """The smallest sum of charges, without sign, that listed states reach [n]."""
    rows, place = np.unique(np.concatenate([given, taken[:, None]], axis=1), axis=0,
                            return_inverse=True)  # fmt: skip
    least = [min(map(abs, _sums(row[:-1], int(row[-1]), states))) for row in rows.tolist()]
    return np.array(least, dtype=np.int64)[place.reshape(-1)]


def _sums(occupants: Sequence[int], taken: int, states: Sequence[Sequence[int]]) -> set[int]:
    """All sums of charges that the occupants reach beside what is taken."""
    sums = {taken}
    for number in occupants:
        sums = {total + state for total in sums for state in states[number] or (0,)}
    return sums

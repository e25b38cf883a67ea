"""How likely one ion takes another's place: the table, and the search for likely substitutions.

Hautier, Fischer, Ehrlacher, Jain and Ceder, Inorg. Chem. 50, 656 (2011) mined from the ICSD a
weight lambda for each pair of ions; p(a, b) is proportional to exp(lambda). What is proposed by
is the conditional probability P(new | old) = exp(lambda(new, old)) / px(old), and for several
ions the product over them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError, NotFound
from materialabs.generation.ions import ion_text, parse_ion
from materialabs.threads import chunk_bounds, map_chunks

UNSEEN_WEIGHT: Final = -5.0
"""Lambda of a pair that was never observed (pymatgen's alpha)."""

THRESHOLD: Final = 1e-3
"""Smallest probability that is proposed (Merchant et al., Nature 624, 80 (2023))."""

CHARGE_TOLERANCE: Final = 1e-8
"""Elementary charges; a smaller sum is neutral."""

BATCH: Final = 64
"""Ion lists that one thread searches at a time."""


@dataclass(frozen=True, eq=False)
class SubstitutionTable:
    """Which ions may stand for which, and how likely.

    Parameters
    ----------
    numbers
        uint8 [m], atomic numbers of the ions.
    charges
        float64 [m], their charges; NaN in a table of elements, where any charge is meant.
    factors
        float64 [m, m]; ``factors[new, old]`` is the factor that ``new`` in the place of ``old``
        brings to a proposal's probability.
    """

    numbers: NDArray[np.uint8]
    charges: NDArray[np.float64]
    factors: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.numbers)
        if self.charges.shape != (count,) or self.factors.shape != (count, count):
            raise InputError(f"A table of {count} ions needs {count} charges and square factors.")
        if not np.all(np.isfinite(self.factors)) or np.any(self.factors < 0):
            raise InputError("The factors of a substitution table are numbers, zero or above.")

    @classmethod
    def from_weights(
        cls, numbers: ArrayLike, charges: ArrayLike, weights: NDArray[np.float64]
    ) -> Self:
        """Turn symmetric weights lambda [m, m] into conditional probabilities P(new | old)."""
        return cls(
            np.asarray(numbers, dtype=np.uint8),
            np.asarray(charges, dtype=np.float64),
            conditional_probabilities(weights),
        )

    @classmethod
    def hautier(cls, unseen: float = UNSEEN_WEIGHT) -> Self:
        """The table of 230 ions as published and as pymatgen uses it."""
        numbers, charges, weights = hautier_weights(unseen)
        return cls.from_weights(numbers, charges, weights)

    @classmethod
    def gnome(cls) -> Self:
        """The table as GNoME changed it (Merchant et al., Nature 624, 80 (2023)).

        Weights below zero are raised to zero, and only ions that change count: an unchanged one
        brings the factor one, so that rare elements are not punished.
        """
        numbers, charges, weights = hautier_weights(UNSEEN_WEIGHT)
        factors = conditional_probabilities(np.maximum(weights, 0.0))
        np.fill_diagonal(factors, 1.0)
        return cls(numbers, charges, factors)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"SubstitutionTable({len(self)} ions)"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The ions as text, ``Ti4+``."""
        pairs = zip(self.numbers.tolist(), self.charges.tolist(), strict=True)
        return tuple(ion_text(number, charge) for number, charge in pairs)

    @cached_property
    def _rows(self) -> dict[tuple[int, float | None], int]:
        known: dict[tuple[int, float | None], int] = {}
        pairs = zip(self.numbers.tolist(), self.charges.tolist(), strict=True)
        for row, (number, charge) in enumerate(pairs):
            known[number, None if np.isnan(charge) else charge] = row
        return known

    @cached_property
    def ranked(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """For each old ion [m] its new ones, likeliest first: factors [m, m] and rows [m, m]."""
        order = np.argsort(-self.factors.T, axis=1, kind="stable")
        return (
            np.ascontiguousarray(np.take_along_axis(self.factors.T, order, axis=1)),
            np.ascontiguousarray(order.astype(np.int32)),
        )

    def reversed(self) -> SubstitutionTable:
        """The table by P(old | new), the likelihood of the known ion given the proposed one.

        It is what pymatgen's transformation proposes by; it favours new ions that are rare.
        """
        return SubstitutionTable(self.numbers, self.charges, self.factors.T.copy())

    def row(self, number: int, charge: float) -> int:
        """The row of an ion, -1 where the table lacks it; any charge in a table of elements."""
        exact = self._rows.get((number, float(charge)))
        return self._rows.get((number, None), -1) if exact is None else exact

    def row_of(self, ion: str) -> int:
        """The row of an ion written as text.

        Raises
        ------
        NotFound
            When the table lacks the ion.
        """
        row = self.row(*parse_ion(ion))
        if row < 0:
            raise NotFound(
                f"The substitution table has no ion {ion!r}; its ions of one element are listed "
                "by table.names.",
                code="substitution.unknown_ion",
            )
        return row

    def rows_of(self, ions: Sequence[str]) -> NDArray[np.int64]:
        """The rows of ions written as text."""
        return np.array([self.row_of(ion) for ion in ions], dtype=np.int64)

    def probability(self, new: Sequence[str], old: Sequence[str]) -> float:
        """The probability that these ions take the places of those, in the same order."""
        if len(new) != len(old):
            raise InputError(f"{len(new)} ions cannot replace {len(old)}: give as many.")
        return float(np.prod(self.factors[self.rows_of(new), self.rows_of(old)]))


@dataclass(frozen=True, eq=False)
class Proposals:
    """Likely substitutions for many lists of ions, most likely first within each.

    Parameters
    ----------
    owner
        int64 [p], the list that each proposal is for.
    ions
        int32 [sum of sizes], table rows of the proposed ions, position by position.
    offsets
        int64 [p+1]; proposal i owns ``ions[offsets[i]:offsets[i+1]]``.
    probability
        float64 [p], the product of the factors.
    positions
        int64 [lists], number of ions in each list.
    """

    owner: NDArray[np.int64]
    ions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    probability: NDArray[np.float64]
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owner)

    def of(self, owner: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The proposals for one list: ions [p, k] and probabilities [p]."""
        first, last = np.searchsorted(self.owner, [owner, owner + 1])
        ions = self.ions[self.offsets[first] : self.offsets[last]]
        return ions.reshape(last - first, self.positions[owner]), self.probability[first:last]


def substitutions(
    table: SubstitutionTable,
    ions: Sequence[ArrayLike],
    *,
    threshold: float = THRESHOLD,
    threads: int = 1,
) -> Proposals:
    """What the ions of known crystals may become: every product of factors above the threshold.

    No two positions receive the same ion. Branch and bound over the positions, each one's
    substitutes sorted by falling factor: the set is exactly that of trying everything.

    Parameters
    ----------
    table
        The factors; ``table.reversed()`` to go from a wanted crystal to its possible parents.
    ions
        For each crystal the table rows [k] of its distinct ions.
    threshold
        Products must be above this, between 0 and 1.
    threads
        Threads that share the lists.
    """
    from materialabs.generation.substitution_kernels import likely_products

    if not 0.0 < threshold < 1.0:
        raise InputError(f"The probability threshold lies between 0 and 1; {threshold} was given.")
    size = len(table)
    rows = [np.asarray(one, dtype=np.int64).ravel() for one in ions]
    if any(len(row) == 0 or row.min() < 0 or row.max() >= size for row in rows):
        raise InputError(f"Every list needs ions, given as rows 0 to {size - 1} of the table.")
    factors, choices = table.ranked

    def work(bounds: tuple[int, int]) -> list[tuple[NDArray[np.int32], NDArray[np.float64]]]:
        results = []
        for row in rows[slice(*bounds)]:
            found, products = likely_products(factors, choices, row, threshold)
            order = np.argsort(-products, kind="stable")
            results.append((found[order], products[order]))
        return results

    parts = map_chunks(work, chunk_bounds(len(rows), BATCH), threads=threads)
    return _join([result for part in parts for result in part])


def charge_balanced(
    table: SubstitutionTable, proposals: Proposals, amounts: Sequence[ArrayLike]
) -> NDArray[np.bool_]:
    """True for proposals whose ions' charges sum to zero [p].

    Parameters
    ----------
    table
        Where the charges stand.
    proposals
        What is judged.
    amounts
        For each list of ions, how many atoms stand at each position [k].
    """
    flat = np.concatenate([np.zeros(0), *(np.asarray(row, float) for row in amounts)])
    starts = np.concatenate([[0], np.cumsum([len(np.asarray(row)) for row in amounts])])
    sizes = np.diff(proposals.offsets)
    within = np.arange(len(proposals.ions)) - np.repeat(proposals.offsets[:-1], sizes)
    place = np.repeat(starts[proposals.owner], sizes) + within
    charge = table.charges[proposals.ions] * flat[place.astype(np.int64)]
    total = np.bincount(
        np.repeat(np.arange(len(proposals)), sizes), charge, minlength=len(proposals)
    )
    return np.asarray(np.abs(total) < CHARGE_TOLERANCE)


def conditional_probabilities(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(new | old) = exp(lambda) / px(old) from symmetric weights [m, m] (Hautier 2011, eq. 3).

    px is the sum over all ordered pairs in which the ion stands first, halved, plus the same for
    second: for symmetric weights simply the column sum.
    """
    pairs = np.exp(weights)
    return np.asarray(pairs / ((pairs.sum(axis=0) + pairs.sum(axis=1)) / 2)[None, :])


@cache
def _lambda_rows() -> tuple[tuple[str, str, float], ...]:
    source = resources.files("pymatgen.core.structure_prediction") / "data" / "lambda.json"
    rows = json.loads(source.read_text())
    return tuple((a, b, float(weight)) for a, b, weight in rows if "D1+" not in (a, b))


def hautier_weights(
    unseen: float = UNSEEN_WEIGHT,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Ions and weights of the published table: numbers [m], charges [m], lambda [m, m].

    Rows for deuterium are left out, as pymatgen does; pairs never seen get ``unseen``.
    """
    rows = _lambda_rows()
    pairs = sorted({parse_ion(name) for a, b, _ in rows for name in (a, b)})
    place = {ion: index for index, ion in enumerate(pairs)}
    weights = np.full((len(pairs), len(pairs)), float(unseen))
    for a, b, weight in rows:
        i, j = place[parse_ion(a)], place[parse_ion(b)]
        weights[i, j] = weights[j, i] = weight
    numbers, charges = zip(*pairs, strict=True)
    return np.array(numbers, dtype=np.uint8), np.array(charges, dtype=float), weights


def _join(found: list[tuple[NDArray[np.int32], NDArray[np.float64]]]) -> Proposals:
    counts = [len(products) for _, products in found]
    positions = np.array([ions.shape[1] for ions, _ in found], dtype=np.int64)
    widths = np.repeat(positions, counts)
    return Proposals(
        np.repeat(np.arange(len(found), dtype=np.int64), counts),
        np.concatenate([np.zeros(0, np.int32), *(ions.ravel() for ions, _ in found)]),
        np.concatenate([[0], np.cumsum(widths)]).astype(np.int64),
        np.concatenate([np.zeros(0), *(products for _, products in found)]),
        positions,
    )

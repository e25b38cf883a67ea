"""A pool of known crystals, analysed once, from which the candidates of any system are drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import operations, symmetry
from materialabs.generation.families import Families, families
from materialabs.generation.mining import replaceability, role_elements
from materialabs.generation.oxidation import with_oxidation_states
from materialabs.generation.substitution import SubstitutionTable
from materialabs.generation.ways import SiteChoices, SitePatterns, site_patterns

SMALL_CELL: Final = 12
"""Sites; templates up to this size are also shared in supercells of two cells."""

SHARED_CHOICES: Final = 100
"""Inequivalent choices of one size that a shared role is given at most."""

CERTAIN: Final = 1.0 - 1e-12
"""Largest probability of one piece of evidence."""


@dataclass(frozen=True, eq=False)
class RoleGroup:
    """The pool's crystals of one number of roles, family by family.

    Parameters
    ----------
    size
        Number of roles.
    rows
        int64 [m], positions in the pool's crystals.
    elements
        int64 [m, size], the element in each role.
    old
        int64 [m, size], the column of the pool's ``gain`` for each role.
    families
        int64 [f], the families.
    starts, stops
        int64 [f], where each family's rows begin and end.
    """

    size: int
    rows: NDArray[np.int64]
    elements: NDArray[np.int64]
    old: NDArray[np.int64]
    families: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def misses(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the chance [a, f] that no member's substitution [a, m] happens."""
        return np.asarray(
            np.add.reduceat(np.log1p(-np.minimum(scores, CERTAIN)), self.starts, axis=1)
        )


@dataclass(frozen=True, eq=False)
class ParentPool:
    """Known crystals with their families and the table to substitute by.

    Parameters
    ----------
    crystals
        The crystals that can serve as templates.
    families
        Their families and roles.
    table
        What may replace what.
    reasons
        Why others cannot serve, and how many.
    """

    crystals: Crystals
    families: Families
    table: SubstitutionTable
    reasons: Counter[str] = field(default_factory=Counter)
    _shared: dict[tuple[int, int], list[SitePatterns]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, crystals: Crystals, table: SubstitutionTable | None = None) -> Self:
        """Analyse crystals; half a millisecond each.

        Parameters
        ----------
        crystals
            Known crystals; disordered ones and those without a symmetry are left out.
        table
            By default the table of elements that ships
            (:func:`materialabs.generation.mining.replaceability`).
        """
        reasons: Counter[str] = Counter()
        usable = crystals[~(crystals.disordered() | (crystals.counts == 0))]
        reasons["parent: partly occupied sites, take .ordered()"] = len(crystals) - len(usable)
        found = symmetry(usable)
        kept = found.found()
        if not kept.all():
            reasons["parent: no symmetry was found"] = int((~kept).sum())
            usable = usable[kept]
            found = symmetry(usable)
        usable = usable.with_columns(id=usable.ids())
        return cls(
            usable,
            families(usable, found=found),
            replaceability() if table is None else table,
            +reasons,
        )

    def __len__(self) -> int:
        return len(self.crystals)

    def __repr__(self) -> str:
        return f"ParentPool({len(self)} crystals in {len(self.families.likeness)} families)"

    def span(self, index: int) -> slice:
        """Where a crystal's atoms stand in the batch."""
        return slice(int(self.crystals.offsets[index]), int(self.crystals.offsets[index + 1]))

    def elements_of(self, index: int) -> list[int]:
        """The element in each role of a crystal."""
        row = np.zeros(int(self.families.sizes[index]), dtype=np.int64)
        row[self.families.role[self.span(index)]] = self.crystals.numbers[self.span(index)]
        return [int(number) for number in row]

    @cached_property
    def gain(self) -> NDArray[np.float64]:
        """Factor of each element [119] in the place of each ion of the table [m], and none."""
        best = np.zeros((119, len(self.table) + 1))
        np.maximum.at(best, self.table.numbers, np.pad(self.table.factors, ((0, 0), (0, 1))))
        return best

    @cached_property
    def groups(self) -> dict[int, RoleGroup]:
        """The crystals by number of roles."""
        elements = role_elements(self.crystals, self.families)
        old = self._ions()
        found = {}
        for size in np.unique(self.families.sizes).tolist():
            rows = np.flatnonzero(self.families.sizes == size)
            rows = rows[np.argsort(self.families.family[rows], kind="stable")]
            names, starts = np.unique(self.families.family[rows], return_index=True)
            found[int(size)] = RoleGroup(
                int(size),
                rows,
                np.stack([elements[row] for row in rows]),
                np.stack([old[row] for row in rows]),
                names,
                starts,
                np.append(starts[1:], len(rows)),
            )
        return found

    def shared_sites(self, index: int, role: int) -> list[SitePatterns]:
        """Inequivalent choices of some, not all, of the sites of one role of a crystal."""
        key = (index, role)
        if key not in self._shared:
            span = self.span(index)
            one = self.crystals[index]
            labels = self.families.role[span].astype(np.int16)
            way = SiteChoices(2 if len(labels) <= SMALL_CELL else 1, most=SHARED_CHOICES)
            found = site_patterns(
                (one.lattice[0], one.frac), operations(one).of(0), labels, [role], way, Counter()
            )
            self._shared[key] = [_partly(patterns, labels) for patterns in found]
        return self._shared[key]

    def _ions(self) -> list[NDArray[np.int64]]:
        """For each crystal the table's row of the ion in each role; the last column for none."""
        batch = self.crystals
        if not np.isnan(self.table.charges).all():
            batch = with_oxidation_states(batch)
        states = batch.site_columns.get("oxidation_state")
        rows = []
        for index in range(len(batch)):
            span = self.span(index)
            row = np.full(int(self.families.sizes[index]), len(self.table), dtype=np.int64)
            roles, first = np.unique(self.families.role[span], return_index=True)
            for role, site in zip(roles.tolist(), (first + span.start).tolist(), strict=True):
                charge = np.nan if states is None else float(states[site])
                ion = self.table.row(int(batch.numbers[site]), charge)
                row[role] = len(self.table) if ion < 0 else ion
            rows.append(row)
        return rows


def _partly(found: SitePatterns, labels: NDArray[np.int16]) -> SitePatterns:
    """The patterns that leave at least one site of the role as it is."""
    whole = found.patterns.sum(axis=1) == (labels[found.parent_site] == found.label).sum()
    return SitePatterns(
        found.lattice, found.frac, found.parent_site, found.label, found.patterns[~whole],
        found.salt,
    )  # fmt: skip

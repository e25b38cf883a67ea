"""Known crystals made ready for substitution: their ions, their symmetry, their families."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import Operations, Symmetry, operations, symmetry
from materialabs.generation.blocks import whole_keys
from materialabs.generation.families import Families, families
from materialabs.generation.ions import ion_text
from materialabs.generation.oxidation import with_oxidation_states
from materialabs.generation.substitution import SubstitutionTable


@dataclass(frozen=True, eq=False)
class Ions:
    """The distinct ions of one parent and the sites of each.

    Parameters
    ----------
    rows
        int64 [k], rows of the table, -1 for ions that it lacks.
    elements
        uint8 [k], their elements.
    names
        Texts such as ``Ti4+``.
    slot
        int16 [n], which ion each site holds.
    """

    rows: NDArray[np.int64]
    elements: NDArray[np.uint8]
    names: tuple[str, ...]
    slot: NDArray[np.int16]

    @cached_property
    def known(self) -> NDArray[np.int64]:
        """Positions of the ions that the table has."""
        return np.flatnonzero(self.rows >= 0)


@dataclass(frozen=True, eq=False)
class Parents:
    """Ordered parents with oxidation states; symmetry is searched when it is asked for.

    Parameters
    ----------
    crystals
        The parents that can be used.
    ions
        The ions of each.
    """

    crystals: Crystals
    ions: tuple[Ions, ...]

    def __len__(self) -> int:
        return len(self.ions)

    @cached_property
    def symmetry(self) -> Symmetry:
        """Space groups, orbits and Wyckoff letters."""
        return symmetry(self.crystals)

    @cached_property
    def operations(self) -> Operations:
        """Operations in each parent's own cell."""
        return operations(self.crystals)

    @cached_property
    def families(self) -> Families:
        """Which parents are the same but for the elements, by ion."""
        kinds = [np.zeros(0, np.int64), *(ions.slot.astype(np.int64) for ions in self.ions)]
        return families(self.crystals, np.concatenate(kinds), self.symmetry)

    def span(self, index: int) -> slice:
        """Where a parent's atoms stand in the batch."""
        return slice(int(self.crystals.offsets[index]), int(self.crystals.offsets[index + 1]))

    def family(self, index: int) -> int:
        """The parent's family; one of its own where no symmetry was found."""
        found = int(self.families.family[index])
        return found if found >= 0 else -1 - index

    def whole_keys(self, index: int, elements: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Keys [m] of elements [m, k] in the places of a parent's ions; equal for equal ones."""
        family = int(self.families.family[index])
        by_role = elements[:, np.argsort(self.role_of_ion(index))]
        own = np.arange(elements.shape[1])[None, :]
        renamings = self.families.likeness[family] if family >= 0 else own
        return whole_keys(self.family(index), by_role, renamings)

    def role_of_ion(self, index: int) -> NDArray[np.int64]:
        """The role that each of a parent's ions plays in its family [k]."""
        roles = np.zeros(len(self.ions[index].rows), dtype=np.int64)
        roles[self.ions[index].slot] = self.families.role[self.span(index)]
        return roles


def prepared(crystals: Crystals, table: SubstitutionTable, reasons: Counter[str]) -> Parents:
    """Keep the parents whose ions can be substituted and say of the others why not.

    Oxidation states are those of the site column ``oxidation_state``, or the likeliest ones. An
    ion that the table lacks stays as it is where unchanged ions cost nothing; otherwise it
    rules the parent out.

    Parameters
    ----------
    crystals
        Known crystals.
    table
        What may replace what.
    reasons
        Receives the counts.
    """
    disordered = crystals.disordered() | (crystals.counts == 0)
    reasons["parent: partly occupied sites, take .ordered()"] += int(disordered.sum())
    usable = crystals[~disordered] if disordered.any() else crystals
    usable = usable.with_columns(id=usable.ids())
    if not np.isnan(table.charges).all():
        usable = with_oxidation_states(usable)
    free = bool(np.all(np.diagonal(table.factors) == 1.0))
    kept, ions = [], []
    for index in range(len(usable)):
        own = _ions_of(usable, index, table)
        for name, row in zip(own.names, own.rows.tolist(), strict=True):
            if row < 0:
                reasons[f"ion: {name} is not in the table"] += 1
        if len(own.known) == 0 or (not free and len(own.known) < len(own.rows)):
            reasons["parent: its ions are not in the table"] += 1
            continue
        kept.append(index)
        ions.append(own)
    chosen = usable if len(kept) == len(usable) else usable[np.array(kept, dtype=np.int64)]
    return Parents(chosen, tuple(ions))


def _ions_of(crystals: Crystals, index: int, table: SubstitutionTable) -> Ions:
    span = slice(int(crystals.offsets[index]), int(crystals.offsets[index + 1]))
    numbers = crystals.numbers[span].astype(np.float64)
    states = crystals.site_columns.get("oxidation_state")
    if states is None or np.isnan(table.charges).all():
        charges = np.full(len(numbers), np.nan)
        pairs, slot = np.unique(numbers, return_inverse=True)
        distinct = np.stack([pairs, np.full(len(pairs), np.nan)], axis=1)
    else:
        charges = np.asarray(states[span], dtype=np.float64)
        distinct, slot = np.unique(np.stack([numbers, charges], 1), axis=0, return_inverse=True)
    rows = [table.row(int(number), charge) for number, charge in distinct.tolist()]
    names = tuple(ion_text(int(number), charge) for number, charge in distinct.tolist())
    return Ions(
        np.array(rows, dtype=np.int64),
        distinct[:, 0].astype(np.uint8),
        names,
        slot.ravel().astype(np.int16),
    )

"""Ways to substitute: whole ions, whole orbits, or inequivalent choices of single sites.

A way turns one prepared parent into blocks of products. GNoME's SAPS (Merchant et al., Nature
624, 80 (2023)) replaces one ion by another on k = 1 ... all of its sites and keeps one choice of
each symmetry grouping; that is :class:`SiteChoices`. Whole orbits alone are the coarser, cheaper
form of it; whole ions are Hautier's substitution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError, PhysicsError
from materialabs.generation.blocks import (
    KEY_WORDS,
    Block,
    assignment_keys,
    pattern_keys,
)
from materialabs.generation.orbits import (
    MOST_CHOICES,
    MOST_SITES,
    inequivalent_choices,
    orbit_choices,
    periodic_choices,
    restricted,
)
from materialabs.generation.parents import Parents
from materialabs.generation.substitution import SubstitutionTable, substitutions
from materialabs.generation.supercells import supercell, superlattices

MOST_ORBITS: Final = 2
"""Orbits of an ion that are swapped together, short of all."""

MOST_ORBIT_CHOICES: Final = 1000
"""Sets of whole orbits of one ion that are written out."""

ONE_CELL: Final = np.eye(3, dtype=np.int64)
"""The parent's cell as it is."""


class Way(Protocol):
    """How products are made of one parent."""

    def blocks(
        self,
        parents: Parents,
        index: int,
        table: SubstitutionTable,
        threshold: float,
        reasons: Counter[str],
    ) -> Iterator[Block]:
        """Products of the parent at ``index`` that are likelier than the threshold."""
        ...


@dataclass(frozen=True)
class WholeIons:
    """Every atom of one or more ions is replaced, several ions at once where that is likely."""

    def blocks(
        self,
        parents: Parents,
        index: int,
        table: SubstitutionTable,
        threshold: float,
        reasons: Counter[str],
    ) -> Iterator[Block]:
        """One block with a product for each likely assignment of new elements."""
        ions = parents.ions[index]
        rows, probability = substitutions(table, [ions.rows[ions.known]], threshold=threshold).of(0)
        elements = np.repeat(ions.elements[None, :], len(rows), axis=0)
        elements[:, ions.known] = table.numbers[rows]
        words = KEY_WORDS[np.arange(elements.shape[1]), elements].sum(axis=1, dtype=np.uint64)
        changed = np.any(elements != ions.elements, axis=1)
        first = np.zeros(len(rows), dtype=bool)
        first[np.unique(words, return_index=True)[1]] = True
        kept = np.flatnonzero(first & changed)
        reasons["product: same elements as a likelier one"] += int((changed & ~first).sum())
        if len(kept):
            own = parents.whole_keys(index, ions.elements[None, :])
            kept = kept[parents.whole_keys(index, elements[kept]) != own]
        if len(kept) == 0:
            return
        elements, rows = elements[kept], rows[kept]
        keys = parents.whole_keys(index, elements)

        def describe(product: int) -> tuple[str, str]:
            pairs = zip(ions.known.tolist(), rows[product].tolist(), strict=True)
            swaps = [
                f"{ions.names[position]} -> {table.names[row]}"
                for position, row in pairs
                if row != ions.rows[position]
            ]
            return ", ".join(swaps), "all"

        yield Block(
            index,
            parents.crystals.lattice[index],
            parents.crystals.frac[parents.span(index)],
            ions.slot[None, :],
            np.zeros(len(kept), dtype=np.int64),
            elements,
            probability[kept],
            keys,
            np.zeros(len(kept), dtype=np.uint64),
            describe,
        )


@dataclass(frozen=True)
class WholeOrbits:
    """One ion is replaced on whole crystallographic orbits: any set of up to ``most`` of them.

    Parameters
    ----------
    most
        Largest number of orbits swapped together, short of all.
    """

    most: int = MOST_ORBITS

    def blocks(
        self,
        parents: Parents,
        index: int,
        table: SubstitutionTable,
        threshold: float,
        reasons: Counter[str],
    ) -> Iterator[Block]:
        """One block for each ion of the parent."""
        span, ions = parents.span(index), parents.ions[index]
        if parents.symmetry.number[index] == 0:
            reasons["parent: no symmetry was found"] += 1
            return
        orbits = parents.symmetry.orbits[span]
        for position in ions.known.tolist():
            sites = np.flatnonzero(ions.slot == position)
            chosen = orbit_choices(orbits[sites], most_orbits=self.most)
            if len(chosen) > MOST_ORBIT_CHOICES:
                reasons["ion: too many sets of orbits, the first are taken"] += 1
                chosen = np.concatenate([chosen[: MOST_ORBIT_CHOICES - 1], chosen[-1:]])
            patterns = np.zeros((len(chosen), len(ions.slot)), dtype=bool)
            patterns[:, sites] = chosen
            cell = (parents.crystals.lattice[index], parents.crystals.frac[span])
            yield from _partial_block(
                parents, index, position, table, threshold,
                cell, np.arange(len(ions.slot)), patterns, 0,
            )  # fmt: skip


@dataclass(frozen=True)
class SiteChoices:
    """One ion is replaced on k = 1 ... all of its sites, one choice of each symmetry class.

    Parameters
    ----------
    supercells
        The cells in which is chosen: a whole number for every inequivalent supercell of up to
        so many of the parent's cells, or integer matrices whose rows are the new vectors.
    most
        Largest number of inequivalent choices of one size k; sizes with more are left out.
    """

    supercells: int | Sequence[NDArray[np.int64]] = 1
    most: int = MOST_CHOICES

    def blocks(
        self,
        parents: Parents,
        index: int,
        table: SubstitutionTable,
        threshold: float,
        reasons: Counter[str],
    ) -> Iterator[Block]:
        """One block for each supercell and ion of the parent."""
        span, ions = parents.span(index), parents.ions[index]
        if parents.symmetry.number[index] == 0:
            reasons["parent: no symmetry was found"] += 1
            return
        cell = (parents.crystals.lattice[index], parents.crystals.frac[span])
        operations = parents.operations.of(index)
        labels, wanted = ions.slot, ions.known.tolist()
        for found in site_patterns(cell, operations, labels, wanted, self, reasons):
            yield from _partial_block(
                parents, index, found.label, table, threshold, (found.lattice, found.frac),
                found.parent_site, found.patterns, found.salt,
            )  # fmt: skip

    def matrices(self, rotations: NDArray[np.int8]) -> list[NDArray[np.int64]]:
        """The supercells in which is chosen, for a crystal with these rotations."""
        if not isinstance(self.supercells, int):
            return [np.asarray(matrix, dtype=np.int64) for matrix in self.supercells]
        if self.supercells < 1:
            raise InputError("A supercell holds at least one cell.")
        return [
            matrix
            for size in range(1, self.supercells + 1)
            for matrix in superlattices(rotations, size)
        ]


@dataclass(frozen=True, eq=False)
class SitePatterns:
    """Inequivalent choices among the sites of one label in one supercell.

    Parameters
    ----------
    lattice, frac
        The supercell, [3, 3] in angstrom and [m, 3].
    parent_site
        int64 [m], the site of the small cell.
    label
        Whose sites are chosen among.
    patterns
        bool [c, m], True for chosen sites.
    salt
        0 for the cell as it is; other supercells have other numbers.
    """

    lattice: NDArray[np.float64]
    frac: NDArray[np.float64]
    parent_site: NDArray[np.int64]
    label: int
    patterns: NDArray[np.bool_]
    salt: int


def site_patterns(
    cell: tuple[NDArray[np.float64], NDArray[np.float64]],
    operations: tuple[NDArray[np.int8], NDArray[np.float64]],
    labels: NDArray[np.int16],
    wanted: Sequence[int],
    way: SiteChoices,
    reasons: Counter[str],
) -> Iterator[SitePatterns]:
    """Inequivalent choices among the sites of each wanted label, supercell by supercell.

    Parameters
    ----------
    cell
        Lattice [3, 3] in angstrom and fractional coordinates [n, 3].
    operations
        The crystal's rotations and translations; those that exchange labels are not used.
    labels
        [n], what sits on each site.
    wanted
        Labels among whose sites is chosen.
    way
        The supercells, and the largest number of choices of one size.
    reasons
        Receives the counts of what was left out.
    """
    for salt, matrix in enumerate(way.matrices(operations[0])):
        try:
            large = supercell(*cell, operations, matrix)
        except PhysicsError as error:
            reasons[f"parent: {error}"] += 1
            return
        own = labels[large.parent_site]
        group = large.permutations[np.all(own[large.permutations] == own, axis=1)]
        as_it_is = bool(np.all(np.asarray(matrix) == ONE_CELL))
        for label in wanted:
            sites = np.flatnonzero(own == label)
            if len(sites) > MOST_SITES:
                reasons[f"ion: more than {MOST_SITES} sites to choose among"] += 1
                continue
            choices = inequivalent_choices(restricted(group, sites), most=way.most)
            if choices.cut:
                reasons["ion: sizes with too many inequivalent choices"] += len(choices.cut)
            patterns = np.zeros((len(choices.chosen), len(own)), dtype=bool)
            patterns[:, sites] = choices.chosen
            if isinstance(way.supercells, int) and salt > 0:
                patterns = patterns[~periodic_choices(patterns, large.translations)]
            yield SitePatterns(
                large.lattice, large.frac, large.parent_site, label, patterns,
                0 if as_it_is else salt + 1,
            )  # fmt: skip


def likely_partners(
    table: SubstitutionTable, old: int, present: NDArray[np.uint8], threshold: float
) -> NDArray[np.int64]:
    """Ions likelier than the threshold to join an ion, one for each element, likeliest first.

    Elements that the crystal has already are left out: no two ions are mapped onto one.
    """
    factors, choices = table.ranked
    rows = choices[old][factors[old] > threshold].astype(np.int64)
    fresh = rows[~np.isin(table.numbers[rows], present)]
    first = np.sort(np.unique(table.numbers[fresh], return_index=True)[1])
    return np.asarray(fresh[first])


def _partial_block(
    parents: Parents,
    index: int,
    position: int,
    table: SubstitutionTable,
    threshold: float,
    cell: tuple[NDArray[np.float64], NDArray[np.float64]],
    parent_site: NDArray[np.int64],
    patterns: NDArray[np.bool_],
    salt: int,
) -> Iterator[Block]:
    """Every pattern with every likely partner of one ion; nothing when there is none."""
    ions = parents.ions[index]
    old = int(ions.rows[position])
    partners = likely_partners(table, old, ions.elements, threshold)
    if len(partners) == 0 or len(patterns) == 0:
        return
    slots = np.where(patterns, len(ions.rows), ions.slot[parent_site]).astype(np.int16)
    pattern = np.repeat(np.arange(len(patterns)), len(partners))
    partner = np.tile(partners, len(patterns))
    elements = np.empty((len(partner), len(ions.rows) + 1), dtype=np.uint8)
    elements[:, :-1] = ions.elements
    elements[:, -1] = table.numbers[partner]
    group, member = _partial_keys(parents, index, position, elements, slots, pattern, salt)
    letters = parents.symmetry.wyckoff[parents.span(index)][parent_site]
    total = int((ions.slot[parent_site] == position).sum())

    def describe(product: int) -> tuple[str, str]:
        chosen = patterns[pattern[product]]
        swap = f"{ions.names[position]} -> {table.names[int(partner[product])]}"
        tally = sorted(Counter(letters[chosen].tolist()).items())
        return (
            f"{swap} on {int(chosen.sum())} of {total}",
            "+".join(f"{count}{letter}" for letter, count in tally),
        )

    yield Block(
        index, cell[0], cell[1], slots, pattern, elements, table.factors[partner, old],
        group, member, describe,
    )  # fmt: skip


def _partial_keys(
    parents: Parents,
    index: int,
    position: int,
    elements: NDArray[np.uint8],
    slots: NDArray[np.int16],
    pattern: NDArray[np.int64],
    salt: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Keys of the products' groups and, within them, of their patterns.

    Replacing some B by B' in one member of a family gives the same crystals as replacing some
    B' by B in another: the group's key is the same for both. What replaces every site is the
    product of a whole-ion substitution and bears its key.
    """
    roles = parents.role_of_ion(index)
    family = parents.family(index)
    order = np.argsort(roles)
    words = assignment_keys(family, elements[:, order])
    pair = words + KEY_WORDS[roles[position], elements[:, -1]]
    whole = elements[:, :-1].copy()
    whole[:, position] = elements[:, -1]
    every = ~np.any(slots == position, axis=1)[pattern] & (salt == 0)
    group = np.where(every, parents.whole_keys(index, whole), pair)
    member = pattern_keys(slots, salt)[pattern]
    return group, np.where(every, np.uint64(0), member)

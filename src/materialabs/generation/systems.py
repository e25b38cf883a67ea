"""Ranked candidates in one chemical system, from a pool of known crystals of any elements.

Every known crystal whose roles can be filled with the wanted elements is a template. Three
kinds of candidates compete: as many roles as elements (substitution), one role more, two of them
filled alike (the reverse of an ordering), and one role fewer, one of them shared by two elements
on symmetry-inequivalent choices of its sites (partial substitution).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_system
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.generation.candidates import Candidates
from materialabs.generation.pool import ParentPool, RoleGroup
from materialabs.generation.ways import SitePatterns

MOST_ELEMENTS: Final = 8
"""Elements of a system; the assignments of more are too many."""

MOST_MERGED: Final = 5
"""Systems of more elements are not filled from templates with one role more."""

SHARED_ROLES: Final = 40
"""Likeliest shared roles whose choices of sites are written out, unless more are asked for."""

TIGHTEST, LOOSEST = 0.75, 1.5
"""Volume of a template relative to its estimate that its candidates take over at most."""

INHERITED: Final = 0.6
"""Power of that share at which a candidate takes it over, times the part of its atoms that are
what they were: what the estimate misses in a compound says little of others of its type."""

SHARED_SHARE: Final = 0.05
"""Part of the probability given to sharing a role rather than filling it with one element:
among compounds without a template of their own kind, about one in twenty of all is one."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """One candidate before it is built.

    Parameters
    ----------
    template
        Position of the parent in the pool's crystals.
    elements
        The element in each role.
    probability
        Chance that at least one of the family's members led here.
    shared
        For a shared role: its sites' choices, which of them this is, and the second element.
    """

    template: int
    elements: tuple[int, ...]
    probability: float
    shared: tuple[SitePatterns, int, int] | None = None


def candidates_for_system(
    system: str,
    parents: Crystals | ParentPool,
    *,
    limit: int = 10_000,
    most_atoms: int | None = None,
    shared_roles: int = SHARED_ROLES,
) -> Candidates:
    """Generate the likeliest crystals that hold exactly the elements of a chemical system.

    Parameters
    ----------
    system
        Such as ``Li-P-S``; call again for its subsystems.
    parents
        Known crystals, of any elements. For several systems make a
        :meth:`~materialabs.generation.pool.ParentPool.of` once and give that.
    limit
        Most candidates.
    most_atoms
        In the cell of a candidate; larger ones do not count towards the limit.
    shared_roles
        How many of the likeliest roles are shared by two elements.

    Returns
    -------
    Candidates
        Most probable first. A template's own compound is never among them.
    """
    pool = parents if isinstance(parents, ParentPool) else ParentPool.of(parents)
    reasons: Counter[str] = Counter(pool.reasons)
    ranked = ranked_assignments(
        system, pool, limit=limit, most_atoms=most_atoms, shared_roles=shared_roles
    )
    reasons["candidate: no further template fits the system"] += limit - len(ranked)
    return Candidates(built_assignments(pool, ranked), +reasons)


def ranked_assignments(
    system: str,
    pool: ParentPool,
    *,
    limit: int,
    most_atoms: int | None = None,
    shared_roles: int = SHARED_ROLES,
) -> list[Assignment]:
    """The candidates of a system in compact form, most probable first.

    Arguments are those of :func:`candidates_for_system`.
    """
    numbers = parse_system(system)
    if len(numbers) > MOST_ELEMENTS:
        raise InputError(f"A system of {len(numbers)} elements: at most {MOST_ELEMENTS} are meant.")
    if limit < 0:
        raise InputError(f"The limit is how many candidates are wanted, not {limit}.")
    most = np.inf if most_atoms is None else most_atoms
    sizes = [len(numbers)] + ([len(numbers) + 1] if len(numbers) <= MOST_MERGED else [])
    found = [
        assignment
        for size in sizes
        if size in pool.groups
        for assignment in _filled(pool, pool.groups[size], numbers, limit, most)
    ]
    if len(numbers) - 1 in pool.groups:
        found += _shared(pool, pool.groups[len(numbers) - 1], numbers, most, shared_roles)
    found.sort(key=lambda assignment: -assignment.probability)
    return found[:limit]


def _filled(
    pool: ParentPool, group: RoleGroup, numbers: tuple[int, ...], limit: int, most: float
) -> Iterator[Assignment]:
    """Templates of one number of roles, every role filled with one element, all elements used.

    Large members of a family bear witness, small ones serve as templates.
    """
    small = pool.crystals.counts[group.rows] <= most
    maps = _onto(group.size, numbers)
    scores = np.ones((len(maps), len(group.rows)))
    same = np.ones_like(scores, dtype=bool)
    for role in range(group.size):
        scores *= pool.gain[maps[:, role]][:, group.old[:, role]]
        same &= maps[:, role, None] == group.elements[None, :, role]
    misses = group.misses(scores)
    known = np.logical_or.reduceat(same, group.starts, axis=1)
    images = _joined_by_renaming(pool, group, maps, misses, known)
    fits = np.logical_or.reduceat(small, group.starts)
    chance = np.where(known | ~fits, 0.0, -np.expm1(misses))
    scores[:, ~small] = -1.0
    for place in _largest(chance, limit):
        row, family = divmod(int(place), chance.shape[1])
        rows = images[family][:, row]
        members = slice(group.starts[family], group.stops[family])
        best, member = divmod(int(np.argmax(scores[rows, members])), members.stop - members.start)
        yield Assignment(
            int(group.rows[members][member]),
            tuple(maps[rows[best]].tolist()),
            float(chance[row, family]),
        )


def _joined_by_renaming(
    pool: ParentPool,
    group: RoleGroup,
    maps: NDArray[np.int64],
    misses: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> list[NDArray[np.int64]]:
    """Add up, in place, what fillings say that a renaming of equal roles exchanges.

    Of fillings that are the same crystal the first keeps the evidence of all, the others none.
    Gives for each family the rows [r, a] of the fillings that each filling is the same as.
    """
    kinds: dict[bytes, list[int]] = {}
    for place, family in enumerate(group.families.tolist()):
        kinds.setdefault(pool.families.likeness[family].tobytes(), []).append(place)
    place_of = {tuple(row): index for index, row in enumerate(maps.tolist())}
    images: list[NDArray[np.int64]] = [np.zeros((0, 0), np.int64)] * len(group.families)
    for columns in kinds.values():
        renamings = pool.families.likeness[int(group.families[columns[0]])]
        rows = np.array(
            [[place_of[tuple(row)] for row in maps[:, order].tolist()] for order in renamings]
        )
        for column in columns:
            images[column] = rows
        if len(renamings) > 1:
            part, there = misses[:, columns], known[:, columns]
            first = rows.min(axis=0) == np.arange(len(maps))
            misses[:, columns] = np.where(first[:, None], part[rows].sum(axis=0), 0.0)
            known[:, columns] = there[rows].any(axis=0)
    return images


def _shared(
    pool: ParentPool, group: RoleGroup, numbers: tuple[int, ...], most: float, roles_shared: int
) -> Iterator[Assignment]:
    """Templates of one role fewer, the two last elements of a filling sharing a role."""
    small = pool.crystals.counts[group.rows] <= most
    ways = [
        (*order, role, joined)
        for joined in numbers
        for order in itertools.permutations([n for n in numbers if n != joined])
        for role in range(group.size)
        if order[role] < joined
    ]
    table = np.array(ways, dtype=np.int64)
    fillings, roles, joined = table[:, :-2], table[:, -2], table[:, -1]
    scores = np.ones((len(table), len(group.rows)))
    for role in range(group.size):
        scores *= pool.gain[fillings[:, role]][:, group.old[:, role]]
    scores *= pool.gain[joined[:, None], group.old[:, roles].T]
    fits = np.logical_or.reduceat(small, group.starts)
    chance = np.where(fits, -np.expm1(group.misses(scores)), 0.0)
    scores[:, ~small] = -1.0
    for place in _largest(chance, roles_shared):
        row, family = divmod(int(place), chance.shape[1])
        members = slice(group.starts[family], group.stops[family])
        template = int(group.rows[members][np.argmax(scores[row, members])])
        found = pool.shared_sites(template, int(roles[row]))
        count = sum(len(patterns.patterns) for patterns in found)
        for patterns in found:
            if len(patterns.frac) > most:
                continue
            for choice in range(len(patterns.patterns)):
                yield Assignment(
                    template,
                    tuple(fillings[row].tolist()),
                    float(chance[row, family]) * SHARED_SHARE / count,
                    (patterns, choice, int(joined[row])),
                )


def built_assignments(pool: ParentPool, ranked: list[Assignment]) -> Crystals:
    """The crystals of assignments, in their order, scaled to their estimated volumes.

    The more of its elements a candidate keeps, the more it is as loose or tight as its template,
    within bounds: forms of elements under pressure (silicon at a quarter of its usual volume) would
    push its atoms into one another.
    """
    from materialabs.crystals.volumes import estimated_volumes

    if not ranked:
        return Crystals.empty()
    cells = [_cell(pool, assignment) for assignment in ranked]
    crystals = Crystals.from_arrays(
        [cell[0] for cell in cells], [cell[1] for cell in cells], [cell[2] for cell in cells]
    )
    templates, place = np.unique([one.template for one in ranked], return_inverse=True)
    known = pool.crystals[templates]
    ratio = np.clip(known.volumes / estimated_volumes(known.compositions), TIGHTEST, LOOSEST)
    kept = _kept(crystals.compositions, known.compositions[place])
    volumes = estimated_volumes(crystals.compositions) * ratio[place] ** (INHERITED * kept)
    names = known.ids()
    texts = [_described(pool, assignment) for assignment in ranked]
    return crystals.scaled(volumes).with_columns(
        parent=[names[row] for row in place],
        probability=np.array([one.probability for one in ranked]),
        substitution=[swap for swap, _ in texts],
        orbit=[orbit for _, orbit in texts],
        generator=["systems"] * len(ranked),
    )


def _kept(crystals: Compositions, templates: Compositions) -> NDArray[np.float64]:
    """The part of each crystal's atoms [n] that are what they were in its template."""
    elements = sorted({*crystals.present(), *templates.present()})
    both = np.minimum(crystals.fractions(elements), templates.fractions(elements))
    return np.asarray(both.sum(axis=1))


def _cell(
    pool: ParentPool, assignment: Assignment
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Lattice, coordinates and atomic numbers of a candidate, at its template's volume."""
    span = pool.span(assignment.template)
    elements = np.array(assignment.elements)
    if assignment.shared is None:
        lattice, frac = pool.crystals.lattice[assignment.template], pool.crystals.frac[span]
        return lattice, frac, elements[pool.families.role[span]]
    patterns, choice, joined = assignment.shared
    numbers = elements[pool.families.role[span][patterns.parent_site]]
    return patterns.lattice, patterns.frac, np.where(patterns.patterns[choice], joined, numbers)


def _described(pool: ParentPool, assignment: Assignment) -> tuple[str, str]:
    before = pool.elements_of(assignment.template)
    swaps = [
        f"{SYMBOLS[old]} -> {SYMBOLS[new]}"
        for old, new in zip(before, assignment.elements, strict=True)
        if old != new
    ]
    if assignment.shared is None:
        return ", ".join(swaps), "all"
    patterns, choice, joined = assignment.shared
    old = SYMBOLS[before[patterns.label]]
    count = int(patterns.patterns[choice].sum())
    return ", ".join([*swaps, f"{old} -> {SYMBOLS[joined]} on {count}"]), str(count)


def _onto(roles: int, numbers: tuple[int, ...]) -> NDArray[np.int64]:
    """Every way [a, roles] to fill the roles so that all the elements are used."""
    if roles == len(numbers):
        return np.array(list(itertools.permutations(numbers)), dtype=np.int64)
    rows = [order for twice in numbers for order in set(itertools.permutations((*numbers, twice)))]
    return np.array(sorted(rows), dtype=np.int64)


def _largest(table: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Flat positions of the largest values above zero, largest first."""
    flat = table.ravel()
    if 0 < count < len(flat):
        threshold = np.partition(flat, len(flat) - count)[len(flat) - count]
        rows = np.flatnonzero(flat >= threshold)
    else:
        rows = np.arange(len(flat))
    rows = rows[flat[rows] > 0]
    return np.asarray(rows[np.argsort(-flat[rows], kind="stable")][:count])

"""Unrelaxed copies of relaxed crystals, labelled with the relaxed energy, for training and tests.

Candidates arrive unrelaxed: a parent's geometry with other elements in it, at a guessed volume.
:func:`borrowed` makes exactly such copies of crystals whose energies are known, from other
crystals of the same structure type; :func:`shaken` strains and rattles where there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.protostructure import protostructure_labels
from materialabs.elements import COVALENT_RADIUS, ELECTRONEGATIVITY

STRAIN = 0.03
"""Spread of each component of a random strain."""

RATTLE = 0.06
"""Angstrom; spread of each coordinate of a random displacement."""

MOST_KINDS = 5
"""Elements of a crystal up to which the roles of a parent's elements are tried out."""

USUAL_VOLUME = 18.0
"""Cubic angstrom an atom; where an element's fitted volume starts from."""

VOLUME_PRIOR = 4.0
"""Crystals of an element that the starting volume counts as."""


@dataclass(frozen=True)
class Copies:
    """Unrelaxed copies, and of which crystal each is one.

    Parameters
    ----------
    crystals
        The copies.
    original
        int64 [m], row of the relaxed crystal in the batch that was copied.
    parent
        int64 [m], row of the crystal that lent its geometry; -1 where none did.
    """

    crystals: Crystals
    original: NDArray[np.int64]
    parent: NDArray[np.int64]


def shaken(crystals: Crystals, rows: NDArray[np.int64], seed: int) -> Copies:
    """Copies under a random strain with every atom moved at random."""
    random = np.random.default_rng(seed)
    chosen = crystals.take(rows)
    strain = random.normal(0.0, STRAIN, (len(chosen), 3, 3))
    deformation = np.eye(3) + 0.5 * (strain + strain.transpose(0, 2, 1))
    lattice = chosen.lattice @ deformation
    moves = random.normal(0.0, RATTLE, chosen.frac.shape)
    inverse = np.linalg.inv(lattice)[chosen.owners]
    frac = chosen.frac + np.einsum("ni,nij->nj", moves, inverse)
    copies = chosen.replace(lattice=lattice, frac=frac)
    return Copies(copies, np.asarray(rows, dtype=np.int64), np.full(len(rows), -1, np.int64))


def borrowed(
    crystals: Crystals,
    children: NDArray[np.int64],
    parents: NDArray[np.int64],
    types: Sequence[str | None],
    seed: int,
    *,
    copies: int = 1,
) -> Copies:
    """Copies in the geometry of other compounds of the same structure type.

    Parameters
    ----------
    crystals
        The batch that children and parents are rows of.
    children
        Rows to copy; those without a parent are left out.
    parents
        Rows that may lend their geometry; their volumes also fit the guess of the volume.
    types
        :func:`~materialabs.crystals.protostructure.prototype_labels` of the batch. A child borrows
        from its own type, and never from its own formula.
    seed
        Which of the possible parents is taken.
    copies
        Most parents that each child takes.
    """
    random = np.random.default_rng(seed)
    formulas = crystals.reduced_formulas()
    lenders: dict[str | None, list[int]] = defaultdict(list)
    for row in parents:
        if types[row] is not None:
            lenders[types[row]].append(int(row))
    pairs = []
    for child in children:
        possible = [row for row in lenders[types[child]] if formulas[row] != formulas[child]]
        if possible:
            count = min(copies, len(possible))
            pairs += [(int(child), int(row)) for row in random.choice(possible, count, False)]
    volumes = fitted_volumes(crystals.take(parents))
    return _filled(crystals, np.array(pairs, dtype=np.int64).reshape(-1, 2), volumes)


def fitted_volumes(crystals: Crystals) -> NDArray[np.float64]:
    """Volume that an atom of each element takes [119], least squares over these crystals only."""
    counts = _counts(crystals.compositions)
    weight = 1.0 / crystals.counts
    normal = (counts * weight[:, None] ** 2).T @ counts
    right = (counts * weight[:, None] ** 2).T @ crystals.volumes
    prior = VOLUME_PRIOR * np.eye(counts.shape[1]) * weight.mean()
    return np.linalg.solve(normal + prior, right + prior @ np.full(counts.shape[1], USUAL_VOLUME))


def _counts(compositions: Compositions) -> NDArray[np.float64]:
    """Atoms of each element in each cell [n, 119]."""
    counts = np.zeros((len(compositions), len(ELECTRONEGATIVITY)))
    owner = np.repeat(np.arange(len(compositions)), np.diff(compositions.offsets))
    counts[owner, compositions.elements] = compositions.amounts
    return counts


def _filled(crystals: Crystals, pairs: NDArray[np.int64], volumes: NDArray[np.float64]) -> Copies:
    """Children in their parents' geometry, where the roles of the elements fit."""
    wanted = protostructure_labels(crystals.take(pairs[:, 0]))
    tables = [_roles(crystals, child, parent) for child, parent in pairs]
    fits = np.array([table is not None for table in tables], dtype=bool)
    pairs = pairs[fits]
    lent = crystals.take(pairs[:, 1])
    table = np.stack([table for table in tables if table is not None]) if fits.any() else (
        np.empty((0, len(ELECTRONEGATIVITY)), np.uint8)
    )  # fmt: skip
    # A table of occupancies, though every site is full, would still name the parents' elements.
    filled = lent.replace(numbers=table[lent.owners, lent.numbers], occupancy=None)
    filled = filled.scaled(_counts(filled.compositions) @ volumes)
    found = protostructure_labels(filled)
    same = np.array([
        a == b for a, b in zip(np.array(wanted, dtype=object)[fits], found, strict=True)
    ], dtype=bool)  # fmt: skip
    return Copies(filled.take(np.flatnonzero(same)), pairs[same, 0], pairs[same, 1])


def _roles(crystals: Crystals, child: int, parent: int) -> NDArray[np.uint8] | None:
    """Which element of the child stands for each of the parent's [119]: the likest that counts."""
    own, own_counts = _amounts(crystals, child)
    lent, lent_counts = _amounts(crystals, parent)
    if len(own) != len(lent) or len(own) > MOST_KINDS:
        return None
    best, least = None, np.inf
    for order in permutations(range(len(own))):
        if np.allclose(own_counts[list(order)], lent_counts):
            unlike = float(_unlikeness(own[list(order)], lent).sum())
            if unlike < least:
                best, least = own[list(order)], unlike
    if best is None:
        return None
    table = np.zeros(len(ELECTRONEGATIVITY), dtype=np.uint8)
    table[lent] = best
    return table


def _amounts(crystals: Crystals, row: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Elements of one crystal and their share of its atoms."""
    begin, end = crystals.offsets[row], crystals.offsets[row + 1]
    kinds, counts = np.unique(crystals.numbers[begin:end], return_counts=True)
    return kinds.astype(np.int64), counts / counts.sum()


def _unlikeness(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """How differently two elements bind: electronegativity and covalent radius."""
    character = np.nan_to_num(ELECTRONEGATIVITY, nan=1.5)
    radius = np.nan_to_num(COVALENT_RADIUS, nan=1.5)
    return np.asarray(
        np.abs(character[first] - character[second]) + np.abs(radius[first] - radius[second])
    )

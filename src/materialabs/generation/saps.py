"""Symmetry-aware partial substitutions (SAPS): new crystals from known ones, batched.

After Merchant et al., Nature 624, 80 (2023): ions of known crystals are replaced by likely
others, on all of their sites or on symmetry-inequivalent parts of them, and what comes out as
the same thing is kept once. Each product carries its lineage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import InputError
from materialabs.generation.balance import FormulaRule
from materialabs.generation.blocks import Block, block_compositions, built, composition_keys
from materialabs.generation.candidates import Candidates
from materialabs.generation.parents import Parents, prepared
from materialabs.generation.substitution import THRESHOLD, SubstitutionTable
from materialabs.generation.ways import SiteChoices, Way, WholeIons, WholeOrbits

ALL_WAYS: Final[tuple[Way, ...]] = (WholeIons(), WholeOrbits(), SiteChoices())
"""Whole ions, whole orbits, and single sites in the parents' own cells."""

PARENTS_A_CHUNK: Final = 200
"""Parents whose products are held in memory at once when streaming."""


def saps(
    parents: Crystals,
    *,
    table: SubstitutionTable | None = None,
    ways: Sequence[Way] = ALL_WAYS,
    threshold: float = THRESHOLD,
    charge_balance: FormulaRule | None = None,
    exclude: Iterable[str] = (),
    limit: int | None = None,
    seed: int = 0,
) -> Candidates:
    """Generate new crystals from known ones by likely ion substitutions, most probable first.

    Parameters
    ----------
    parents
        Known crystals. Oxidation states come from the site column ``oxidation_state``, or are
        the likeliest that balance.
    table
        Which ion may take whose place; GNoME's by default.
    ways
        How sites are chosen (:mod:`materialabs.generation.ways`).
    threshold
        Products less likely than this are not made.
    charge_balance
        A rule that compositions must pass, such as
        :class:`materialabs.generation.balance.StrictBalance`; none by default, as in GNoME's
        later rounds.
    exclude
        Known formulas; products of these compositions are left out.
    limit
        Keep only so many.
    seed
        Decides the order of equally probable products.

    Returns
    -------
    Candidates
        Cells are scaled by the ratio of the estimated volumes of product and parent.
    """
    _check(limit, ways)
    reasons: Counter[str] = Counter()
    table = SubstitutionTable.gnome() if table is None else table
    ready = prepared(parents, table, reasons)
    known = _known_keys(exclude)
    blocks = _blocks(ready, range(len(ready)), table, ways, threshold, reasons)
    seen = np.zeros(0, dtype=np.uint64)
    crystals, _ = _chosen(ready, blocks, charge_balance, known, seen, limit, seed, reasons)
    if limit is not None:
        reasons["product: no more are likelier than the threshold"] += limit - len(crystals)
    return Candidates(crystals, +reasons)


def stream_saps(
    parents: Crystals,
    *,
    table: SubstitutionTable | None = None,
    ways: Sequence[Way] = ALL_WAYS,
    threshold: float = THRESHOLD,
    charge_balance: FormulaRule | None = None,
    exclude: Iterable[str] = (),
    seed: int = 0,
    chunk: int = PARENTS_A_CHUNK,
) -> Iterator[Candidates]:
    """Generate as :func:`saps` does, chunk of parents by chunk, for millions of products.

    Arguments are those of :func:`saps`. Each chunk is ranked in itself, and what an earlier
    chunk gave is not given again; ``reasons`` of a chunk are its own.

    Parameters
    ----------
    chunk
        Parents in a chunk.
    """
    _check(None, ways)
    reasons: Counter[str] = Counter()
    table = SubstitutionTable.gnome() if table is None else table
    ready = prepared(parents, table, reasons)
    known = _known_keys(exclude)
    seen = np.zeros(0, dtype=np.uint64)
    for start in range(0, max(len(ready), 1), chunk):
        rows = range(start, min(start + chunk, len(ready)))
        blocks = _blocks(ready, rows, table, ways, threshold, reasons)
        crystals, groups = _chosen(ready, blocks, charge_balance, known, seen, None, seed, reasons)
        seen = np.union1d(seen, groups)
        yield Candidates(crystals, +reasons)
        reasons = Counter()


def _check(limit: int | None, ways: Sequence[Way]) -> None:
    if limit is not None and limit < 0:
        raise InputError(f"The limit is how many candidates are wanted, not {limit}.")
    if not ways:
        raise InputError("Give at least one way to substitute, WholeIons() for instance.")


def _known_keys(exclude: Iterable[str]) -> NDArray[np.uint64]:
    formulas = list(exclude)
    return np.unique(composition_keys(Compositions.parse(formulas)))


def _blocks(
    parents: Parents,
    rows: Iterable[int],
    table: SubstitutionTable,
    ways: Sequence[Way],
    threshold: float,
    reasons: Counter[str],
) -> list[Block]:
    return [
        block
        for index in rows
        for way in ways
        for block in way.blocks(parents, index, table, threshold, reasons)
    ]


def _chosen(
    parents: Parents,
    blocks: list[Block],
    rule: FormulaRule | None,
    known: NDArray[np.uint64],
    seen: NDArray[np.uint64],
    limit: int | None,
    seed: int,
    reasons: Counter[str],
) -> tuple[Crystals, NDArray[np.uint64]]:
    """The crystals of the products that pass, ranked, and the keys of their groups."""
    if not blocks:
        return Crystals.empty(), seen[:0]
    sizes = np.array([len(block) for block in blocks])
    owner = np.repeat(np.arange(len(blocks)), sizes)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    probability = np.concatenate([block.probability for block in blocks])
    group = np.concatenate([block.group for block in blocks])
    compositions = block_compositions(blocks)
    passed = _passing(compositions, rule, known, reasons)
    fresh = ~np.isin(group, seen)
    member = np.concatenate([block.member for block in blocks])
    source = np.array([block.parent for block in blocks])[owner]
    rows = np.flatnonzero(passed & fresh)
    unique = rows[_first_of_equals(probability[rows], group[rows], member[rows], source[rows])]
    reasons["product: the same as another"] += int(passed.sum()) - len(unique)
    ties = np.random.default_rng(seed).permutation(len(unique))
    ranked = unique[np.lexsort((ties, -probability[unique]))]
    if limit is not None:
        reasons["product: beyond the limit"] += max(0, len(ranked) - limit)
        ranked = ranked[:limit]
    growth = _growth(parents, compositions[ranked], source[ranked])
    crystals = built(blocks, owner[ranked], row[ranked], growth)
    texts = [
        blocks[block].describe(product)
        for block, product in zip(owner[ranked].tolist(), row[ranked].tolist(), strict=True)
    ]
    names = np.array(parents.crystals.ids(), dtype=object)
    return (
        crystals.with_columns(
            parent=names[source[ranked]],
            probability=probability[ranked],
            substitution=_texts([swap for swap, _ in texts]),
            orbit=_texts([orbit for _, orbit in texts]),
            generator=_texts(["saps"] * len(ranked)),
        ),
        group[unique],
    )


def _texts(values: list[str]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _passing(
    compositions: Compositions,
    rule: FormulaRule | None,
    known: NDArray[np.uint64],
    reasons: Counter[str],
) -> NDArray[np.bool_]:
    """True for products whose composition is new, allowed and of known volume."""
    novel = ~np.isin(composition_keys(compositions), known)
    reasons["product: known composition"] += int((~novel).sum())
    sized = np.logical_and.reduceat(_sized()[compositions.elements], compositions.offsets[:-1])
    reasons["product: an element without a known volume"] += int((novel & ~sized).sum())
    passed = novel & sized
    if rule is not None and passed.any():
        rows = np.flatnonzero(passed)
        allowed = rule(compositions[rows].reduced())
        reasons["product: refused by the charge-balance rule"] += int((~allowed).sum())
        passed[rows[~allowed]] = False
    return np.asarray(passed)


@cache
def _sized() -> NDArray[np.bool_]:
    """True for elements whose atomic volume is known [119]."""
    known = np.zeros(119, dtype=bool)
    for number in range(1, 119):
        try:
            estimated_volumes(Compositions.from_dicts([{number: 1.0}]))
        except InputError:
            continue
        known[number] = True
    return known


def _first_of_equals(
    probability: NDArray[np.float64],
    group: NDArray[np.uint64],
    member: NDArray[np.uint64],
    source: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Rows that stay: of each group its likeliest parent's products, each member once."""
    order = np.lexsort((source, -probability))
    _, first, inverse = np.unique(group[order], return_index=True, return_inverse=True)
    mine = source[order] == source[order][first][inverse]
    kept = order[mine]
    pairs = np.stack([group[kept], member[kept]], axis=1)
    return np.asarray(kept[np.unique(pairs, axis=0, return_index=True)[1]])


def _growth(
    parents: Parents, compositions: Compositions, source: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Estimated volume of each product over that of its parent, atom for atom [q]."""
    if len(source) == 0:
        return np.zeros(0)
    used, inverse = np.unique(source, return_inverse=True)
    before = parents.crystals.compositions[used]
    per_atom = estimated_volumes(before) / before.atoms
    return np.asarray(estimated_volumes(compositions) / compositions.atoms / per_atom[inverse])

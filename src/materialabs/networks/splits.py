"""Which rows a model learns from and which it is judged on, so that no compound is on both sides.

Rows that share a group (a reduced formula, a chemical family, ...) always fall on one side. A
split holds positions of rows, rising, and remembers the groups, so that what is set aside for
early stopping keeps to them too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import InputError

TRAINING_PERCENT: Final = 85
"""Formulas that hash below this train (GNoME, Merchant et al., Nature 624, 80, 2023)."""

MATBENCH_SEED: Final = 18012019
"""Seed of the official Matbench folds (Dunn et al., npj Comput. Mater. 6, 138, 2020)."""

MATBENCH_FOLDS: Final = 5
"""Folds of every Matbench task."""

VALIDATION_SHARE: Final = 0.1
"""Share of the training groups that is set aside for early stopping and calibration."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to train on and rows to be judged on.

    Parameters
    ----------
    train, test
        int64, positions of rows, rising; no row is in both.
    groups
        int64 [n], the group of each row of the table; rows of one group stay together.
    name
        How the split was made, for a model's card.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    groups: NDArray[np.int64]
    name: str

    def __post_init__(self) -> None:
        for rows, side in ((self.train, "train on"), (self.test, "test on")):
            if len(rows) == 0:
                raise InputError(
                    f"The split {self.name!r} leaves no rows to {side} "
                    f"out of {len(self.groups)}: choose another split or give more rows."
                )


def formula_hash(formula: str) -> int:
    """The MD5 of a formula's text as a whole number modulo 100 (Merchant et al. 2023).

    The text counts as it stands: write the reduced formula.

    Examples
    --------
    >>> formula_hash("SiO2"), formula_hash("NaCl")
    (95, 73)
    """
    return int(hashlib.md5(formula.encode(), usedforsecurity=False).hexdigest(), 16) % 100


def by_formula_hash(
    formulas: Iterable[str] | Compositions, percent: int = TRAINING_PERCENT
) -> Split:
    """Train on the compounds whose reduced formula hashes below a percentage, test on the rest.

    A compound falls on the same side however its formula is written and whatever else is in the
    table: it is reduced and written in the conventional order (by electronegativity, as pymatgen
    does) before it is hashed.

    Parameters
    ----------
    formulas
        One formula for each row.
    percent
        Percent of the formulas that train.
    """
    if not 0 < percent < 100:
        raise InputError(f"A percentage to train on lies between 1 and 99, not {percent}.")
    reduced = reduced_formulas(formulas)
    sides = np.array([_cached_hash(formula) < percent for formula in reduced], dtype=bool)
    return _from_sides(sides, as_groups(reduced), f"MD5 of the reduced formula below {percent}")


def by_group(labels: Sequence[Any] | NDArray[Any], *, share: float = 0.2, seed: int = 0) -> Split:
    """Test on a share of the groups, drawn at random, and train on the others.

    Parameters
    ----------
    labels
        The group of each row [n]: a family, a source, a chemical system.
    share
        Share of the groups, not of the rows, to test on.
    seed
        The same seed draws the same groups.
    """
    groups = as_groups(labels)
    tested = _drawn(groups, _checked_share(share), seed)
    return _from_sides(~tested, groups, f"{share:g} of the groups at random, seed {seed}")


def random(count: int, *, share: float = 0.2, seed: int = 0) -> Split:
    """Test on a share of the rows, drawn at random; copies of a compound may be on both sides.

    Use it to compare with published figures; :func:`by_formula_hash` says how a model does on
    compounds that it has not seen.
    """
    groups = np.arange(count, dtype=np.int64)
    tested = _drawn(groups, _checked_share(share), seed)
    return _from_sides(~tested, groups, f"{share:g} of the rows at random, seed {seed}")


def by_element(formulas: Iterable[str] | Compositions, elements: Iterable[str]) -> Split:
    """Train without these elements and test on every compound that holds one of them.

    Parameters
    ----------
    formulas
        One formula for each row.
    elements
        Symbols of the elements to leave out.
    """
    wanted = sorted({atomic_number(symbol) for symbol in elements})
    if not wanted:
        raise InputError("Name at least one element to leave out, for example ['Li'].")
    compositions = _as_compositions(formulas)
    holds = compositions.dense(wanted).sum(axis=1) > 0
    names = ", ".join(SYMBOLS[number] for number in wanted)
    return _from_sides(~holds, as_groups(compositions.reduced_formulas()), f"without {names}")


def by_number_of_elements(formulas: Iterable[str] | Compositions, most: int = 4) -> Split:
    """Train on compounds of few elements and test on those of more.

    Parameters
    ----------
    formulas
        One formula for each row.
    most
        Elements in the richest compound to train on.
    """
    compositions = _as_compositions(formulas)
    simple = np.diff(compositions.offsets) <= most
    return _from_sides(
        simple, as_groups(compositions.reduced_formulas()), f"up to {most} elements train"
    )


def folds(labels: Sequence[Any] | NDArray[Any], count: int = 5, *, seed: int = 0) -> list[Split]:
    """Cut the groups at random into folds of nearly equal numbers of rows; each is tested once.

    Parameters
    ----------
    labels
        The group of each row [n]; :func:`reduced_formulas` for folds by formula.
    count
        Number of folds.
    seed
        The same seed cuts the same folds.
    """
    groups = as_groups(labels)
    sizes = np.bincount(groups)
    _check_folds(count, len(sizes), "groups")
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, filled = np.zeros(len(sizes), dtype=np.int64), np.zeros(count, dtype=np.int64)
    for group in order:
        fold[group] = np.argmin(filled)
        filled[fold[group]] += sizes[group]
    return _as_splits(fold[groups], count, groups, f"{count} folds by group, seed {seed}")


def random_folds(rows: int, count: int = 5, *, seed: int = 0) -> list[Split]:
    """Cut shuffled rows into folds exactly as scikit-learn's ``KFold(shuffle=True)`` does."""
    _check_folds(count, rows, "rows")
    order = np.arange(rows)
    np.random.RandomState(seed).shuffle(order)  # as the published folds are drawn
    sizes = np.full(count, rows // count)
    sizes[: rows % count] += 1
    fold = np.empty(rows, dtype=np.int64)
    fold[order] = np.repeat(np.arange(count), sizes)
    groups = np.arange(rows, dtype=np.int64)
    return _as_splits(fold, count, groups, f"{count} shuffled folds, seed {seed}")


def stratified_folds(classes: ArrayLike, count: int = 5, *, seed: int = 0) -> list[Split]:
    """Cut rows into folds with equal shares of each class, as scikit-learn's ``StratifiedKFold``.

    Parameters
    ----------
    classes
        The class of each row [n].
    count, seed
        Number of folds, and the seed of the shuffle.
    """
    labels = np.asarray(classes)
    _check_folds(count, len(labels), "rows")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    codes = np.argsort(np.argsort(first))[inverse]
    ordered = np.sort(codes)
    kinds = len(first)
    dealt = np.stack([np.bincount(ordered[k::count], minlength=kinds) for k in range(count)])
    generator = np.random.RandomState(seed)  # as the published folds are drawn
    fold = np.empty(len(labels), dtype=np.int64)
    for kind in range(kinds):
        cards = np.repeat(np.arange(count), dealt[:, kind])
        generator.shuffle(cards)
        fold[codes == kind] = cards
    groups = np.arange(len(labels), dtype=np.int64)
    return _as_splits(fold, count, groups, f"{count} stratified folds, seed {seed}")


def matbench_folds(rows: int) -> list[Split]:
    """The official folds of a Matbench regression task, for its rows in the official order."""
    return random_folds(rows, MATBENCH_FOLDS, seed=MATBENCH_SEED)


def matbench_class_folds(classes: ArrayLike) -> list[Split]:
    """The official folds of a Matbench classification task, rows in the official order."""
    return stratified_folds(classes, MATBENCH_FOLDS, seed=MATBENCH_SEED)


def validation_part(split: Split, *, share: float = VALIDATION_SHARE, seed: int = 0) -> Split:
    """Set a share of the training groups aside for early stopping; the test rows stay unseen.

    Returns
    -------
    Split
        ``train`` holds the rest of the training rows, ``test`` those set aside.
    """
    inside = split.groups[split.train]
    aside = _drawn(np.unique(inside, return_inverse=True)[1], _checked_share(share), seed)
    return Split(
        split.train[~aside],
        split.train[aside],
        split.groups,
        f"{split.name}; of that {share:g} for validation, seed {seed}",
    )


def reduced_formulas(formulas: Iterable[str] | Compositions) -> list[str]:
    """The conventional reduced formula of each row: the label that keeps a compound together."""
    return _as_compositions(formulas).reduced_formulas()


def as_groups(labels: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Number labels 0, 1, 2 ... in their sorted order [n]."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)


def _as_compositions(formulas: Iterable[str] | Compositions) -> Compositions:
    if isinstance(formulas, str):
        raise InputError("Give a list with one formula for each row, not a single text.")
    return formulas if isinstance(formulas, Compositions) else Compositions.parse(formulas)


@lru_cache(maxsize=262144)
def _cached_hash(formula: str) -> int:
    return formula_hash(formula)


def _from_sides(trains: NDArray[np.bool_], groups: NDArray[np.int64], name: str) -> Split:
    return Split(np.flatnonzero(trains), np.flatnonzero(~trains), groups, name)


def _drawn(groups: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """True for the rows of a share of the groups, at least one of several [n]."""
    count = int(groups.max(initial=-1)) + 1
    amount = max(round(share * count), 1)
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(count)[:amount]] = True
    return np.asarray(chosen[groups], dtype=bool)


def _checked_share(share: float) -> float:
    if not 0.0 < share < 1.0:
        raise InputError(f"A share to set aside lies between 0 and 1, not {share:g}.")
    return share


def _check_folds(count: int, available: int, what: str) -> None:
    if not 2 <= count <= available:
        advice = f"take 2 to {available}" if available > 1 else "give more rows"
        raise InputError(f"{available} {what} cannot be cut into {count} folds: {advice}.")


def _as_splits(
    fold: NDArray[np.int64], count: int, groups: NDArray[np.int64], name: str
) -> list[Split]:
    return [_from_sides(fold != k, groups, f"{name}, number {k + 1}") for k in range(count)]

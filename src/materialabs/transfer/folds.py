"""Which rows are learned from and which are judged, so that nothing judged is ever seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import padded
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.networks import splits
from materialabs.networks.splits import Split, as_groups

FOLDS: Final = 5
"""Parts that a table is cut into."""

FEWEST_OF_ELEMENT: Final = 5
"""Compounds of an element from which leaving it out is worth a fold."""

MOST_OF_ELEMENT: Final = 0.5
"""Share of the rows above which an element is too common to be left out."""

MOST_ATOMS: Final = 20
"""Of the whole-number formulas that a printed fraction is taken to mean."""

DIGITS: Final = 3
"""Of fractions that no such formula fits; a trace counts as the smallest of them."""

ROUNDING: Final = 0.0051
"""Largest error of a fraction that was rounded to two digits."""

KINDS: Final = ("formula", "random", "system", "element")


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """Folds to judge on, and the groups that inner folds keep together.

    Parameters
    ----------
    kind
        ``"formula"``, ``"random"``, ``"system"`` or ``"element"``.
    outer
        Each fold: rows to learn from, rows to be judged.
    groups
        int64 [n]; inside the training rows too, rows of one group stay together.
    """

    kind: str
    outer: tuple[Split, ...]
    groups: NDArray[np.int64]


def plan_folds(
    compositions: Compositions, kind: str = "formula", *, count: int = FOLDS, seed: int = 0
) -> FoldPlan:
    """Cut a table into folds.

    Parameters
    ----------
    compositions
        Of the n rows.
    kind
        ``"formula"`` keeps all rows of a compound together (:func:`compound_labels`);
        ``"system"`` all of a chemical system; ``"element"`` learns without one element and judges
        its compounds; ``"random"`` keeps nothing together, as published figures often do.
    count, seed
        Number of folds (not for ``"element"``; fewer where there are fewer groups), and the seed
        that draws them.
    """
    if kind not in KINDS:
        raise InputError(
            f"There are no folds {kind!r}: {', '.join(KINDS[:-1])} and {KINDS[-1]} are.",
            code="transfer.folds",
        )
    if kind == "random":
        rows = len(compositions)
        return FoldPlan(kind, tuple(splits.random_folds(rows, count, seed=seed)), np.arange(rows))
    if kind == "element":
        groups = as_groups(compound_labels(compositions))
        return FoldPlan(kind, tuple(_without_each(compositions)), groups)
    labels = _systems(compositions) if kind == "system" else compound_labels(compositions)
    groups = as_groups(labels)
    kinds = len(np.unique(groups))
    if kinds < 2:
        what = "chemical system" if kind == "system" else "compound"
        raise InputError(
            f"All rows are of one {what}, so that none is left to be judged on: choose other folds "
            "or give more rows.",
            code="transfer.folds",
        )
    return FoldPlan(kind, tuple(splits.folds(groups, min(count, kinds), seed=seed)), groups)


def inner_folds(groups: NDArray[np.int64], *, count: int = FOLDS, seed: int = 0) -> list[Split]:
    """Folds inside the rows that may be learned from [n]; groups stay together.

    Where all rows are of one group, the rows themselves are cut.
    """
    kinds = len(np.unique(groups))
    apart = groups if kinds > 1 else np.arange(len(groups))
    return splits.folds(apart, min(count, len(np.unique(apart))), seed=seed)


def compound_labels(compositions: Compositions, rounding: float = ROUNDING) -> list[str]:
    """One name for each compound, however its formula is written [n].

    Fractions in print are rounded: Al0.67Ni0.33 and Al2Ni are one compound. The name is that of
    the smallest formula of whole numbers that is as close as rounding allows; where there is none,
    that of the fractions. Nearly equal compositions may share a name, which keeps them together.

    Parameters
    ----------
    compositions
        n compositions.
    rounding
        Largest error of a printed fraction.
    """
    numbers, fractions = padded(compositions)
    atoms = np.arange(1, MOST_ATOMS + 1)
    whole = np.rint(fractions[:, :, None] * atoms)
    off = np.abs(whole / atoms - fractions[:, :, None]).max(axis=1)
    kept = (whole > 0).sum(axis=1) == (fractions > 0).sum(axis=1)[:, None]
    fits = (off <= rounding) & kept
    first = np.argmax(fits, axis=1)
    rounded = np.where(fractions > 0, np.maximum(fractions.round(DIGITS), 10.0**-DIGITS), 0.0)
    rows = np.arange(len(fractions))
    amounts = np.where(fits.any(axis=1)[:, None], whole[rows, :, first], rounded)
    return Compositions.from_dicts([
        {int(z): float(a) for z, a in zip(zs, some, strict=True) if z}
        for zs, some in zip(numbers, amounts, strict=True)
    ]).reduced_formulas()  # fmt: skip


def _systems(compositions: Compositions) -> list[str]:
    """Chemical system of each row, such as ``"Al-Ni"``."""
    return ["-".join(SYMBOLS[number] for number in sorted(row)) for row in compositions]


def _without_each(compositions: Compositions) -> list[Split]:
    """One fold for each element that is neither rare nor in most rows."""
    holds = compositions.dense(range(len(SYMBOLS))) > 0
    counts = holds.sum(axis=0)
    usable = (counts >= FEWEST_OF_ELEMENT) & (counts <= MOST_OF_ELEMENT * len(compositions))
    elements = np.flatnonzero(usable)
    if not len(elements):
        raise InputError(
            "No element is in enough rows, yet not in most, to be left out: choose other folds.",
            code="transfer.folds",
        )
    names = [SYMBOLS[number] for number in elements]
    return [splits.by_element(compositions, [name]) for name in names]

"""Which source of calculated knowledge suits a table, told without learning from each.

A source that a straight line can read the measured values off is a good one. The published score
(CroMEL's) asks how well ridge regression fits the rows it has learned from; with a hundred features
and a hundred rows every source fits. Ours asks how well it predicts each row from the others, which
has a closed form and costs the same. Rows of one compound, such as those at other temperatures, are
left out together: a source that merely tells compounds apart must not look good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError
from materialabs.transfer.described import Described
from materialabs.transfer.sources import blocks_of

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

STRENGTHS: Final = tuple(10.0**power for power in range(-2, 4))
"""Strengths of the regression, of which the best counts; columns have variance 1."""

SMALLEST: Final = 1e-9
"""Share of a row's prediction that is left to other rows, at the least."""

FEWEST: Final = 3
"""Compounds on which sources may be told apart."""


def source_scores(
    described: Described, targets: Floats, names: Sequence[str], groups: Rows | None = None
) -> dict[str, float]:
    """How well each source suits some measured values; the higher the better.

    The score is the share of the variance that ridge regression on what a source says of the
    compositions, and on the measuring conditions, explains of rows that it has not learned from.

    Parameters
    ----------
    described
        n rows, with the blocks of every source.
    targets
        [n, k].
    names
        Of the sources.
    groups
        [n], rows of one group are left out together; by default each row is one of its own.
    """
    apart = np.arange(len(described)) if groups is None else groups
    if len(np.unique(apart)) < FEWEST:
        raise InputError(f"Sources are told apart on {FEWEST} compounds or more: give more rows.")
    if not np.isfinite(targets).all():
        raise InputError("Sources are told apart by known values: leave out rows without one.")
    return {name: explained(described.table(blocks_of([name])), targets, apart) for name in names}


def best_source(
    described: Described, targets: Floats, names: Sequence[str], groups: Rows | None = None
) -> str:
    """The source of the highest score; parameters as in :func:`source_scores`."""
    scores = source_scores(described, targets, names, groups)
    return max(scores, key=scores.__getitem__)


def suiting(
    described: Described, targets: Floats, names: Sequence[str], groups: Rows | None = None
) -> list[str]:
    """The source of the highest score alone; none, one, or too few compounds leave no choice.

    Parameters as in :func:`source_scores`.
    """
    apart = np.arange(len(described)) if groups is None else groups
    if len(names) < 2 or len(np.unique(apart)) < FEWEST:
        return list(names[:1])
    return [best_source(described, targets, names, groups)]


def explained(table: Floats, targets: Floats, groups: Rows) -> float:
    """Share of the variance of targets [n, k] that other groups explain by ridge regression.

    Leaving a group out changes its residuals r to (1 - H)^-1 r, where H is the weight of its rows
    in one another's predictions (R. Cook and S. Weisberg 1982), so that one decomposition serves
    all groups and all strengths.
    """
    spread = table.std(axis=0)
    used = spread > 0
    scaled = (table[:, used] - table[:, used].mean(axis=0)) / spread[used]
    centred = targets - targets.mean(axis=0)
    whole = float((centred**2).sum())
    if whole == 0.0:
        return 0.0
    left, values, _ = np.linalg.svd(scaled, full_matrices=False)
    pulled = left.T @ centred
    order = np.argsort(groups, kind="stable")
    together = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    several = [rows for rows in together if len(rows) > 1]
    errors = []
    for strength in STRENGTHS:
        shrunk = values**2 / (values**2 + strength)
        own = (left**2) @ shrunk + 1.0 / len(table)
        residual = centred - left @ (shrunk[:, None] * pulled)
        outside = residual / np.maximum(1.0 - own, SMALLEST)[:, None]
        for rows in several:
            weights = (left[rows] * shrunk) @ left[rows].T + 1.0 / len(table)
            rest = np.eye(len(rows)) * (1.0 + SMALLEST) - weights
            outside[rows] = np.linalg.solve(rest, residual[rows])
        errors.append(float((outside**2).sum()))
    return 1.0 - min(errors) / whole

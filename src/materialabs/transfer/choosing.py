"""Which source of calculated knowledge suits a table, told without learning from each.

The published score (CroMEL's) asks how well ridge regression on a source's features fits the rows
it has learned from; with a hundred features and a hundred rows every source fits. Ours asks what
the strategies will be asked: how well does a Gaussian process that reads physics and the source
predict compounds that it has not seen? With settings that are never fitted this has a closed form.
Rows of one compound, such as those at other temperatures, are left out together: a source that
merely tells compounds apart must not look good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError
from materialabs.transfer.described import PHYSICAL, Described
from materialabs.transfer.gaussian_process import left_out
from materialabs.transfer.sources import blocks_of
from materialabs.transfer.strategies import Kernel

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

NOISE: Final = 0.3
"""Variance of measured values that nothing explains, of a target with variance 1."""

MOST_ROWS: Final = 1_500
"""Rows that a score looks at; of more, so many are drawn at random."""

STARTS: Final = 2
"""Sources as whose networks others begin."""

FEWEST: Final = 3
"""Compounds on which sources may be told apart."""


def source_scores(
    described: Described, targets: Floats, names: Sequence[str], groups: Rows | None = None
) -> dict[str, float]:
    """How well each source suits some measured values; the higher the better, at most 1.

    The score is the share of the mean absolute deviation that a Gaussian process on physics, on
    what a source says of the compositions, and on the measuring conditions, explains of compounds
    that it has not seen.

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
    some = np.sort(np.random.default_rng(0).permutation(len(described))[:MOST_ROWS])
    few, values = described.take(some), targets[some]
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    whole = float(np.abs(scaled).mean())
    found = {}
    for name in names:
        tables = Kernel(name, (*PHYSICAL, *blocks_of([name]))).tables(few)
        errors = left_out(tables, scaled, apart[some], NOISE)
        found[name] = 1.0 - float(np.abs(errors).mean()) / whole if whole > 0 else 0.0
    return found


def offered_scores(
    described: Described, targets: Floats, names: Sequence[str], groups: Rows | None = None
) -> dict[str, float]:
    """The score of each source; NaN where there are too few compounds, or sources, to choose by.

    Parameters as in :func:`source_scores`.
    """
    apart = np.arange(len(described)) if groups is None else groups
    if len(names) < 2 or len(np.unique(apart)) < FEWEST:
        return dict.fromkeys(names, float("nan"))
    return source_scores(described, targets, names, groups)


def suiting(scores: Mapping[str, float]) -> list[str]:
    """What to learn with: the source of the highest score, or the only one, or none."""
    known = {name: score for name, score in scores.items() if not np.isnan(score)}
    if known:
        return [max(known, key=known.__getitem__)]
    return list(scores) if len(scores) == 1 else []


def starting(scores: Mapping[str, float]) -> list[str]:
    """What networks begin as: the sources of the highest scores, or the only one, or nothing."""
    known = sorted(
        (name for name in scores if not np.isnan(scores[name])), key=lambda n: -scores[n]
    )
    return known[:STARTS] or suiting(scores)

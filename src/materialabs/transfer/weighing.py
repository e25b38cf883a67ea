"""How much each strategy counts: shares that err least on rows not learned from.

Few rows tell strategies apart badly, and the best shares on them are not the best on others. Shares
are therefore drawn towards equal ones, by as much as makes them err least on inner folds that they
were not found on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.networks.splits import Split

Floats = NDArray[np.float64]

PULLS: Final = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
"""Weights of squared distances from equal shares that are tried, in squared spreads of targets."""

SUM_WEIGHT: Final = 1e3
"""Weight of the demand that shares sum to one, in spreads of the target."""

SMALLEST_SHARE: Final = 0.02
"""Strategies of a smaller share are left out."""

ROUNDS: Final = 20
"""Of weighted least squares, which lead to the least absolute error."""

SMALL: Final = 0.05
"""Errors below this part of the mean weigh as if they were as large."""


def best_shares(
    values: Floats, targets: Floats, cuts: Sequence[Split] = (), *, classes: bool = False
) -> Floats:
    """Shares of strategies [s], none below zero and adding up to one.

    Those of numbers have the least absolute error, so that a few odd rows do not decide; those of
    classes the least squared error, since absolute errors do not reward honest probabilities.

    Parameters
    ----------
    values
        [s, n, k], predictions of rows that were not learned from.
    targets
        [n, k].
    cuts
        Folds of these rows, to choose how strongly shares are drawn towards equal ones; without
        folds they are not.
    classes
        Whether the k columns are probabilities of classes.
    """
    spread = targets.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    scaled, wanted = values / scale, targets / scale
    find = squared_shares if classes else absolute_shares
    pulls = PULLS if len(cuts) > 1 and len(values) > 1 else PULLS[:1]
    errors = np.zeros(len(pulls))
    for number, pull in enumerate(pulls if len(pulls) > 1 else ()):
        for cut in cuts:
            shares = find(scaled[:, cut.train], wanted[cut.train], pull)
            wrong = np.abs(np.tensordot(shares, scaled[:, cut.test], axes=1) - wanted[cut.test])
            errors[number] += (wrong**2 if classes else wrong).sum()
    return find(scaled, wanted, pulls[int(errors.argmin())])


def squared_shares(
    values: Floats, targets: Floats, pull: float, weights: Floats | None = None
) -> Floats:
    """Shares with the least squared error and pull towards equal ones; arrays as above.

    Parameters
    ----------
    values, targets
        In spreads of the target.
    pull
        Weight of the squared distance from equal shares.
    weights
        Of the rows [n]; by default all count the same.
    """
    from scipy.optimize import nnls

    roots = np.sqrt(np.ones(len(targets)) if weights is None else weights)[:, None]
    table, wanted = (values * roots).reshape(len(values), -1).T, (targets * roots).ravel()
    demand, reach = SUM_WEIGHT * np.sqrt(len(wanted)), np.sqrt(pull * len(wanted))
    rows = [table, np.full((1, len(values)), demand), reach * np.eye(len(values))]
    shares, _ = nnls(
        np.concatenate(rows),
        np.concatenate([wanted, [demand], np.full(len(values), reach / len(values))]),
    )
    shares[shares < SMALLEST_SHARE * shares.sum()] = 0.0
    return np.asarray(shares / shares.sum())


def absolute_shares(values: Floats, targets: Floats, pull: float) -> Floats:
    """Shares with the least absolute error and pull towards equal ones; arguments as above."""
    weights = np.ones(len(targets))
    for _ in range(ROUNDS):
        shares = squared_shares(values, targets, pull, weights)
        wrong = np.abs(np.tensordot(shares, values, axes=1) - targets).mean(axis=1)
        least = SMALL * wrong.mean()
        if least <= 0:
            break
        weights = 1.0 / np.maximum(wrong, least)
        weights /= weights.mean()
    return shares

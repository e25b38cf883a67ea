"""Which candidates of a pool are stable, told before any of them is computed.

A candidate must beat the known phases and the other candidates too: of two polymorphs one is off
the hull, whatever their energies. :func:`pool_odds` therefore draws the candidates' energies from
the predictor's errors and counts how often each is on the hull of all. :func:`our_scores` joins
these odds with what the networks say of the distance from the hull, with trees on descriptors of
composition, structure and symmetry, by a logistic regression fitted on training compounds that
neither networks nor trees saw. No energy of a candidate enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Inputs
from benchmarks.up_to_four import ON_HULL_EV, outputs, parts_of, trained
from materialabs.crystals.compositions import Compositions
from materialabs.hull.patches import HullPatches
from materialabs.levels import MP2018, Energies

Array = NDArray[np.float64]
ERROR_EV = 0.05
"""eV/atom; mean of the absolute errors that are drawn, about those of the models judged."""
DRAWS, QUICK_DRAWS = 100, 5
TREES, LEAVES, LEARNING_RATE = 250, 31, 0.05
"""Of the gradient boosting."""
PENALTY = 10.0
"""Inverse of the logistic regression's penalty: next to none for four numbers of order one."""
MEMBERS = 1
SEED = 0


@dataclass(frozen=True)
class Known:
    """Phases whose energies are known, eV/atom of formation [n]."""

    compositions: Compositions
    energies: Array

    @property
    def hull(self) -> HullPatches:
        """The hull of these phases."""
        return HullPatches(self.compositions, level(self.energies))

    def stable(self) -> Known:
        """Those on their hull alone: the others compete with nothing."""
        rows = np.flatnonzero(self.hull.distances[: len(self.compositions)] <= ON_HULL_EV)
        return Known(self.compositions[rows], self.energies[rows])


def level(energies: Array) -> Energies:
    """Formation energies at the table's level of theory."""
    return Energies(energies, "formation", MP2018)


def pool_odds(known: Known, pool: Compositions, predicted: Array, draws: int = DRAWS) -> Array:
    """Logarithm of each candidate's odds of lying on the hull of known phases and pool [n].

    Parameters
    ----------
    known
        Phases whose energies are certain.
    pool
        The candidates, all judged together.
    predicted
        Their predicted formation energies, eV/atom [n]. Errors are drawn around them from
        Laplace's distribution, each candidate's on its own.
    draws
        Number of draws; half a success and half a failure are added to them.
    """
    random = np.random.default_rng(SEED)
    rivals = known.stable()
    count = len(rivals.compositions)
    together = Compositions.concat([rivals.compositions, pool])
    times = np.zeros(len(pool))
    for _ in range(draws):
        drawn = predicted + random.laplace(0.0, ERROR_EV, len(pool))
        hull = HullPatches(together, level(np.concatenate([rivals.energies, drawn])))
        times += hull.distances[count : count + len(pool)] <= ON_HULL_EV
    return np.log((times + 0.5) / (draws - times + 0.5))


def tree_odds(train: Inputs, stable: NDArray[np.bool_], others: Inputs) -> Array:
    """Logarithm of the odds of lying on the hull by gradient boosting on descriptors [n]."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE, max_leaf_nodes=LEAVES, max_iter=TREES, max_features=0.3,
        l2_regularization=1.0, early_stopping=False, random_state=SEED,
    )  # fmt: skip
    model.fit(train.described.values, stable)
    return np.asarray(model.decision_function(others.described.values))


@dataclass(frozen=True)
class Evidence:
    """What speaks for each of some candidates [n]: logarithms of odds, and a distance.

    Parameters
    ----------
    pool, network, trees
        Odds by competition, by the networks' classes, by trees on descriptors.
    distance
        From the hull as the networks have learned it, eV/atom.
    """

    pool: Array
    network: Array
    trees: Array
    distance: Array

    @property
    def table(self) -> Array:
        """Columns of order one [n, 4]."""
        spread = 0.05  # eV/atom, half of the largest distance that is learned
        return np.stack([self.pool, self.network, self.trees, self.distance / spread], axis=1)


def our_scores(
    inputs: Inputs,
    energies: Array,
    stable: NDArray[np.bool_],
    most: int,
    folder: Path,
    *,
    quick: bool = False,
) -> dict[str, Array]:
    """Scores of the crystals of more elements by way of judging; larger is likelier stable.

    Parameters
    ----------
    inputs, energies, stable
        The whole table; energies and truth are read for crystals of few elements only.
    most
        Elements of the richest crystal to learn from.
    folder
        Keeps the networks' training.
    quick
        Little training and few draws.
    """
    members = trained(inputs.crystals, most, range(MEMBERS), folder, quick=quick)
    parts = parts_of(inputs.crystals, most)
    held_out = np.sort(np.concatenate([parts.validation, parts.calibration]))
    allowed = np.sort(np.concatenate([parts.train, held_out]))
    asked = inputs.take(np.concatenate([held_out, parts.test]))
    told = outputs(members, asked.crystals)
    trees = tree_odds(inputs.take(parts.train), stable[parts.train], asked)
    compositions, count = inputs.crystals.compositions, len(held_out)
    evident = []
    for known, part in ((parts.train, slice(count)), (allowed, slice(count, None))):
        odds = pool_odds(
            Known(compositions[known], energies[known]),
            asked.crystals.compositions[part],
            told.energy[part],
            QUICK_DRAWS if quick else DRAWS,
        )
        evident.append(Evidence(odds, told.odds[part], trees[part], told.distance[part]))
    fitted, tested = evident
    hull = Known(compositions[allowed], energies[allowed]).hull.energy(compositions[parts.test])
    return {
        "regressor": hull.values - told.energy[count:],
        "classifier": joined(fitted, stable[held_out], tested),
        "pool": tested.pool,
        "network": tested.network,
        "trees": tested.trees,
        "distance": -tested.distance,
    }


def joined(fitted: Evidence, stable: NDArray[np.bool_], asked: Evidence) -> Array:
    """Scores of the candidates asked about, from a logistic regression on the others."""
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(C=PENALTY, max_iter=1_000)
    model.fit(fitted.table, stable)
    print(f"  weights of the evidence: {model.coef_.round(2).tolist()}", flush=True)
    return np.asarray(model.decision_function(asked.table))

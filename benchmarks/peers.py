"""Other models on the same work: linear, SVR, trees and CGCNN behind one function.

Each gets the same rows and the same time of one core, by the process's own clock, so that a busy
machine does not starve a peer; on a quiet one that is the wall time. All but CGCNN read Magpie-type
descriptors of composition, structure and symmetry (:mod:`materialabs.crystals.descriptors`). What
a peer needs chosen (its penalty, its number of rounds) it chooses on a tenth of the training
compounds.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.descriptors import Descriptors, composition_descriptors
from materialabs.crystals.structure_descriptors import structure_descriptors, symmetry_descriptors
from materialabs.crystals.symmetry import symmetry
from materialabs.networks.splits import by_group, reduced_formulas

Array = NDArray[np.float64]

PENALTIES = np.logspace(-2, 5, 15)
"""Ridge penalties to choose from."""
KERNELS = tuple((c, g) for c in (3.0, 10.0, 30.0) for g in (0.3, 1.0, 3.0))
"""SVR: its C, and the kernel's width relative to 1 / number of descriptors."""
TUNED_ROWS = 3_000
"""Rows on which the SVR's C and width are chosen."""
FIRST_ROWS = 2_000
"""Rows of the fits that tell how an SVR's time grows."""
LEAST_POWER = 3.0
"""Of the rows, with which an SVR's time grows at the least: small fits show less than the cube that
many support vectors come to."""
TUBE = 0.02
"""SVR: errors up to this many spreads of the targets cost nothing."""
TREES = 400
"""Trees of a forest at most."""
TREES_AT_ONCE = 10
ROUNDS = 6_000
"""Trees of the boosting at most."""
ROUNDS_AT_ONCE = 100
PATIENCE = 5
"""Blocks of rounds without a better validation error that end the boosting."""
SET_ASIDE = 0.05
"""Share of the training compounds on which CGCNN's weights are chosen."""


@dataclass(frozen=True)
class Inputs:
    """What the models read: crystals and their descriptors."""

    crystals: Crystals
    described: Descriptors

    def __len__(self) -> int:
        return len(self.crystals)

    def take(self, rows: ArrayLike) -> Inputs:
        """The chosen rows."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Inputs(self.crystals.take(chosen), self.described[chosen])

    @classmethod
    def joined(cls, batches: list[Inputs]) -> Inputs:
        """Rows of several inputs, one after the other."""
        described = Descriptors(
            np.concatenate([batch.described.values for batch in batches]),
            batches[0].described.names,
        )
        return cls(Crystals.concat([batch.crystals for batch in batches]), described)


def describe(crystals: Crystals, folder: Path) -> Inputs:
    """Describe crystals, or read the descriptors that an earlier run kept in the folder."""
    digest = hashlib.sha256()
    for array in (crystals.lattice, crystals.frac, crystals.numbers, crystals.offsets):
        digest.update(np.ascontiguousarray(array))
    path = folder / f"descriptors-{digest.hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as kept:
            return Inputs(crystals, Descriptors(kept["values"], tuple(kept["names"].tolist())))
    described = Descriptors.joined(
        [
            composition_descriptors(crystals.compositions),
            structure_descriptors(crystals),
            symmetry_descriptors(symmetry(crystals)),
        ]
    )
    keep(path, values=described.values, names=np.array(described.names))
    return Inputs(crystals, described)


def keep(path: Path, **arrays: Any) -> None:
    """Write arrays so that a stopped run leaves no half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    temporary.replace(path)


def fit_predict(
    name: str,
    train: Inputs,
    targets: Array,
    test: Inputs,
    seconds: float,
    seed: int,
) -> Array:
    """Fit one peer to targets and predict the test rows.

    Parameters
    ----------
    name
        One of :data:`PEERS`.
    train, targets, test
        Training rows, their targets [n], and the rows to predict [m].
    seconds
        Time of one core for the fit; on a GPU, wall time.
    seed
        The same seed gives the same fit, as far as the time lets it.
    """
    return PEERS[name][0](Fit(train, np.asarray(targets, float), test, seconds, seed))


def fit_classify(
    name: str,
    train: Inputs,
    labels: NDArray[np.bool_],
    test: Inputs,
    seconds: float,
    seed: int,
) -> Array:
    """Fit one peer to truth values and score the test rows; larger is likelier true."""
    return PEERS[name][1](Fit(train, np.asarray(labels, float), test, seconds, seed))


@dataclass(frozen=True)
class Fit:
    """One piece of work for a peer."""

    train: Inputs
    targets: Array
    test: Inputs
    seconds: float
    seed: int

    def standardised(self) -> tuple[Array, Array]:
        """Descriptors of training and test rows, scaled by the training rows, outliers clipped."""
        values = self.train.described.values
        centre, spread = values.mean(axis=0), values.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        return tuple(
            np.clip((rows.described.values - centre) / spread, -6.0, 6.0)
            for rows in (self.train, self.test)
        )

    def validation(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Training rows without a tenth of the compounds, and those."""
        formulas = reduced_formulas(self.train.crystals.compositions)
        split = by_group(formulas, share=0.1, seed=self.seed)
        return split.train, split.test


def linear(work: Fit) -> Array:
    """Ridge regression on standardised descriptors, penalty by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    train, test = work.standardised()
    return RidgeCV(alphas=PENALTIES).fit(train, work.targets).predict(test)


def linear_classes(work: Fit) -> Array:
    """Logistic regression on standardised descriptors."""
    from sklearn.linear_model import LogisticRegression

    train, test = work.standardised()
    model = LogisticRegression(C=0.1, max_iter=2_000, random_state=work.seed)
    return model.fit(train, work.targets > 0.5).decision_function(test)


def support_vectors(work: Fit) -> Array:
    """Support vectors with a Gaussian kernel, on as many rows as the time allows."""
    from sklearn.metrics import mean_absolute_error
    from sklearn.svm import SVR

    centre, spread = work.targets.mean(), work.targets.std()
    scaled = (work.targets - centre) / spread

    def model(c: float, gamma: float) -> Any:
        return SVR(C=c, gamma=gamma, epsilon=TUBE, cache_size=1_000)

    fitted = _support(
        work, scaled, model, lambda fit, x, y: -mean_absolute_error(y, fit.predict(x))
    )
    return fitted.predict(work.standardised()[1]) * spread + centre


def support_classes(work: Fit) -> Array:
    """Support vectors with a Gaussian kernel as a classifier."""
    from sklearn.metrics import roc_auc_score
    from sklearn.svm import SVC

    def model(c: float, gamma: float) -> Any:
        return SVC(C=c, gamma=gamma, cache_size=1_000)

    labels = work.targets > 0.5
    fitted = _support(
        work, labels, model, lambda fit, x, y: roc_auc_score(y, fit.decision_function(x))
    )
    return fitted.decision_function(work.standardised()[1])


def _support(
    work: Fit, targets: Any, model: Callable[[float, float], Any], score: Callable[..., float]
) -> Any:
    """Choose C and width on few rows, then fit as many rows as the time is likely to allow."""
    started = time.process_time()
    train, _ = work.standardised()
    kept, aside = work.validation()
    generator = np.random.default_rng(work.seed)
    few = generator.permutation(kept)[:TUNED_ROWS]
    judged = generator.permutation(aside)[:TUNED_ROWS]
    scores = {
        (c, g): score(
            model(c, g / train.shape[1]).fit(train[few], targets[few]),
            train[judged],
            targets[judged],
        )
        for c, g in KERNELS
    }
    c, width = max(scores, key=scores.__getitem__)
    chosen = model(c, width / train.shape[1])
    order = generator.permutation(len(train))
    rows = order[
        : _affordable(chosen, train, targets, order, work.seconds - time.process_time() + started)
    ]
    print(f"    SVM: C {c:g}, width {width:g}/d, {len(rows)} of {len(train)} rows", flush=True)
    return chosen.fit(train[rows], targets[rows])


def _affordable(
    model: Any, train: Array, targets: Array, order: NDArray[np.int64], seconds: float
) -> int:
    """Rows that a fit can take in the time, from how the time of small fits grows."""
    sizes = [size for size in (FIRST_ROWS, 2 * FIRST_ROWS) if size <= len(order)]
    if len(sizes) < 2:
        return len(order)
    times = []
    for size in sizes:
        started = time.process_time()
        model.fit(train[order[:size]], targets[order[:size]])
        times.append(time.process_time() - started)
    power = max(float(np.log2(times[1] / times[0])), LEAST_POWER)
    affordable = sizes[1] * (max(seconds, times[1]) / times[1]) ** (1.0 / power)
    return min(int(affordable), len(order))


def forest(work: Fit) -> Array:
    """Random forest."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(1, max_features=0.33, warm_start=True, random_state=work.seed)
    return _grown(work, model, work.targets).predict(work.test.described.values)


def forest_classes(work: Fit) -> Array:
    """Random forest as a classifier."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(1, min_samples_leaf=3, warm_start=True, random_state=work.seed)
    fitted = _grown(work, model, work.targets > 0.5)
    return fitted.predict_proba(work.test.described.values)[:, 1]


def extra_trees(work: Fit) -> Array:
    """Extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(1, max_features=0.5, warm_start=True, random_state=work.seed)
    return _grown(work, model, work.targets).predict(work.test.described.values)


def extra_classes(work: Fit) -> Array:
    """Extremely randomised trees as a classifier."""
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(1, min_samples_leaf=3, warm_start=True, random_state=work.seed)
    fitted = _grown(work, model, work.targets > 0.5)
    return fitted.predict_proba(work.test.described.values)[:, 1]


def _grown(work: Fit, model: Any, targets: Any) -> Any:
    """Add trees until there are enough or the time is used up."""
    started = time.process_time()
    for trees in range(TREES_AT_ONCE, TREES + 1, TREES_AT_ONCE):
        model.set_params(n_estimators=trees).fit(work.train.described.values, targets)
        used = time.process_time() - started
        if used * (1 + TREES_AT_ONCE / trees) > work.seconds:
            break
    print(f"    {len(model.estimators_)} trees", flush=True)
    return model


def boosting(work: Fit) -> Array:
    """Gradient boosting on histograms."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.metrics import mean_absolute_error

    def model() -> Any:
        return HistGradientBoostingRegressor(
            learning_rate=0.06, max_leaf_nodes=63, l2_regularization=1.0, max_features=0.5,
            early_stopping=False, warm_start=True, random_state=work.seed,
        )  # fmt: skip

    fitted = _boosted(
        work, model, work.targets, lambda fit, x, y: mean_absolute_error(y, fit.predict(x))
    )
    return fitted.predict(work.test.described.values)


def boosting_classes(work: Fit) -> Array:
    """Gradient boosting on histograms as a classifier."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import log_loss

    def model() -> Any:
        return HistGradientBoostingClassifier(
            learning_rate=0.03, max_leaf_nodes=31, l2_regularization=1.0, max_features=0.5,
            early_stopping=False, warm_start=True, random_state=work.seed,
        )  # fmt: skip

    fitted = _boosted(
        work, model, work.targets > 0.5, lambda fit, x, y: log_loss(y, fit.predict_proba(x))
    )
    return fitted.decision_function(work.test.described.values)


def _boosted(work: Fit, model: Callable[[], Any], targets: Any, error: Callable[..., float]) -> Any:
    """Find the rounds on a tenth of the compounds in half of the time, then fit all rows."""
    started = time.process_time()
    kept, aside = work.validation()
    values = work.train.described.values
    trial, best, least, since = model(), ROUNDS_AT_ONCE, np.inf, 0
    for rounds in range(ROUNDS_AT_ONCE, ROUNDS + 1, ROUNDS_AT_ONCE):
        trial.set_params(max_iter=rounds).fit(values[kept], targets[kept])
        now = error(trial, values[aside], targets[aside])
        best, since = (rounds, 0) if now < least else (best, since + 1)
        least = min(now, least)
        if since >= PATIENCE or time.process_time() - started > 0.45 * work.seconds:
            break
    print(f"    {best} rounds", flush=True)
    return model().set_params(max_iter=best).fit(values, targets)


def crystal_graphs(work: Fit, classes: tuple[bool, ...], folder: Path) -> Array:
    """CGCNN, one network for several columns: values, or scores of classes [m, columns].

    Parameters
    ----------
    work
        Its targets have columns [n, columns], NaN where unknown.
    classes
        Which columns are 0/1 classes.
    folder
        Where it saves itself to go on later; graphs are kept beside the folder.
    """
    from benchmarks.cgcnn import Goal, graphs_of, predict, train

    formulas = reduced_formulas(work.train.crystals.compositions)
    aside = by_group(formulas, share=SET_ASIDE, seed=work.seed).test
    goal = Goal(work.targets, classes, aside)
    graphs = graphs_of(work.train.crystals, folder.parent)
    state = train(graphs, goal, work.seconds, work.seed, folder / "cgcnn.pt")
    print(f"    CGCNN: {state.steps} steps, {state.used_s:.0f} s", flush=True)
    return predict(state, graphs_of(work.test.crystals, folder.parent), goal)


PEERS: dict[str, tuple[Callable[[Fit], Array], Callable[[Fit], Array]]] = {
    "linear": (linear, linear_classes),
    "svr": (support_vectors, support_classes),
    "forest": (forest, forest_classes),
    "extra_trees": (extra_trees, extra_classes),
    "boosting": (boosting, boosting_classes),
}
"""Each peer but CGCNN as a regressor and as a classifier."""

CGCNN = "cgcnn"
"""The peer that fits several columns with one network."""

CHEAP = ("linear", "svr", "forest", "extra_trees", "boosting")
"""Peers that need minutes."""

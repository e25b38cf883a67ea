"""Who chooses in the benchmark `acceleration`: the strategies of campaigns, and their peers.

A chooser is made anew for each campaign and is asked once a round.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from benchmarks.acceleration_tasks import FamilyTask, SystemTask, Task, standard
from materialabs.crystals.compositions import Compositions
from materialabs.discovery.acquisition import Promise, choose
from materialabs.discovery.choosing import likeliest_below, likeliest_on_hull
from materialabs.discovery.forecasting import distance_of, distances_among_all
from materialabs.discovery.surrogate_families import FamilySurrogate
from materialabs.discovery.surrogate_systems import SystemSurrogate
from materialabs.hull import Hull
from materialabs.levels import Energies


@dataclass(frozen=True)
class Asked:
    """What a chooser knows: rows with labels, rows without, how many to take, round and seed."""

    known: np.ndarray
    left: np.ndarray
    count: int
    number: int
    seed: int


class Chooser(Protocol):
    """Chooses rows to label next."""

    def __call__(self, task: Any, asked: Asked) -> np.ndarray:
        """Positions among ``asked.left``, at most ``asked.count``, the best first."""
        ...


def at_random(task: Task, asked: Asked) -> np.ndarray:
    """Any of them."""
    rng = np.random.default_rng([asked.seed, asked.number])
    return rng.permutation(len(asked.left))[: asked.count]


# -- peers ----------------------------------------------------------------------------------------


def ridge(seed: int) -> Any:
    """Linear, its penalty by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(np.logspace(-2, 3, 11))


def forest(seed: int) -> Any:
    """A hundred trees."""
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(100, random_state=seed)


def process(seed: int) -> Any:
    """A Gaussian process with one length scale, by the largest likelihood."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0) * RBF(8.0, (0.1, 1e3)) + WhiteKernel(0.1)
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)


@dataclass(frozen=True)
class Greedy:
    """A regression that takes what it predicts lowest; in a system, lowest against the hull.

    There its distances are to the hull of all labels and all its own predictions without the
    candidate's own formula, which served every peer better than the hull of the labels.
    """

    model: Callable[[int], Any]
    table: str

    def __call__(self, task: Task, asked: Asked) -> np.ndarray:
        """The lowest."""
        inputs = getattr(task, self.table)
        if self.model is process:
            inputs = standard(inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a search that stopped at a bound
            fitted = self.model(asked.seed).fit(inputs[asked.known], task.labels[asked.known])
            predicted = np.asarray(fitted.predict(inputs[asked.left]))
        if isinstance(task, SystemTask):
            predicted = _above_rivals(task, asked, predicted)
        return np.argsort(predicted, kind="stable")[: asked.count]


def _above_rivals(task: SystemTask, asked: Asked, predicted: np.ndarray) -> np.ndarray:
    values = np.array(task.labels)
    values[asked.left] = predicted
    hull = known_hull(task, np.arange(len(task)), values)
    mine = Energies(predicted, "formation", task.energies.level)
    return hull.decomposition_energy(task.crystals.compositions[asked.left], mine)


def known_hull(task: SystemTask, rows: np.ndarray, values: np.ndarray) -> Hull:
    """The hull of some rows and of the elements."""
    pure = Compositions.from_dicts([{number: 1.0} for number in task.elements])
    every = Compositions.concat([task.crystals.compositions[rows], pure])
    energies = np.concatenate([values, np.zeros(len(task.elements))])
    return Hull(every, Energies(energies, "formation", task.energies.level))


# -- the product ----------------------------------------------------------------------------------


@dataclass
class InFamily:
    """The family surrogate with a strategy of campaigns, or the likeliest first."""

    strategy: str
    opinions: np.ndarray | None = field(default=None, repr=False)
    surrogate: FamilySurrogate | None = field(default=None, repr=False)

    def __call__(self, task: FamilyTask, asked: Asked) -> np.ndarray:
        """By the strategy."""
        if self.surrogate is None:
            self.surrogate = FamilySurrogate(
                task.family, "eV/atom", "heat of formation", self.opinions
            )
        self.surrogate.learn(asked.known, task.labels[asked.known])
        prediction = self.surrogate.predict(asked.left)
        if self.strategy == "likeliest":
            return likeliest_below(prediction, task.limit, asked.count)
        distance = prediction.replace(mean=prediction.mean - task.limit)
        return _by_campaign(task, asked, self.strategy, distance, None)


@dataclass(frozen=True)
class OfOpinion:
    """What another model says is lowest, without learning from labels."""

    opinions: np.ndarray

    def __call__(self, task: Task, asked: Asked) -> np.ndarray:
        """The lowest."""
        return np.argsort(self.opinions[asked.left, 0], kind="stable")[: asked.count]


@dataclass
class InSystem:
    """The system surrogate with a strategy of campaigns, or the likeliest on the hull first."""

    strategy: str
    settings: np.ndarray | None = None

    def __call__(self, task: SystemTask, asked: Asked) -> np.ndarray:
        """By the strategy."""
        surrogate = SystemSurrogate.learned(
            {name: block[asked.known] for name, block in task.blocks.items()},
            task.energies[asked.known], task.elements,
            seed=100 * asked.seed + asked.number, around=task.blocks, settings=self.settings,
        )  # fmt: skip
        self.settings = surrogate.surrogate.settings
        prediction = surrogate.predict_described(
            {name: block[asked.left] for name, block in task.blocks.items()}
        )
        hull = known_hull(task, asked.known, task.labels[asked.known])
        crystals = task.crystals.take(asked.left)
        among = distances_among_all(prediction, crystals, hull)
        assert among is not None
        if self.strategy == "likeliest":
            return likeliest_on_hull(among, asked.count)
        distance = distance_of(prediction, crystals, hull)
        return _by_campaign(task, asked, self.strategy, distance, among)


def _by_campaign(
    task: Task, asked: Asked, strategy: str, distance: Any, among: np.ndarray | None
) -> np.ndarray:
    """As a campaign chooses, with candidates that all are as likely beforehand."""
    ones = np.ones(len(asked.left))
    compositions = task.crystals.compositions[asked.left]
    promise = Promise(distance, compositions, None, ones, ones, len(asked.known), among=among)
    chosen = choose(promise, asked.count, strategy, asked.number, seed=asked.seed).rows
    return np.asarray(chosen)

"""Ways to predict a table of measured values that the benchmark of transfer sets side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import data_folder
from benchmarks.measured_tables import Task
from benchmarks.peers import keep
from materialabs.transfer.described import STATISTICS, Described
from materialabs.transfer.folds import inner_folds
from materialabs.transfer.learning import Answers, Trial, asked
from materialabs.transfer.strategies import Strategy, strategies_for

Array = NDArray[np.float64]

EDITION: Final = 4
"""Rises when a method changes, so that an older one's predictions are not taken for its own."""
QUICK_CRYSTALS: Final = 500
CROMEL_EPOCHS: Final = 300
"""Epochs of CroMEL's target network, for the time; the released script takes 1,000."""
EXTRA_TREES, BOOSTING = "extra trees (scikit-learn)", "boosting (scikit-learn)"
CROMEL, CROMEL_FRESH = "CroMEL", "CroMEL without transfer"
PLAIN, WITH_SOURCE = "ours without sources", "ours with sources"
STRANGE = "ours with sources that lack these compounds"


@dataclass(frozen=True)
class Fit:
    """What a method learns from and what it is asked for, in one fold."""

    learned: Described
    targets: Array
    groups: NDArray[np.int64]
    judged: Described
    task: Task


@dataclass(frozen=True)
class Told:
    """Predicted values or probabilities [n, k], and 90 % intervals where a method has them."""

    mean: Array
    low: Array | None = None
    high: Array | None = None


@dataclass(frozen=True)
class Method:
    """A way to predict, cut where it has spent its time, so that a stopped run can go on.

    Parameters
    ----------
    names
        Of what it tells: one, or several variants.
    learn
        The long part; its arrays are kept in a file.
    tell
        Predictions by name, from these arrays.
    mark
        Tells the pretrained parts that are used from others.
    """

    names: tuple[str, ...]
    learn: Callable[[Fit], Mapping[str, NDArray[Any]]]
    tell: Callable[[Fit, Mapping[str, NDArray[Any]]], dict[str, Told]]
    mark: str = ""

    @classmethod
    def plain(cls, name: str, predict: Callable[[Fit], Array], mark: str = "") -> Method:
        """A method that tells one value for each row [n, k] and no interval."""
        return cls(
            (name,), lambda fit: {"mean": predict(fit)},
            lambda _, kept: {name: Told(kept["mean"])}, mark,
        )  # fmt: skip

    def told(self, fit: Fit) -> dict[str, Told]:
        """Both parts at once."""
        return self.tell(fit, self.learn(fit))


def extra_trees(fit: Fit) -> Array:
    """Extremely randomised trees on Magpie statistics (scikit-learn)."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    table, asked = fit.learned.table((STATISTICS,)), fit.judged.table((STATISTICS,))
    if fit.task.classes:
        forest = ExtraTreesClassifier(300, max_features=0.4, random_state=0)
        return np.asarray(forest.fit(table, fit.targets.argmax(axis=1)).predict_proba(asked))
    forest = ExtraTreesRegressor(300, max_features=0.4, random_state=0)
    return np.asarray(forest.fit(table, fit.targets[:, 0]).predict(asked)[:, None])


def boosting(fit: Fit) -> Array:
    """Gradient boosting on Magpie statistics (scikit-learn)."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    table, asked = fit.learned.table((STATISTICS,)), fit.judged.table((STATISTICS,))
    settings: dict[str, Any] = {"learning_rate": 0.06, "max_iter": 300, "random_state": 0}
    if fit.task.classes:
        model = HistGradientBoostingClassifier(**settings)
        return np.asarray(model.fit(table, fit.targets.argmax(axis=1)).predict_proba(asked))
    model = HistGradientBoostingRegressor(**settings)
    return np.asarray(model.fit(table, fit.targets[:, 0]).predict(asked)[:, None])


@dataclass(frozen=True, eq=False)
class Remembered:
    """A strategy that has learned, of which only its answers on the judged rows are left."""

    mean: Array
    spread: Array

    def answers(self, _: Described) -> tuple[Array, Array]:
        """What it said."""
        return self.mean, self.spread

    def to_arrays(self) -> dict[str, Array]:
        """The answers."""
        return {"mean": self.mean, "spread": self.spread}


def ours(source: str, strange: str | None, mark: str = "") -> Method:
    """Our strategies, weighed by nested validation inside the training rows.

    All strategies are tried once on the inner folds, and their answers kept; each variant weighs
    those that are its own.

    Parameters
    ----------
    source
        Name of the source that ships.
    strange
        Name of one that has not seen the compounds of any table.
    mark
        Tells the sources from others of these names.
    """
    variants = variants_of(source, strange)
    every = tuple({one.name: one for some in variants.values() for one in some}.values())

    def tried(fit: Fit) -> dict[str, Array]:
        trial = Trial.of(fit.learned, fit.targets, fit.groups, every)
        found = asked([trial.fitted(one) for one in every], fit.judged)
        return {
            "outside": trial.outside.values, "outside_spreads": trial.outside.spreads,
            "judged": found.values, "judged_spreads": found.spreads,
        }  # fmt: skip

    def weighed(fit: Fit, kept: Mapping[str, Array]) -> dict[str, Told]:
        trial = Trial(
            fit.learned, fit.targets, every, tuple(inner_folds(fit.groups)),
            Answers(kept["outside"], kept["outside_spreads"]),
            _fitted={
                one.name: Remembered(kept["judged"][place], kept["judged_spreads"][place])
                for place, one in enumerate(every)
            },
        )  # fmt: skip
        return {
            name: _told(trial, fit, [one.name for one in some]) for name, some in variants.items()
        }

    return Method(tuple(variants), tried, weighed, mark)


def _told(trial: Trial, fit: Fit, among: list[str]) -> Told:
    found = trial.learned(fit.task.measured.head, among).told(fit.judged)
    if fit.task.classes:
        return Told(np.asarray(found.probability))
    return Told(found.mean[:, None], found.low[:, None], found.high[:, None])


def variants_of(source: str, strange: str | None) -> dict[str, tuple[Strategy, ...]]:
    """Strategies without a source, with the one that ships, and with one of other compounds."""
    variants = {PLAIN: strategies_for(()), WITH_SOURCE: strategies_for((source,))}
    if strange is not None:
        plain = {one.name for one in variants[PLAIN]}
        variants[STRANGE] = tuple(
            one if one.name in plain else replace(one, name=f"{one.name}, {strange}")
            for one in strategies_for((strange,))
        )  # fmt: skip
    return variants


def cromel(name: str, generator: Any, epochs: int, mark: str) -> Method:
    """CroMEL's target network from a copy of a generator for each fold."""

    def predict(fit: Fit) -> Array:
        import torch

        from materialabs.transfer.cromel import (
            Variant,
            composition_vectors,
            predict_target,
            train_target,
        )

        centre, spread = fit.targets.mean(axis=0), fit.targets.std(axis=0)
        wanted = torch.from_numpy(((fit.targets - centre) / spread).astype(np.float32))
        vectors = composition_vectors(fit.learned.compositions)
        network = train_target(generator, vectors, wanted, epochs=epochs)
        asked = composition_vectors(fit.judged.compositions)
        return np.asarray(predict_target(network, asked, Variant()) * spread + centre)

    return Method.plain(name, predict, mark)


def generators(folder: Path, quick: bool) -> tuple[Any, Any]:
    """CroMEL's generator trained on mp36k with our graph network's features, and a fresh one."""
    import torch

    from materialabs.crystals.files import read
    from materialabs.networks.models import load_model
    from materialabs.transfer.cromel import (
        FeatureEncoder,
        Generator,
        SourceTraining,
        composition_vectors,
    )

    card = load_model("energy").card
    place = folder / f"cromel-{'quick' if quick else EDITION}-{card['weights_sha256'][:12]}.npz"
    if not place.exists():
        crystals: Any = read(data_folder() / "structures" / "mp36k.jsonl.gz")
        if quick:
            crystals = crystals[:QUICK_CRYSTALS]
        model = load_model("energy")
        features = np.concatenate([
            model._files.ensemble.answers(_graphs(model, crystals[rows])).features
            for rows in np.array_split(np.arange(len(crystals)), max(len(crystals) // 2_000, 1))
        ])  # fmt: skip
        features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
        vectors = composition_vectors(crystals.compositions)
        targets = torch.from_numpy(
            np.asarray(crystals.columns["formation_energy"], dtype=np.float32)
        )
        torch.manual_seed(0)
        training = SourceTraining(FeatureEncoder(features.shape[1]), vectors.shape[1])
        training.run(torch.from_numpy(features), vectors, targets, epochs=2 if quick else 60)
        state = {name: one.numpy() for name, one in training.generator.state_dict().items()}
        keep(place, **state)
    with np.load(place, allow_pickle=False) as kept:
        state = {name: torch.from_numpy(kept[name]) for name in kept.files}
    columns = state["mean.0.weight"].shape[1]
    trained = Generator(columns)
    trained.load_state_dict(state)
    torch.manual_seed(1)
    return trained, Generator(columns)


def _graphs(model: Any, crystals: Any) -> Any:
    from materialabs.networks.graphs import bond_graphs

    return bond_graphs(crystals, neighbours=model._files.ensemble.shape.neighbours)

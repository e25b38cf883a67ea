"""Ways to predict a table of measured values that the benchmark of transfer sets side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import data_folder
from benchmarks.measured_tables import Task
from benchmarks.peers import keep
from materialabs.networks.splits import Split
from materialabs.transfer.choosing import offered_scores, starting, suiting
from materialabs.transfer.described import STATISTICS, Described
from materialabs.transfer.folds import inner_folds
from materialabs.transfer.learning import Answers, Trial
from materialabs.transfer.sources import blocks_of
from materialabs.transfer.strategies import Networks, Strategy, strategies_for
from materialabs.transfer.weighing import best_shares

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

EDITION: Final = 5
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
    groups: Rows
    judged: Described
    task: Task

    @classmethod
    def of(cls, task: Task, described: Described, train: Rows, test: Rows) -> Fit:
        """Some rows of a task to learn from, and others to be judged."""
        return cls(
            described.take(train), task.measured.targets[train], task.plan.groups[train],
            described.take(test), task,
        )  # fmt: skip

    def digest(self) -> str:
        """SHA-256 of all that is handed to a method: compositions, conditions, targets, groups."""
        found = hashlib.sha256(self.targets.tobytes() + self.groups.tobytes())
        for part in (self.learned, self.judged):
            cells = part.compositions
            for array in (cells.offsets, cells.elements, cells.amounts, part.conditions.values):
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Told:
    """Predicted values or probabilities [n, k], and 90 % intervals where a method has them.

    Parameters
    ----------
    mean, low, high
        Of the judged rows.
    inside
        Of the rows learned from in each outer fold, as :func:`said_inside` tells them.
    """

    mean: Array
    low: Array | None = None
    high: Array | None = None
    inside: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Part:
    """A piece of learning that takes its time and is kept in a file of its own.

    Parameters
    ----------
    learn
        Arrays to be kept.
    mark
        Tells the pretrained parts that are used from others.
    """

    learn: Callable[[], Mapping[str, NDArray[Any]]]
    mark: str = ""


Kept = Mapping[str, Mapping[str, NDArray[Any]]]
"""Arrays of each part, by its name."""


@dataclass(frozen=True)
class Method:
    """A way to predict, cut into parts, so that a stopped run can go on.

    Parameters
    ----------
    names
        Of what it tells: one, or several variants.
    parts
        The parts that a fold needs, by name.
    tell
        Predictions by name, from what the parts have left.
    """

    names: tuple[str, ...]
    parts: Callable[[Fit], Mapping[str, Part]]
    tell: Callable[[Fit, Kept], dict[str, Told]]

    @classmethod
    def plain(cls, name: str, predict: Callable[[Fit], Array], mark: str = "") -> Method:
        """A method that tells one value for each row [n, k] and no interval."""
        return cls(
            (name,), lambda fit: {name: Part(lambda: {"mean": predict(fit)}, mark)},
            lambda _, kept: {name: Told(kept[name]["mean"])},
        )  # fmt: skip

    def learned(self, fit: Fit, folder: Path) -> dict[str, dict[str, NDArray[Any]]]:
        """The arrays of each part, from the folder where a part is finished."""
        found, data = {}, fit.digest()
        for name, part in self.parts(fit).items():
            mark = hashlib.sha256((data + part.mark).encode()).hexdigest()[:16]
            path = folder / f"{EDITION}-{mark}-{fit.task.name}-{name}.npz".replace(" ", "_")
            if not path.exists():
                keep(path, **part.learn())
                print(f"    {fit.task.name}, {name}: {len(fit.targets)} rows learned", flush=True)
            with np.load(path, allow_pickle=False) as kept:
                found[name] = {key: kept[key] for key in kept.files}
        return found


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


def ours(sources: Mapping[str, str], strangers: Mapping[str, str] | None = None) -> Method:
    """Our strategies, weighed by nested validation inside the training rows.

    Each variant weighs the strategies that are its own: without a source, with the source that
    suits the training rows best, and with the best of those that have not seen the compounds.

    Parameters
    ----------
    sources
        What tells the weights of each source that ships from others, by name.
    strangers
        The same of sources that have not seen the compounds of any table.
    """
    variants = {PLAIN: (), WITH_SOURCE: tuple(sources)}
    if strangers is not None:
        variants[STRANGE] = tuple(strangers)
    marks = {**sources, **(strangers or {})}

    def chosen(fit: Fit) -> dict[str, tuple[Strategy, ...]]:
        scores = {
            name: offered_scores(fit.learned, fit.targets, some, fit.groups)
            for name, some in variants.items()
        }
        return {
            name: strategies_for(suiting(found), starting(found)) for name, found in scores.items()
        }

    def parts(fit: Fit) -> dict[str, Part]:
        return {
            one.name: Part(
                partial(_tried, fit, one),
                "".join(mark for name, mark in marks.items() if reads(one, name)),
            )
            for some in chosen(fit).values() for one in some
        }  # fmt: skip

    def weighed(fit: Fit, kept: Kept) -> dict[str, Told]:
        return {name: _told(fit, some, kept) for name, some in chosen(fit).items()}

    return Method(tuple(variants), parts, weighed)


def reads(strategy: Any, source: str) -> bool:
    """Whether a strategy reads what a source says, or begins as it does."""
    if isinstance(strategy, Networks):
        return source in strategy.starts
    return not set(blocks_of([source])).isdisjoint(strategy.blocks)


def _tried(fit: Fit, strategy: Strategy) -> dict[str, Array]:
    """What one strategy says of each training row from the others, and of the judged rows."""
    trial = Trial.of(fit.learned, fit.targets, fit.groups, [strategy])
    mean, spread = trial.fitted(strategy).answers(fit.judged)
    return {
        "outside": trial.outside.values[0], "outside_spread": trial.outside.spreads[0],
        "judged": mean, "judged_spread": spread,
    }  # fmt: skip


def _told(fit: Fit, strategies: Sequence[Strategy], kept: Kept) -> Told:
    """Strategies weighed, and what they say together."""
    answers = [kept[one.name] for one in strategies]
    trial = Trial(
        fit.learned, fit.targets, tuple(strategies), tuple(inner_folds(fit.groups)),
        Answers(
            np.stack([one["outside"] for one in answers]),
            np.stack([one["outside_spread"] for one in answers]),
        ),
        _fitted={
            one.name: Remembered(said["judged"], said["judged_spread"])
            for one, said in zip(strategies, answers, strict=True)
        },
    )  # fmt: skip
    found = trial.learned(fit.task.measured.head).told(fit.judged)
    inside = said_inside(trial.outside.values, trial.targets, trial.cuts, classes=fit.task.classes)
    if fit.task.classes:
        return Told(np.asarray(found.probability), inside=(inside,))
    return Told(found.mean[:, None], found.low[:, None], found.high[:, None], (inside,))


def said_inside(
    values: Array, targets: Array, cuts: Sequence[Split], *, classes: bool = False
) -> Array:
    """What is said of each training row [n, k] by strategies and shares that have not seen it.

    Strategies have learned without the row's inner fold, and their shares are found on the other
    inner folds. Of a table cut in five, so many rows are judged four times as often as by the
    outer folds. The source alone was chosen with all of these rows.

    Parameters
    ----------
    values
        [s, n, k], what each strategy says of the rows of each inner fold without it.
    targets
        [n, k].
    cuts
        The inner folds.
    classes
        Whether the k columns are probabilities of classes.
    """

    def kept(places: Rows) -> Rows:
        return places[places >= 0]

    told = np.full_like(targets, np.nan, dtype=np.float64)
    for left_out in cuts:
        place = np.full(len(targets), -1)
        place[left_out.train] = np.arange(len(left_out.train))
        others = [
            replace(cut, train=kept(place[cut.train]), test=kept(place[cut.test]))
            for cut in cuts if cut is not left_out
        ]  # fmt: skip
        shares = best_shares(
            values[:, left_out.train], targets[left_out.train], others, classes=classes
        )
        told[left_out.test] = np.tensordot(shares, values[:, left_out.test], axes=1)
    return told


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

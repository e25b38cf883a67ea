"""Judge a way of learning on folds, and prove that nothing judged was ever seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError, IntegrityError
from materialabs.networks import cards
from materialabs.networks.splits import Split
from materialabs.predictions import Prediction
from materialabs.progress import track
from materialabs.transfer.choosing import offered_scores, starting, suiting
from materialabs.transfer.described import Described
from materialabs.transfer.folds import FoldPlan
from materialabs.transfer.learning import Learned, learn
from materialabs.transfer.sources import Source
from materialabs.transfer.strategies import Strategy, document_of, strategies_for
from materialabs.transfer.tables import Measurements

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


Keep = Callable[[str, Callable[[], Learned]], Learned]
"""Given a name for what is to be learned and a way to learn it, hands out what was learned."""


class Learner(Protocol):
    """Learns from rows and predicts others.

    It is handed nothing of the rows that it is judged on but what describes them.
    """

    def __call__(
        self, learned: Described, targets: Floats, groups: Rows, judged: Described
    ) -> Prediction:
        """Predict ``judged`` after learning from ``learned`` and its targets [n, k]."""
        ...


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions of rows by models that had not seen them.

    Parameters
    ----------
    rows
        int64 [m], positions of rows; each once, unless folds overlap.
    fold
        int64 [m], the fold that each was judged in.
    told
        The m predictions.
    """

    rows: Rows
    fold: Rows
    told: Prediction

    def once(self) -> Judged:
        """Each judged row once, as its first fold told it."""
        first = np.sort(np.unique(self.rows, return_index=True)[1])
        return Judged(self.rows[first], self.fold[first], self.told.take(first))


def judge(
    described: Described, targets: Floats, plan: FoldPlan, learner: Learner,
    *, sources: Sequence[Source] = (), progress: bool | None = False,
) -> Judged:  # fmt: skip
    """Let a learner predict every fold from the others.

    Parameters
    ----------
    described, targets
        n rows and their targets [n, k].
    plan
        The folds.
    learner
        What is judged.
    sources
        Pretrained parts; a learner that changes one of them is found out.
    progress
        Draw a bar or not; ``None`` draws on a terminal.
    """
    before = [source.fingerprint() for source in sources]
    rows, folds, parts = [], [], []
    for number, cut in enumerate(track(plan.outer, label="judging, fold by fold", show=progress)):
        parts.append(_predicted(described, targets, plan, cut, learner))
        rows.append(cut.test)
        folds.append(np.full(len(cut.test), number))
        _require_unchanged(sources, before)
    return Judged(np.concatenate(rows), np.concatenate(folds), together(parts))


def together(parts: Sequence[Prediction]) -> Prediction:
    """Predictions of all folds, with bounds that hold for each.

    A single row may decide whether zero is the least value possible, and it is not in every fold.
    """
    lowest, highest = zip(*(part.bounds for part in parts), strict=True)
    bounds = (min(lowest), max(highest))
    return Prediction.concat([part.replace(bounds=bounds) for part in parts])


def learner_of(
    measured: Measurements, sources: Sequence[str], *, choose: bool = True, seed: int = 0,
    networks: bool = True, said: Callable[[list[str]], None] | None = None,
    keep: Keep | None = None,
) -> Learner:  # fmt: skip
    """The learner that this room is about: strategies weighed by nested validation.

    Parameters
    ----------
    measured
        Says what is learned.
    sources
        Names of sources of calculated knowledge.
    choose
        Learn with the source that suits the rows best, and not with all at once.
    seed
        The same seed learns the same.
    networks
        Whether networks are among the strategies.
    said
        Is told which sources were learned with, each time that it learns.
    keep
        Keeps what is learned, by what it was learned from; without it everything is learned anew.
    """

    def predict(learned: Described, targets: Floats, groups: Rows, judged: Described) -> Prediction:
        used = starts = list(sources)
        if choose:
            scores = offered_scores(learned, targets, sources, groups)
            used, starts = suiting(scores), starting(scores)
        if said is not None:
            said(used)
        strategies = strategies_for(used, starts, networks=networks)
        find = partial(learn, learned, targets, measured.head, groups, strategies, seed=seed)
        if keep is None:
            return find().told(judged)
        return keep(digest_of(learned, targets, groups, strategies), find).told(judged)

    return predict


def digest_of(
    learned: Described, targets: Floats, groups: Rows, strategies: Sequence[Strategy]
) -> str:
    """SHA-256 of all that decides what is learned but the seed: rows, strategies, version."""
    rows = rows_digest(learned.compositions, learned.conditions, targets, groups)
    told = json.dumps([rows, [document_of(one) for one in strategies], cards.versions()])
    return hashlib.sha256(told.encode()).hexdigest()


def rows_digest(cells: Compositions, conditions: Descriptors, *others: NDArray[Any]) -> str:
    """SHA-256 of what rows are: compositions, conditions, and others such as their targets."""
    digest = hashlib.sha256()
    for array in (cells.offsets, cells.elements, cells.amounts, conditions.values, *others):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_no_leak(
    described: Described, targets: Floats, plan: FoldPlan, make_learner: Callable[[], Learner]
) -> None:
    """Refuse a learner whose predictions of a fold depend on that fold's own targets.

    The whole plan is run twice: as it is, and with other targets in the last fold. Until the last
    fold is judged a learner has been handed these rows to learn from; what it keeps of them,
    inside itself or in a pretrained part that it changes, shows in the predictions.

    Parameters
    ----------
    described, targets, plan
        As in :func:`judge`.
    make_learner
        Makes the learner anew for each run.
    """
    last = len(plan.outer) - 1
    scrambled = targets.copy()
    own = plan.outer[last].test
    scrambled[own] = np.roll(targets[own], 1, axis=0)[::-1]
    if np.array_equal(scrambled, targets):
        raise InputError("All targets of the last fold are equal: a leak would not show.")
    told = []
    for given in (targets, scrambled):
        judged = judge(described, given, plan, make_learner())
        told.append(judged.told.mean[judged.fold == last])
    if not np.array_equal(told[0], told[1]):
        raise IntegrityError(
            "Predictions of a fold change with that fold's own targets: the learner keeps what it "
            "has learned from one fold to the next. Start each fold with a fresh copy.",
            code="transfer.leak",
        )


def figures_of(measured: Measurements, judged: Judged) -> dict[str, Any]:
    """Errors, coverage and worst cases of the judged rows, and what each fold reached.

    A row that several folds have judged counts once in all but the figures of these folds.
    """
    once = judged.once()
    truth, cells = measured.targets[once.rows], measured.compositions[once.rows]
    told = once.told.replace(ids=tuple(f"row {row}" for row in measured.rows[once.rows]))
    if measured.head.classes:
        figures = cards.class_figures(told, truth, cells.reduced_formulas())
        figures["balanced_accuracy"] = balanced_accuracy(told.probability, truth)
    else:
        figures = cards.number_figures(told, truth[:, 0], cells)
    every = measured.targets[judged.rows]
    figures["folds"] = [
        _fold_figures(judged.told.mean[mine], every[mine], bool(measured.head.classes))
        for mine in (judged.fold == number for number in range(int(judged.fold.max()) + 1))
    ]
    return figures


def balanced_accuracy(chances: Floats, truth: Floats) -> float:
    """Mean over the classes of the share that is told right, from probabilities [n, k]."""
    right = chances.argmax(axis=1) == truth.argmax(axis=1)
    shares = [right[truth[:, one] > 0].mean() for one in range(truth.shape[1])
              if (truth[:, one] > 0).any()]  # fmt: skip
    return float(np.mean(shares))


def _fold_figures(mean: Floats, truth: Floats, classes: bool) -> dict[str, float]:
    if classes:
        figures = {"balanced_accuracy": balanced_accuracy(mean, truth)}
        if truth.shape[1] == 2:
            figures["roc_auc"] = cards.ranking_area(mean[:, 1], truth[:, 1] > 0)
        return figures
    wrong = mean - truth[:, 0]
    spread = float(np.var(truth))
    r2 = 1.0 - float((wrong**2).mean()) / spread if spread > 0 else float("nan")
    return {"mae": float(np.abs(wrong).mean()), "r2": r2}


def _predicted(
    described: Described, targets: Floats, plan: FoldPlan, cut: Split, learner: Learner
) -> Prediction:
    return learner(
        described.take(cut.train), targets[cut.train].copy(), plan.groups[cut.train],
        described.take(cut.test),
    )  # fmt: skip


def _require_unchanged(sources: Sequence[Source], before: Sequence[str]) -> None:
    for source, hashed in zip(sources, before, strict=True):
        if source.fingerprint() != hashed:
            raise IntegrityError(
                f"The source {source.name!r} was changed while a fold was learned, so that the "
                "next fold would start with its answers: learn with a copy.",
                code="transfer.leak",
            )

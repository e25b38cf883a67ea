"""Which of five sources to learn from: told by a score, and found out by learning from each.

Five sources ship: energies, gaps, volumes, elastic moduli, and all of these at once. On each table
and each fold, a Gaussian process and boosted trees with each source are weighed by nested
validation and judged; that is what a choice without a score costs. The scores see the training rows
alone: the published one (1/RMSE of ridge regression on the rows that it learned from) and ours
(compounds left out one by one, :mod:`materialabs.transfer.choosing`). A pick is good when its error
is within 2 % of the best source's.

``python -m benchmarks.source_choice`` takes forty minutes of one core; ``--quick`` takes half a
minute and writes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Headline, pin_threads, report

pin_threads()

import numpy as np
from numpy.typing import NDArray

from benchmarks.measured_tables import Task, task
from materialabs.transfer.choosing import source_scores
from materialabs.transfer.cromel import ridge_score
from materialabs.transfer.described import ALLOYING, PHYSICAL, STATISTICS, Described, describe
from materialabs.transfer.learning import learn
from materialabs.transfer.sources import blocks_of, features_of, shipped, shipped_names
from materialabs.transfer.strategies import Boosted, Kernel, Strategy

Array = NDArray[np.float64]

TABLES: Final = (
    "efe, folds by formula", "steels", "mpea_hardness", "mrl_seebeck", "lithium_conductivity",
    "migration_barriers", "cathode_capacity", "expt_gap",
)  # fmt: skip
CLOSE: Final = 1.02
"""A pick is good when its error is at most this many times the least."""
BAR_SHARE: Final = 0.1
"""Of the time of learning from every source that a choice by score may take."""
QUICK: Final = ("steels",)


@dataclass(frozen=True)
class Fold:
    """What learning from each source reached on one fold, what the scores said, and the time."""

    errors: dict[str, float]
    learning_s: float
    scores: dict[str, dict[str, float]]
    scoring_s: dict[str, float]


def strategies(source: str) -> list[Strategy]:
    """What learns from one source."""
    blocks = blocks_of([source])
    return [
        Boosted("boosted trees with source", (STATISTICS, ALLOYING, *blocks)),
        Kernel("kernel with source", (*PHYSICAL, *blocks)),
    ]


def published(
    described: Described, targets: Array, names: Sequence[str], groups: NDArray[np.int64]
) -> dict[str, float]:
    """The published score of each source, on its inner features as they are."""
    return {
        name: ridge_score(described.table((features_of(name),)), targets[:, 0]) for name in names
    }


SCORES: Final[dict[str, Callable[..., dict[str, float]]]] = {
    "published": published, "ours": source_scores,
}  # fmt: skip


def judged(task: Task, described: Described, names: Sequence[str]) -> list[Fold]:
    """Every source on every fold."""
    found = []
    for number, cut in enumerate(task.plan.outer):
        learned, targets = described.take(cut.train), task.measured.targets[cut.train]
        truth, asked = task.measured.targets[cut.test], described.take(cut.test)
        groups = task.plan.groups[cut.train]
        errors, started = {}, time.process_time()
        for name in names:
            model = learn(learned, targets, task.measured.head, groups, strategies(name))
            errors[name] = float(np.abs(model.means(asked) - truth).mean())
        spent, scores, scoring = time.process_time() - started, {}, {}
        for kind, score in SCORES.items():
            started = time.process_time()
            scores[kind] = score(learned, targets, names, groups)
            scoring[kind] = time.process_time() - started
        found.append(Fold(errors, spent, scores, scoring))
        print(f"  {task.name}, fold {number + 1}: {errors} {scores}", flush=True)
    return found


def rows_of(task: Task, folds: Sequence[Fold], kind: str) -> dict[str, Any]:
    """How good the picks of one score are on one table, by the mean error over the folds."""
    names = list(folds[0].errors)
    means = {name: float(np.mean([fold.errors[name] for fold in folds])) for name in names}
    picks = [max(fold.scores[kind], key=fold.scores[kind].__getitem__) for fold in folds]
    picked = float(np.mean([fold.errors[one] for fold, one in zip(folds, picks, strict=True)]))
    best = min(means, key=means.__getitem__)
    return {
        "name": f"{task.name}: {kind} score", "picks": ", ".join(picks), "best": best,
        "picked_over_best": picked / means[best],
        "worst_over_best": max(means.values()) / means[best],
        "within_2_percent": picked <= CLOSE * means[best],
        "score_s": float(np.sum([fold.scoring_s[kind] for fold in folds])),
        "learning_s": float(np.sum([fold.learning_s for fold in folds])),
    } | {f"mae_{name}": error for name, error in means.items()}  # fmt: skip


def main() -> None:
    """Judge both scores on every table, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.source_choice")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    known = [shipped(name) for name in shipped_names()]
    names = [one.name for one in known]
    rows: list[dict[str, Any]] = []
    for name in QUICK if arguments.quick else TABLES:
        with tempfile.TemporaryDirectory() as folder:
            one = task(name, Path(folder))
        described = describe(one.measured.compositions, known, one.measured.conditions)
        folds = judged(one, described, names)
        rows += [rows_of(one, folds, kind) for kind in SCORES]
        for row in rows[-len(SCORES) :]:
            print(row, flush=True)
    if arguments.quick:
        return
    ours = [row for row in rows if row["name"].endswith("ours score")]
    good = sum(row["within_2_percent"] for row in ours)
    share = max(row["score_s"] / row["learning_s"] for row in ours)
    report(
        "source_choice", rows,
        Headline(float(good), f"of {len(ours)} tables within 2 % of the best source", len(ours),
                 len(ours)),
        f"a choice by our score took at most {share:.2%} of the time of learning from all "
        f"{len(names)} sources (bar {BAR_SHARE:.0%})",
    )  # fmt: skip


if __name__ == "__main__":
    main()

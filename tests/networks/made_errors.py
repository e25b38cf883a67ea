"""Made-up predictions whose errors are known exactly, and real ones of a quick ensemble."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions


@dataclass(frozen=True)
class Made:
    """Predictions with true values, signals and groups; ``scale`` is the true size of errors."""

    mean: NDArray[np.float64]
    truth: NDArray[np.float64]
    scale: NDArray[np.float64]
    signals: dict[str, NDArray[np.float64]]
    groups: dict[str, NDArray[np.bool_]]

    def part(self, rows: slice) -> Made:
        return Made(
            self.mean[rows],
            self.truth[rows],
            self.scale[rows],
            {name: values[rows] for name, values in self.signals.items()},
            {name: values[rows] for name, values in self.groups.items()},
        )


def heavy_tailed(count: int, seed: int) -> Made:
    """Student errors whose size follows a noisy spread, twice as large in one group."""
    random = np.random.default_rng(seed)
    spread = np.exp(random.normal(-3.0, 0.8, count))
    odd = random.random(count) < 0.2
    scale = spread * np.where(odd, 2.0, 1.0)
    mean = random.normal(size=count)
    truth = mean + scale * random.standard_t(3, count)
    signals = {
        "log_spread": np.log(spread) + random.normal(0.0, 0.2, count),
        "mean": mean,
        "noise": random.normal(size=count),
    }
    return Made(mean, truth, scale, signals, {"odd": odd, "even": ~odd})


@dataclass(frozen=True)
class Project:
    """Formulas of mp36k with formation energies and an ensemble's answers from composition."""

    compositions: Compositions
    formulas: NDArray[np.str_]
    truth: NDArray[np.float64]
    hashes: NDArray[np.int64]
    members: NDArray[np.float64]


TRAINED_BELOW, VALIDATED_BELOW = 70, 85
"""MD5 of the reduced formula modulo 100: training, validation and test."""


def project_ensemble(folder: Path, *, members: int = 6, waves: int = 400) -> Project:
    """Ridge regressions on random features of the composition, each on a bootstrap sample."""
    with gzip.open(folder / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    compositions = Compositions.parse([row["formula"] for row in rows])
    formulas = np.array(compositions.reduced_formulas())
    truth = np.array([row["e_form_per_atom"] for row in rows])
    hashes = np.array([int(hashlib.md5(f.encode()).hexdigest(), 16) % 100 for f in formulas])
    x = np.sqrt(compositions.fractions(range(1, 104)))
    trained = np.flatnonzero(hashes < TRAINED_BELOW)
    answers = []
    for seed in range(members):
        random = np.random.default_rng(seed)
        turned = x @ random.normal(0.0, 2.0, (x.shape[1], waves)) + random.uniform(0, 6.3, waves)
        table = np.hstack([x, x**2, np.cos(turned)])
        drawn = random.choice(trained, len(trained))
        square = table[drawn].T @ table[drawn] + np.eye(table.shape[1])
        answers.append(table @ np.linalg.solve(square, table[drawn].T @ truth[drawn]))
    return Project(compositions, formulas, truth, hashes, np.array(answers))

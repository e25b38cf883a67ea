from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError
from materialabs.transfer.choosing import STRENGTHS, best_source, explained, source_scores
from materialabs.transfer.described import Described, no_conditions
from materialabs.transfer.sources import features_of, values_of


def described(rows: int, seed: int = 0) -> tuple[Described, np.ndarray]:
    """Two made sources: one whose features the targets follow, one of chance."""
    random = np.random.default_rng(seed)
    good, bad = random.normal(size=(rows, 8)), random.normal(size=(rows, 8))
    blocks = {}
    for name, table in (("good", good), ("bad", bad)):
        names = tuple(f"{name} {number}" for number in range(8))
        blocks[features_of(name)] = Descriptors(table, names)
        blocks[values_of(name)] = Descriptors(table[:, :1], (f"{name} value",))
    cells = Compositions.parse(["NaCl"] * rows)
    targets = good @ random.normal(size=(8, 1)) + random.normal(0, 0.3, (rows, 1))
    return Described(cells, blocks, no_conditions(rows)), targets


@pytest.mark.parametrize("rows", [12, 200])
def test_the_source_that_the_values_follow_is_chosen(rows: int) -> None:
    table, targets = described(rows)
    scores = source_scores(table, targets, ["bad", "good"])
    assert scores["good"] > scores["bad"]
    assert best_source(table, targets, ["bad", "good"]) == "good"


def test_the_score_is_that_of_leaving_each_row_out() -> None:
    table, targets = described(30)
    columns = table.table((features_of("good"),))
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    best = np.inf
    for strength in STRENGTHS:
        wrong = 0.0
        for row in range(30):
            rest = np.arange(30) != row
            offset = np.column_stack([np.ones(29), scaled[rest]])
            pull = offset.T @ offset + np.diag([0.0] + [strength] * 8)
            found = np.linalg.solve(pull, offset.T @ targets[rest])
            wrong += float(((targets[row] - np.r_[1.0, scaled[row]] @ found) ** 2).sum())
        best = min(best, wrong)
    whole = float(((targets - targets.mean()) ** 2).sum())
    assert explained(columns, targets) == pytest.approx(1.0 - best / whole, abs=1e-6)


def test_chance_explains_nothing_even_with_more_columns_than_rows() -> None:
    random = np.random.default_rng(0)
    assert explained(random.normal(size=(40, 100)), random.normal(size=(40, 1))) < 0.2


def test_values_that_never_differ_and_too_few_rows() -> None:
    table, targets = described(12)
    assert explained(table.table((features_of("good"),)), np.ones((12, 1))) == 0.0
    with pytest.raises(InputError, match="three rows"):
        source_scores(table.take([0, 1]), targets[:2], ["good"])

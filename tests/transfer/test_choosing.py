from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError
from materialabs.transfer.choosing import (
    STRENGTHS,
    best_source,
    explained,
    source_scores,
    suiting,
)
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


@pytest.mark.parametrize("size", [1, 3])
def test_the_score_is_that_of_leaving_each_group_out(size: int) -> None:
    table, targets = described(30)
    groups = np.random.default_rng(1).permutation(np.arange(30) // size)
    columns = table.table((features_of("good"),))
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    best = np.inf
    for strength in STRENGTHS:
        wrong = 0.0
        for group in np.unique(groups):
            rest, out = groups != group, groups == group
            offset = np.column_stack([np.ones(30), scaled])
            pull = offset[rest].T @ offset[rest] + np.diag([0.0] + [strength] * 8)
            found = np.linalg.solve(pull, offset[rest].T @ targets[rest])
            wrong += float(((targets[out] - offset[out] @ found) ** 2).sum())
        best = min(best, wrong)
    whole = float(((targets - targets.mean()) ** 2).sum())
    assert explained(columns, targets, groups) == pytest.approx(1.0 - best / whole, abs=1e-6)


def test_chance_explains_nothing_even_with_more_columns_than_rows() -> None:
    random = np.random.default_rng(0)
    table, targets = random.normal(size=(40, 100)), random.normal(size=(40, 1))
    assert explained(table, targets, np.arange(40)) < 0.2
    # Twins tell of one another, until they are left out together.
    twins = explained(np.tile(table, (2, 1)), np.tile(targets, (2, 1)), np.arange(80))
    apart = explained(np.tile(table, (2, 1)), np.tile(targets, (2, 1)), np.arange(80) % 40)
    assert apart < 0.2 < 0.9 < twins


def test_values_that_never_differ_and_too_few_rows() -> None:
    table, targets = described(12)
    columns = table.table((features_of("good"),))
    assert explained(columns, np.ones((12, 1)), np.arange(12)) == 0.0
    with pytest.raises(InputError, match="3 compounds"):
        source_scores(table, targets, ["good"], np.arange(12) % 2)
    targets[3] = np.nan
    with pytest.raises(InputError, match="known values"):
        source_scores(table, targets, ["good"])


def test_without_a_choice_sources_are_taken_as_they_are() -> None:
    table, targets = described(30)
    assert suiting(table, targets, ["bad", "good"]) == ["good"]
    assert suiting(table, targets, ["bad"]) == ["bad"]
    assert suiting(table, targets, []) == []
    one_compound = np.zeros(30, dtype=np.int64)
    assert suiting(table, targets, ["bad", "good"], one_compound) == ["bad"]

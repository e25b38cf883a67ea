from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import Matern

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError
from materialabs.transfer.choosing import offered_scores, source_scores, suiting
from materialabs.transfer.described import PHYSICAL, Described, no_conditions
from materialabs.transfer.gaussian_process import left_out
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
    blocks |= {name: Descriptors(np.zeros((rows, 1)), ("nothing",)) for name in PHYSICAL}
    cells = Compositions.parse(["NaCl"] * rows)
    targets = good @ random.normal(size=(8, 1)) + random.normal(0, 0.3, (rows, 1))
    return Described(cells, blocks, no_conditions(rows)), targets


@pytest.mark.parametrize("rows", [12, 200])
def test_the_source_that_the_values_follow_is_chosen(rows: int) -> None:
    table, targets = described(rows)
    scores = source_scores(table, targets, ["bad", "good"])
    assert scores["good"] > scores["bad"]
    assert suiting(scores) == ["good"]


@pytest.mark.parametrize("size", [1, 3])
def test_leaving_out_in_closed_form_is_leaving_out(size: int) -> None:
    """Each group is predicted from the others by a process that is solved anew."""
    random = np.random.default_rng(2)
    blocks = [random.normal(size=(30, 4)), random.normal(size=(30, 3)), random.normal(size=(30, 1))]
    blocks = [(one - one.mean(axis=0)) / one.std(axis=0) for one in blocks]
    targets = random.normal(size=(30, 2))
    groups = random.permutation(np.arange(30) // size)
    found = left_out(blocks, targets, groups, 0.2)
    centred = targets - targets.mean(axis=0)
    first, second, condition = (Matern(nu=2.5)(one / np.sqrt(one.shape[1])) for one in blocks)
    covariance = 0.5 * (first + second) * condition
    for group in np.unique(groups):
        rest, out = groups != group, groups == group
        known = covariance[np.ix_(rest, rest)] + 0.2 * np.eye(int(rest.sum()))
        told = covariance[np.ix_(out, rest)] @ np.linalg.solve(known, centred[rest])
        np.testing.assert_allclose(found[out], centred[out] - told, atol=1e-5)


def test_chance_explains_nothing_and_twins_are_left_out_together() -> None:
    table, targets = described(60)
    assert source_scores(table, targets, ["bad"])["bad"] < 0.1
    often = np.arange(600) % 60
    alone = source_scores(table.take(often), targets[often], ["bad"])["bad"]
    together = source_scores(table.take(often), targets[often], ["bad"], often)["bad"]
    assert together < 0.1 < 0.4 < alone


def test_values_that_never_differ_and_too_few_rows() -> None:
    table, targets = described(12)
    assert source_scores(table, np.ones((12, 1)), ["good"]) == {"good": 0.0}
    with pytest.raises(InputError, match="3 compounds"):
        source_scores(table, targets, ["good"], np.arange(12) % 2)
    targets[3] = np.nan
    with pytest.raises(InputError, match="known values"):
        source_scores(table, targets, ["good"])


def test_one_source_is_no_choice_and_one_compound_chooses_none() -> None:
    table, targets = described(30)
    assert suiting(offered_scores(table, targets, ["bad", "good"])) == ["good"]
    assert suiting(offered_scores(table, targets, ["bad"])) == ["bad"]
    assert suiting(offered_scores(table, targets, [])) == []
    one = np.zeros(30, dtype=np.int64)
    assert suiting(offered_scores(table, targets, ["bad", "good"], one)) == []

"""Fronts and volumes against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from materialabs.discovery.objectives import Objective, expected_gain, hypervolume, pareto_front


def points(columns: int) -> some.SearchStrategy[np.ndarray]:
    number = some.floats(0, 1, allow_nan=False)
    row = some.lists(number, min_size=columns, max_size=columns)
    return some.lists(row, min_size=1, max_size=8).map(np.array)


@given(points(2))
def test_nothing_beats_a_point_of_the_front(values: np.ndarray) -> None:
    front = pareto_front(values)
    assert front.any()
    for row in np.flatnonzero(front):
        worse = (values <= values[row]).all(axis=1) & (values < values[row]).any(axis=1)
        assert not worse.any()


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_volumes_equal_those_counted_on_a_grid(columns: int) -> None:
    rng = np.random.default_rng(columns)
    values = rng.integers(0, 10, size=(6, columns)) / 10.0
    axes = np.meshgrid(*[np.arange(10) / 10.0 + 0.05] * columns, indexing="ij")
    cells = np.stack([axis.ravel() for axis in axes], axis=1)
    covered = (values[None] <= cells[:, None]).all(axis=2).any(axis=1).mean()
    assert hypervolume(values, np.ones(columns)) == pytest.approx(covered, abs=1e-9)


def test_a_point_beyond_the_reference_adds_nothing() -> None:
    assert hypervolume(np.array([[2.0, 0.0]]), np.ones(2)) == 0.0


def test_a_candidate_that_beats_the_front_is_worth_more_than_one_behind_it() -> None:
    front = np.array([[0.0, 1.0], [1.0, 0.0]])
    means = np.array([[0.2, 0.2], [0.9, 0.95]])
    gains = expected_gain(means, np.full((2, 2), 0.01), front, seed=0)
    assert gains[0] > gains[1]
    assert gains[1] >= 0.0


def test_what_is_to_be_large_is_turned() -> None:
    assert Objective("density", "max").turned(np.array([2.0]))[0] == -2.0
    assert Objective.parse("min:density").turned(np.array([2.0]))[0] == 2.0


def test_rows_without_a_value_are_never_on_the_front() -> None:
    assert pareto_front(np.array([[np.nan, 0.0], [1.0, 1.0]])).tolist() == [False, True]

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from materialabs.predictions import Prediction
from materialabs.transfer.judging import Judged, figures_of, together
from materialabs.transfer.tables import Measurements, read_measurements
from tests.transfer.made_tables import write_table

ROWS = [3, 0, 5, 3, 1, 0]
"""Rows that two folds have judged, some in both."""


@pytest.fixture
def measured(tmp_path: Path) -> Measurements:
    return read_measurements(write_table(tmp_path / "t.csv", 30), "ionicity")


def overlapping(measured: Measurements) -> Judged:
    rows = np.array(ROWS)
    told = Prediction(measured.targets[rows, 0] + np.arange(6.0), np.ones(6), "1", "m/0")
    return Judged(rows, np.array([0, 0, 0, 1, 1, 1]), told)


def test_a_row_of_several_folds_counts_as_the_first_told_it(measured: Measurements) -> None:
    once = overlapping(measured).once()
    assert once.rows.tolist() == [3, 0, 5, 1] and once.fold.tolist() == [0, 0, 0, 1]
    errors = once.told.mean - measured.targets[once.rows, 0]
    np.testing.assert_allclose(errors, [0.0, 1.0, 2.0, 4.0])


def test_figures_count_each_row_once_and_folds_all_of_theirs(measured: Measurements) -> None:
    figures = figures_of(measured, overlapping(measured))
    worst = [one["id"] for one in figures["worst"]]
    assert figures["crystals"] == 4 == len(set(worst)) == len(worst)
    assert figures["mae"] == pytest.approx(7.0 / 4.0)
    assert [fold["mae"] for fold in figures["folds"]] == pytest.approx([1.0, 4.0])


def test_folds_of_which_some_saw_no_zero_are_joined_by_the_wider_bounds() -> None:
    bounded = Prediction(np.array([0.5]), np.ones(1), "1", "m/0", bounds=(0.0, np.inf))
    free = Prediction(np.array([2.0]), np.ones(1), "1", "m/0")
    found = together([bounded, free])
    assert found.bounds == (-np.inf, np.inf)
    assert found.mean.tolist() == [0.5, 2.0]
    assert together([bounded, bounded]).bounds == (0.0, np.inf)

"""How the benchmark of transfer tells what sources bring, on rows that nothing has seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.transfer_methods import said_inside

from materialabs.networks.splits import Split, folds
from materialabs.transfer.weighing import best_shares

ROWS = 1_000


@pytest.fixture(scope="module")
def targets() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, 1))


@pytest.fixture(scope="module")
def cuts() -> list[Split]:
    return folds(np.arange(ROWS), 5, seed=0)


def test_shares_have_not_seen_the_rows_that_they_are_judged_on(
    targets: np.ndarray, cuts: list[Split]
) -> None:
    random = np.random.default_rng(1)
    fair = targets + random.normal(0.0, 1.0, targets.shape)
    # Right in the first fold, and elsewhere no more than a worse copy of the fair one.
    right = np.isin(np.arange(ROWS), cuts[0].test)[:, None]
    cheat = np.where(right, targets, fair + random.normal(0.0, 1.0, targets.shape))
    values = np.stack([cheat, fair])
    assert best_shares(values, targets, cuts)[0] > 0.2
    told = said_inside(values, targets, cuts)
    assert told[cuts[0].test] == pytest.approx(fair[cuts[0].test], abs=0.05)


def test_each_row_is_told_once_by_the_shares_of_the_other_folds(
    targets: np.ndarray, cuts: list[Split]
) -> None:
    random = np.random.default_rng(2)
    values = targets + random.normal(0.0, [[[0.2]], [[0.4]], [[0.9]]], (3, ROWS, 1))
    told = said_inside(values, targets, cuts)
    assert np.isfinite(told).all()
    errors = np.abs(values - targets).mean(axis=(1, 2))
    assert np.abs(told - targets).mean() < errors.min()
    left_out = cuts[2]
    inner = [
        replace(
            cut,
            train=np.searchsorted(left_out.train, np.intersect1d(cut.train, left_out.train)),
            test=np.searchsorted(left_out.train, cut.test),
        )
        for number, cut in enumerate(cuts) if number != 2
    ]  # fmt: skip
    shares = best_shares(values[:, left_out.train], targets[left_out.train], inner)
    expected = np.tensordot(shares, values[:, left_out.test], axes=1)
    assert told[left_out.test] == pytest.approx(expected)

from __future__ import annotations

import numpy as np
import pytest

from materialabs.networks.splits import folds
from materialabs.transfer.weighing import absolute_shares, best_shares, squared_shares


def answers(
    rows: int, errors: tuple[float, ...], seed: int
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Strategies that err independently, and the truth."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(rows, 1))
    wrong = random.normal(size=(len(errors), rows, 1)) * np.array(errors)[:, None, None]
    return truth + wrong, truth


@pytest.mark.parametrize("classes", [False, True])
def test_shares_find_the_mixture_that_is_the_truth(classes: bool) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 200, 1))
    truth = 0.7 * values[0] + 0.3 * values[2]
    found = best_shares(values, truth, folds(np.arange(200), 5), classes=classes)
    np.testing.assert_allclose(found, [0.7, 0.0, 0.3], atol=5e-3)


@pytest.mark.parametrize("classes", [False, True])
def test_shares_are_never_below_zero_and_add_up_to_one(classes: bool) -> None:
    random = np.random.default_rng(1)
    values, truth = random.normal(size=(4, 50, 2)), random.normal(size=(50, 2))
    shares = best_shares(values, truth, folds(np.arange(50), 5), classes=classes)
    assert shares.min() >= 0 and shares.sum() == pytest.approx(1.0)


def test_squared_shares_weigh_independent_errors_by_their_variance() -> None:
    """Of independent errors the best mean weighs each by one over its variance."""
    values, truth = answers(200_000, (1.0, 2.0), 0)
    np.testing.assert_allclose(squared_shares(values, truth, 0.0), [0.8, 0.2], atol=0.01)


def test_absolute_shares_are_those_of_a_direct_search() -> None:
    values, truth = answers(300, (1.0, 1.5), 3)
    some = np.linspace(0, 1, 1001)
    mixed = some[:, None] * values[0, :, 0] + (1 - some[:, None]) * values[1, :, 0]
    errors = np.abs(mixed - truth[:, 0]).mean(axis=1)
    found = absolute_shares(values, truth, 0.0)[0]
    reached = np.abs(found * values[0, :, 0] + (1 - found) * values[1, :, 0] - truth[:, 0]).mean()
    assert reached <= errors.min() * 1.001


def test_a_few_odd_rows_do_not_decide() -> None:
    values, truth = answers(400, (0.5, 1.0), 5)
    usual = absolute_shares(values, truth, 0.0)
    truth[:4], values[1, :4] = 10.0, 10.0
    values[0, :4] = -10.0
    assert abs(absolute_shares(values, truth, 0.0)[0] - usual[0]) < 0.1
    assert squared_shares(values, truth, 0.0)[0] < 0.3


def test_a_pull_makes_shares_equal() -> None:
    values, truth = answers(100, (0.3, 1.0, 1.0), 6)
    np.testing.assert_allclose(absolute_shares(values, truth, 1e4), np.full(3, 1 / 3), atol=0.01)


def test_few_rows_trust_equal_shares_more_than_their_own() -> None:
    """Of equally good strategies, shares from thirty rows err less on others when drawn in."""
    drawn, free = [], []
    for seed in range(12):
        values, truth = answers(30, (1.0,) * 5, seed)
        others, rest = answers(4_000, (1.0,) * 5, 1_000 + seed)
        for kept, cuts in ((drawn, folds(np.arange(30), 5)), (free, [])):
            shares = best_shares(values, truth, cuts)
            kept.append(np.abs(np.tensordot(shares, others, axes=1) - rest).mean())
    assert np.mean(drawn) < np.mean(free)


def test_perfect_answers_and_one_strategy_are_borne() -> None:
    values, truth = answers(20, (0.0, 1.0), 8)
    np.testing.assert_allclose(best_shares(values, truth), [1.0, 0.0], atol=1e-3)
    assert best_shares(values[1:], truth, folds(np.arange(20), 5)).tolist() == [1.0]

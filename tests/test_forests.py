from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.forests import Forest


def made(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    features = random.normal(size=(rows, 6))
    return features, (np.sign(features[:, 0]) + 0.5 * features[:, 1])[:, None]


def walked(forest: Forest, row: np.ndarray) -> np.ndarray:
    """The mean answer of the trees, walked in plain Python."""
    answers = []
    for root in forest.roots[:-1].tolist():
        at = root
        while forest.feature[at] >= 0:
            right = np.float32(row[forest.feature[at]]) > forest.threshold[at]
            at = root + forest.left[at] + int(right)
        answers.append(forest.value[at])
    return np.mean(answers, axis=0)


def test_leaves_of_one_row_give_back_every_target() -> None:
    features, targets = made(80)
    mean, spread = Forest.grow(features, targets, trees=3).answers(features)
    np.testing.assert_allclose(mean, targets, atol=1e-5)
    assert spread.max() < 1e-3


def test_the_compiled_walk_is_the_plain_one() -> None:
    features, targets = made(60)
    forest = Forest.grow(features, targets, trees=7, smallest=3)
    asked = np.random.default_rng(1).normal(size=(20, 6))
    expected = np.stack([walked(forest, row) for row in asked])
    np.testing.assert_allclose(forest.answers(asked)[0], expected, rtol=1e-6)


def test_new_rows_are_predicted_as_well_as_by_scikit_learn() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    features, targets = made(500)
    asked = np.random.default_rng(2).normal(size=(500, 6))
    truth = np.sign(asked[:, 0]) + 0.5 * asked[:, 1]
    peer = ExtraTreesRegressor(100, max_features=0.5, random_state=0)
    theirs = np.abs(peer.fit(features, targets[:, 0]).predict(asked) - truth).mean()
    mine = Forest.grow(features, targets, trees=100, share=0.5).answers(asked)[0][:, 0]
    assert np.abs(mine - truth).mean() == pytest.approx(theirs, rel=0.1)


@given(st.integers(1, 20), st.integers(0, 1000))
def test_no_leaf_is_smaller_than_asked(smallest: int, seed: int) -> None:
    features, targets = made(60)
    forest = Forest.grow(features, targets, trees=1, smallest=smallest, seed=seed)
    counts: dict[int, int] = {}
    for row in features:
        at = 0
        while forest.feature[at] >= 0:
            at = forest.left[at] + int(np.float32(row[forest.feature[at]]) > forest.threshold[at])
        counts[at] = counts.get(at, 0) + 1
    assert min(counts.values()) >= smallest and sum(counts.values()) == 60


def test_the_same_seed_grows_the_same_forest() -> None:
    features, targets = made(50)
    first, other = (Forest.grow(features, targets, trees=4, seed=9) for _ in range(2))
    for name, array in first.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name])
    apart = Forest.grow(features, targets, trees=4, seed=10)
    assert not np.array_equal(first.threshold, apart.threshold)


def test_columns_of_classes_stay_probabilities() -> None:
    features, targets = made(200)
    classes = np.column_stack([targets[:, 0] > 0, targets[:, 0] <= 0]).astype(float)
    mean, _ = Forest.grow(features, classes, trees=20).answers(features[:50] + 0.3)
    np.testing.assert_allclose(mean.sum(axis=1), 1.0, atol=1e-6)
    assert mean.min() >= 0


def test_constant_features_make_one_leaf() -> None:
    forest = Forest.grow(np.ones((10, 3)), np.arange(10.0)[:, None], trees=2)
    mean, _ = forest.answers(np.zeros((1, 3)))
    assert len(forest.feature) == 2 and mean[0, 0] == pytest.approx(4.5)


def test_a_forest_survives_its_arrays() -> None:
    features, targets = made(40)
    forest = Forest.grow(features, targets, trees=3)
    again = Forest.from_arrays(forest.to_arrays())
    np.testing.assert_array_equal(forest.answers(features)[0], again.answers(features)[0])


def test_boosted_trees_beat_averaged_ones_on_a_sum_of_many_parts() -> None:
    random = np.random.default_rng(4)
    features, asked = random.normal(size=(300, 8)), random.normal(size=(300, 8))
    targets, truth = features.sum(axis=1, keepdims=True), asked.sum(axis=1)
    errors = [
        np.abs(grow(features, targets).answers(asked)[0][:, 0] - truth).mean()
        for grow in (Forest.boost, Forest.grow)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_boosted_trees_draw_nearer_to_what_they_learn_with_every_tree() -> None:
    features, targets = made(150)
    errors = [
        np.abs(Forest.boost(features, targets, trees=trees).answers(features)[0] - targets).mean()
        for trees in (1, 10, 100)
    ]
    assert errors[0] > errors[1] > 2 * errors[2]


def test_one_boosted_tree_is_the_mean_and_a_share_of_a_tree() -> None:
    features, targets = made(50)
    found = Forest.boost(features, targets, trees=1, smallest=1, rate=0.25).answers(features)[0]
    np.testing.assert_allclose(found, 0.75 * targets.mean() + 0.25 * targets, atol=1e-5)

"""A Gaussian process with a kernel made of parts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from materialabs.discovery.surrogate import SMALLEST_VARIANCE, Kernel, Surrogate, Term
from materialabs.discovery.surrogate_factors import Along, Inputs, Named, Near
from materialabs.errors import InputError

KERNEL = Kernel(
    (Near("a", 0.7), Named("b"), Along("c")),
    (Term((), 0.5), Term((0,), 1.0), Term((0, 1), 0.3), Term((1, 2), 0.2)),
    0.05,
)
SETTINGS = np.array([-0.2, 0.3, -0.8, -0.5, 0.2, -1.0, -1.3, -2.5])


def inputs(count: int, seed: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    names = rng.standard_normal((4, 3))
    return {
        "a": rng.standard_normal((count, 2)),
        "b": names[rng.integers(0, 4, count)],
        "c": rng.standard_normal((count, 2)),
    }


def covariance(first: Inputs, second: Inputs, settings: np.ndarray) -> np.ndarray:
    """The kernel of this file pair by pair, in plain words."""
    a, b, share, *logs = settings[:-1]
    weight = 1.0 / (1.0 + np.exp(-share))
    v = np.exp(logs)
    table = np.zeros((len(first["a"]), len(second["a"])))
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            apart = [np.mean((first[name][i] - second[name][j]) ** 2) for name in "ab"]
            near = np.exp(-0.5 * apart[0] / np.exp(a) ** 2)
            same = float(np.array_equal(first["b"][i], second["b"][j]))
            named = (1 - weight) * np.exp(-0.5 * apart[1] / np.exp(b) ** 2) + weight * same
            along = first["c"][i] @ second["c"][j]
            table[i, j] = v[0] + v[1] * near + v[2] * near * named + v[3] * named * along
    return table


def table_of(first: Inputs, second: Inputs, settings: np.ndarray) -> np.ndarray:
    return KERNEL.table(KERNEL.likenesses(KERNEL.compared(first, second), settings), settings)


def test_the_kernel_is_the_sum_of_products_that_it_says() -> None:
    first, second = inputs(6), inputs(5, seed=1) | {"b": inputs(6)["b"][:5]}
    np.testing.assert_allclose(
        table_of(first, second, SETTINGS), covariance(first, second, SETTINGS), rtol=1e-9
    )


def test_what_a_candidate_varies_by_itself_is_the_diagonal_of_the_kernel() -> None:
    one = inputs(7)
    np.testing.assert_allclose(
        KERNEL.itself(one, SETTINGS), np.diag(covariance(one, one, SETTINGS)), rtol=1e-12
    )


def test_derivatives_of_the_posterior_agree_with_finite_differences() -> None:
    one = inputs(12)
    target = np.random.default_rng(3).standard_normal(12)
    surrogate, compared = Surrogate(KERNEL), KERNEL.compared(one, one)

    def loss(settings: np.ndarray) -> float:
        return surrogate._lost(settings, compared, target)[0]

    found = surrogate._lost(SETTINGS, compared, target)[1]
    np.testing.assert_allclose(found, approx_fprime(SETTINGS, loss, 1e-6), rtol=1e-3, atol=1e-4)


def test_mean_and_deviation_are_those_of_the_normal_distribution_given_the_labels() -> None:
    known, asked = inputs(15), inputs(4, seed=5) | {"b": inputs(15)["b"][:4]}
    labels = np.random.default_rng(1).normal(2.0, 3.0, 15)
    surrogate = Surrogate(KERNEL).fit(known, labels)
    settings = surrogate.settings
    assert settings is not None
    scale = labels.std()
    noise = np.exp(settings[-1])
    inverse = np.linalg.inv(
        covariance(known, known, settings) + (noise + SMALLEST_VARIANCE) * np.eye(15)
    )
    cross = covariance(known, asked, settings)
    mean = labels.mean() + cross.T @ inverse @ (labels - labels.mean())
    left = np.diag(covariance(asked, asked, settings) - cross.T @ inverse @ cross)
    found = surrogate.predict(asked)
    np.testing.assert_allclose(found[0], mean, rtol=1e-6)
    np.testing.assert_allclose(found[1], scale * np.sqrt(left + noise), rtol=1e-6)


def test_draws_have_the_mean_and_the_covariance_of_the_posterior() -> None:
    known = inputs(15)
    asked = {name: np.concatenate([block[:3], block[:1] + 0.1]) for name, block in known.items()}
    labels = np.sin(3.0 * known["a"][:, 0]) + 0.1 * known["c"][:, 1]
    surrogate = Surrogate(KERNEL).fit(known, labels)
    drawn = surrogate.draws(asked, 20_000, seed=2)
    mean, deviation = surrogate.predict(asked)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * deviation.max() / 140)
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.05)


def test_draws_repeat_with_their_seed() -> None:
    known = inputs(8)
    surrogate = Surrogate(KERNEL).fit(known, known["a"][:, 0])
    np.testing.assert_array_equal(
        surrogate.draws(known, 3, seed=1), surrogate.draws(known, 3, seed=1)
    )


def test_a_smooth_function_is_learned_to_a_small_part_of_its_spread() -> None:
    kernel = Kernel((Near("x"),), (Term((0,), 1.0),), 0.01)
    x = np.linspace(-2, 2, 25)[:, None]
    surrogate = Surrogate(kernel).fit({"x": x}, np.sin(2 * x[:, 0]))
    between = np.linspace(-1.9, 1.9, 40)[:, None]
    error = np.abs(surrogate.predict({"x": between})[0] - np.sin(2 * between[:, 0]))
    assert error.max() < 0.02


def test_equal_labels_are_no_error() -> None:
    known = inputs(5)
    mean, _ = Surrogate(KERNEL).fit(known, np.full(5, 1.5)).predict(known)
    np.testing.assert_allclose(mean, 1.5, atol=1e-6)


@pytest.mark.parametrize("labels", [np.array([1.0]), np.array([1.0, np.nan])])
def test_too_few_labels_or_none_that_are_finite_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InputError, match="two finite labels"):
        Surrogate(KERNEL).fit(inputs(len(labels)), labels)


def test_asking_before_learning_is_refused() -> None:
    with pytest.raises(InputError, match="call fit first"):
        Surrogate(KERNEL).predict(inputs(2))


def test_a_table_that_rounding_has_bent_is_factorised_all_the_same() -> None:
    from materialabs.discovery.surrogate import _factorised

    bent = np.ones((3, 3)) - np.diag([0.0, 0.0, 1e-5])
    factor = _factorised(bent, 1e-8)
    np.testing.assert_allclose(factor @ factor.T, bent, atol=2e-4)
    with pytest.raises(InputError, match="not numbers"):
        _factorised(np.full((2, 2), np.nan), 1e-8)

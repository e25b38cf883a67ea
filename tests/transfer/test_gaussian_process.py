from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from materialabs.transfer.gaussian_process import Process, _squares, surprise, tuned


def made(rows: int = 80) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(0)
    first, noise = random.normal(size=(rows, 2)), random.normal(size=(rows, 3))
    return [first, noise, np.zeros((rows, 0))], np.sin(first[:, :1]) + 0.5 * first[:, 1:]


def squares_of(block: np.ndarray) -> np.ndarray:
    gaps = block[:, None] - block[None]
    return (gaps**2).sum(axis=2) / max(block.shape[1], 1)


def test_the_gradient_is_that_of_finite_differences() -> None:
    blocks, targets = made(25)
    kelvin = np.random.default_rng(1).normal(size=(25, 1))
    squares = [squares_of(one) for one in (*blocks[:2], kelvin)]
    logs, believed = np.array([0.2, -0.1, 0.4, -0.5, -1.0, -2.0]), np.zeros(6)
    found = surprise(logs, squares, targets, believed)[1]
    expected = approx_fprime(
        logs, lambda given: surprise(given, squares, targets, believed)[0], 1e-6
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_the_posterior_mean_is_that_of_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    blocks, targets = made()
    process = Process.fit([blocks[0], blocks[2]], targets)
    length, _, strength, noise = np.exp(process.logs)
    kernel = ConstantKernel(strength) * Matern(length * np.sqrt(2.0), nu=2.5) + WhiteKernel(
        noise + 1e-4
    )
    scaled = (blocks[0] - blocks[0].mean(axis=0)) / blocks[0].std(axis=0)
    wanted = (targets - targets.mean()) / targets.std()
    peer = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(scaled, wanted)
    asked = np.random.default_rng(2).normal(size=(10, 2))
    near = (asked - blocks[0].mean(axis=0)) / blocks[0].std(axis=0)
    expected = peer.predict(near).ravel() * targets.std() + targets.mean()
    found, _ = process.answers([asked, np.zeros((10, 0))])
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)


def test_equal_rows_are_borne_at_any_strength() -> None:
    """A line search tries wild strengths; rows may be equal (one compound measured twice)."""
    block = np.repeat(np.random.default_rng(0).normal(size=(20, 40)), 20, axis=0)
    squares = [np.maximum(squares_of(block), 0.0), np.zeros((400, 400))]
    targets = np.random.default_rng(1).normal(size=(400, 1))
    value, slopes = surprise(np.array([5.0, 0.0, 35.0, -30.0]), squares, targets, np.zeros(4))
    assert np.isfinite(value)
    assert np.isfinite(slopes).all()


def test_equal_rows_are_borne_at_any_length() -> None:
    """What rounding leaves of the distance of equal rows must not count at short lengths."""
    random = np.random.default_rng(4)
    rows = np.repeat(random.normal(size=(30, 130)), 12, axis=0).astype(np.float32)
    squares = [_squares(rows, rows), np.zeros((360, 360))]
    assert (squares[0][:12, :12] == 0).all()
    logs = np.array([-10.0, 0.0, 10.0, -10.0])
    value, _ = surprise(logs, squares, random.normal(size=(360, 1)), np.zeros(4))
    assert np.isfinite(value)


def test_a_block_of_noise_gets_less_say_than_one_that_matters() -> None:
    blocks, targets = made(150)
    scaled = [(one - one.mean(axis=0)) / one.std(axis=0) for one in blocks[:2]]
    logs = tuned([*(one.astype(np.float32) for one in scaled), np.zeros((150, 0), np.float32)],
                 (targets - targets.mean()) / targets.std())  # fmt: skip
    assert logs[3] > logs[4] + 1.0


def test_a_condition_scales_what_rows_tell_of_each_other() -> None:
    random = np.random.default_rng(3)
    cells = random.normal(size=(150, 2))
    kelvin = random.uniform(-1, 1, size=(150, 1))
    targets = cells[:, :1] * np.sin(2.0 * kelvin)
    process = Process.fit([cells, kelvin], targets)
    asked = random.normal(size=(100, 2)) * 0.7
    at = random.uniform(-0.8, 0.8, size=(100, 1))
    found, _ = process.answers([asked, at])
    truth = asked[:, 0] * np.sin(2.0 * at[:, 0])
    assert np.corrcoef(found[:, 0], truth)[0, 1] > 0.98


def test_strangeness_is_zero_at_a_row_seen_and_rises_far_away() -> None:
    blocks, targets = made()
    process = Process.fit(blocks, targets)
    _, seen = process.answers([one[:5] for one in blocks])
    _, far = process.answers([np.full((1, 2), 5.0), np.full((1, 3), -5.0), np.zeros((1, 0))])
    assert seen.max() < 1e-6 and far[0] > 0.2


def test_a_constant_column_does_no_harm() -> None:
    blocks, targets = made()
    wider = np.column_stack([blocks[0], np.full(80, 7.0)])
    process = Process.fit([wider, blocks[2]], targets)
    found, _ = process.answers([wider, blocks[2]])
    assert np.abs(found - targets).mean() < 0.1


def test_a_process_survives_its_arrays() -> None:
    blocks, targets = made()
    process = Process.fit(blocks, targets)
    again = Process.from_arrays(process.to_arrays())
    np.testing.assert_array_equal(process.answers(blocks)[0], again.answers(blocks)[0])


def test_no_rows_give_no_answers() -> None:
    blocks, targets = made()
    mean, strange = Process.fit(blocks, targets).answers([one[:0] for one in blocks])
    assert mean.shape == (0, 1) and strange.shape == (0,)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_process(seed: int) -> None:
    blocks, targets = made()
    first, other = (Process.fit(blocks, targets, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(first.weights, other.weights)

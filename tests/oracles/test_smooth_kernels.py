import numpy as np
from numba import njit

from materialabs.oracles.smooth_kernels import exponential, sigmoid, sines_and_cosines


@njit(error_model="numpy")
def exponentials(values, out):
    for place in range(values.size):
        out[place] = exponential(values[place])


@njit(error_model="numpy")
def sigmoids(values, out):
    for place in range(values.size):
        out[place] = sigmoid(values[place])


def test_exponential_is_that_of_numpy_to_single_precision():
    values = np.linspace(-80, 80, 40_001).astype(np.float32)
    found = np.empty_like(values)
    exponentials(values, found)
    np.testing.assert_allclose(found, np.exp(values.astype(float)), rtol=3e-7)


def test_exponential_stops_at_its_ends_instead_of_overflowing():
    values = np.array([-1e4, 1e4], dtype=np.float32)
    found = np.empty_like(values)
    exponentials(values, found)
    assert 0 < found[0] < 1e-37
    assert np.isfinite(found[1])


def test_sigmoid_is_that_of_its_formula():
    values = np.linspace(-30, 30, 10_001).astype(np.float32)
    found = np.empty_like(values)
    sigmoids(values, found)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-values.astype(float))), rtol=4e-7)


def test_sines_and_cosines_are_those_of_numpy_for_large_angles():
    frequencies = (np.pi * np.arange(1, 32)).astype(np.float32)
    sines, cosines = np.empty_like(frequencies), np.empty_like(frequencies)
    for turns in np.linspace(0.0, 3.2, 101):
        sines_and_cosines(turns, frequencies, sines, cosines)
        angles = turns * frequencies.astype(float)
        np.testing.assert_allclose(sines, np.sin(angles), atol=2e-7)
        np.testing.assert_allclose(cosines, np.cos(angles), atol=2e-7)

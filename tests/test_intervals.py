"""Reach of intervals: against scipy's distributions, and what tables must promise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from materialabs.errors import InputError
from materialabs.intervals import ONE_SIGMA, IntervalShape

probabilities = st.floats(0.001, 0.9999)


@st.composite
def shapes(draw: st.DrawFn) -> IntervalShape:
    grid = np.unique(np.round(draw(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8)), 6))
    steps = draw(
        st.lists(
            st.lists(st.floats(0.0, 3.0), min_size=len(grid), max_size=len(grid)),
            min_size=1,
            max_size=3,
        )
    )
    return IntervalShape(grid, np.cumsum(steps, axis=1))


@given(probabilities)
def test_the_normal_shape_is_the_normal_distribution(probability: float) -> None:
    expected = stats.norm.ppf((1 + probability) / 2)
    assert IntervalShape.normal().reach(probability, [0])[0] == pytest.approx(expected, abs=1e-3)


@given(st.floats(0.0, 6.0))
def test_the_normal_shape_gives_back_probabilities(reach: float) -> None:
    expected = 2 * stats.norm.cdf(reach) - 1
    found = IntervalShape.normal().probability_within(reach, 0)
    assert found == pytest.approx(expected, abs=1e-4)


@given(st.floats(0.0, 4.0))
def test_overshoot_is_the_mean_excess_of_the_normal_distribution(reach: float) -> None:
    expected = stats.norm.pdf(reach) - reach * stats.norm.sf(reach)
    assert IntervalShape.normal().overshoot(reach, 0) == pytest.approx(expected, abs=2e-4)


def test_overshoot_of_an_exponential_table_is_exact() -> None:
    grid = np.array([0.3, 0.7, 0.95])
    laplace = IntervalShape(grid, -np.log1p(-grid)[None, :])
    for reach in (0.0, 0.2, 1.0, 2.9, 7.0):
        assert laplace.overshoot(reach, 0) == pytest.approx(np.exp(-reach) / 2, rel=1e-9)


def test_one_standard_deviation_is_reached_at_68_percent() -> None:
    assert IntervalShape.normal().reach(ONE_SIGMA, [0])[0] == pytest.approx(1.0, abs=1e-9)


@given(shapes(), probabilities, probabilities)
def test_a_higher_probability_never_reaches_less(
    shape: IntervalShape, first: float, second: float
) -> None:
    rows = np.arange(len(shape))
    low, high = sorted((first, second))
    assert (shape.reach(low, rows) <= shape.reach(high, rows) + 1e-12).all()


def test_tabulated_probabilities_reach_what_the_table_says() -> None:
    shape = IntervalShape([0.2, 0.9], [[0.1, 2.0], [0.3, 5.0]])
    assert shape.reach(0.9, [1, 0]).tolist() == [5.0, 2.0]


def test_beyond_the_table_the_reach_goes_on_growing() -> None:
    shape = IntervalShape([0.5, 0.9], [[1.0, 1.0]])
    assert shape.reach(0.999, [0])[0] == pytest.approx(np.log(1000) / np.log(10))


@given(shapes())
def test_a_shape_survives_json(shape: IntervalShape) -> None:
    again = IntervalShape.from_dict(json.loads(json.dumps(shape.to_dict())))
    assert np.array_equal(again.factors, shape.factors)
    assert np.array_equal(again.probabilities, shape.probabilities)


@given(shapes(), shapes(), probabilities)
def test_joined_tables_reach_what_each_reached(
    first: IntervalShape, second: IntervalShape, probability: float
) -> None:
    both = first.joined(second)
    assert len(both) in (len(first) + len(second), len(first))
    rows = np.arange(len(first))
    near = [p for p in first.probabilities if p <= probability]
    for known in near:
        assert both.reach(known, rows) == pytest.approx(first.reach(known, rows), abs=1e-9)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        IntervalShape.normal().reach(probability, [0])


@pytest.mark.parametrize(
    ("grid", "factors", "message"),
    [
        ([], [[]], "one probability or more"),
        ([0.5], [[1.0, 2.0]], "factors of shape"),
        ([0.5, 0.4], [[1.0, 2.0]], "rise"),
        ([0.5, 1.0], [[1.0, 2.0]], "rise"),
        ([0.5, 0.9], [[1.0, np.nan]], "is a number"),
        ([0.5, 0.9], [[-1.0, 1.0]], "not below zero"),
        ([0.5, 0.9], [[2.0, 1.0]], "must not be narrower"),
    ],
)
def test_a_table_that_promises_nonsense_is_refused(grid, factors, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        IntervalShape(grid, factors)


def test_a_document_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="not the shape of an interval"):
        IntervalShape.from_dict({"probabilities": [0.5]})

"""Choosing a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.discovery.acquisition import Promise, choose, diverse
from materialabs.predictions import Prediction

FORMULAS = ["CuAu", "CuAu", "Cu3Au", "CuAu3", "Cu2Au", "CuAu2", "Cu5Au", "CuAu5"]


def promise(mean: list[float], std: list[float], within: list[float] | None = None) -> Promise:
    distance = Prediction(np.array(mean), np.array(std), "eV/atom", "test")
    ones = np.ones(len(mean))
    allowed = ones if within is None else np.array(within)
    compositions = Compositions.parse(FORMULAS[: len(mean)])
    return Promise(distance, compositions, None, allowed, ones)


def test_greedy_takes_the_lowest_predicted_first() -> None:
    told = promise([0.3, 0.2, 0.0, 0.1], [0.01] * 4)
    assert choose(told, 2, "greedy", 1, seed=0).rows.tolist() == [2, 3]


def test_uncertainty_takes_the_widest_that_may_reach_the_hull() -> None:
    told = promise([0.05, 0.05, 0.05, 0.9], [0.01, 0.02, 0.2, 0.2])
    choice = choose(told, 1, "uncertainty", 1, seed=0)
    assert choice.rows.tolist() == [2]
    assert choice.reasons == ("unsure",)


def test_improvement_prefers_the_unsure_of_two_equal_means() -> None:
    told = promise([0.05, 0.3, 0.05], [0.01, 0.01, 0.08])
    assert choose(told, 1, "improvement", 1, seed=0).rows.tolist() == [2]


def test_the_likeliest_is_the_one_that_most_draws_put_on_the_hull() -> None:
    told = promise([0.02, 0.05, 0.05], [0.001, 0.01, 0.2])
    assert choose(told, 1, "likeliest", 1, seed=0).rows.tolist() == [2]
    draws = np.full((20, 3), 0.1)
    draws[:9, 1] = 0.0
    drawn = Promise(
        told.distance, told.compositions, None, told.within, told.likelihood, among=draws
    )
    assert choose(drawn, 1, "likeliest", 1, seed=0).rows.tolist() == [1]


@pytest.mark.parametrize("strategy", ["improvement", "likeliest"])
def test_a_formula_that_was_tried_often_gives_way_to_a_new_one(strategy: str) -> None:
    told = promise([0.01, 0.0, 0.012], [0.05] * 3)
    tried = replace(told, tried=np.array([0.0, 3.0, 0.0]))
    assert choose(told, 1, strategy, 1, seed=0).rows.tolist() == [1]
    assert choose(tried, 1, strategy, 1, seed=0).rows.tolist() == [0]


def test_the_unsure_are_looked_for_near_the_hull() -> None:
    """Far above it nearly all are unsure, and hardly one comes near."""
    told = promise([0.08, 0.09, 0.7], [0.05, 0.1, 0.9])
    assert choose(told, 1, "uncertainty", 1, seed=0).rows.tolist() == [1]


def test_the_mixed_schedule_grows_its_share_of_unsure_ones_up_to_a_fifth() -> None:
    rng = np.random.default_rng(0)
    formulas = Compositions.parse([f"Cu{n}Au{m}" for n in range(1, 9) for m in range(1, 6)])
    distance = Prediction(rng.uniform(0, 0.2, 40), rng.uniform(0.01, 0.1, 40), "eV/atom", "test")
    told = Promise(distance, formulas, None, np.ones(40), np.ones(40))
    shares = [choose(told, 20, "mixed", number, seed=0).reasons.count("unsure")
              for number in (1, 3, 5, 20)]  # fmt: skip
    assert shares == [0, 2, 4, 4]


@pytest.mark.parametrize("strategy", ["mixed", "likeliest", "improvement"])
def test_of_equal_predictions_a_template_goes_before_a_random_crystal(strategy: str) -> None:
    """Many more random crystals are drawn, and the lowest of them are those taken too low."""
    told = promise([0.02, 0.019, 0.2, 0.2], [0.03, 0.03, 0.01, 0.01])
    templates = np.array([0.5, 0.0, 0.5, 0.5])
    assert choose(told, 1, strategy, 1, seed=0).rows.tolist() == [1]
    some = replace(told, likelihood=templates)
    assert choose(some, 1, strategy, 1, seed=0).rows.tolist() == [0]


@pytest.mark.parametrize("strategy", ["mixed", "likeliest", "improvement"])
def test_a_random_crystal_that_promises_far_more_is_taken(strategy: str) -> None:
    told = promise([-0.2, 0.15, 0.2, 0.2], [0.02, 0.02, 0.02, 0.02])
    some = replace(told, likelihood=np.array([0.0, 0.5, 0.5, 0.5]))
    assert choose(some, 1, strategy, 1, seed=0).rows.tolist() == [0]


def many(likelihood: np.ndarray, std: np.ndarray | float) -> Promise:
    """Forty candidates of different formulas, 0.1 to 0.3 eV/atom above the hull."""
    formulas = Compositions.parse([f"Cu{n}Au{m}" for n in range(1, 9) for m in range(1, 6)])
    spread = np.broadcast_to(np.asarray(std, dtype=float), 40).copy()
    distance = Prediction(np.linspace(0.1, 0.3, 40), spread, "eV/atom", "test")
    return Promise(distance, formulas, None, np.ones(40), likelihood)


def test_the_unsure_are_not_random_crystals() -> None:
    """The widest of all is a random crystal, which is too far up to be a confident one."""
    std = np.full(40, 0.001)
    std[[20, 21]] = 0.03, 0.02
    told = many(np.ones(40), std)
    assert told.distance is not None
    mean = np.full(40, 0.1)
    mean[:8] = -0.5
    told = replace(told, distance=told.distance.replace(mean=mean))
    random = replace(told, likelihood=np.where(np.arange(40) == 20, 0.0, 1.0))
    for one, expected in ((told, 20), (random, 21)):
        choice = choose(one, 5, "mixed", 20, seed=0)
        assert choice.rows[[why == "unsure" for why in choice.reasons]].tolist() == [expected]


def test_a_batch_is_full_where_templates_have_run_out() -> None:
    likelihood = np.zeros(40)
    likelihood[:2] = 1.0
    choice = choose(many(likelihood, 0.02), 20, "mixed", 20, seed=0)
    assert len(set(choice.rows.tolist())) == 20


def test_where_all_are_random_crystals_none_counts_less() -> None:
    """Without a template the unsure part is of random crystals as well."""
    random, told = (
        choose(many(np.full(40, chance), np.linspace(0.01, 0.1, 40)), 10, "mixed", 20, seed=0)
        for chance in (0.0, 1.0)
    )
    assert random.rows.tolist() == told.rows.tolist()
    assert random.reasons.count("unsure") == 2


def test_objectives_count_random_crystals_less_as_well() -> None:
    told = replace(many(np.ones(40), 0.02), gain=np.full(40, 0.5))
    likelihood = np.ones(40)
    likelihood[0] = 0.0
    assert 0 in choose(told, 1, "improvement", 1, seed=0).rows
    assert 0 not in choose(replace(told, likelihood=likelihood), 1, "improvement", 1, seed=0).rows


@pytest.mark.parametrize(("ratio", "first"), [(2.5, 0), (4.5, 1)])
def test_a_random_crystal_counts_three_tenths(ratio: float, first: int) -> None:
    """It is taken where its chance is more than about three times the other's, and only there."""
    chances = np.array([0.2, min(0.2 * ratio, 1.0)])
    drawn = np.where(np.arange(100)[:, None] < 100 * chances, 0.0, 0.1)
    told = replace(promise([0.05, 0.05], [0.01, 0.01]), among=drawn)
    some = replace(told, likelihood=np.array([0.5, 0.0]))
    assert choose(some, 1, "likeliest", 1, seed=0).rows.tolist() == [first]


def test_random_repeats_with_its_seed_and_changes_with_the_round() -> None:
    told = promise([0.1] * 8, [0.1] * 8)
    one = choose(told, 4, "random", 1, seed=7).rows.tolist()
    assert one == choose(told, 4, "random", 1, seed=7).rows.tolist()
    assert one != choose(told, 4, "random", 2, seed=7).rows.tolist()


def test_a_batch_is_not_of_one_formula() -> None:
    scores = np.array([1.0, 0.99, 0.6, 0.5])
    rows = diverse(scores, Compositions.parse(FORMULAS[:4]), 2)
    assert rows.tolist() == [0, 2]


@pytest.mark.parametrize("strategy", ["mixed", "likeliest", "greedy", "improvement", "random"])
@pytest.mark.parametrize("count", [2, 4])
def test_candidates_outside_the_wanted_ranges_are_never_chosen(strategy: str, count: int) -> None:
    told = promise([0.0, 0.0, 0.1, 0.2], [0.05] * 4, within=[0.0, 0.0, 1.0, 1.0])
    assert set(choose(told, count, strategy, 1, seed=0).rows.tolist()) == {2, 3}


@pytest.mark.parametrize("strategy", ["mixed", "likeliest", "improvement"])
def test_objectives_decide_where_they_are_given(strategy: str) -> None:
    told = promise([0.0, 0.0, 0.3, 0.3], [0.01] * 4)
    weighed = replace(told, gain=np.array([0.0, 0.0, 0.5, 0.4]))
    assert set(choose(weighed, 2, strategy, 1, seed=0).rows.tolist()) == {2, 3}


def test_a_mixed_batch_is_full_where_few_can_be_stable() -> None:
    """Draws leave most candidates without any chance; the batch takes the next best."""
    told = promise([0.0, 0.1, 0.12, 0.14, 0.2, 0.21, 0.3, 0.4], [0.01] * 8)
    among = np.tile(told.distance.mean, (20, 1))
    drawn = replace(told, among=among)
    assert len(set(choose(drawn, 6, "mixed", 1, seed=0).rows.tolist())) == 6


def test_without_a_prediction_the_generators_opinion_counts() -> None:
    compositions = Compositions.parse(["CuAu", "Cu3Au", "CuAu3"])
    told = Promise(None, compositions, None, np.ones(3), np.array([0.1, 0.5, 0.0]))
    choice = choose(told, 2, "mixed", 1, seed=0)
    assert choice.rows.tolist()[0] == 1
    assert choice.reasons == ("likely", "likely")


def test_no_more_are_chosen_than_there_are() -> None:
    told = promise([0.1, 0.2], [0.1, 0.1])
    assert len(choose(told, 10, "mixed", 5, seed=0).rows) == 2

"""The in-domain score is a rank among known crystals, and new elements are flagged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import InputError
from materialabs.networks.domain import PROTOTYPES, Domain, Strangeness

METALS, ANIONS = ("Li", "Na", "K", "Mg", "Ca", "Ti", "Fe", "Zn"), ("O", "S", "F", "Cl")


def known(count: int, seed: int) -> tuple[np.ndarray, Compositions, np.ndarray]:
    """Salts with features of 20 numbers and volumes near the estimate."""
    random = np.random.default_rng(seed)
    formulas = [
        f"{random.choice(METALS)}{random.integers(1, 4)}{random.choice(ANIONS)}"
        for _ in range(count)
    ]
    compositions = Compositions.parse(formulas)
    volumes = estimated_volumes(compositions) * np.exp(random.normal(0.0, 0.05, count))
    mixing = np.random.default_rng(0).normal(size=(20, 20))
    return random.normal(size=(count, 20)) @ mixing, compositions, volumes


@pytest.fixture(scope="module")
def domain() -> Domain:
    features, compositions, volumes = known(3000, seed=1)
    return Domain.fit(features, compositions, volumes, np.arange(3000) >= 2000)


def one(formula: str, *, far: float = 0.0, swollen: float = 1.0) -> tuple:  # type: ignore[type-arg]
    compositions = Compositions.parse([formula])
    volumes = np.full(1, 20.0)
    if formula != "OgO":
        volumes = estimated_volumes(compositions) * swollen
    return np.full((1, 20), far), compositions, volumes


def test_scores_of_more_known_crystals_are_evenly_spread(domain: Domain) -> None:
    found = domain.judge(*known(2000, seed=2))
    assert stats.kstest(found.score, "uniform").statistic < 0.07


def test_an_element_never_seen_is_flagged_with_score_zero(domain: Domain) -> None:
    found = domain.judge(*one("PuO2"))
    assert found.score[0] == 0.0
    assert found.new_elements == (("Pu",),)
    assert found.reasons() == ["Pu never seen in training"]


def test_an_element_without_a_known_volume_is_judged_too(domain: Domain) -> None:
    assert domain.judge(*one("OgO")).score[0] == 0.0


def test_a_pair_never_seen_is_told_and_scores_low(domain: Domain) -> None:
    found = domain.judge(*one("TiFe"))
    assert found.reasons() == ["two elements never seen together in training"]
    assert found.score[0] < 0.01


def test_a_usual_crystal_scores_high_and_needs_no_word(domain: Domain) -> None:
    found = domain.judge(*one("NaCl"))
    assert found.score[0] > 0.3
    assert found.reasons() == [""]


def test_features_far_from_training_score_low(domain: Domain) -> None:
    assert domain.judge(*one("NaCl", far=500.0)).score[0] < 0.01


@pytest.mark.parametrize("swollen", [0.5, 2.0])
def test_a_volume_out_of_range_scores_low(domain: Domain, swollen: float) -> None:
    assert domain.judge(*one("NaCl", swollen=swollen)).score[0] < 0.01


def test_the_distance_is_that_to_the_fifth_nearest_prototype(domain: Domain) -> None:
    from scipy.spatial import cKDTree

    features, compositions, volumes = known(50, seed=3)
    where = (features - domain.centre) @ domain.directions
    expected = cKDTree(domain.prototypes).query(where, 5)[0][:, 4]
    found = domain.judge(features, compositions, volumes)
    assert found.distance == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [20, 64, 65, 129, 700])
def test_the_distance_is_right_for_any_number_of_prototypes(count: int) -> None:
    features, compositions, volumes = known(count + 60, seed=8)
    held = np.arange(count + 60) >= count
    made = Domain.fit(features, compositions, volumes, held, prototypes=600)
    assert len(made.prototypes) == min(count, 600)
    where = (features[held] - made.centre) @ made.directions
    every = np.linalg.norm(where[:, None] - made.prototypes, axis=2)
    found = made.judge(features[held], compositions[held], volumes[held])
    np.testing.assert_allclose(found.distance, np.sort(every, axis=1)[:, 4], rtol=1e-9)


def test_a_shipped_domain_judges_alike_and_is_small(domain: Domain) -> None:
    arrays = domain.to_arrays()
    again = Domain.from_arrays(arrays)
    asked = known(300, seed=4)
    assert again.judge(*asked).score == pytest.approx(domain.judge(*asked).score, abs=0.02)
    largest = sum(array.nbytes for array in arrays.values()) * PROTOTYPES / len(domain.prototypes)
    assert largest < 300_000


def test_large_held_out_sets_are_kept_as_a_thousand_values() -> None:
    features, compositions, volumes = known(2500, seed=5)
    made = Domain.fit(features, compositions, volumes, np.arange(2500) >= 100)
    assert len(made.distances) == 1000


def test_the_same_seed_keeps_the_same_prototypes() -> None:
    features, compositions, volumes = known(200, seed=6)
    held = np.arange(200) >= 150
    first = Domain.fit(features, compositions, volumes, held, seed=3)
    assert np.array_equal(
        first.prototypes, Domain.fit(features, compositions, volumes, held, seed=3).prototypes
    )


def test_no_crystals_give_no_scores(domain: Domain) -> None:
    found = domain.judge(np.zeros((0, 20)), Compositions.parse([]), np.zeros(0))
    assert isinstance(found, Strangeness)
    assert len(found.score) == 0


def test_too_few_crystals_are_refused() -> None:
    features, compositions, volumes = known(30, seed=7)
    with pytest.raises(InputError, match="20 training and 20 held-out"):
        Domain.fit(features, compositions, volumes, np.arange(30) >= 15)


def test_features_of_other_crystals_are_refused(domain: Domain) -> None:
    with pytest.raises(InputError, match=r"need features \[1, d\]"):
        domain.judge(np.zeros((2, 20)), Compositions.parse(["NaCl"]), np.ones(1))


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="not a domain"):
        Domain.from_arrays({"centre": np.zeros(1)})

"""Hull distances member by member: shared errors cancel, probabilities are calibrated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError, LevelError
from materialabs.hull import Hull
from materialabs.levels import MP2020, Energies, Level
from materialabs.networks.stability import (
    distances_among_predicted,
    distances_to_known,
    expected_improvement,
    lower_confidence,
    probability_within,
    stability,
)
from materialabs.predictions import Prediction

PHASES = Compositions.parse(["Li", "O", "Li2O"])
CANDIDATE = Compositions.parse(["LiO", "Li4O"])
TRUE_PHASES = np.array([0.0, 0.0, -2.0])


def predicted(members: Any, std: float = 0.1, **changes: Any) -> Prediction:
    answers = np.asarray(members, dtype=np.float64)
    mean = np.median(answers, axis=0)
    made = Prediction(
        mean, np.full(len(mean), std), "eV/atom", "energy 1", MP2020, "formation", members=answers
    )
    return made.replace(**changes)


def hull_of(energies: Energies) -> Hull:
    return Hull(PHASES, energies)


def known_hull() -> Hull:
    return hull_of(Energies(TRUE_PHASES, "formation", MP2020))


def test_distances_to_known_phases_are_the_hulls() -> None:
    members = np.array([[-1.4, -1.0], [-1.6, -1.3]])
    found = distances_to_known(predicted(members), CANDIDATE, known_hull())
    for member, row in zip(members, found, strict=True):
        expected = known_hull().distance(CANDIDATE, Energies(member, "formation", MP2020))
        assert row == pytest.approx(expected)


def test_an_error_that_all_share_cancels() -> None:
    """Every member is wrong by its own constant for each compound of oxygen."""
    random = np.random.default_rng(0)
    oxygen = random.normal(0.0, 0.2, 40)
    phases = TRUE_PHASES + oxygen[:, None] * np.array([0.0, 0.0, 1 / 3])
    mine = np.array([-1.45, -1.15]) + oxygen[:, None] * np.array([0.5, 0.2])
    among = distances_among_predicted(predicted(mine), CANDIDATE, predicted(phases), hull_of)
    alone = distances_to_known(predicted(mine), CANDIDATE, known_hull())
    shares = np.array([0.5 - 0.75 / 3, 0.2 - 0.6 / 3])  # Li2O holds 3/4 of LiO and 3/5 of Li4O
    assert among.std(axis=0) == pytest.approx(oxygen.std() * shares, abs=1e-9)
    narrow = stability(predicted(mine, std=0.2), among).std
    assert (narrow < stability(predicted(mine, std=0.2), alone).std).all()
    assert narrow[0] == pytest.approx(0.1, rel=0.02)
    assert narrow[1] == pytest.approx(0.05)  # a quarter is always left


def test_independent_errors_do_not_cancel() -> None:
    random = np.random.default_rng(1)
    phases = TRUE_PHASES + random.normal(0.0, 0.1, (60, 3)) * [0, 0, 1]
    mine = np.array([-1.45, -1.15]) + random.normal(0.0, 0.1, (60, 2))
    found = stability(
        predicted(mine, std=0.1),
        distances_among_predicted(predicted(mine), CANDIDATE, predicted(phases), hull_of),
    )
    assert (found.std > 0.1).all()


def test_the_distance_follows_the_calibrated_mean() -> None:
    members = np.array([[-1.4], [-1.5], [-1.6]])
    moved = predicted(members).replace(mean=np.array([-1.3]))
    found = stability(moved, distances_to_known(moved, CANDIDATE[:1], known_hull()))
    assert found.mean[0] == pytest.approx(-1.3 + 1.5)


def distance(mean: Any, std: Any) -> Prediction:
    return Prediction(mean, std, "eV/atom", "energy 1", MP2020)


def test_probability_within_is_that_of_the_normal_distribution() -> None:
    made = distance([0.0, 0.1, -0.2], [0.1, 0.05, 0.3])
    expected = stats.norm.cdf(0.05, made.mean, made.std)
    assert probability_within(made, 0.05) == pytest.approx(expected, abs=1e-4)


def test_expected_improvement_is_the_normal_formula() -> None:
    made = distance([0.0, 0.1, -0.2], [0.1, 0.05, 0.3])
    z = -made.mean / made.std
    expected = made.std * (z * stats.norm.cdf(z) + stats.norm.pdf(z))
    assert expected_improvement(made) == pytest.approx(expected, abs=1e-4)


def test_certain_candidates_improve_by_what_they_are_below() -> None:
    assert expected_improvement(distance([-0.2, 0.3], [0.0, 0.0])).tolist() == [0.2, 0.0]


def test_lower_confidence_is_a_one_sided_quantile() -> None:
    made = distance([0.1], [0.05])
    assert lower_confidence(made, 0.95)[0] == pytest.approx(
        stats.norm.ppf(0.05, 0.1, 0.05), abs=1e-3
    )


@pytest.mark.parametrize("probability", [0.5, 1.0, 0.1])
def test_a_lower_confidence_is_above_one_half(probability: float) -> None:
    with pytest.raises(InputError, match=r"between 0\.5 and 1"):
        lower_confidence(distance([0.1], [0.05]), probability)


def test_another_level_is_not_put_on_the_hull() -> None:
    other = predicted([[-1.4, -1.0]], level=Level("r2SCAN"))
    with pytest.raises(LevelError, match="cannot be mixed"):
        distances_to_known(other, CANDIDATE, known_hull())
    with pytest.raises(LevelError, match="cannot be mixed"):
        distances_among_predicted(other, CANDIDATE, predicted([TRUE_PHASES]), hull_of)


def test_a_distance_is_no_energy_for_a_hull() -> None:
    made = predicted([[-1.4, -1.0]])
    with pytest.raises(LevelError):
        stability(made, made.members).energies()  # type: ignore[arg-type]


def test_a_single_model_is_refused() -> None:
    with pytest.raises(InputError, match="gave no members"):
        stability(predicted([[-1.4]]).replace(members=None), np.zeros((1, 1)))


def test_other_members_are_refused() -> None:
    with pytest.raises(InputError, match="same members"):
        distances_among_predicted(
            predicted([[-1.4, -1.0]]), CANDIDATE, predicted([TRUE_PHASES] * 2), hull_of
        )
    with pytest.raises(InputError, match="do not go with members"):
        stability(predicted([[-1.4]]), np.zeros((2, 1)))

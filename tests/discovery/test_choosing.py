"""Chances, and the likeliest first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from materialabs.crystals.compositions import Compositions
from materialabs.discovery.choosing import (
    chance_on_hull,
    likeliest,
    likeliest_below,
    likeliest_on_hull,
)
from materialabs.errors import InputError
from materialabs.hull import Hull
from materialabs.levels import Energies, Level
from materialabs.predictions import Prediction


def test_the_chance_is_the_share_of_draws_on_the_hull() -> None:
    among = np.array([[0.0, 0.2], [1e-6, 0.0], [0.1, 0.3], [0.0, 0.1]])
    assert chance_on_hull(among).tolist() == [0.75, 0.25]


def test_polymorphs_share_one_chance_between_them() -> None:
    # Two crystals of one formula, each as likely the lower: in every draw one of both is stable.
    level = Level("made up")
    formulas = Compositions.parse(["MgO", "MgO"])
    drawn = np.random.default_rng(0).normal(-3.0, 0.1, (400, 2))
    among = np.stack([Hull(formulas, Energies(row, "formation", level)).distances[:2]
                      for row in drawn])  # fmt: skip
    chance = chance_on_hull(among)
    assert chance.sum() == pytest.approx(1.0)
    assert chance == pytest.approx([0.5, 0.5], abs=0.1)


def test_of_equal_chances_the_nearer_comes_first() -> None:
    assert likeliest(np.array([0.5, 0.9, 0.5]), np.array([0.2, 0.3, 0.1]), 3).tolist() == [1, 2, 0]


def test_a_wide_guess_beyond_the_limit_is_likelier_below_it_than_a_sure_one() -> None:
    told = Prediction(np.array([0.3, 0.3]), np.array([0.01, 0.5]), "eV/atom", "test")
    assert likeliest_below(told, 0.2, 1).tolist() == [1]


def test_the_chance_below_a_limit_is_that_of_the_normal_distribution() -> None:
    mean, std = np.array([0.1, 0.4, 0.25]), np.array([0.2, 0.3, 0.01])
    order = np.argsort(-norm.cdf((0.2 - mean) / std))
    told = Prediction(mean, std, "eV/atom", "test")
    assert likeliest_below(told, 0.2, 3).tolist() == order.tolist()


def test_the_likeliest_on_the_hull_come_first() -> None:
    among = np.array([[0.3, 0.0, 0.0], [0.2, 0.0, 0.1]])
    assert likeliest_on_hull(among, 2).tolist() == [1, 2]


def test_distances_without_draws_are_refused() -> None:
    with pytest.raises(InputError, match="draw by draw"):
        chance_on_hull(np.zeros(3))

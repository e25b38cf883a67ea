"""Formation energies in a chemical system, learned from a campaign's own results."""

from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.discovery.surrogate_systems import SystemSurrogate
from materialabs.errors import InputError
from materialabs.generation.airss import airss
from materialabs.levels import Energies, Level

LEVEL = Level("made up")
SYSTEM = (12, 14, 8)
FORMULAS = ("MgO", "SiO2", "Mg2SiO4", "MgSiO3", "Mg2Si", "MgO2", "Mg3O", "SiO", "MgSi", "Mg3Si2O7")


@pytest.fixture(scope="module")
def crystals() -> Crystals:
    """Random crystals of ten formulas."""
    drawn = [airss(formula, 4, cells=1, seed=n) for n, formula in enumerate(FORMULAS)]
    return Crystals.concat(drawn).replace(columns=None, site_columns=None)


def energy(compositions: Compositions) -> np.ndarray:
    """A regular solution: oxygen binds the metals."""
    x = compositions.fractions(SYSTEM)
    return -8.0 * x[:, 0] * x[:, 2] - 10.0 * x[:, 1] * x[:, 2] - 0.5 * x[:, 0] * x[:, 1]


def test_energies_of_formulas_kept_from_it_are_found(crystals: Crystals) -> None:
    values = energy(crystals.compositions)
    kept = np.isin(crystals.reduced_formulas(), ["Mg2SiO4", "MgO2", "SiO"])
    surrogate = SystemSurrogate.fit(
        crystals[~kept], Energies(values[~kept], "formation", LEVEL), SYSTEM, seed=0
    )
    error = np.abs(surrogate.predict(crystals[kept]).mean - values[kept])
    assert error.max() < 0.15 * values.std()


def test_it_answers_at_the_level_and_of_the_kind_that_it_learned(crystals: Crystals) -> None:
    labels = Energies(energy(crystals.compositions), "formation", LEVEL)
    answer = SystemSurrogate.fit(crystals, labels, SYSTEM, seed=0).predict(crystals)
    assert (answer.level, answer.kind) == (LEVEL, "formation")


def test_members_spread_as_the_interval_says(crystals: Crystals) -> None:
    values = energy(crystals.compositions) + np.random.default_rng(0).normal(0, 0.1, len(crystals))
    half = np.arange(len(crystals)) % 2 == 0
    surrogate = SystemSurrogate.fit(
        crystals[half], Energies(values[half], "formation", LEVEL), SYSTEM, seed=0
    )
    answer = surrogate.predict(crystals[~half])
    assert answer.members is not None
    assert np.mean(answer.members.std(axis=0) / answer.std) == pytest.approx(1.0, abs=0.15)


def test_a_pool_tells_how_wide_descriptions_are(crystals: Crystals) -> None:
    few = crystals[:4]  # all of one formula: by themselves they say nothing of chemistry
    labels = Energies(np.array([-3.0, -2.9, -2.8, -3.0]), "formation", LEVEL)
    alone = SystemSurrogate.fit(few, labels, SYSTEM, seed=0)
    among = SystemSurrogate.fit(few, labels, SYSTEM, seed=0, pool=crystals)
    assert not np.isfinite(alone.scale["chemistry"][1]).any()
    assert np.isfinite(among.scale["chemistry"][1]).sum() > 50


def test_the_same_seed_gives_the_same_members(crystals: Crystals) -> None:
    labels = Energies(energy(crystals.compositions), "formation", LEVEL)
    first, second = (
        SystemSurrogate.fit(crystals, labels, SYSTEM, seed=3).predict(crystals[:5])
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.members, second.members)


def test_two_crystals_are_too_few(crystals: Crystals) -> None:
    with pytest.raises(InputError, match="3 crystals or more"):
        SystemSurrogate.fit(crystals[:2], Energies(np.zeros(2), "formation", LEVEL), SYSTEM, seed=0)

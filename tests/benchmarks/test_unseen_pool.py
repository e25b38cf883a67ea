"""Candidates of a pool compete; networks of few elements never see richer crystals."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.unseen_pool import ERROR_EV, Evidence, Known, joined, pool_odds
from benchmarks.up_to_four import FARTHEST_EV, parts_of, training_table

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions

DRAWS = 1_000
DOUBT = 4.0 * 0.5 / DRAWS**0.5
"""Four standard deviations of a share of the draws, at most."""


def share(odds: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-odds))


@pytest.fixture(scope="module")
def known() -> Known:
    return Known(Compositions.parse(["Na", "Cl", "NaCl"]), np.array([0.0, 0.0, -1.0]))


@pytest.fixture(scope="module")
def crystals() -> Crystals:
    """Cubic cells of one to four elements, many of each system, with made-up energies."""
    random = np.random.default_rng(0)
    kinds = [random.choice([3, 8, 11, 17, 26], size) for size in random.integers(1, 5, 120)]
    numbers = [np.repeat(one, random.integers(1, 3, len(one))) for one in kinds]
    energies = random.normal(-1.0, 0.5, len(numbers))
    return Crystals.from_arrays(
        [6.0 * np.eye(3)] * len(numbers),
        [random.random((len(one), 3)) for one in numbers],
        numbers,
        columns={
            "formation_energy": energies,
            "e_form_megnet2018": energies,
            "gap_pbe_megnet2018": np.zeros(len(energies)),
        },
    )


@pytest.mark.parametrize("below", [-0.1, -0.02, 0.0, 0.05])
def test_one_candidate_is_as_likely_stable_as_its_error_is_small_enough(
    known: Known, below: float
) -> None:
    found = pool_odds(known, Compositions.parse(["Na3Cl"]), np.array([-0.5 - below]), DRAWS)
    tail = 0.5 * np.exp(-abs(below) / ERROR_EV)
    assert abs(share(found)[0] - (1.0 - tail if below > 0 else tail)) < DOUBT


def test_two_equal_polymorphs_share_their_chance(known: Known) -> None:
    found = pool_odds(known, Compositions.parse(["Na3Cl", "Na3Cl"]), np.full(2, -2.0), DRAWS)
    assert np.abs(share(found) - 0.5).max() < DOUBT


def test_a_candidate_is_pushed_off_the_hull_by_another(known: Known) -> None:
    pool = Compositions.parse(["Na3Cl", "Na2Cl", "Na4Cl"])
    alone = pool_odds(known, pool[:1], np.array([-0.55]), DRAWS)
    crowded = pool_odds(known, pool, np.array([-0.55, -1.5, -1.2]), DRAWS)
    assert crowded[0] < alone[0] - 2.0


def test_known_phases_above_their_hull_compete_with_nothing(known: Known) -> None:
    worse = Known(
        Compositions.concat([known.compositions, Compositions.parse(["Na2Cl"])]),
        np.append(known.energies, 3.0),
    )
    pool, energies = Compositions.parse(["Na3Cl"]), np.array([-0.5])
    assert pool_odds(worse, pool, energies) == pool_odds(known, pool, energies)


def test_evidence_that_tells_counts_and_noise_does_not() -> None:
    random = np.random.default_rng(0)
    stable = random.random(2_000) < 0.4
    noise = random.normal(size=(3, 2_000))
    fitted = Evidence(noise[0] + 2.0 * stable, noise[1], noise[2], np.zeros(2_000))
    asked = Evidence(*np.array([[3.0, 0.0], [0.0, 3.0], [0.0, 3.0], [0.0, 0.0]]))
    telling, idle = joined(fitted, stable, asked) - joined(
        fitted, stable, Evidence(*np.zeros((4, 2)))
    )
    assert telling > 4.0 and abs(idle) < 1.0


@pytest.mark.parametrize("most", [2, 3])
def test_richer_crystals_are_neither_learned_from_nor_described_by_targets(
    crystals: Crystals, most: int
) -> None:
    rich = np.diff(crystals.compositions.offsets) > most
    data = training_table(crystals, most)
    used = np.concatenate([data.parts.train, data.parts.validation, data.parts.calibration])
    assert not rich[used].any() and np.isnan(data.targets[rich]).all()
    changed = crystals.replace(columns={
        **crystals.columns,
        "formation_energy": np.where(rich, 99.0, crystals.columns["formation_energy"]),
    })  # fmt: skip
    np.testing.assert_array_equal(training_table(changed, most).targets, data.targets)


def test_no_formula_is_both_learned_from_and_held_out(crystals: Crystals) -> None:
    parts, formulas = parts_of(crystals, 4), np.array(crystals.reduced_formulas())
    aside = np.concatenate([parts.validation, parts.calibration])
    assert not set(formulas[parts.train]) & set(formulas[aside])


def test_distances_are_from_the_hull_of_what_is_learned_from(crystals: Crystals) -> None:
    from materialabs.hull.patches import judge
    from materialabs.levels import MP2018, Energies

    data = training_table(crystals, 4)
    rows = data.parts.train
    energies = Energies(data.targets[rows, 0], "formation", MP2018)
    found = judge(crystals.compositions[rows], energies).distance
    np.testing.assert_allclose(data.targets[rows, 2], np.minimum(found, FARTHEST_EV), atol=1e-9)

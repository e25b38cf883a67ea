"""What a network leaves over is learned where it errs, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.discovery.forecasting import Trained
from materialabs.discovery.remainders import FARTHEST, LARGEST_SHARED, Remainder, expected_share
from materialabs.discovery.surrogate_factors import Near
from materialabs.discovery.surrogate_systems import FARTHEST as FARTHEST_COLUMN
from materialabs.discovery.surrogate_systems import scaled
from materialabs.errors import InputError, LevelError
from materialabs.generation.airss import airss
from materialabs.levels import Energies, Level
from materialabs.predictions import Prediction

SYSTEM = (13, 28)
LEVEL = Level("here")
STD = 0.05

FORMULAS = ("AlNi", "Al2Ni", "Al3Ni", "Al4Ni", "AlNi2", "AlNi3", "AlNi4", "Al3Ni2", "Al2Ni3")


@pytest.fixture(scope="module")
def crystals() -> Crystals:
    drawn = [airss(formula, 8, cells=1, seed=n) for n, formula in enumerate(FORMULAS)]
    return Crystals.concat(drawn).replace(columns=None, site_columns=None)


def truth_of(crystals: Crystals) -> np.ndarray:
    """Any energies: what is learned is how far the network is off."""
    nickel = crystals.compositions.fractions(SYSTEM)[:, 1]
    return np.asarray(-0.5 * nickel * (1.0 - nickel) + 0.01 * np.sin(crystals.volumes))


def error_of(crystals: Crystals) -> np.ndarray:
    """The network takes what is rich in nickel too low, and the rest as it is."""
    nickel = crystals.compositions.fractions(SYSTEM)[:, 1]
    return np.asarray(np.where(nickel > 0.6, -0.1, 0.0))


def told_of(crystals: Crystals, level: Level = LEVEL) -> Prediction:
    mean = truth_of(crystals) + error_of(crystals)
    members = mean + np.array([[-0.01], [0.01]])
    return Prediction(
        mean, np.full(len(mean), STD), "eV/atom", "network", level=level, kind="formation",
        members=members,
    )  # fmt: skip


def split(crystals: Crystals) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(0).permutation(len(crystals))
    return order[:30], order[30:]


def fitted(crystals: Crystals, rows: np.ndarray) -> Remainder:
    labels = Energies(truth_of(crystals[rows]), "formation", LEVEL)
    return Remainder.fit(crystals[rows], told_of(crystals[rows]), labels, SYSTEM)


def test_an_error_is_mended_where_it_is_and_not_elsewhere(crystals: Crystals) -> None:
    seen, new = split(crystals)
    told = told_of(crystals[new])
    mended = fitted(crystals, seen).added(told, crystals[new])
    truth, wrong = truth_of(crystals[new]), error_of(crystals[new]) != 0
    assert np.abs(told.mean - truth)[wrong].mean() == pytest.approx(0.1)
    assert np.abs(mended.mean - truth)[wrong].mean() < 0.03
    assert np.abs(mended.mean - truth)[~wrong].mean() < 0.03
    assert mended.std.mean() < told.std.mean()


def test_an_error_where_little_is_expected_moves_nothing_far(crystals: Crystals) -> None:
    """As of crystals with an element that the network has never seen, beside those without."""
    seen, new = split(crystals)
    told = told_of(crystals[new])
    unsure = told.replace(std=np.full(len(new), 0.5))
    known, strange = (fitted(crystals, seen).added(one, crystals[new]) for one in (told, unsure))
    moved, moved_far = (np.abs(one.mean - told.mean) for one in (known, strange))
    assert moved.max() > 0.05
    assert moved_far.max() <= LARGEST_SHARED / STD * moved.max() + 1e-9
    assert strange.std.max() < 0.5
    assert strange.std.min() > 0.9 * strange.std.max()


def test_members_move_along_and_intervals_never_widen(crystals: Crystals) -> None:
    seen, new = split(crystals)
    told = told_of(crystals[new])
    mended = fitted(crystals, seen).added(told, crystals[new])
    assert mended.members is not None and told.members is not None
    moved = mended.mean - told.mean
    np.testing.assert_allclose(mended.members, told.members + moved)
    assert (mended.std <= told.std).all()


def test_a_network_that_expects_too_large_errors_is_believed_more_and_more() -> None:
    expected = np.random.default_rng(0).standard_normal(200)
    assert expected_share(expected) == pytest.approx(1.0, abs=0.1)
    assert expected_share(5.0 * expected) == 1.0
    shares = [expected_share(0.1 * expected[:count]) for count in (3, 10, 40, 200)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5
    assert shares[-1] == pytest.approx(0.12, abs=0.03)


def test_one_far_off_moves_little_where_errors_are_smaller_than_expected(
    crystals: Crystals,
) -> None:
    """As with an element that the network has never seen, of which it expects half an eV/atom."""
    seen, new = split(crystals)
    wide = told_of(crystals[seen]).replace(std=np.full(len(seen), 0.5))
    values = truth_of(crystals[seen])
    values[0] += 1.4
    labels = Energies(values, "formation", LEVEL)
    learned = Remainder.fit(crystals[seen], wide, labels, SYSTEM)
    told = told_of(crystals[new]).replace(std=np.full(len(new), 0.5))
    mended = learned.added(told, crystals[new])
    moved = mended.mean - told.mean - (truth_of(crystals[new]) - told.mean)
    assert np.abs(moved).mean() < 0.04
    assert (mended.std < 0.3).all()


def test_one_crystal_that_is_far_off_says_little_of_others(crystals: Crystals) -> None:
    seen, new = split(crystals)
    for off in (100 * FARTHEST * STD, 10_000 * STD):
        values = truth_of(crystals[seen]) + error_of(crystals[seen])
        values[0] += off
        labels = Energies(values, "formation", LEVEL)
        learned = Remainder.fit(crystals[seen], told_of(crystals[seen]), labels, SYSTEM)
        moved = learned.added(told_of(crystals[new]), crystals[new]).mean
        assert np.abs(moved - told_of(crystals[new]).mean).mean() < STD


def test_columns_in_which_the_first_crystals_hardly_differ_do_no_harm() -> None:
    """Crystals that are nearly alike must stay alike, however far they lie from those learned."""
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((12, 60))
    block = np.repeat(kinds, 10, axis=0) + 1e-9 * rng.standard_normal((120, 60))
    narrow = {"structure": (np.zeros(60), np.full(60, 2e-8))}
    far = scaled({"structure": block}, narrow)
    factor = Near("structure")
    likeness, _ = factor.likeness(factor.compared(far, far), np.zeros(1))
    assert np.linalg.eigvalsh(likeness).min() > -1e-6
    assert np.abs(far["structure"]).max() <= FARTHEST_COLUMN


def test_another_level_and_too_few_crystals_are_refused(crystals: Crystals) -> None:
    some = crystals[:5]
    there = Energies(truth_of(some), "formation", Level("there"))
    with pytest.raises(LevelError):
        Remainder.fit(some, told_of(some), there, SYSTEM)
    here = Energies(truth_of(some[:2]), "formation", LEVEL)
    with pytest.raises(InputError, match="3 compounds or more"):
        Remainder.fit(some[:2], told_of(some[:2]), here, SYSTEM)


class Network:
    """Answers as :func:`told_of`."""

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        assert not relaxed
        return told_of(crystals)


def test_a_network_at_the_oracles_level_is_not_mapped(crystals: Crystals) -> None:
    """A map would take errors of some crystals for a difference of levels, and move all."""
    seen, new = split(crystals)
    forecaster = Trained(Network(), "network", SYSTEM)
    forecaster.learn(crystals[seen[:2]], Energies(np.zeros(2), "formation", LEVEL))
    untouched = forecaster.judge(crystals[new])
    assert untouched is not None
    np.testing.assert_array_equal(untouched.energy.mean, untouched.raw.mean)
    forecaster.learn(crystals[seen], Energies(truth_of(crystals[seen]), "formation", LEVEL))
    judged = forecaster.judge(crystals[new])
    assert judged is not None
    assert forecaster.level_map is None
    rich = error_of(crystals[new]) != 0
    moved = np.abs(judged.energy.mean - judged.raw.mean)
    assert moved[rich].mean() > 0.07
    assert moved[~rich].mean() < 0.03

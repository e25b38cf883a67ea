"""The pupil that looks at all candidates and the ensemble that looks at the promising ones."""

from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError
from materialabs.hull.patches import HullPatches
from materialabs.levels import MP2018, Energies, Level
from materialabs.networks.cascade import HEAD, Cascade, Screened
from materialabs.networks.level import LevelMap
from materialabs.networks.models import load_model, shipped_names
from materialabs.networks.stability import distances_to_known, stability
from tests.networks.made_tables import crystals_of

pytestmark = pytest.mark.skipif(
    "pupil" not in shipped_names(), reason="no pupil ships with this version"
)


def hull_of(crystals: Crystals) -> HullPatches:
    """A hull at the models' level: a made-up compound a little below zero in every system."""
    cells = crystals.compositions
    energies = Energies(np.full(len(cells), -0.3), "formation", MP2018)
    return HullPatches(cells, energies)


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade.shipped()


@pytest.fixture(scope="module")
def candidates() -> Crystals:
    return crystals_of(120)


@pytest.fixture(scope="module")
def screened(cascade: Cascade, candidates: Crystals) -> Screened:
    return cascade.screen(candidates, hull_of(candidates), best=0.1)


def test_the_promising_are_judged_by_the_ensemble(
    cascade: Cascade, candidates: Crystals, screened: Screened
) -> None:
    asked = np.flatnonzero(screened.by_ensemble)
    assert 0 < len(asked) < len(candidates)
    alone = cascade.ensemble.predict(candidates.take(asked), head=HEAD, relaxed=False)
    np.testing.assert_allclose(screened.energy.mean[asked], alone.mean, atol=1e-5)


def test_the_others_keep_the_pupils_answer_and_interval(
    cascade: Cascade, candidates: Crystals, screened: Screened
) -> None:
    left = np.flatnonzero(~screened.by_ensemble)
    alone = cascade.pupil.predict(candidates.take(left), head=HEAD, relaxed=False)
    np.testing.assert_allclose(screened.energy.mean[left], alone.mean, atol=1e-5)
    np.testing.assert_allclose(screened.energy.low[left], alone.low, atol=1e-5)


def test_distances_are_those_to_the_hull(candidates: Crystals, screened: Screened) -> None:
    edge = hull_of(candidates).energy(candidates.compositions).values
    np.testing.assert_allclose(screened.distance.mean, screened.energy.mean - edge, atol=1e-6)
    assert screened.distance.ids == tuple(candidates.ids())


def test_the_best_by_the_ensemble_are_found(cascade: Cascade, candidates: Crystals) -> None:
    hull = hull_of(candidates)
    told = cascade.ensemble.predict(candidates, head=HEAD, relaxed=False)
    full = stability(told, distances_to_known(told, candidates.compositions, hull)).mean
    found = cascade.screen(candidates, hull, best=0.1).distance.mean
    assert set(np.argsort(full)[:6]) <= set(np.argsort(found)[:12])


def test_an_absolute_limit_asks_for_all_within_it(cascade: Cascade, candidates: Crystals) -> None:
    found = cascade.screen(candidates, hull_of(candidates), within=100.0)
    assert found.by_ensemble.all()


def test_a_pupil_of_other_teachers_is_refused(cascade: Cascade) -> None:
    with pytest.raises(InputError, match="was not taught by"):
        Cascade(load_model("energy"), cascade.pupil)


ELSEWHERE = Level("elsewhere")


def test_a_hull_at_another_level_is_met_through_the_map(
    cascade: Cascade, candidates: Crystals
) -> None:
    """The other level puts everything 0.2 eV/atom higher: energies and hull alike."""
    few = candidates[:60]
    told = cascade.ensemble.predict(few, head=HEAD, relaxed=False)
    there = Energies(told.mean + 0.2, "formation", ELSEWHERE)
    level_map = LevelMap.fit(told, few.compositions, there)
    hull = HullPatches(few.compositions, Energies(np.full(len(few), -0.1), "formation", ELSEWHERE))
    mapped = cascade.screen(few, hull, level_map=level_map, within=100.0)
    plain = cascade.screen(few, hull_of(few), within=100.0)
    assert mapped.energy.level == ELSEWHERE
    np.testing.assert_allclose(mapped.distance.mean, plain.distance.mean, atol=0.03)

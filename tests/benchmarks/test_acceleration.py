"""The acceleration benchmark keeps its own rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.acceleration import SHARE, campaign, ends_of_rounds, perfect, simulate
from benchmarks.acceleration_choosers import Asked, Greedy, InFamily, InSystem, at_random, ridge
from benchmarks.acceleration_tasks import FamilyTask, SystemTask, Task, entries, perovskites


@pytest.fixture(scope="module")
def family(data_folder: Path) -> FamilyTask:
    """The perovskites."""
    return perovskites()


@pytest.fixture(scope="module")
def system(data_folder: Path) -> SystemTask:
    """A small system of the same form as that of the benchmark."""
    return entries("Mn_O_Y_entries.json.gz")


def test_the_perovskites_are_those_of_the_contract(family: FamilyTask) -> None:
    assert (len(family), int(family.hits.sum())) == (7572, 114)


def test_a_perovskite_is_told_by_its_sites_alone(family: FamilyTask) -> None:
    told = np.concatenate(family.family.sites, axis=1)
    assert len(np.unique(told, axis=0)) == len(family)
    assert np.unique(family.crystals.frac.reshape(-1, 15), axis=0).shape == (1, 15)


def test_an_entry_is_told_unrelaxed(system: SystemTask) -> None:
    from materialabs.crystals.volumes import estimated_volumes

    cells = system.crystals
    np.testing.assert_allclose(cells.volumes, estimated_volumes(cells.compositions))


def test_the_stable_entries_are_those_of_the_whole_hull(system: SystemTask) -> None:
    assert int(system.hits.sum()) == 12


@pytest.mark.parametrize("make", [lambda: at_random, lambda: Greedy(ridge, "plain")])
def test_each_label_is_asked_for_once_and_the_budget_is_kept(make, family: FamilyTask) -> None:
    ends = ends_of_rounds(family)
    known = simulate(family, make(), 0, ends)
    assert len(known) == len(np.unique(known)) == int(SHARE * len(family))


def test_all_choosers_of_a_seed_start_from_the_same_labels(family: FamilyTask) -> None:
    ends = ends_of_rounds(family)[:2]
    first = simulate(family, at_random, 3, ends)[: ends[0]]
    second = simulate(family, Greedy(ridge, "plain"), 3, ends)[: ends[0]]
    np.testing.assert_array_equal(first, second)


def test_a_chooser_sees_no_label_that_it_did_not_ask_for(system: SystemTask) -> None:
    known = np.random.default_rng(0).permutation(len(system))[:20]
    left = np.setdiff1d(np.arange(len(system)), known)
    asked = Asked(known, left, 5, 1, 0)
    chosen = InSystem("likeliest")(system, asked)
    values = np.array(system.labels)
    values[left] = 99.0
    from dataclasses import replace

    from materialabs.levels import Energies

    blind = replace(
        system, labels=values, energies=Energies(values, "formation", system.energies.level)
    )
    np.testing.assert_array_equal(InSystem("likeliest")(blind, asked), chosen)


@pytest.mark.parametrize("strategy", ["greedy", "improvement", "uncertainty", "mixed"])
def test_campaign_strategies_choose_in_a_system(strategy: str, system: SystemTask) -> None:
    known = np.random.default_rng(0).permutation(len(system))[:20]
    left = np.setdiff1d(np.arange(len(system)), known)
    chosen = InSystem(strategy)(system, Asked(known, left, 5, 1, 0))
    assert len(set(chosen.tolist())) == len(chosen) <= 5


def test_a_perfect_chooser_finds_all_where_the_budget_suffices(family: FamilyTask) -> None:
    assert perfect(family, range(2)) == pytest.approx(1.0)


@pytest.mark.slow
def test_the_family_surrogate_finds_more_than_ridge(family: FamilyTask) -> None:
    ends = ends_of_rounds(family)[:5]
    ours = simulate(family, InFamily("likeliest"), 0, ends)
    peer = simulate(family, Greedy(ridge, "plain"), 0, ends)
    assert family.hits[ours].sum() > 1.15 * family.hits[peer].sum()


def test_a_campaign_that_was_finished_is_read(system: SystemTask, tmp_path: Path) -> None:
    order, seconds = campaign(system, "at random", lambda: at_random, 3, tmp_path)
    np.testing.assert_array_equal(order, simulate(system, at_random, 3, ends_of_rounds(system)))

    def broken(task: Task, asked: Asked) -> np.ndarray:
        raise AssertionError("the campaign was run again")

    again, kept = campaign(system, "at random", lambda: broken, 3, tmp_path)
    np.testing.assert_array_equal(order, again)
    assert kept == seconds

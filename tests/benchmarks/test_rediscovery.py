"""The rediscovery benchmark keeps its own rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.rediscovery import EACH_KIND, HIDDEN, judged
from benchmarks.rediscovery_model import candidate_table, training_table
from benchmarks.rediscovery_peer import pymatgen_probabilities
from benchmarks.rediscovery_runs import (
    Listening,
    Remembering,
    Truth,
    calls_in_order,
    parents_without,
)
from benchmarks.rediscovery_targets import (
    LARGEST_TARGET,
    Snapshot,
    Target,
    bare,
    first_of_each_kind,
    like_a_prototype,
)

from materialabs.crystals.batch import Crystals
from materialabs.crystals.prototypes import prototypes
from materialabs.generation.pool import ParentPool
from materialabs.generation.systems import candidates_for_system
from materialabs.levels import Level
from materialabs.oracles.named import oracle_by_name
from materialabs.predictions import Prediction


def binary(a: int, b: int, side: float = 2.8, name: str = "") -> Crystals:
    cell = side * (np.ones((3, 3)) - np.eye(3))
    return Crystals.from_arrays([cell], [[[0, 0, 0], [0.5] * 3]], [[a, b]], columns={"id": [name]})


@pytest.fixture(scope="module")
def snapshot(data_folder: Path) -> Snapshot:
    del data_folder
    return Snapshot.read()


@pytest.fixture(scope="module")
def targets(snapshot: Snapshot) -> dict[str, list[Target]]:
    return first_of_each_kind(snapshot, HIDDEN)


# -- targets ---------------------------------------------------------------------------------------


def test_the_types_of_the_second_kind_are_not_among_the_prototypes(targets):
    from materialabs.crystals.protostructure import prototype_labels

    shipped = set(prototype_labels(prototypes().crystals))
    labels = {prototype_labels(one.crystal)[0] for one in targets["other type"]}
    assert not shipped & labels
    assert not any(like_a_prototype(one.crystal) for one in targets["other type"])


def test_rock_salt_is_like_a_prototype():
    assert like_a_prototype(bare(binary(38, 52)))


def test_every_target_is_small_and_of_two_or_three_elements(targets):
    for one in (*targets["known type"], *targets["other type"]):
        assert len(one.crystal.numbers) <= LARGEST_TARGET
        assert one.system.count("-") in (1, 2)


def test_no_system_is_searched_twice(targets):
    systems = [one.system for kind in targets.values() for one in kind]
    assert len(set(systems)) == len(systems) == 2 * HIDDEN


def test_prototypes_of_a_target_are_withheld():
    assert "La2CuO4" not in parents_without("La2CuO4").crystals.reduced_formulas()


def test_the_network_learns_from_no_row_of_a_targets_system(snapshot, targets):
    systems = {one.system for kind in targets.values() for one in kind}
    table = training_table(snapshot, systems)
    learned = np.setdiff1d(np.arange(len(table.inputs)), table.parts.test)
    assert not systems & set(table.inputs[learned].compositions.systems())
    assert systems >= set(table.inputs[table.parts.test].compositions.systems())


def test_no_candidate_of_a_targets_system_is_learned_from(snapshot, targets):
    systems = {one.system for kind in targets.values() for one in kind}
    table, starts = candidate_table(snapshot, systems)
    learned = np.setdiff1d(np.arange(len(table.inputs)), table.parts.test)
    assert not systems & set(table.inputs[learned].compositions.systems())
    assert starts.crystals.reduced_formulas() == (table.inputs[starts.original].reduced_formulas())


# -- remembering -----------------------------------------------------------------------------------


class Counting:
    """A model that counts what it is asked."""

    model_id = "counting"

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        self.asked += len(crystals)
        value = crystals.volumes
        return Prediction(value, np.ones(len(value)), "eV/atom", self.model_id, level=Level("X"),
                          kind="formation")  # fmt: skip


def test_a_remembered_relaxation_is_the_same(tmp_path):
    crystals = bare(Crystals.concat([binary(29, 79), binary(29, 47)]))
    first = Remembering(oracle_by_name("emt"), tmp_path).relax(crystals)

    class Silent(Remembering):
        def _write(self, key, relaxation):
            raise AssertionError("it relaxed again")

    again = Silent(oracle_by_name("emt"), tmp_path).relax(crystals)
    assert [one.energy for one in again] == pytest.approx([one.energy for one in first], abs=1e-9)
    for one, other in zip(again, first, strict=True):
        assert np.allclose(one.crystal.lattice, other.crystal.lattice)


def test_the_network_is_asked_once_for_each_crystal():
    model = Counting()
    listening = Listening(model)
    one, other = binary(11, 17), binary(19, 35, 3.0)
    listening.predict(one)
    told = listening.predict(Crystals.concat([other, one]))
    assert model.asked == 2
    assert told.mean.tolist() == pytest.approx([other.volumes[0], one.volumes[0]])


def test_only_candidates_count_as_shown():
    listening = Listening(Counting())
    listening.predict(binary(11, 17))
    listening.predict(binary(19, 35).with_columns(generator=["systems"]))
    assert [one.reduced_formulas() for one in listening.shown.values()] == [["KBr"]]


# -- found -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth() -> Truth:
    """What copper-gold in rock salt comes to by EMT; only the bookkeeping matters."""
    oracle = oracle_by_name("emt")
    (relaxed,) = oracle.relax(bare(binary(29, 79)), oracle.campaign_settings)
    target = Target("CuAu", "Au-Cu", relaxed.crystal, "known type")
    return Truth(target, relaxed.energy, [("Cu", 0.0), ("Au", 0.0)])


def test_the_order_decides_the_calls(truth):
    pool = Crystals.concat([binary(29, 47), binary(47, 79), binary(29, 79)])
    oracle = oracle_by_name("emt")
    assert calls_in_order(np.array([0, 1, 2]), pool, truth, 2, 10, oracle) == 5
    assert calls_in_order(np.array([2, 0, 1]), pool, truth, 2, 10, oracle) == 3


def test_what_lies_beyond_the_budget_is_not_found(truth):
    pool = Crystals.concat([binary(29, 47), binary(47, 79), binary(29, 79)])
    order = np.array([0, 1, 2])
    assert calls_in_order(order, pool, truth, 2, 4, oracle_by_name("emt")) is None


def test_another_structure_of_the_formula_is_not_found(truth):
    layers = [[0, 0, 0], [0.5, 0.5, 0.25], [0, 0, 0.5], [0.5, 0.5, 0.75]]
    paired = Crystals.from_arrays([np.diag([2.8, 2.8, 7.4])], [layers], [[29, 29, 79, 79]])
    oracle = oracle_by_name("emt")
    assert calls_in_order(np.array([0]), paired, truth, 2, 10, oracle) is None


def test_the_distance_from_the_hull_is_pymatgens():
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    crystal = bare(binary(11, 17))
    rows = [("Na", -1.3), ("Cl", -1.8), ("Na", -1.2), ("Na3Cl", -2.0), ("NaCl3", -2.9)]
    found = Truth(Target("NaCl", "Cl-Na", crystal, ""), -2.4, rows).above_hull([("NaCl", -2.5)])
    entries = [
        PDEntry(Composition(formula), energy * Composition(formula).num_atoms)
        for formula, energy in [*rows, ("NaCl", -2.4), ("NaCl", -2.5)]
    ]
    expected = PhaseDiagram(entries).get_e_above_hull(entries[-2])
    assert found == pytest.approx(expected, abs=1e-9)


# -- the peer --------------------------------------------------------------------------------------


def test_the_peers_probabilities_are_pymatgens():
    from pymatgen.analysis.structure_prediction.substitutor import Substitutor
    from pymatgen.core import Species

    parents = Crystals.concat([binary(11, 17, name="NaCl"), binary(12, 8, 2.1, name="MgO")])
    pool = ParentPool.of(parents)
    made = candidates_for_system("K-Br", pool).crystals
    decorated = []
    for one, states in zip(parents, ((1, -1), (2, -2)), strict=True):
        structure = bare(one).to_pymatgen()[0]
        structure.add_oxidation_state_by_site(states)
        decorated.append({"structure": structure, "id": one.ids()[0]})
    theirs = Substitutor(threshold=1e-3).pred_from_structures(
        [Species("K", 1), Species("Br", -1)], decorated, remove_duplicates=False
    )
    best = max(one.other_parameters["proba"] for one in theirs)
    assert pymatgen_probabilities(made, pool).max() == pytest.approx(best, rel=1e-6)


# -- the verdict -----------------------------------------------------------------------------------


def outcome(formula: str, kind: str, above: float, calls: dict[str, list[int | None]]):
    count = len(calls["campaign"]) if calls else 0
    runs = [
        {way: found[seed] for way, found in calls.items()} | {"pool": 100, "given": 3}
        for seed in range(count)
    ]
    crystal = bare(binary(11, 17))
    return {"target": Target(formula, "Cl-Na", crystal, kind), "above_hull": above, "runs": runs}


def test_what_is_not_found_counts_as_the_budget():
    calls = {"campaign": [10, None, 20], "random": [None] * 3, "pymatgen": [60, None, None]}
    rows, headline = judged([outcome("NaCl", "known type", 0.0, calls),
                             outcome("KCl", "other type", 0.0, calls)], 60)  # fmt: skip
    assert rows[0]["campaign_mean_calls"] == 30.0
    assert rows[0]["campaign_found"] and not rows[0]["pymatgen_found"]
    assert rows[-1]["best_peer_over_campaign"] == pytest.approx(60.0 / 30.0)
    assert headline.figure == pytest.approx(1 / 8)


def test_a_target_off_the_oracles_hull_is_reported_and_not_counted():
    calls = {"campaign": [10], "random": [20], "pymatgen": [20]}
    rows, _ = judged([outcome("NaCl", "known type", 0.02, {}),
                      outcome("KCl", "known type", 0.0, calls)], 60)  # fmt: skip
    assert rows[0]["replaced"] and not rows[0]["on_oracle_hull"]
    assert next(row for row in rows if row["name"] == "all of known type")["targets"] == 1


def test_ten_of_each_kind_are_wanted():
    assert EACH_KIND == 10

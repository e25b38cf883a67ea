from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.transfer.folds import compound_labels, inner_folds, plan_folds

FORMULAS = ["NaCl", "Na2Cl2", "KCl", "K2O", "Li2O", "LiCl", "LiF", "NaF", "KF", "Na2O", "MgO",
            "CaO", "FeO", "Fe2O3", "Fe3O4", "CaF2", "MgF2", "CaCl2", "MgCl2", "FeCl2"]  # fmt: skip


def cells() -> Compositions:
    return Compositions.parse(FORMULAS)


@pytest.mark.parametrize("kind", ["formula", "random", "system"])
def test_every_row_is_judged_once_and_never_learned_from_then(kind: str) -> None:
    plan = plan_folds(cells(), kind)
    judged = np.concatenate([cut.test for cut in plan.outer])
    assert sorted(judged.tolist()) == list(range(len(FORMULAS)))
    assert all(not np.intersect1d(cut.train, cut.test).size for cut in plan.outer)


def test_a_formula_written_twice_falls_on_one_side() -> None:
    for cut in plan_folds(cells(), "formula").outer:
        assert {0, 1} <= set(cut.test.tolist()) or {0, 1} <= set(cut.train.tolist())


def test_all_oxides_of_iron_fall_on_one_side_by_system() -> None:
    iron = {12, 13, 14}
    for cut in plan_folds(cells(), "system").outer:
        assert iron <= set(cut.test.tolist()) or not iron & set(cut.test.tolist())


def test_an_element_left_out_is_in_no_row_learned_from() -> None:
    plan = plan_folds(cells(), "element")
    for cut in plan.outer:
        held = set.intersection(*(set(row) for row in cells()[cut.test]))
        learned = {number for row in cells()[cut.train] for number in row}
        assert held - learned


def test_inner_folds_keep_groups_together() -> None:
    groups = np.repeat(np.arange(10), 3)
    for cut in inner_folds(groups):
        assert not np.intersect1d(groups[cut.train], groups[cut.test]).size


def test_unknown_folds_are_refused() -> None:
    with pytest.raises(InputError, match="formula, random, system and element are"):
        plan_folds(cells(), "lucky")


def test_leaving_out_elements_needs_elements_in_several_rows() -> None:
    with pytest.raises(InputError, match="No element is in enough rows"):
        plan_folds(Compositions.parse(["NaCl", "KF", "MgO", "CaS"]), "element")


def test_rounded_fractions_are_the_compound_they_mean() -> None:
    written = ["Al0.67Ni0.33", "Al0.667Ni0.333", "Al2Ni", "Al66.7Ni33.3", "Ni2Al4"]
    assert set(compound_labels(Compositions.parse(written))) == {"Al2Ni"}


def test_other_compounds_keep_names_of_their_own() -> None:
    written = ["Al3Ni2", "AlNi", "Al2Ni", "Al3Ni", "Fe0.9812Mo0.0123C0.0065"]
    assert len(set(compound_labels(Compositions.parse(written)))) == 5


def test_traces_of_an_element_are_kept() -> None:
    found = compound_labels(Compositions.parse(["Fe0.7Mn0.2997C0.0002N0.0001"]))
    assert found == ["Mn0.3Fe0.7C0.001N0.001"]


def test_few_compounds_are_cut_into_few_folds() -> None:
    three = Compositions.parse(["NaCl", "KCl", "MgO"] * 8)
    assert len(plan_folds(three, "formula").outer) == 3


@pytest.mark.parametrize(("kind", "what"), [("formula", "compound"), ("system", "chemical system")])
def test_one_compound_cannot_be_judged_on_others(kind: str, what: str) -> None:
    with pytest.raises(InputError, match=f"All rows are of one {what}") as caught:
        plan_folds(Compositions.parse(["NaCl"] * 30), kind)
    assert caught.value.code == "transfer.folds"


def test_inside_one_compound_the_rows_are_cut() -> None:
    cuts = inner_folds(np.zeros(20, dtype=np.int64))
    assert sorted(np.concatenate([cut.test for cut in cuts]).tolist()) == list(range(20))

"""Splits: the published hash, no compound on both sides, folds as published."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.compositions import Compositions
from materialabs.errors import FormulaError, InputError
from materialabs.networks import splits
from materialabs.networks.splits import Split

PUBLISHED = {
    "SiO2": 95, "NaCl": 73, "Li15Si4": 2, "LiCoO2": 64, "BaTiO3": 72, "Mo3Co": 3, "CaTiO3": 3,
    "Fe2O3": 53, "GaAs": 72, "MgO": 64,
}  # fmt: skip
"""MD5 modulo 100 of formulas as texts."""

REWRITTEN = {
    "SiO2": ["O2Si", "Si2O4", "O4Si2"],
    "NaCl": ["ClNa", "Na4Cl4"],
    "Mo3Co": ["CoMo3", "Mo6Co2"],
    "Ca3(PO4)2": ["P2Ca3O8", "Ca6P4O16", "O8P2Ca3"],
    "H2O": ["OH2", "H4O2"],
    "Na2O2": ["NaO", "ONa"],
}
"""The same compound, written otherwise."""


def sides(formulas: list[str]) -> list[bool]:
    """Which formulas train, in a table that holds compounds of both sides."""
    split = splits.by_formula_hash([*formulas, "SiO2", "NaCl"])
    return [bool(np.isin(row, split.train)) for row in range(len(formulas))]


@pytest.mark.parametrize("formula", PUBLISHED)
def test_hash_of_a_formula_is_the_published_one(formula: str) -> None:
    assert splits.formula_hash(formula) == PUBLISHED[formula]


@pytest.mark.parametrize("formula", PUBLISHED)
def test_formula_falls_on_the_published_side(formula: str) -> None:
    assert sides([formula]) == [PUBLISHED[formula] < splits.TRAINING_PERCENT]


@pytest.mark.parametrize("formula", REWRITTEN)
def test_compound_falls_on_one_side_however_it_is_written(formula: str) -> None:
    assert len(set(sides([formula, *REWRITTEN[formula]]))) == 1


def test_split_agrees_with_the_hash_of_pymatgens_reduced_formula() -> None:
    from pymatgen.core import Composition

    formulas = ["Mo3Co", "Ca3P2O8", "Na2O2", "Al2O3", "Fe2Mo6O24", "H4N2O6", "Zr4Al6C9", "Cl2"]
    expected = [
        splits.formula_hash(Composition(formula).reduced_formula) < splits.TRAINING_PERCENT
        for formula in formulas
    ]
    assert sides(formulas) == expected


def test_percentage_moves_the_border() -> None:
    split = splits.by_formula_hash(["NaCl", "GaAs", "MgO"], percent=73)
    assert (split.train.tolist(), split.test.tolist()) == ([1, 2], [0])


def test_compositions_split_as_their_formulas_do() -> None:
    formulas = list(PUBLISHED)
    by_text = splits.by_formula_hash(formulas)
    by_composition = splits.by_formula_hash(Compositions.parse(formulas))
    assert by_text.train.tolist() == by_composition.train.tolist()


ANY_SPLIT = {
    "formula hash": lambda f, seed: splits.by_formula_hash(f, percent=50),
    "elements": lambda f, seed: splits.by_element(f, ["O"]),
    "number of elements": lambda f, seed: splits.by_number_of_elements(f, 2),
    "groups": lambda f, seed: splits.by_group(splits.reduced_formulas(f), share=0.3, seed=seed),
    "folds": lambda f, seed: splits.folds(splits.reduced_formulas(f), 3, seed=seed)[0],
}
TABLE = [
    "NaCl", "Cl2Na2", "SiO2", "O4Si2", "GaAs", "As2Ga2", "Fe2O3", "Fe4O6", "LiCoO2", "MgO", "O2Mg2",
    "Li3PS4", "BaTiO3", "O3TiBa", "AlN", "N2Al2", "CaTiO3", "Mo3Co", "CoMo3",
]  # fmt: skip


@pytest.mark.parametrize("kind", ANY_SPLIT)
@given(order=st.permutations(TABLE), seed=st.integers(0, 1000))
def test_no_formula_is_on_both_sides(kind: str, order: list[str], seed: int) -> None:
    split = ANY_SPLIT[kind](order, seed)
    reduced = np.array(splits.reduced_formulas(order))
    assert not set(reduced[split.train]) & set(reduced[split.test])
    assert sorted([*split.train, *split.test]) == list(range(len(order)))


@given(share=st.floats(0.05, 0.9), seed=st.integers(0, 1000))
def test_validation_is_taken_from_the_training_side_by_formula(share: float, seed: int) -> None:
    split = splits.by_formula_hash(TABLE)
    inner = splits.validation_part(split, share=share, seed=seed)
    reduced = np.array(splits.reduced_formulas(TABLE))
    assert sorted([*inner.train, *inner.test]) == split.train.tolist()
    assert not set(reduced[inner.train]) & set(reduced[inner.test])


def test_same_seed_draws_the_same_groups_and_another_seed_others() -> None:
    labels = [str(k // 3) for k in range(300)]
    first, again, other = (splits.by_group(labels, seed=seed).test.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_random_split_tests_on_the_share_asked_for() -> None:
    split = splits.random(200, share=0.25, seed=3)
    assert (len(split.train), len(split.test)) == (150, 50)


def test_left_out_elements_are_in_every_test_row_and_in_no_training_row() -> None:
    split = splits.by_element(TABLE, ["Ga", "N"])
    holds = np.array(["Ga" in formula or "Al" in formula for formula in TABLE])
    assert holds[split.test].all() and not holds[split.train].any()


def test_rich_compounds_are_tested() -> None:
    split = splits.by_number_of_elements(["Fe", "FeO", "LiCoO2", "LiFePO4"], most=3)
    assert split.test.tolist() == [3]


@given(
    labels=st.lists(st.integers(0, 12), min_size=30, max_size=80), seed=st.integers(0, 50)
)  # fmt: skip
def test_every_row_is_tested_in_exactly_one_fold(labels: list[int], seed: int) -> None:
    count = min(4, len(set(labels)))
    if count < 2:
        return
    made = splits.folds(labels, count, seed=seed)
    assert sorted(np.concatenate([fold.test for fold in made])) == list(range(len(labels)))


def test_folds_by_group_are_balanced() -> None:
    labels = np.repeat(np.arange(40), np.arange(40) % 5 + 1)
    sizes = [len(fold.test) for fold in splits.folds(labels, 5, seed=0)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("rows", "count"), [(5, 5), (23, 5), (312, 5), (1265, 5), (30, 7)])
def test_random_folds_are_those_of_scikit_learn(rows: int, count: int) -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    made = splits.random_folds(rows, count, seed=splits.MATBENCH_SEED)
    official = selection.KFold(count, shuffle=True, random_state=18012019)
    for ours, (_, theirs) in zip(made, official.split(np.zeros(rows)), strict=True):
        assert ours.test.tolist() == sorted(theirs)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.71])
def test_stratified_folds_are_those_of_scikit_learn(share: float) -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    classes = np.random.default_rng(5).random(403) < share
    made = splits.matbench_class_folds(classes)
    official = selection.StratifiedKFold(5, shuffle=True, random_state=18012019)
    for ours, (_, theirs) in zip(made, official.split(np.zeros(403), classes), strict=True):
        assert ours.test.tolist() == sorted(theirs)


def test_official_folds_cut_the_shuffled_rows_in_order() -> None:
    order = np.random.RandomState(18012019).permutation(10)
    tests = [fold.test.tolist() for fold in splits.matbench_folds(10)]
    assert tests == [sorted(order[k : k + 2].tolist()) for k in range(0, 10, 2)]


REFUSED: dict[str, Any] = {
    "no percentage": lambda: splits.by_formula_hash(["NaCl"], percent=0),
    "nothing to test on": lambda: splits.by_formula_hash(["NaCl", "MgO"]),
    "nothing to train on": lambda: splits.by_formula_hash(["SiO2"]),
    "a single text": lambda: splits.by_formula_hash("NaCl"),
    "no share": lambda: splits.random(10, share=1.0),
    "no element": lambda: splits.by_element(["NaCl", "MgO"], []),
    "too many folds": lambda: splits.folds(["a", "b", "b"], 3),
    "one fold": lambda: splits.random_folds(10, 1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_calls_are_refused_with_a_sentence(case: str) -> None:
    with pytest.raises(InputError, match=r"\.$"):
        REFUSED[case]()


def test_unreadable_formula_is_named() -> None:
    with pytest.raises(FormulaError, match="Xx2"):
        splits.by_formula_hash(["NaCl", "Xx2"])


def test_half_of_a_random_split_keeps_its_groups_for_the_validation_part() -> None:
    split = splits.random(50, share=0.5, seed=0)
    assert isinstance(split, Split)
    assert len(splits.validation_part(split, share=0.2).test) == 5


def test_split_of_real_crystals_shares_no_formula(data_folder: Path) -> None:
    path = data_folder / "structures" / "mp36k.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        formulas = [json.loads(line)["formula"] for line in lines]
    split = splits.by_formula_hash(formulas)
    reduced = np.array(splits.reduced_formulas(formulas))
    assert not set(reduced[split.train]) & set(reduced[split.test])
    assert 0.14 < len(split.test) / len(formulas) < 0.17

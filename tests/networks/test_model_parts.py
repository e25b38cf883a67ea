"""The parts that models are made of: batches, volumes, figures, targets, tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.compositions import Compositions
from materialabs.errors import FileError, InputError
from materialabs.levels import MP2018
from materialabs.networks.assembling import best_temperature
from materialabs.networks.cards import bootstrap_interval, class_figures, ranking_area
from materialabs.networks.ensembles import Answers, batches_by_size
from materialabs.networks.graphs import BondGraphs, bond_graphs
from materialabs.networks.heads import Head, columns_of, places_of, sibling_of
from materialabs.networks.inputs import as_crystals, cell_volumes
from materialabs.networks.labelled_tables import read_labelled
from materialabs.networks.members import usual_recipe
from materialabs.networks.models import probabilities
from materialabs.networks.splits import random
from materialabs.networks.table_rows import read_rows
from materialabs.networks.targets import target_of, texts_among_numbers
from materialabs.networks.training_data import Parts
from materialabs.networks.volume_trials import ONE, TrialError, VolumeTrial, chosen, tried
from materialabs.predictions import Prediction
from tests.networks.made_tables import crystals_of, formula_table

# -- batches --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 60))
def test_batches_cover_every_row_once_and_stay_small(sizes: list[int], most: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    parts = list(batches_by_size(offsets, most))
    assert [row for start, stop in parts for row in range(start, stop)] == list(range(len(sizes)))
    for start, stop in parts:
        assert stop - start == 1 or offsets[stop] - offsets[start] <= most


# -- volumes --------------------------------------------------------------------------------------


class Parabola:
    """An ensemble that says how far the volume of an atom is from 20 cubic angstrom."""

    def __len__(self) -> int:
        return 1

    def answers(self, inputs: BondGraphs, relaxed: float = 1.0) -> Answers:
        assert relaxed == 0.0
        volume = np.asarray(inputs.spacing, float) ** 3
        values = ((volume / 20.0 - 1.0) ** 2)[None, :, None]
        return Answers(values, np.zeros((len(inputs), 1), np.float32))


def at_twenty(count: int) -> BondGraphs:
    crystals = crystals_of(count)
    return bond_graphs(crystals.scaled(np.full(count, 40.0)))


def test_volumes_are_relative_to_the_given_one() -> None:
    trial = VolumeTrial((0.9, 1.0, 1.1), "mean")
    found = trial.answers(Parabola(), at_twenty(3)).values
    np.testing.assert_allclose(found[0, :, 0], 2 * 0.01 / 3, rtol=1e-4)


@pytest.mark.parametrize(("rule", "expected"), [("minimum", 0.0), ("median", 0.01)])
def test_rules_join_the_answers_of_volumes(rule: str, expected: float) -> None:
    trial = VolumeTrial((0.9, 1.0, 1.1), rule)
    found = trial.answers(Parabola(), at_twenty(2)).values
    np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-5)


def test_further_volumes_must_be_worth_their_price() -> None:
    one = TrialError(ONE, 0.100)
    little = TrialError(VolumeTrial((0.9, 1.0, 1.1), "mean"), 0.099)
    much = TrialError(VolumeTrial((0.9, 1.0, 1.1), "minimum"), 0.080)
    assert chosen([one, little]) == ONE
    assert chosen([one, little, much]) == much.trial


def test_a_trial_is_judged_by_the_mean_of_the_members() -> None:
    answers = {f: np.array([[[0.0]], [[2.0]]]) for f in
               (0.85, 0.9, 0.925, 0.95, 1.0, 1.05, 1.075, 1.1, 1.15)}  # fmt: skip
    assert all(one.error == pytest.approx(0.5) for one in tried(answers, np.array([1.5]), 0))


def test_a_trial_without_volumes_is_refused() -> None:
    with pytest.raises(InputError, match="joined by"):
        VolumeTrial((), "mean")


# -- figures --------------------------------------------------------------------------------------


def test_the_bootstrap_interval_is_that_of_the_normal_mean() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 2_000)
    low, high = bootstrap_interval(values, np.arange(2_000))
    half = 1.96 * values.std() / np.sqrt(2_000)
    assert low == pytest.approx(values.mean() - half, abs=0.015)
    assert high == pytest.approx(values.mean() + half, abs=0.015)


def test_clusters_widen_the_bootstrap_interval() -> None:
    values = np.repeat(np.random.default_rng(1).normal(size=100), 20)
    alone = np.ptp(bootstrap_interval(values, np.arange(2_000)))
    together = np.ptp(bootstrap_interval(values, np.repeat(np.arange(100), 20)))
    assert together > 3.0 * alone


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_ranking_area_counts_pairs(cases: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in cases], float)
    positive = np.array([truth for _, truth in cases])
    ups, downs = scores[positive], scores[~positive]
    pairs = [(up > down) + 0.5 * (up == down) for up in ups for down in downs]
    area = ranking_area(scores, positive)
    assert np.isnan(area) if not pairs else area == pytest.approx(np.mean(pairs))


def test_figures_of_classes_count_what_is_right() -> None:
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    told = Prediction(chances, np.zeros((4, 2)), "", "m", classes=("no", "yes"))
    truth = np.array([[1, 0], [0, 1], [0, 1], [np.nan, np.nan]], float)
    figures = class_figures(told, truth, ["A", "B", "C", "D"])
    assert figures["crystals"] == 3 and figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["confusion"] == [[1, 0], [1, 1]]
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())


def test_the_temperature_brings_back_honest_probabilities() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(0.0, 2.0, (4_000, 3))
    honest = probabilities(scores, 1.0)
    drawn = (generator.random((4_000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    found = best_temperature(2.5 * scores[None], np.eye(3)[drawn])
    assert found == pytest.approx(2.5, rel=0.1)


# -- heads and targets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        Head("energy", "eV/atom", "formation energy", "formation", MP2018),
        Head("gap", "eV", bounds=(0.0, np.inf)),
        Head("metal", classes=("no", "yes")),
        Head("modulus", "GPa", logarithm=True),
    ],
)
def test_heads_survive_json(head: Head) -> None:
    assert Head.from_dict(json.loads(json.dumps(head.to_dict()))) == head


def test_classes_take_one_output_each() -> None:
    heads = (Head("gap"), Head("kind", classes=("a", "b", "c")))
    assert columns_of(heads) == ("gap", "kind: a", "kind: b", "kind: c")
    assert places_of(heads)["kind"] == slice(1, 4)


def test_the_sibling_is_the_best_known_head_of_the_same_quantity() -> None:
    pbe, hse, scan = Head("gap", "eV"), Head("gap_hse", "eV"), Head("gap_scan", "eV")
    energy = Head("energy", "eV/atom", kind="formation")
    metal = Head("gap_is_nil", "eV", classes=("yes", "no"))
    total = Head("energy_total", "eV/atom", kind="total")
    bulk, shear = Head("bulk_modulus", "GPa"), Head("shear_modulus", "GPa")
    heads = (pbe, hse, scan, energy, metal, total, bulk, shear)
    known = {"gap": 900, "gap_hse": 80, "gap_scan": 8, "gap_is_nil": 900}
    assert sibling_of(pbe, heads, known) == hse
    assert sibling_of(hse, heads, known) == pbe
    assert sibling_of(scan, heads, known) == pbe, "functionals are told apart by the one in common"
    assert sibling_of(energy, heads, known) is None, "another kind of energy"
    assert sibling_of(metal, heads, known) is None
    assert sibling_of(bulk, heads, known) is None, "another quantity of the same unit"


def test_texts_become_classes_and_gaps_stay_gaps() -> None:
    head, values = target_of("phase", ["fcc", None, "bcc"])
    assert head.classes == ("bcc", "fcc")
    np.testing.assert_array_equal(values, [[0, 1], [np.nan, np.nan], [1, 0]])


@pytest.mark.parametrize(
    "texts",
    [["0,5", "-1,25"], ["1.2 ± 0.1", "3 ± 1"], ["1.2+/-0.1", "1.5+/-0.1"], ["1.23(4)", "2.1(1)"]],
)
def test_numbers_in_another_notation_are_no_classes(texts: list[str]) -> None:
    with pytest.raises(InputError, match="numbers written as"):
        target_of("gap", texts)


@pytest.mark.parametrize(
    "texts",
    [
        ["2.76 eV", "0 eV"], ["2.76eV/atom", "1 eV/atom"], ["300 K", "77 K"], ["120 GPa", "98GPa"],
        ["5 W/(m K)", "3W/mK"], ["5%", "10 wt%"], ["90 °C", "120°C"], ["1200 cm-1", "100 cm^-1"],
        [">2.76", "<1.1"], ["~1.2", "≈ 0.3"], ["≤5", "≥ 4.1"], ["1.2-1.4", "2–2.2"],
        ["1.5 foo", "2.5 foo"], ["2.76 eV"] * 30 + ["1.16 eV"] * 30,
    ],
)  # fmt: skip
def test_numbers_with_a_unit_a_bound_or_a_range_are_no_classes(texts: list[str]) -> None:
    with pytest.raises(InputError, match="numbers written as"):
        target_of("gap", texts)


@pytest.mark.parametrize("texts", [["1_1", "2_1"], ["3D", "2H"], ["4/mmm", "6/mmm"]])
def test_names_with_digits_are_classes(texts: list[str]) -> None:
    assert target_of("phase", texts)[0].classes == tuple(sorted(texts))


@pytest.mark.parametrize(
    "texts",
    [
        ["3d", "4f"], ["1T", "2H"], ["2Ha", "2Hc"], ["15R", "4H"], ["P-1", "Fm-3m"], ["3m", "-3m"],
        ["6mm", "-42m"], ["4a", "24e"], ["A2-B1", "B1-A2"], ["2H-MoS2", "1T-MoS2"], ["2+", "3+"],
        ["2D", "2.5D", "3D"], ["1-2-3", "1-1-1"], ["4-fold", "6-fold"], ["1bar", "4bar"],
    ],
)  # fmt: skip
def test_names_of_phases_groups_and_sites_are_classes(texts: list[str]) -> None:
    assert target_of("phase", texts)[0].classes == tuple(sorted(texts))


def test_ranges_that_recur_are_classes() -> None:
    texts = ["<0.5", "0.5-1.0", ">1.0"] * 10
    assert target_of("gap", texts)[0].classes == ("0.5-1.0", "<0.5", ">1.0")


def test_a_logarithm_of_zero_is_refused_with_its_row() -> None:
    with pytest.raises(InputError, match="in row 2: only values above zero"):
        target_of("modulus", [1.0, 0.0], logarithm=True)


def test_rows_are_called_as_in_their_file() -> None:
    with pytest.raises(InputError, match=r"'n\.d\.' \(row 7\)"):
        target_of("modulus", [1.0, "n.d."], rows=[3, 7])
    with pytest.raises(InputError, match="in row 7: a finite number"):
        target_of("modulus", [1.0, float("inf")], rows=[3, 7])
    with pytest.raises(InputError, match="in row 7: only values above zero"):
        target_of("modulus", [1.0, 0.0], logarithm=True, rows=[3, 7])


@pytest.mark.parametrize(
    ("values", "places"),
    [([1.0, "n.d.", None, "2"], [1]), (["a", "b"], []), ([True, 1, 0], []), ([1, 2], [])],
)
def test_texts_among_numbers_are_found(values: list[object], places: list[int]) -> None:
    assert texts_among_numbers(values) == places


def test_registered_names_bring_their_unit() -> None:
    assert target_of("band_gap", [1.0, 2.0])[0].unit == "eV"


# -- tables ---------------------------------------------------------------------------------------

ROWS = [{"formula": "MgO", "gap": 4.4}, {"formula": "ZnS", "gap": None}]


def written(folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind == "xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        assert book.active is not None
        for row in (["formula", "gap"], ["MgO", 4.4], ["ZnS", None]):
            book.active.append(row)
        book.save(path)
    elif kind == "csv":
        path.write_text("formula,gap\nMgO,4.4\nZnS,\n")
    elif kind == "tsv":
        path.write_text("formula\tgap\nMgO\t4.4\nZnS\tNaN\n")
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)))
    else:
        path.write_text(json.dumps(ROWS))
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx", "jsonl", "json"])
def test_every_kind_of_table_says_the_same(kind: str, tmp_path: Path) -> None:
    found = read_labelled(written(tmp_path, kind))
    assert isinstance(found.inputs, Compositions)
    assert found.inputs.reduced_formulas() == ["MgO", "ZnS"]
    _, values = target_of("gap", found.column("gap"))
    np.testing.assert_array_equal(values[:, 0], [4.4, np.nan])


def test_rows_with_a_broken_formula_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("formula,gap\nMgO,4.4\nXyz,1\n")
    found = read_labelled(path)
    assert len(found.inputs) == 1 and "1 rows without a readable formula" in found.notes[0]


def test_broken_formulas_are_told_with_their_row_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("formula,gap\nMgO,4.4\n\n,\nXyz,1\n")
    assert "row 4:" in read_labelled(path).notes[0]


def test_structures_and_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from materialabs.crystals.files import write

    write(crystals_of(3).with_columns(id=["x", "y", "z"]), tmp_path / "s.extxyz")
    with pytest.raises(InputError, match="no id is in both"):
        read_labelled(formula_table(tmp_path / "t.csv", 5), tmp_path / "s.extxyz")


@pytest.mark.parametrize(
    ("name", "content"), [("t.json", "{"), ("t.jsonl", "[1]"), ("t.csv", ""), ("t.xlsx", "no")]
)
def test_a_broken_table_is_one_sentence(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FileError, match=r"t\."):
        read_rows(tmp_path / name)


# -- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [30, 100, 1_000, 30_000])
def test_parts_do_not_overlap_and_cover_all(count: int) -> None:
    parts = Parts.cut(random(count))
    learned = np.concatenate([parts.train, parts.test, parts.validation])
    if count > 1_000:
        learned = np.concatenate([learned, parts.calibration])
    assert len(np.unique(learned)) == len(learned)
    assert len(np.union1d(learned, parts.calibration)) == count


@pytest.mark.parametrize("rows", [20, 200, 2_000, 200_000])
def test_usual_recipes_stay_within_reason(rows: int) -> None:
    recipe = usual_recipe(rows)
    assert 8 <= recipe.batch <= 64 and 20 <= recipe.epochs <= 200


def test_volumes_of_cells_come_from_their_graphs() -> None:
    crystals = crystals_of(5)
    found = cell_volumes(bond_graphs(crystals), crystals.compositions)
    np.testing.assert_allclose(found, crystals.volumes, rtol=1e-5)


def test_what_is_no_crystal_is_refused() -> None:
    with pytest.raises(InputError, match="not str"):
        as_crystals("MgO")

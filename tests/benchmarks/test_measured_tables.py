"""The tables that transfer is judged on are what their rows say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.measured_tables import TABLES, detection_limits, plain_formulas, task
from benchmarks.transfer import within_chance
from benchmarks.transfer_curves import rows_for

from benchmarks import harness, transfer
from materialabs.crystals.compositions import Compositions
from materialabs.transfer.folds import compound_labels

SMALL = ("steels", "mrl_seebeck", "mpea_hardness", "lithium_conductivity", "cathode_capacity")


@pytest.mark.parametrize("name", SMALL)
def test_no_compound_stands_on_both_sides_of_a_fold(
    name: str, data_folder: Path, tmp_path: Path
) -> None:
    one = task(name, tmp_path)
    assert np.isfinite(one.measured.targets).all()
    labels = np.array(compound_labels(one.measured.compositions))
    judged = np.concatenate([cut.test for cut in one.plan.outer])
    assert sorted(judged.tolist()) == list(range(len(one.measured)))
    if TABLES[name].folds == "formula":
        for cut in one.plan.outer:
            assert not set(labels[cut.train]) & set(labels[cut.test])


def test_names_of_polymorphs_and_vacancies_are_no_elements() -> None:
    names = ["b-NaVP2O7", "LiMnBO3(mono)", "O-LiMnO2(MV)(in-plane)", "LiMnO2(DV)", "V2F7_Ca",
             "LIMnO2(MV)", "MnPO4(Na)"]  # fmt: skip
    plain = [row["COMPOSITION"] for row in plain_formulas([{"COMPOSITION": one} for one in names])]
    told = Compositions.parse(plain).reduced_formulas()
    assert (
        told
        == Compositions.parse(
            ["NaVP2O7", "LiMnBO3", "LiMnO2", "LiMnO2", "CaV2F7", "LiMnO2", "NaMnPO4"]
        ).reduced_formulas()
    )


def test_conductivities_below_detection_count_as_the_limit() -> None:
    name = "Ionic conductivity (S cm-1)"
    assert detection_limits([{name: "<1E-10"}, {name: "0.3"}]) == [{name: "1E-10"}, {name: "0.3"}]


def test_rows_of_one_compound_widen_what_chance_allows(data_folder: Path, tmp_path: Path) -> None:
    measured = task("mrl_seebeck", tmp_path).measured
    compounds = np.array(compound_labels(measured.compositions))
    names = np.unique(compounds)
    missed = np.isin(compounds, names[: len(names) // 7])  # whole compounds
    scattered = np.random.default_rng(0).permutation(missed)
    assert within_chance(~missed, measured) and not within_chance(~scattered, measured)


def test_rows_are_read_off_a_curve_between_its_sizes() -> None:
    sizes, errors = np.array([50.0, 200.0]), np.array([0.4, 0.1])
    assert rows_for(sizes, errors, 0.2) == pytest.approx(100.0)
    assert rows_for(sizes, errors, 0.05) == np.inf
    assert rows_for(sizes, errors, 0.5) == 50.0


def test_rows_of_some_tables_join_the_stored_result(tmp_path, monkeypatch):
    def row(table, **figures):
        return {"name": f"{table}: ours with sources", **figures}

    stored = [row("steels", mae=1.0), row("glass", mae=2.0), {"name": "all tables", "tables": 2}]
    (tmp_path / "transfer.json").write_text(json.dumps({"commit": "abc", "rows": stored}))
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    rows = transfer.joined([row("glass", mae=1.5), row("superconductors", mae=3.0)])
    assert transfer.tables_of(rows) == ["glass", "steels", "superconductors"]
    assert rows[0] == row("glass", mae=1.5)
    assert rows[1] == row("steels", mae=1.0, commit="abc")

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hull_systems import LEVEL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materialabs.errors import (
    FileError,
    FormulaError,
    InputError,
    MaterialabsError,
    NotFound,
    ResourceError,
)
from materialabs.hull import entries as module
from materialabs.hull.entries import entries_for, read_entries
from materialabs.hull.hull import Hull
from materialabs.levels import ALEXANDRIA_PBE, MP2020

ALEXANDRIA = [
    {"entry_id": "agm1", "composition": {"Li": 4, "O": 2}, "energy": -12.0, "e_above_hull": 0.0},
    {"entry_id": "agm2", "composition": {"Na": 2, "O": 1}, "energy": -4.0, "e_above_hull": 0.0},
]
ADJUSTMENT = {"name": "MP2020 anion correction (oxide)"}
COMPUTED = [
    {"@class": "ComputedEntry", "composition": {"Li": 2, "O": 1}, "energy": -14.0,
     "correction": -0.7, "energy_adjustments": [ADJUSTMENT], "entry_id": "mp-1"},
    {"@class": "ComputedEntry", "composition": {"Li": 1}, "energy": -1.9, "correction": 0.0},
    {"@class": "ComputedEntry", "composition": {"O": 2}, "energy": -9.8},
]  # fmt: skip


def write(path: Path, document: Any) -> Path:
    text = document if isinstance(document, str) else json.dumps(document)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_alexandrias_energies_are_formation_energies_of_the_cell(tmp_path: Path) -> None:
    table = read_entries(write(tmp_path / "a.json.gz", ALEXANDRIA))
    assert (table.energies.kind, table.energies.level) == ("formation", ALEXANDRIA_PBE)
    assert table.energies.values == pytest.approx([-2.0, -4.0 / 3])
    assert table.ids == ["agm1", "agm2"]


def test_computed_entries_are_corrected_totals(tmp_path: Path) -> None:
    table = read_entries(write(tmp_path / "a.json", COMPUTED))
    assert (table.energies.kind, table.energies.level) == ("total", MP2020)
    assert table.energies.values == pytest.approx([-4.9, -1.9, -4.9])
    assert table.ids == ["mp-1", "1", "2"]


def test_uncorrected_entries_need_their_level_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", COMPUTED[1:])
    with pytest.raises(InputError, match="does not say what its energies are"):
        read_entries(path)
    assert read_entries(path, level=LEVEL).energies.level == LEVEL


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in ALEXANDRIA) + "\n\n")
    assert len(read_entries(path)) == 2


def test_entries_inside_an_object_are_read(tmp_path: Path) -> None:
    assert len(read_entries(write(tmp_path / "a.json", {"entries": ALEXANDRIA}))) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("formula,energy_per_atom\nLi2O,-2.0\n", -2.0),
        ("composition,e_form_per_atom\nLi2O,-2.0\n", -2.0),
        ("formula,energy\nLi4O2,-12.0\n", -2.0),
    ],
)
def test_tables_are_read_with_kind_and_level(tmp_path: Path, text: str, value: float) -> None:
    path = write(tmp_path / "a.csv", text)
    table = read_entries(path, kind="formation", level=LEVEL)
    assert table.energies.values.tolist() == [value]


@pytest.mark.parametrize("told", [{}, {"kind": "total"}, {"level": LEVEL}])
def test_tables_without_kind_or_level_are_refused(tmp_path: Path, told: dict[str, Any]) -> None:
    path = write(tmp_path / "a.csv", "formula,energy\nLi2O,-2.0\n")
    with pytest.raises(InputError, match="give their kind"):
        read_entries(path, **told)


@pytest.mark.parametrize(
    ("name", "document", "sentence"),
    [
        ("a.json", "", "holds no entries|is not JSON|no entries"),
        ("a.json", "[1, 2]", "not a list of entries"),
        ("a.json", "[]", "holds no entries"),
        ("a.json", "{broken", "Line 1"),
        ("a.json", [{"energy": 1.0}], "Entry 0"),
        ("a.json", [{"composition": {"Li": -1}, "energy": 1.0}], "not above zero"),
        ("a.json", [{"composition": {"Xx": 1}, "energy": 1.0}], "Xx"),
        ("a.json", [{"composition": "Li2O", "energy": "much"}], "Entry 0"),
        ("a.json", [{"composition": "Li2O", "energy": "nan"}], "not a number"),
        ("a.json", [{"composition": "Li2O"}], "it has no energy"),
        ("a.json", [*ALEXANDRIA, *COMPUTED], "mixes kinds"),
        ("a.csv", "a,b\n1,2\n", "no column named formula"),
        ("a.csv", "formula,b\nLi,2\n", "no column named energy_per_atom"),
        ("a.csv", "formula,energy\n", "holds no entries"),
    ],
)
def test_bad_files_end_in_one_sentence(
    tmp_path: Path, name: str, document: Any, sentence: str
) -> None:
    with pytest.raises(FileError, match=sentence):
        read_entries(write(tmp_path / name, document), kind="formation", level=LEVEL)


@pytest.mark.parametrize("digits", [400, 5000])
def test_an_energy_of_too_many_digits_is_one_sentence(tmp_path: Path, digits: int) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"formula": "MgO", "energy_per_atom": ' + "1" * digits + "}]")
    with pytest.raises(FileError, match=r"Entry 0 of .* cannot be read|Line 1 of .* is not JSON"):
        read_entries(path, kind="formation", level=LEVEL)


def test_a_kind_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", ALEXANDRIA)
    with pytest.raises(InputError, match="holds formation energies, not total"):
        read_entries(path, kind="total")


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not 'cohesive'"):
        read_entries(write(tmp_path / "a.json", ALEXANDRIA), kind="cohesive")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(ALEXANDRIA).encode())[:-12])
    with pytest.raises(FileError, match="cut off or damaged"):
        read_entries(path)


def test_a_file_of_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(FileError, match="not a text file"):
        read_entries(path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be read"):
        read_entries(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read_entries(tmp_path / "nothing.json")


def test_a_file_above_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_TABLE", 100)
    with pytest.raises(FileError, match="larger than 100 bytes"):
        read_entries(write(tmp_path / "a.json.gz", ALEXANDRIA * 50))


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_any_bytes_end_in_an_error_of_ours(tmp_path: Path, data: bytes) -> None:
    for name in ("a.json", "a.csv"):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(MaterialabsError):
            read_entries(path, kind="total", level=LEVEL)


def test_a_system_is_taken_out_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", ALEXANDRIA)
    assert entries_for(path, system="O-Li").ids == ["agm1"]
    assert entries_for("Na-O", entries=path).ids == ["agm2"]


def test_a_system_without_entries_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No entry lies"):
        entries_for("K-O", entries=write(tmp_path / "a.json", ALEXANDRIA))


def test_the_smallest_file_named_after_a_system_is_taken_from_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "big_Na_K_O_entries.json", ALEXANDRIA[:1])
    write(tmp_path / "alexandria_Na-O.json", ALEXANDRIA)
    (tmp_path / "notes_Na-O.txt").write_text("nothing")
    assert entries_for("Na-O", entries=tmp_path).ids == ["agm2"]


def test_a_folder_without_the_system_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="named after a system"):
        entries_for("Na-O", entries=tmp_path)


def test_a_system_alone_asks_where_its_entries_are() -> None:
    with pytest.raises(InputError, match="say where its entries are"):
        entries_for("Li-P-S")


@pytest.mark.parametrize("source", ["missing.json", "some/where"])
def test_a_missing_file_is_not_taken_for_a_system(source: str) -> None:
    with pytest.raises(NotFound, match="no file"):
        entries_for(source)


def test_an_unknown_element_in_a_system_is_named() -> None:
    with pytest.raises(FormulaError, match="Xx"):
        entries_for("Li-Xx")


def test_a_hull_is_built_from_a_file(tmp_path: Path) -> None:
    assert Hull.of(write(tmp_path / "a.json", COMPUTED)).system == "Li-O"


def test_adjustments_count_where_an_entry_states_no_sum(tmp_path: Path) -> None:
    by_composition = {"name": "MP2020 anion correction (oxide)", "adj_per_atom": -0.687,
                      "n_atoms": 2.0}  # fmt: skip
    constant = {"name": "MP2020 other", "value": -0.126}
    entry = {"@class": "ComputedEntry", "composition": {"Li": 4, "O": 2}, "energy": -28.0,
             "energy_adjustments": [by_composition, constant]}  # fmt: skip
    table = read_entries(write(tmp_path / "a.json", [entry]))
    assert table.energies.values[0] == pytest.approx((-28.0 - 2 * 0.687 - 0.126) / 6)
    entry["energy_adjustments"] = [{"name": "MP2020 temperature"}]
    with pytest.raises(FileError, match="adjustment without a value"):
        read_entries(write(tmp_path / "b.json", [entry]))


def test_blanks_around_a_column_name_do_not_hide_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "formula, energy_per_atom\r\nMgO, -3.0\r\n")
    assert read_entries(path, level=LEVEL, kind="formation").energies.values.tolist() == [-3.0]


def test_an_empty_energy_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "formula,energy_per_atom\nMgO,\n")
    with pytest.raises(FileError, match="it has no energy"):
        read_entries(path, level=LEVEL, kind="formation")


def test_a_missing_file_of_any_ending_is_said_to_be_missing() -> None:
    with pytest.raises(NotFound, match=r"no file entries\.txt"):
        entries_for("entries.txt")

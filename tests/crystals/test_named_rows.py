"""Tables of every form give the same rows, with their numbers; others are refused in a sentence."""

from __future__ import annotations

import bz2
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from materialabs.crystals.files import named_rows as module
from materialabs.crystals.files.named_rows import (
    headers_of,
    holds_crystals,
    is_gap,
    kind_of,
    named_rows,
)
from materialabs.errors import FileError, InputError, ResourceError

ROWS = [{"formula": "Fe2O3", "gap": "2.1"}, {"formula": "TiO2", "gap": "3.0"}]
SPLIT = {
    "columns": ["formula", "gap"],
    "index": [0, 1],
    "data": [["Fe2O3", "2.1"], ["TiO2", "3.0"]],
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


# -- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "formula,gap\nFe2O3,2.1\nTiO2,3.0\n"),
        ("b.csv", "\ufeffformula;gap\r\nFe2O3;2.1\r\n\r\nTiO2;3.0\r\n"),
        ("c.tsv", "formula\tgap\nFe2O3\t2.1\nTiO2\t3.0\n"),
        ("d.txt", " formula | gap\nFe2O3|2.1\nTiO2|3.0\n"),
        ("e.jsonl", '{"formula":"Fe2O3","gap":"2.1"}\n\n{"formula":"TiO2","gap":"3.0"}\n'),
        ("f.json", json.dumps(ROWS)),
        ("g.json", json.dumps(SPLIT)),
        ("h.json", json.dumps({"formula": ["Fe2O3", "TiO2"], "gap": ["2.1", "3.0"]})),
        ("i.json", json.dumps({"formula": {"0": "Fe2O3", "1": "TiO2"},
                               "gap": {"0": "2.1", "1": "3.0"}})),
        ("j.json", json.dumps({"data": ROWS, "meta": {}})),
    ],
)  # fmt: skip
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path / name, text)
    assert headers_of(path) == ["formula", "gap"]
    assert [row for _, row in named_rows(path)] == ROWS
    assert not holds_crystals(path)


@pytest.mark.parametrize(("opener", "ending"), [(gzip.open, ".gz"), (bz2.open, ".bz2")])
def test_packed_tables_are_read(tmp_path: Path, opener: Any, ending: str) -> None:
    path = tmp_path / f"a.csv{ending}"
    with opener(path, "wt") as stream:
        stream.write("formula,gap\nFe2O3,2.1\n")
    assert kind_of(path) == "csv"
    assert list(named_rows(path)) == [(2, ROWS[0])]


def test_rows_bear_their_numbers_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'formula,note\nFe,"two\nlines"\nCu,\n,nan\nAg,x\n')
    assert [number for number, _ in named_rows(path)] == [3, 4, 6]


def test_a_row_that_ends_early_has_gaps_and_one_that_is_too_long_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "formula,gap\nFe\nCu,0,1,2\n")
    rows = [row for _, row in named_rows(path)]
    assert rows == [{"formula": "Fe", "gap": None}, {"formula": "Cu", "gap": "0"}]


def test_a_sheet_is_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", one=[["x"], [1]],
                    two=[["formula", "gap", None], [], ["Fe", 0.5, None]])  # fmt: skip
    assert list(named_rows(path)) == [(2, {"x": 1})]
    assert list(named_rows(path, "two")) == [(3, {"formula": "Fe", "gap": 0.5})]
    with pytest.raises(InputError, match="has no sheet 'three'; it has one, two"):
        list(named_rows(path, "three"))


def test_repeated_headers_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "formula,E,E,\nFe,1,2,3\n")
    assert list(named_rows(path)) == [(2, {"formula": "Fe", "E": "1", "E.2": "2"})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encodings_of_spreadsheets_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("formula;T (°C)\nFe;20\n".encode(encoding))
    assert list(named_rows(path)) == [(2, {"formula": "Fe", "T (°C)": "20"})]


def test_inner_objects_are_spread_and_compositions_stay(tmp_path: Path) -> None:
    row = {"composition": {"Li": 2}, "data": {"gap": 1.0}}
    path = write(tmp_path / "a.jsonl", json.dumps(row))
    assert list(named_rows(path)) == [(1, {"composition": {"Li": 2}, "data.gap": 1.0})]


@pytest.mark.parametrize("cell", [None, float("nan"), "", " ", "N/A", "null", "-"])
def test_what_stands_for_nothing_is_a_gap(cell: Any) -> None:
    assert is_gap(cell)


@pytest.mark.parametrize("cell", [0, 0.0, False, "0", "Nd", [], "no"])
def test_a_value_is_no_gap(cell: Any) -> None:
    assert not is_gap(cell)


# -- crystals or formulas -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"cell": [1,1,1,90,90,90], "species": ["Fe"]}\n'),
        ("b.json", '{"columns": ["structure"], "data": [[{"@module": "pymatgen"}]]}'),
        ("c.csv", "id,cif\n1,data_x\n"),
        ("d.csv", "id,CIF\n1,data_x\n"),
        ("e.csv", 'id,structure\n1,\n2,"{""@module"": 1}"\n'),
        ("f.csv", 'id,atoms\n1,"data_x\nloop_"\n'),
        ("g.json.gz", "no gzip"),
    ],
)
def test_a_table_of_crystals_is_told(tmp_path: Path, name: str, text: str) -> None:
    assert holds_crystals(write(tmp_path / name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "formula,structure\nNaCl,rocksalt\n"),
        ("b.csv", "formula,atoms\nNaCl,8\n"),
        ("c.csv", "formula,lattice\nNaCl,cubic\n"),
        ("d.json", '[{"formula": "NaCl", "kind": "structure"}]'),
    ],
)
def test_the_word_for_a_structure_is_no_crystal(tmp_path: Path, name: str, text: str) -> None:
    assert not holds_crystals(write(tmp_path / name, text))


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"a,b\n" + b"\xff\x81,1\n" * 3, "cannot be read as a table"),
        ("b.jsonl", b"{}\n[1]\n", "line 2, is not an object"),
        ("c.jsonl", b'{"a": \n', "line 1, is not JSON"),
        ("d.jsonl", b'{"a": ' + b"1" * 5000 + b"}", "line 1, is not JSON"),
        ("e.json", b"[1, 2]", "is not a table"),
        ("f.json", b"{", "is not JSON"),
        ("g.json", b'{"a": [' + b"[" * 100_000, "is not JSON"),
        ("h.json", b'[{"a": ' + b"1" * 5000 + b"}]", "is not JSON"),
        ("i.json", b'{"columns": 3, "data": [[1]]}', "is not a table"),
        ("j.xlsx", b"no zip", "is not an XLSX file"),
        ("k.foo", b"a b c", "is not a table"),
        ("l.csv.gz", b"no gzip", "cannot be read"),
        ("m.csv.xz", b"no xz", "cannot be read"),
        ("n.csv.gz", gzip.compress(b"a,b\n" * 1000, mtime=0)[:-20], "cannot be read"),
    ],
)
def test_what_is_not_a_table_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((FileError, ResourceError), match=sentence):
        list(named_rows(path))


def test_rows_of_a_document_that_are_no_lists_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"columns": ["a", "b"], "data": [1, 2, 3]}')
    assert list(named_rows(path)) == []


def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ResourceError, match="cannot be read: Is a directory"):
        list(named_rows(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("xl/worksheets/sheet1.xml", lambda text: text[: len(text) // 2]),
        ("xl/worksheets/sheet1.xml", lambda text: text.replace(b"<v>", b"<v>x")),
        ("xl/workbook.xml", lambda text: text[: len(text) // 2]),
        ("xl/workbook.xml", lambda text: text.replace(b"sheets>", b"sheetz>")),
        ("xl/styles.xml", lambda text: b"junk"),
    ],
)
def test_a_damaged_workbook_is_one_sentence(
    tmp_path: Path, part: str, damage: Callable[[bytes], bytes]
) -> None:
    whole = workbook(tmp_path / "a.xlsx", one=[["gap"], [0.5], [0.7]])
    damaged = tmp_path / "b.xlsx"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            target.writestr(name, damage(text) if name == part else text)
    with pytest.raises(FileError, match=r"b\.xlsx (is not an XLSX file|has no sheet)"):
        list(named_rows(damaged))


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = workbook(tmp_path / "b.xlsx", one=[["formula"], ["Fe"]])
    document = write(tmp_path / "c.json", json.dumps(ROWS))
    field = write(tmp_path / "d.csv", "formula,x\nFe," + "y" * 2_000_000 + "\n")
    line = write(tmp_path / "e.jsonl", json.dumps({"x": "y" * 2_000_000}))
    monkeypatch.setattr(module, "LARGEST_DOCUMENT", 20)
    for path, sentence in (
        (book, "unpacks to"),
        (document, "too large"),
        (field, "cannot be read"),
        (line, "is longer than"),
    ):
        with pytest.raises(FileError, match=sentence):
            list(named_rows(path))

"""Tables of every form give the same rows, with their numbers; others are refused in a sentence."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from materialabs.crystals.files import named_rows
from materialabs.crystals.files.row_documents import rows_of_document
from materialabs.errors import FileError, InputError, ResourceError
from materialabs.store.tables import holds_crystals, is_table, open_table

ROWS = [{"formula": "Fe2O3", "gap": "2.1"}, {"formula": "TiO2", "gap": "3.0"}]


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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "formula,gap\nFe2O3,2.1\nTiO2,3.0\n"),
        ("b.csv", "\ufeffformula;gap\r\nFe2O3;2.1\r\n\r\nTiO2;3.0\r\n"),
        ("c.tsv", "formula\tgap\nFe2O3\t2.1\nTiO2\t3.0\n"),
        ("d.jsonl", '{"formula":"Fe2O3","gap":"2.1"}\n\n{"formula":"TiO2","gap":"3.0"}\n'),
        ("e.json", json.dumps(ROWS)),
        ("f.json", json.dumps({"columns": ["formula", "gap"], "index": [0, 1],
                               "data": [["Fe2O3", "2.1"], ["TiO2", "3.0"]]})),
        ("g.json", json.dumps({"formula": ["Fe2O3", "TiO2"], "gap": ["2.1", "3.0"]})),
        ("h.json", json.dumps({"formula": {"0": "Fe2O3", "1": "TiO2"},
                               "gap": {"0": "2.1", "1": "3.0"}})),
        ("i.json", json.dumps({"data": ROWS, "meta": {}})),
    ],
)  # fmt: skip
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    table = open_table(write(tmp_path / name, text))
    assert table.headers == ["formula", "gap"]
    assert [row for _, row in table.rows()] == ROWS
    assert is_table(table.path)
    assert not holds_crystals(table.path)


@pytest.mark.parametrize(("opener", "ending"), [(gzip.open, ".gz"), (bz2.open, ".bz2")])
def test_packed_tables_are_read(tmp_path: Path, opener: Any, ending: str) -> None:
    path = tmp_path / f"a.csv{ending}"
    with opener(path, "wt") as stream:
        stream.write("formula,gap\nFe2O3,2.1\n")
    assert open_table(path).first_rows() == [ROWS[0]]


def test_rows_bear_their_numbers_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'formula,note\nFe,"two\nlines"\nCu,\n,,\nAg,x\n')
    assert [number for number, _ in open_table(path).rows()] == [3, 4, 6]


def test_a_sheet_is_named_behind_the_path(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", one=[["x"], [1]],
                    two=[["formula", "gap", None], [], ["Fe", 0.5, None]])  # fmt: skip
    assert open_table(path).headers == ["x"]
    table = open_table(f"{path}#two")
    assert table.headers == ["formula", "gap"]
    assert list(table.rows()) == [(3, {"formula": "Fe", "gap": 0.5})]
    with pytest.raises(InputError, match="has no sheet 'three'; it has one, two"):
        open_table(f"{path}#three")


def test_repeated_headers_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "formula,E,E,\nFe,1,2,3\n")
    assert open_table(path).first_rows() == [{"formula": "Fe", "E": "1", "E.2": "2"}]


def test_a_windows_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("formula,T (°C)\nFe,20\n".encode("cp1252"))
    assert open_table(path).headers == ["formula", "T (°C)"]


def test_inner_objects_are_spread_and_compositions_stay() -> None:
    rows = rows_of_document([{"composition": {"Li": 2}, "data": {"gap": 1.0}, "@class": {"a": 1}}])
    assert rows is not None
    assert list(rows) == [(1, {"composition": {"Li": 2}, "data.gap": 1.0, "@class": {"a": 1}})]


@pytest.mark.parametrize("document", [[], {}, 3, [1, 2], {"a": [1], "b": [1, 2]}, {"a": {"x": 1},
                                      "b": {"y": 1}}])  # fmt: skip
def test_other_documents_are_no_tables(document: Any) -> None:
    assert rows_of_document(document) is None


def test_crystals_are_told_from_compositions(tmp_path: Path) -> None:
    crystals = write(tmp_path / "a.jsonl", '{"cell": [1,1,1,90,90,90], "species": ["Fe"]}\n')
    cifs = write(tmp_path / "b.csv", "id,cif\n1,data_x\n")
    assert not is_table(crystals)
    assert holds_crystals(crystals)
    assert is_table(cifs)
    assert holds_crystals(cifs)
    assert not is_table(tmp_path / "nothing.json")
    assert not is_table(tmp_path / "a.cif")
    packed = tmp_path / "c.json.gz"
    packed.write_bytes(b"no gzip")
    assert not is_table(packed)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "is empty"),
        ("b.csv", b"0.1,0.2,3e-5\n0.1,0.3,2\n", "has no headers"),
        ("c.csv", b"a,b\n" + b"\xff\x00,1\n" * 3, ""),
        ("d.jsonl", b"{}\n[1]\n", "is not an object"),
        ("e.jsonl", b'{"a": \n', "is not JSON"),
        ("f.json", b"[1, 2]", "is not a table"),
        ("g.json", b"{", "is not JSON"),
        ("h.xlsx", b"no zip", "is not an XLSX file"),
        ("i.txt", b"a b c", "is not a table"),
        ("j.csv.gz", b"no gzip", "cannot be read"),
        ("k.json", b'{"a": [' + b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_not_a_table_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if not sentence:
        assert list(open_table(path).rows())
        return
    with pytest.raises((FileError, ResourceError), match=sentence):
        list(open_table(path).rows())


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no file"):
        open_table(tmp_path / "nothing.csv")


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = write(tmp_path / "a.csv", ",".join(f"c{i}" for i in range(3000)) + "\n")
    with pytest.raises(FileError, match="3000 columns"):
        open_table(wide)
    book = workbook(tmp_path / "b.xlsx", one=[["formula"], ["Fe"]])
    document = write(tmp_path / "c.json", json.dumps(ROWS))
    field = write(tmp_path / "d.csv", "formula,x\nFe," + "y" * 2_000_000 + "\n")
    monkeypatch.setattr(named_rows, "LARGEST_DOCUMENT", 20)
    for path, sentence in (
        (book, "unpacks to"),
        (document, "too large"),
        (field, "cannot be read"),
    ):
        with pytest.raises(FileError, match=sentence):
            list(open_table(path).rows())

from __future__ import annotations

import json
from pathlib import Path

import pytest

from materialabs.cli.output import csv_text, note, print_json, print_rows, write_text


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (3.2e-9, "3.2e-09"),
        (-1.2345678e-7, "-1.235e-07"),
        (0.00234567, "0.002346"),
        (0.0079, "0.0079"),
        (0.0, "0.0000"),
        (0.1, "0.1000"),
        (-3.14621, "-3.1462"),
        (123456.0, "1.235e+05"),
    ],
)
def test_numbers_are_printed_with_digits_that_tell_something(
    value: float, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_rows([{"value": value}])
    assert capsys.readouterr().out.split()[-1] == printed


@pytest.mark.parametrize(
    ("value", "printed"), [(9.98e-7, "0.0000"), (-3e-6, "0.0000"), (-0.05657, "-0.0566")]
)
def test_energies_of_a_table_have_as_many_decimals_each(
    value: float, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_rows([{"above hull": value}], decimals=4)
    assert capsys.readouterr().out.split()[-1] == printed


NOT_UTF8 = b"na\xffme.cif".decode(errors="surrogateescape")


def test_a_name_that_is_not_utf8_is_printed_with_escapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_rows([{"file": NOT_UTF8}], title=NOT_UTF8)
    note(NOT_UTF8)
    printed = capsys.readouterr()
    assert printed.out.count(r"na\udcffme.cif") == 2
    assert printed.err == "na\\udcffme.cif\n"


def test_a_name_that_is_not_utf8_survives_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"file": NOT_UTF8})
    assert json.loads(capsys.readouterr().out.encode())["file"] == NOT_UTF8


def test_a_name_that_is_not_utf8_is_written_with_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "t.csv", csv_text([{"file": NOT_UTF8}]))
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "file\nna\\udcffme.cif\n"

"""Tables of measured or computed values: CSV, XLSX, JSON lines and JSON, row by row.

CSV and JSON lines are read in constant memory. A JSON document is held whole, and refused above
:data:`LARGEST_DOCUMENT`. A sheet of a workbook is named behind the path: ``data.xlsx#Sheet2``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from materialabs.crystals.files import named_rows
from materialabs.crystals.files.named_rows import DOCUMENT, GUESS_ROWS, LINES, WORKBOOK
from materialabs.errors import FileError

MOST_COLUMNS: Final = 2000

SEPARATED: Final = ("csv", "tsv")
"""Endings of tables of text; a ``.txt`` may be anything, and is none of them here."""

_SHEET: Final = re.compile(r"(.+\.xlsx)#(.+)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[-+]?[\d.]+([eE][-+]?\d+)?(\.\d+)?")


@dataclass(frozen=True)
class Table:
    """A table's headers, and a way to read its rows.

    Parameters
    ----------
    path
        The file.
    headers
        Names of the columns.
    sheet
        Of a workbook; its first sheet where it is empty.
    """

    path: Path
    headers: list[str]
    sheet: str = ""

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows with their numbers in the file, the header of a CSV or a sheet being row 1."""
        return named_rows.named_rows(self.path, self.sheet)

    def first_rows(self) -> list[dict[str, Any]]:
        """A few rows."""
        return [row for _, row in itertools.islice(self.rows(), GUESS_ROWS)]


def open_table(path: str | Path) -> Table:
    """Open a table; the kind of file is told by its name.

    Parameters
    ----------
    path
        The file; of a workbook perhaps with a sheet: ``data.xlsx#Sheet2``.
    """
    place, sheet = _split_sheet(path)
    if not place.is_file():
        raise FileError(f"There is no file {place}.")
    if not _is_kind(place, *SEPARATED, WORKBOOK, *LINES, DOCUMENT):
        raise FileError(f"{place} is not a table: CSV, TSV, XLSX, JSON and JSON lines are read.")
    headers = named_rows.headers_of(place, sheet)
    if not any(headers):
        raise FileError(f"{place} is empty.")
    if len(headers) > MOST_COLUMNS:
        raise FileError(f"{place} has {len(headers)} columns; {MOST_COLUMNS} are the limit.")
    if _is_kind(place, *SEPARATED, WORKBOOK) and all(map(_NUMBER.fullmatch, filter(None, headers))):
        raise FileError(
            f"{place} has no headers: its first row holds only numbers; add a row that names the "
            "columns."
        )
    return Table(place, headers, sheet)


def is_table(path: str | Path) -> bool:
    """Whether a file is a table of compositions, by its name and, for JSON, by its first row."""
    place, _ = _split_sheet(path)
    if _is_kind(place, *SEPARATED, WORKBOOK):
        return True
    known = _is_kind(place, *LINES, DOCUMENT) and place.is_file()
    return known and not named_rows.holds_crystals(place)


def holds_crystals(path: str | Path) -> bool:
    """Whether a table has a column of crystals rather than of formulas only."""
    place, sheet = _split_sheet(path)
    if not place.is_file():
        raise FileError(f"There is no file {place}.")
    return named_rows.holds_crystals(place, sheet)


def _split_sheet(path: str | Path) -> tuple[Path, str]:
    match = _SHEET.fullmatch(str(path))
    return (Path(match.group(1)), match.group(2)) if match else (Path(path), "")


def _is_kind(path: Path, *kinds: str) -> bool:
    return named_rows.kind_of(path) in kinds

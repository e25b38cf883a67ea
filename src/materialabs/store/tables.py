"""Tables of measured or computed values: CSV, XLSX and JSON lines, row by row."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from materialabs.errors import FileError, ResourceError

LARGEST_FIELD: Final = 1_000_000
"""Characters in one field; a longer one is not a value."""

MOST_COLUMNS: Final = 2000
GUESS_ROWS: Final = 50
"""Rows that the meaning of columns is guessed from."""


@dataclass(frozen=True)
class Table:
    """A table's headers, and a way to read its rows.

    Parameters
    ----------
    path
        The file.
    headers
        Names of the columns.
    """

    path: Path
    headers: list[str]

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows with their numbers in the file, the header being row 1."""
        return _rows(self.path, self.headers)

    def first_rows(self) -> list[dict[str, Any]]:
        """A few rows."""
        return [row for _, row in itertools.islice(self.rows(), GUESS_ROWS)]


def open_table(path: str | Path) -> Table:
    """Open a table; the kind of file is told by its name."""
    place = Path(path)
    if not place.is_file():
        raise FileError(f"There is no file {place}.")
    headers = _headers(place)
    if not headers:
        raise FileError(f"{place} is empty.")
    if len(headers) > MOST_COLUMNS:
        raise FileError(f"{place} has {len(headers)} columns; {MOST_COLUMNS} are the limit.")
    return Table(place, headers)


def is_table(path: str | Path) -> bool:
    """Whether a file's name is that of a table."""
    return _kind(Path(path)) in ("csv", "tsv", "xlsx")


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix not in (".gz", ".bz2")]
    return suffixes[-1].removeprefix(".") if suffixes else ""


def _headers(path: Path) -> list[str]:
    for _, row in _raw_rows(path):
        if isinstance(row, dict):
            return [str(key) for key in row]
        return [str(value).strip() if value is not None else "" for value in row]
    return []


def _rows(path: Path, headers: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = _raw_rows(path)
    for place, (number, row) in enumerate(rows):
        if isinstance(row, dict):
            yield number, row
        elif place:
            yield (
                number,
                {
                    name: row[column] if column < len(row) else None
                    for column, name in enumerate(headers)
                    if name
                },
            )


def _raw_rows(path: Path) -> Iterator[tuple[int, Any]]:
    kind = _kind(path)
    try:
        if kind in ("csv", "tsv"):
            yield from _csv_rows(path, "\t" if kind == "tsv" else ",")
        elif kind == "xlsx":
            yield from _sheet_rows(path)
        elif kind in ("jsonl", "ndjson"):
            yield from _line_rows(path)
        else:
            raise FileError(f"{path} is not a table: CSV, TSV, XLSX or JSON lines are read.")
    except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise FileError(f"{path} cannot be read as a table: {error}.") from error
    except OSError as error:
        raise ResourceError(f"{path} cannot be read: {error.strerror or error}.") from error


def _text(path: Path) -> io.TextIOWrapper:
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix.lower(), open)
    stream: io.TextIOWrapper = opener(path, "rt", encoding="utf-8-sig", newline="")
    return stream


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LARGEST_FIELD)
    with _text(path) as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        for row in reader:
            if row:
                yield reader.line_num, row


def _line_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _text(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line[:LARGEST_FIELD])
            except (ValueError, RecursionError) as error:
                raise FileError(f"{path}, line {number}, is not JSON: {error}.") from error
            if not isinstance(row, dict):
                raise FileError(f"{path}, line {number}, is not an object with named values.")
            yield number, row


def _sheet_rows(path: Path) -> Iterator[tuple[int, list[Any]]]:
    import zipfile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise FileError(f"{path} is not an XLSX file.") from error
    try:
        for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
            if any(value is not None for value in row):
                yield number, list(row)
    finally:
        book.close()

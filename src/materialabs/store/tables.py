"""Tables of measured or computed values: CSV, XLSX, JSON lines and JSON, row by row.

CSV and JSON lines are read in constant memory. A JSON document is held whole, and refused above
:data:`LARGEST_DOCUMENT`. A sheet of a workbook is named behind the path: ``data.xlsx#Sheet2``.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from materialabs.errors import FileError, InputError, ResourceError
from materialabs.store.cells import is_missing
from materialabs.store.table_documents import flat, rows_of_document

LARGEST_FIELD: Final = 1_000_000
"""Characters in one field; a longer one is not a value."""

LARGEST_DOCUMENT: Final = 1 << 30
"""Bytes, unpacked, of a JSON document or a workbook."""

MOST_COLUMNS: Final = 2000
GUESS_ROWS: Final = 200
"""Rows that the meaning of columns is guessed from."""

HEAD: Final = 1 << 16
"""Characters of a JSON file that tell whether it holds crystals."""

_PACKED: Final[dict[str, Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

_CRYSTAL_FIELDS: Final = frozenset(
    {"cif", "structure", "lattice", "cell", "sites", "species", "attributes", "atoms", "frac",
     "lattice_mat", "positions", "final_structure"}
)  # fmt: skip
"""Fields of rows that are crystals, not compositions."""


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
        return _rows(self.path, self.sheet, self.headers)

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
    headers = _headers(place, sheet)
    if not any(headers):
        raise FileError(f"{place} is empty.")
    if len(headers) > MOST_COLUMNS:
        raise FileError(f"{place} has {len(headers)} columns; {MOST_COLUMNS} are the limit.")
    if _kind(place) in ("csv", "tsv", "xlsx") and all(_numeric(name) for name in headers if name):
        raise FileError(
            f"{place} has no headers: its first row holds only numbers; add a row that names the "
            "columns."
        )
    return Table(place, headers, sheet)


def _split_sheet(path: str | Path) -> tuple[Path, str]:
    text = str(path)
    match = re.fullmatch(r"(.+\.xlsx)#(.+)", text, re.IGNORECASE)
    return (Path(match.group(1)), match.group(2)) if match else (Path(text), "")


def _numeric(text: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?(\.\d+)?", text) is not None


def is_table(path: str | Path) -> bool:
    """Whether a file is a table of compositions, by its name and, for JSON, by its first row."""
    place, _ = _split_sheet(path)
    kind = _kind(place)
    if kind in ("csv", "tsv", "xlsx"):
        return True
    return kind in ("json", "jsonl", "ndjson") and place.is_file() and not _has_crystals(place)


def holds_crystals(path: str | Path) -> bool:
    """Whether a table has a column of crystals rather than of formulas only."""
    place, sheet = _split_sheet(path)
    if not place.is_file():
        raise FileError(f"There is no file {place}.")
    if _kind(place) in ("json", "jsonl", "ndjson"):
        return _has_crystals(place)
    return bool({header.lower() for header in _headers(place, sheet)} & {"cif", "structure"})


def _has_crystals(path: Path) -> bool:
    try:
        with _text(path, "utf-8-sig") as stream:
            head = stream.read(HEAD)
    except (OSError, UnicodeDecodeError, EOFError, zlib.error, lzma.LZMAError):
        return True  # the readers of crystals say what is wrong with it
    names = set(re.findall(r'"([A-Za-z_@]+)"', head))
    return bool(names & _CRYSTAL_FIELDS) or "@module" in names or "x-optimade" in names


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _PACKED]
    return suffixes[-1].removeprefix(".") if suffixes else ""


def _headers(path: Path, sheet: str) -> list[str]:
    names: dict[str, None] = {}
    for count, (_, row) in enumerate(_raw_rows(path, sheet)):
        if not isinstance(row, dict):
            return _distinct(row)
        names |= dict.fromkeys(str(key) for key in row)
        if count >= GUESS_ROWS:
            break
    return list(names)


def _distinct(cells: list[Any]) -> list[str]:
    """Headers as texts, a repeated one with its count behind it."""
    seen: dict[str, int] = {}
    headers = []
    for cell in cells:
        name = "" if cell is None else " ".join(str(cell).split())
        seen[name] = seen.get(name, 0) + 1
        headers.append(name if seen[name] == 1 or not name else f"{name}.{seen[name]}")
    while headers and not headers[-1]:
        headers.pop()
    return headers


def _rows(path: Path, sheet: str, headers: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for place, (number, row) in enumerate(_raw_rows(path, sheet)):
        if isinstance(row, dict):
            yield number, row
        elif place and not all(is_missing(cell) for cell in row):
            cells = row + [None] * (len(headers) - len(row))
            yield number, {name: cell for name, cell in zip(headers, cells, strict=False) if name}


def _raw_rows(path: Path, sheet: str) -> Iterator[tuple[int, Any]]:
    kind = _kind(path)
    try:
        if kind in ("csv", "tsv"):
            yield from _csv_rows(path)
        elif kind == "xlsx":
            yield from _sheet_rows(path, sheet)
        elif kind in ("jsonl", "ndjson"):
            yield from _line_rows(path)
        elif kind == "json":
            yield from _document_rows(path)
        else:
            raise FileError(f"{path} is not a table: CSV, TSV, XLSX, JSON and JSON lines are read.")
    except (csv.Error, UnicodeDecodeError, EOFError, zlib.error, lzma.LZMAError,
            gzip.BadGzipFile) as error:  # fmt: skip
        raise FileError(f"{path} cannot be read as a table: {error}.") from error
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        raise ResourceError(f"{path} cannot be read: {error.strerror or error}.") from error


def _text(path: Path, encoding: str) -> io.TextIOWrapper:
    opener = _PACKED.get(path.suffix.lower(), open)
    stream: io.TextIOWrapper = opener(path, "rt", encoding=encoding, newline="")
    return stream


def _encoding(path: Path) -> str:
    """UTF-8, or the Windows code page of Western Europe where the start is not UTF-8."""
    opener = _PACKED.get(path.suffix.lower(), open)
    with opener(path, "rb") as stream:
        head = stream.read(HEAD)
    try:
        head[: head.rfind(b"\n") + 1].decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LARGEST_FIELD)
    with _text(path, _encoding(path)) as stream:
        first = stream.readline(LARGEST_FIELD)
        stream.seek(0)
        reader = csv.reader(stream, delimiter=max((",", "\t", ";", "|"), key=first.count))
        for row in reader:
            if row:
                yield reader.line_num, row


def _line_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _text(path, "utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line) if len(line) <= LARGEST_FIELD else None
            except (ValueError, RecursionError) as error:
                raise FileError(f"{path}, line {number}, is not JSON: {error}.") from error
            if not isinstance(row, dict):
                raise FileError(f"{path}, line {number}, is not an object with named values.")
            yield number, flat(row)


def _document_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _text(path, "utf-8-sig") as stream:
        text = stream.read(LARGEST_DOCUMENT + 1)
    if len(text) > LARGEST_DOCUMENT:
        raise FileError(f"{path} is too large for one JSON document: write it as JSON lines.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not JSON: {error}.") from error
    rows = rows_of_document(document)
    if rows is None:
        raise FileError(
            f"{path} is not a table: a list of objects, columns with their values, or columns and "
            "rows are read."
        )
    yield from rows


def _sheet_rows(path: Path, sheet: str) -> Iterator[tuple[int, list[Any]]]:
    import zipfile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > LARGEST_DOCUMENT:
            raise FileError(f"{path} unpacks to {size:,} bytes; {LARGEST_DOCUMENT:,} are read.")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is not an XLSX file.") from error
    try:
        if sheet and sheet not in book.sheetnames:
            names = ", ".join(book.sheetnames)
            raise InputError(f"{path} has no sheet {sheet!r}; it has {names}.")
        found = book[sheet] if sheet else book.worksheets[0]
        for number, row in enumerate(found.iter_rows(values_only=True), 1):
            if any(value is not None for value in row):
                yield number, list(row)
    finally:
        book.close()

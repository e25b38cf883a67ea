"""Rows of a user's table as names and values, numbered as people count them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from materialabs.crystals.files.named_rows import (
    DOCUMENT,
    LINES,
    TEXTS,
    WORKBOOK,
    is_gap,
    kind_of,
    named_rows,
)
from materialabs.crystals.files.names import ID_FIELDS
from materialabs.errors import FileError

BREAK: Final = re.compile(r"\r\n|\r|\n")
"""Between the lines of one cell."""

SHOWN: Final = 12
"""Names of columns that a sentence lists."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a table as names and values."""
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """All rows of a table with their numbers: row 1 is the first below the header, blank or not."""
    kind, above, rows = kind_of(path), 0, []
    for number, row in named_rows(path):
        if kind in TEXTS:  # numbered by the line that they end on
            above += sum(len(BREAK.findall(cell)) for cell in row.values() if cell)
        rows.append((number - above - (0 if kind in (*LINES, DOCUMENT) else 1), row))
    if not rows:
        raise FileError(f"{path} holds no rows.{sheets_not_read(path)}")
    return rows


def sheets_not_read(path: Path) -> str:
    """A sentence, after a blank, on the sheets of a workbook after the first; empty without any."""
    if kind_of(path) != WORKBOOK:
        return ""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    others = [sheet.title for sheet in book.worksheets[1:]]
    book.close()
    return f" Only the first sheet is read, not {listed(others)}." if others else ""


def names_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Names of all columns, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def turned(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns, texts that stand for nothing as ``None``."""
    return {
        name: [None if is_gap(row.get(name)) else row[name] for row in rows]
        for name in names_of(rows)
    }


def ids_of(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What rows are called: by a known field of ids where all have one, by number otherwise."""
    for field in ID_FIELDS:
        if all(row.get(field) not in (None, "") for row in rows):
            return tuple(str(row[field]) for row in rows)
    return tuple(str(number) for number in range(1, len(rows) + 1))


def listed(names: Collection[str]) -> str:
    """Names in a sentence, the first few."""
    shown = [repr(name) for name in list(names)[:SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")

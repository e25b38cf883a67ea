"""How verbs print: a table for people, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import typer

SMALL: Final = 0.1
"""Numbers below this are printed with four digits, others with four decimals."""

ENERGY_DECIMALS: Final = 4
"""Of energies in eV/atom."""

ROUNDING: Final = 1e-15
"""What is smaller than this is printed as zero."""

LARGE: Final = 1e4
"""Numbers from this on are printed with four digits."""


def print_json(document: Any) -> None:
    """Print JSON; what is not a number becomes null."""
    typer.echo(_escaped(json.dumps(_without_nan(document), indent=1, ensure_ascii=False)))


def print_rows(
    rows: Sequence[dict[str, Any]], *, title: str = "", decimals: int | None = None
) -> None:
    """Print rows as a table, one column for each key of the first row.

    Numbers have four digits or four decimals, whichever are more; energies that are compared with
    one another are easier to read with as many ``decimals`` each.
    """
    if not rows:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    above = Text(_escaped(title)) if title else None
    table = Table(title=above, title_justify="left", box=box.SIMPLE_HEAD)
    for name in rows[0]:
        numeric = all(isinstance(row[name], (int, float)) or row[name] is None for row in rows)
        table.add_column(_escaped(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value, decimals)) for value in row.values()))
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(table)


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as comma-separated values, one column for each key of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return _escaped(text.getvalue())


def note(sentence: str) -> None:
    """Say something beside the result, on standard error."""
    typer.echo(_escaped(sentence), err=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    from materialabs.crystals.files.writing import replacing

    with replacing(path) as unfinished:
        unfinished.write_text(_escaped(text), encoding="utf-8")


def _text(value: Any, decimals: int | None = None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and decimals is not None:
        return f"{round(value, decimals) + 0.0:.{decimals}f}"
    if isinstance(value, float):
        usual = abs(value) < ROUNDING or SMALL <= abs(value) < LARGE
        return f"{value:.4f}" if usual else f"{value:.4g}"
    return _escaped(str(value))


def _escaped(text: str) -> str:
    """A text with bytes of file names that are not UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

"""How verbs print: a table for people, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer


def print_json(document: Any) -> None:
    """Print JSON; what is not a number becomes null."""
    typer.echo(json.dumps(_without_nan(document), indent=1, ensure_ascii=False))


def print_rows(rows: Sequence[dict[str, Any]], *, title: str = "") -> None:
    """Print rows as a table, one column for each key of the first row."""
    if not rows:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD)
    for name in rows[0]:
        numeric = all(isinstance(row[name], (int, float)) or row[name] is None for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row.values()))
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(table)


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as comma-separated values, one column for each key of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def note(sentence: str) -> None:
    """Say something beside the result, on standard error."""
    typer.echo(sentence, err=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    from materialabs.crystals.files.writing import replacing

    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"
    return str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

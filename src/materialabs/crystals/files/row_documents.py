"""Rows of a table that is one JSON document, and rows whose inner objects are spread out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

COMPOSITIONS: Final = frozenset({"composition", "formula", "amounts"})
"""Objects that stay whole: amounts by element."""

Rows = Iterator[tuple[int, dict[str, Any]]]


def rows_of_document(document: Any) -> Rows | None:
    """Numbered rows of a decoded document; nothing where it is not a table.

    Four forms are read: a list of objects; ``columns`` beside ``data`` (pandas' split form);
    columns with a list of values each; columns with an object of values by row name.
    """
    if isinstance(document, list):
        return _numbered(document) if _are_objects(document) else None
    if not isinstance(document, dict) or not document:
        return None
    columns, data = document.get("columns"), document.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return _split_rows([str(name) for name in columns], data)
    if isinstance(data, list) and _are_objects(data):
        return _numbered(data)
    values = list(document.values())
    if all(isinstance(one, list) and len(one) == len(values[0]) for one in values):
        return _numbered(
            [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
        )
    if all(isinstance(one, dict) and one.keys() == values[0].keys() for one in values):
        return _numbered([{name: document[name][key] for name in document} for key in values[0]])
    return None


def _are_objects(items: Sequence[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) for item in items)


def _numbered(rows: Sequence[Mapping[str, Any]]) -> Rows:
    return ((number, flat(row)) for number, row in enumerate(rows, 1))


def _split_rows(columns: list[str], data: list[Any]) -> Rows:
    return (
        (number, flat(dict(zip(columns, row, strict=False))))
        for number, row in enumerate(data, 1)
        if isinstance(row, list)
    )


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose inner objects are spread out: ``data`` with ``gap`` becomes ``data.gap``."""
    spread: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and name not in COMPOSITIONS and not name.startswith("@"):
            spread |= {f"{name}.{inner}": item for inner, item in value.items()}
        else:
            spread[name] = value
    return spread

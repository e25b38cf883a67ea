"""Structures and values as Parquet: one row a structure, its values as a nested list."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from materialabs.errors import ExternalError
from materialabs.store.documents import attributes
from materialabs.store.export_pages import ExportedValue, StoredPage, values_of
from materialabs.store.export_texts import page_values


def write_parquet(pages: Iterator[StoredPage], path: Path) -> None:
    """Write pages to a file, one group of rows a page.

    Raises
    ------
    ExternalError
        Where pyarrow is not installed.
    """
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise ExternalError(
            "Parquet needs pyarrow: pip install 'materialabs[parquet]', or write CSV or JSON lines."
        ) from error
    schema = _schema(arrow)
    with parquet.ParquetWriter(str(path), schema) as writer:
        for page in pages:
            writer.write_table(arrow.Table.from_pylist(rows(page), schema=schema))


def _schema(arrow: Any) -> Any:
    text, number = arrow.string(), arrow.float64()
    vectors = arrow.list_(arrow.list_(number))
    value = arrow.struct(
        [
            ("property", text), ("value", number), ("text", text), ("values", arrow.list_(number)),
            ("unit", text), ("uncertainty", number), ("method", text), ("program", text),
            ("level", text), ("conditions", text), ("record", text), ("doi", text),
            ("licence", text),
        ]
    )  # fmt: skip
    return arrow.schema(
        [
            ("structure", text), ("source", text), ("formula", text), ("elements",
             arrow.list_(text)), ("nsites", arrow.int64()), ("space_group", arrow.int64()),
            ("lattice_vectors", vectors), ("cartesian_site_positions", vectors),
            ("species_at_sites", arrow.list_(text)), ("species", text),
            ("properties", arrow.list_(value)),
        ]
    )  # fmt: skip


def rows(page: StoredPage) -> list[dict[str, Any]]:
    """The rows of one page; a record without a crystal is a row without a structure."""
    found = []
    for place, row in enumerate(page.rows):
        values = attributes(row, page.crystals[place])
        names = ("elements", "lattice_vectors", "cartesian_site_positions", "species_at_sites")
        found.append(
            {
                "structure": row["name"],
                **{name: row[name] for name in ("source", "formula", "nsites", "space_group")},
                **{name: values[name] for name in names},
                "species": json.dumps(values["species"]),
                "properties": [_value(one) for one in page_values(page, place)],
            }
        )
    for record in page.records.get(None, []):
        if not record.superseded:
            composition = {"formula": record.record.composition, "source": record.record.source}
            found.append(composition | {"properties": [_value(one) for one in values_of([record])]})
    return found


def _value(one: ExportedValue) -> dict[str, Any]:
    document = one.document()
    value = document["value"]
    document |= {"value": None, "text": None, "values": None}
    if isinstance(value, list):
        document["values"] = value
    elif isinstance(value, str):
        document["text"] = value
    else:
        document["value"] = float(value)
    return document

"""The texts that an export writes: CIF, extended XYZ, CSV, JSON lines, OPTIMADE JSON lines."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files.cif_writer import blocks_of, quoted
from materialabs.crystals.files.extxyz import frames_of
from materialabs.crystals.files.rows import rows_of
from materialabs.store.canonical import strict_json
from materialabs.store.documents import attributes
from materialabs.store.export_pages import (
    ExportedValue,
    StoredPage,
    blobs_of,
    entries_of,
    values_of,
)
from materialabs.store.filters.fields import FIELDS, VALUES
from materialabs.store.record_lines import record_line
from materialabs.store.store import Store

OPTIMADE_VERSION: Final = "1.2.0"

STRUCTURE_COLUMNS: Final = ("structure", "source", "formula", "space_group")
VALUE_COLUMNS: Final = (
    "property", "value", "unit", "uncertainty", "method", "program", "level", "conditions",
    "record", "doi", "licence",
)  # fmt: skip

CIF_TAGS: Final = (
    "name", "value", "unit", "uncertainty", "method", "program", "level", "conditions", "record",
    "doi", "licence",
)  # fmt: skip


def page_values(page: StoredPage, place: int) -> list[ExportedValue]:
    """The values of one structure of a page."""
    return values_of(page.records.get(page.rows[place]["id"], []))


# -- CSV ------------------------------------------------------------------------------------------


def csv_head() -> str:
    """The header: one row a value."""
    return _csv([*STRUCTURE_COLUMNS, *VALUE_COLUMNS])


def csv_lines(page: StoredPage) -> Iterator[str]:
    """A row for each value; a structure without values has one row without them."""
    for place, row in enumerate(page.rows):
        head = [row["name"], row["source"], row["formula"], row["space_group"]]
        values = page_values(page, place)
        for one in values:
            yield _csv([*head, *one.document().values()])
        if not values:
            yield _csv([*head, *[None] * len(VALUE_COLUMNS)])
    for one in values_of(page.records.get(None, [])):
        record = one.record.record
        yield _csv([None, record.source, record.composition, None, *one.document().values()])


def _csv(cells: list[Any]) -> str:
    text = io.StringIO()
    plain = [json.dumps(cell) if isinstance(cell, (list, bool)) else cell for cell in cells]
    csv.writer(text, lineterminator="\n").writerow(plain)
    return text.getvalue()


# -- records --------------------------------------------------------------------------------------


def record_lines(store: Store, page: StoredPage) -> Iterator[str]:
    """A line for each record, from which another store takes it with the same id."""
    names = [record.name for listed in page.records.values() for record in listed]
    entries = entries_of(store, names)
    contents = store.contents([int(row["id"]) for row in page.rows])
    plain = page.crystals.replace(columns={}) if len(page.crystals) else page.crystals
    structures = list(rows_of(plain)) if len(page.crystals) else []
    places = {row["id"]: place for place, row in enumerate(page.rows)}
    for number, listed in page.records.items():
        place = places.get(number)
        for record in listed:
            yield record_line(
                record.name,
                record.body,
                None if place is None else contents[place],
                blobs_of(store, record.record),
                [
                    {
                        "contributor": entry.contributor,
                        "time": entry.time,
                        "leaf": base64.b64encode(entry.to_leaf()).decode(),
                        **({"licence": entry.licence} if entry.licence else {}),
                    }
                    for entry in entries[record.name]
                ],
                None if place is None else structures[place],
            )


# -- OPTIMADE -------------------------------------------------------------------------------------


def optimade_head() -> str:
    """The first lines of OPTIMADE JSON lines."""
    meta = {"x-optimade": {"meta": {"api_version": OPTIMADE_VERSION}}}
    info = {
        "type": "info",
        "id": "structures",
        "properties": {
            VALUES: {
                "description": FIELDS[VALUES].meaning,
                "type": "list",
                "unit": None,
            }
        },
    }
    return json.dumps(meta) + "\n" + json.dumps(info) + "\n"


def optimade_lines(page: StoredPage) -> Iterator[str]:
    """One structure a line."""
    for place, row in enumerate(page.rows):
        values = attributes(row, page.crystals[place])
        values[VALUES] = [one.document() for one in page_values(page, place)]
        resource = {"id": row["name"], "type": "structures", "attributes": values}
        yield strict_json(resource) + "\n"


# -- CIF ------------------------------------------------------------------------------------------


def cif_text(page: StoredPage, place: int) -> str:
    """A block with the crystal and a loop of its values."""
    crystal = page.crystals[place]
    block = next(iter(blocks_of(crystal)))
    values = page_values(page, place)
    if not values:
        return block
    lines = ["loop_", *(f" _materialabs_property_{tag}" for tag in CIF_TAGS)]
    lines += [
        "  " + " ".join(_cif_cell(cell) for cell in one.document().values()) for one in values
    ]
    return block + "\n".join(lines) + "\n"


def _cif_cell(cell: Any) -> str:
    if cell is None or cell == "":
        return "?"
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return repr(cell)
    return quoted(json.dumps(cell) if isinstance(cell, (list, bool)) else cell)


# -- extended XYZ ---------------------------------------------------------------------------------


def frames(page: StoredPage, left_out: list[tuple[str, str]]) -> Iterator[str]:
    """A frame for each ordered crystal, its values beside their units, methods and levels."""
    disordered = page.crystals.disordered()
    for place, row in enumerate(page.rows):
        if disordered[place]:
            left_out.append((row["name"], "extended XYZ cannot hold partial occupancy"))
            continue
        yield from frames_of(with_values(page.crystals[place], page_values(page, place)))


def with_values(crystal: Crystals, values: list[ExportedValue]) -> Crystals:
    """A crystal with its values as columns; of several of one name, the preferred is the first."""
    columns: dict[str, list[Any]] = {}
    forces = None
    counts: dict[str, int] = {}
    for value in values:
        one, document = value.one, value.document()
        counts[one.name] = counts.get(one.name, 0) + 1
        name = one.name if counts[one.name] == 1 else f"{one.name}_{counts[one.name]}"
        content: Any = document["value"]
        if one.name == "forces" and isinstance(content, list):
            if len(content) == 3 * len(crystal.frac) and forces is None:
                forces = np.array(content).reshape(-1, 3)
        elif one.name == "stress" and name == "stress" and isinstance(content, list):
            columns[name] = [np.array(content).reshape(3, 3)]
        else:
            columns[name] = [content]
        for part in ("unit", "method", "level"):
            columns[f"{name}_{part}"] = [document[part] or None]
    found = crystal.with_columns(**columns) if columns else crystal
    return (
        found
        if forces is None
        else found.replace(site_columns={**found.site_columns, "force": forces})
    )

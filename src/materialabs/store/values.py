"""The narrow table of values, and the preferred ones in each crystal's wide row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from materialabs.errors import InputError
from materialabs.levels import Level
from materialabs.store import schema
from materialabs.store.blocks.packing import mark_changed
from materialabs.store.canonical import canonical_json
from materialabs.store.derive import preferred
from materialabs.store.observations import PreparedRecord, read_record
from materialabs.store.records import METHOD_KINDS, Property
from materialabs.store.rows import chunks, insert_rows, lookup, next_id
from materialabs.store.units import base_unit, to_base

MOST_VALUES = 4096
"""In one record; a value's number is its record's times this, plus its place."""

MODEL = METHOD_KINDS.index("model")
"""Values of this kind count for the bare name of a property only when asked for."""


def store_values(
    connection: Connection,
    records: Sequence[PreparedRecord],
    numbers: Sequence[int],
    ids: dict[bytes, int],
) -> None:
    """Fill the narrow table, and the preferred values of the crystals it speaks of."""
    kept = [(record, narrow(record.properties)) for record in records]
    names = _name_ids(connection, [one for _, listed in kept for one in listed])
    levels = _level_ids(connection, [one for _, listed in kept for one in listed])
    rows = [
        value_row(one, number, ids.get(record.crystal or b""), names, levels)
        | {"id": number * MOST_VALUES + place}
        for (record, listed), number in zip(kept, numbers, strict=True)
        for place, one in enumerate(listed)
    ]
    if not rows:
        return
    insert_rows(connection, schema.property_values, rows)
    touched = {row["crystal_id"] for row in rows if row["crystal_id"] is not None}
    refresh_preferred(connection, touched)


def narrow(properties: Sequence[Property]) -> list[Property]:
    """The properties that the narrow table holds: all but the large ones."""
    kept = [one for one in properties if not one.blob]
    if len(kept) > MOST_VALUES:
        raise InputError(f"A record has at most {MOST_VALUES} values: write several.")
    return kept


def value_row(
    one: Property,
    record: int,
    crystal: int | None,
    names: dict[str, tuple[int, str]],
    levels: dict[str, int],
) -> dict[str, Any]:
    """The row of the narrow table for one property of a record.

    A number whose unit does not convert stands in its record alone: here it is empty, so that no
    filter compares it.
    """
    name_id, base = names[one.name]
    number = text = uncertainty = None
    if isinstance(one.value, (int, float)):
        with suppress(InputError):
            number = to_base(one.name, float(one.value), one.unit, base)
        if number is not None and one.uncertainty is not None:
            uncertainty = to_base(one.name, one.uncertainty, one.unit, base)
    elif isinstance(one.value, str):
        text = one.value
    return {
        "record_id": record,
        "crystal_id": crystal,
        "name_id": name_id,
        "method": METHOD_KINDS.index(one.method.kind),
        "level_id": levels[level_key(one.method.level)] if one.method.level else None,
        "number": number,
        "text": text,
        "uncertainty": uncertainty,
    }


def unit_conflicts(
    connection: Connection, records: Iterable[PreparedRecord]
) -> list[tuple[PreparedRecord, str]]:
    """Records with a number whose unit does not convert to the one it would be kept in, and why."""
    table = schema.property_names
    rows = connection.execute(select(table.c.name, table.c.unit))
    bases = {str(row.name): str(row.unit) for row in rows}
    reasons: dict[tuple[str, str], str] = {}
    found = []
    for record in records:
        told = {
            (one.name, one.unit): bases.setdefault(one.name, base_unit(one.name, one.unit))
            for one in narrow(record.properties)
            if isinstance(one.value, (int, float))
        }
        for (name, unit), base in told.items():
            if (name, unit) not in reasons:
                reasons[name, unit] = _conflict(name, unit, base)
        reason = next((reasons[pair] for pair in told if reasons[pair]), "")
        if reason:
            found.append((record, reason))
    return found


def _conflict(name: str, unit: str, base: str) -> str:
    try:
        to_base(name, 1.0, unit, base)
    except InputError as error:
        return str(error)
    return ""


def _name_ids(connection: Connection, properties: Iterable[Property]) -> dict[str, tuple[int, str]]:
    """Id and base unit of each property name, made where missing."""
    table = schema.property_names
    known = {
        row.name: (row.id, row.unit)
        for row in connection.execute(select(table.c.id, table.c.name, table.c.unit))
    }
    number = next_id(connection, table)
    fresh: list[dict[str, Any]] = []
    for one in properties:
        if one.name not in known:
            unit = base_unit(one.name, one.unit)
            known[one.name] = (number + len(fresh), unit)
            fresh.append({"id": known[one.name][0], "name": one.name, "unit": unit})
    if fresh:
        insert_rows(connection, table, fresh)
    return known


def level_key(level: Level) -> str:
    """A level of theory in canonical JSON."""
    return canonical_json(level.to_dict()).decode()


def _level_ids(connection: Connection, properties: Iterable[Property]) -> dict[str, int]:
    """Id of each level of theory, made where missing."""
    table = schema.levels
    wanted = {p.method.level for p in properties if p.method.level is not None}
    described = {level_key(level): level for level in wanted}
    known = lookup(connection, table, table.c.document, set(described))
    number = next_id(connection, table)
    missing = [key for key in sorted(described) if key not in known]
    fresh = {key: number + place for place, key in enumerate(missing)}
    if fresh:
        insert_rows(
            connection,
            table,
            [
                {
                    "id": fresh[key],
                    "document": key,
                    "functional": described[key].functional.lower(),
                    "label": str(described[key]),
                }
                for key in missing
            ],
        )
    return known | fresh


def refresh_preferred(connection: Connection, crystal_ids: set[int]) -> None:
    """Recompute the preferred values of these crystals from the narrow table."""
    if not crystal_ids:
        return
    values, records = schema.property_values, schema.records
    names = _wide_name_ids(connection)
    found: dict[int, dict[str, list[tuple[int, int, int, float]]]] = {}
    for chunk in chunks(sorted(crystal_ids)):
        # Names are told apart here and not in SQL: without statistics SQLite would walk all values
        # of a name, and every transaction would cost as much as the store is large.
        rows = connection.execute(
            select(values.c.crystal_id, values.c.name_id, values.c.method, values.c.record_id,
                   values.c.id, values.c.number)
            .join(records, records.c.id == values.c.record_id)
            .where(values.c.crystal_id.in_(chunk), records.c.superseded.is_(False))
        )  # fmt: skip
        for row in rows:
            if row.name_id in names and row.number is not None:
                listed = found.setdefault(row.crystal_id, {}).setdefault(names[row.name_id], [])
                listed.append((row.method, row.record_id, row.id, row.number))
    parameters = [
        {"crystal": crystal, **wide_values(found.get(crystal, {}))}
        for crystal in sorted(crystal_ids)
    ]
    mark_changed(connection, crystal_ids)
    wide: dict[str, Any] = {name: bindparam(name) for name in _wide_names()}
    connection.execute(
        update(schema.structures)
        .where(schema.structures.c.id == bindparam("crystal"))
        .values(**wide),
        parameters,
    )


def refresh_sources(connection: Connection, crystal_ids: set[int]) -> None:
    """Name the source of these crystals again: that of the first record that stands."""
    mark_changed(connection, crystal_ids)
    table = schema.records
    for number in sorted(crystal_ids):
        body = connection.execute(
            select(table.c.body).where(table.c.crystal_id == number).order_by(table.c.id).limit(1)
        ).scalar_one()
        connection.execute(
            update(schema.structures)
            .where(schema.structures.c.id == number)
            .values(source=read_record(bytes(body)).source or None)
        )


def _wide_name_ids(connection: Connection) -> dict[int, str]:
    """The properties of the wide row by their ids."""
    table = schema.property_names
    rows = connection.execute(
        select(table.c.id, table.c.name).where(table.c.name.in_(schema.WIDE_PROPERTIES))
    )
    return {int(row.id): str(row.name) for row in rows}


def _wide_names() -> list[str]:
    return [name + ending for name in schema.WIDE_PROPERTIES for ending in ("", "_model")]


def wide_values(found: dict[str, list[tuple[int, int, int, float]]]) -> dict[str, float | None]:
    """The preferred values of one crystal, without models and of models."""
    wide: dict[str, float | None] = {}
    for name in schema.WIDE_PROPERTIES:
        values = found.get(name, [])
        wide[name] = preferred([item for item in values if item[0] != MODEL])
        wide[f"{name}_model"] = preferred([item for item in values if item[0] == MODEL])
    return wide

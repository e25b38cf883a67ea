"""Recompute the derived tables from crystals and records, and compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, select

from materialabs.crystals.blobs import from_blobs
from materialabs.errors import MaterialabsError
from materialabs.store import schema
from materialabs.store.derive import (
    crystal_name,
    entry_seconds,
    structure_rows,
    system_rows,
)
from materialabs.store.observations import read_record
from materialabs.store.units import base_unit
from materialabs.store.values import MOST_VALUES, level_key, value_row, wide_values
from materialabs.store.verify_blocks import block_problems
from materialabs.store.verify_log import parsed, raw
from materialabs.store.writer import mentions_of

CHUNK = 1000
"""Crystals derived at a time."""

COMPUTED = frozenset({"volume", "density"})
"""Columns that are computed rather than copied; they may differ in the last bits."""

FLOAT_TOLERANCE = 1e-12
"""Relative, of computed columns."""

Found = Iterator[tuple[str, str]]


def derived_problems(connection: Connection) -> Found:
    """(place, sentence) for every derived value that is not what it should be."""
    facts = _Facts(connection)
    yield from facts.problems()
    yield from _structure_problems(connection, facts)
    yield from _name_problems(connection, facts)
    yield from _mention_problems(connection, facts)
    yield from block_problems(connection)


class _Facts:
    """What the records say: values of each crystal, sources, times, names and levels."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.wide: dict[int, dict[str, list[tuple[int, int, int, float]]]] = {}
        self.sources: dict[int, str | None] = {}
        self.modified: dict[int, int] = {}
        self.units: dict[str, str] = {}
        self.levels: dict[str, Any] = {}
        self.dois: set[str] = set()
        self.mentions: set[tuple[int, str, bytes]] = set()
        self.cited: set[str] = set()
        self.crystal_ids = {
            raw(row.hash).hex(): int(row.id)
            for row in connection.execute(select(schema.crystals.c.id, schema.crystals.c.hash))
        }

    def problems(self) -> Found:
        """Compare the narrow table record by record, and gather what the wide rows need."""
        names = {row.name: row for row in self.connection.execute(select(schema.property_names))}
        levels = {row.document: row for row in self.connection.execute(select(schema.levels))}
        superseded = self._superseded()
        values = self._values()
        table = schema.records
        times = self._times()
        for row in self.connection.execute(select(table).order_by(table.c.id)):
            name = raw(row.hash).hex()
            if row.body is None:
                yield from _leftovers(name, values.pop(row.id, []))
                if row.crystal_id is not None or row.superseded:
                    yield f"record {name}", f"The row of the withdrawn record {name} was changed."
                continue
            try:
                record = read_record(raw(row.body))
            except (MaterialabsError, ValueError, KeyError, TypeError) as error:
                yield f"record {name}", f"Record {name} cannot be read: {error}"
                continue
            if record.doi:
                self.dois.add(record.doi)
            found = mentions_of(record.properties, record.supersedes)
            self.mentions |= {(row.id, role, digest) for role, digest in found}
            self.cited.add(record.crystal)
            crystal = self.crystal_ids.get(record.crystal) if record.crystal else None
            if record.crystal and crystal is None:
                yield f"record {name}", f"The crystal {record.crystal} of record {name} is missing."
            if (row.crystal_id, bool(row.superseded)) != (crystal, name in superseded):
                of = f" of crystal {record.crystal}" if record.crystal else ""
                yield f"record {name}", f"The row of record {name}{of} is not what it says."
            if crystal is not None:
                self.sources.setdefault(crystal, record.source or None)
                moment = times.get(name, 0)
                self.modified[crystal] = max(self.modified.get(crystal, 0), moment)
            yield from self._record_values(
                row.id, name, record, crystal, values.pop(row.id, []), names, levels, superseded
            )
        for identity, left in values.items():
            yield from _leftovers(str(identity), left)

    def _record_values(
        self, number: int, name: str, record: Any, crystal: int | None, stored: list[Any],
        names: dict[str, Any], levels: dict[str, Any], superseded: set[str],
    ) -> Found:  # fmt: skip
        kept = [one for one in record.properties if not one.blob]
        if len(kept) != len(stored):
            yield (
                f"record {name}",
                f"Record {name} has {len(stored)} values, not {len(kept)}.",
            )
            return
        for place, (one, row) in enumerate(zip(kept, stored, strict=True)):
            self.units.setdefault(one.name, base_unit(one.name, one.unit))
            if one.method.level is not None:
                self.levels[level_key(one.method.level)] = one.method.level
            known = names.get(one.name)
            level = levels.get(level_key(one.method.level)) if one.method.level else None
            if known is None or (one.method.level is not None and level is None):
                yield f"record {name}", f"A name or level of record {name} is missing."
                continue
            level_ids = {} if level is None else {level.document: level.id}
            expected = value_row(
                one, number, crystal, {one.name: (known.id, self.units[one.name])}, level_ids
            ) | {"id": number * MOST_VALUES + place}
            if any(not _same(key, row[key], value) for key, value in expected.items()):
                yield f"record {name}", f"The stored {one.name} of record {name} was changed."
            self._gather(one, number, row["id"], crystal, expected, name in superseded)

    def _gather(
        self, one: Any, number: int, value_id: int, crystal: int | None,
        expected: dict[str, Any], superseded: bool,
    ) -> None:  # fmt: skip
        wanted = one.name in schema.WIDE_PROPERTIES and expected["number"] is not None
        if wanted and crystal is not None and not superseded:
            listed = self.wide.setdefault(crystal, {}).setdefault(one.name, [])
            listed.append((expected["method"], number, value_id, expected["number"]))

    def _superseded(self) -> set[str]:
        table = schema.records
        corrected = set()
        for row in self.connection.execute(select(table.c.body).where(table.c.body.is_not(None))):
            if b'"supersedes"' in raw(row.body):
                corrected.add(read_record(raw(row.body)).supersedes)
        return corrected

    def _values(self) -> dict[int, list[dict[str, Any]]]:
        table = schema.property_values
        values: dict[int, list[dict[str, Any]]] = {}
        for row in self.connection.execute(select(table).order_by(table.c.id)).mappings():
            values.setdefault(int(row["record_id"]), []).append(dict(row))
        return values

    def _times(self) -> dict[str, int]:
        times: dict[str, int] = {}
        for table in (schema.log_entries, schema.mirrored_entries):
            for row in self.connection.execute(select(table.c.leaf)):
                entry = parsed(raw(row.leaf))
                if entry is not None and entry.kind == "record":
                    moment = entry_seconds(entry.time)
                    times[entry.record] = max(times.get(entry.record, 0), moment)
        return times


def _leftovers(name: str, values: list[Any]) -> Found:
    if values:
        yield f"record {name}", f"There are values of record {name}, which has none."


def _structure_problems(connection: Connection, facts: _Facts) -> Found:
    """Compare the wide rows, and count the systems."""
    stored = _by_id(connection, schema.structures)
    systems = _by_id(connection, schema.systems)
    counts: dict[int, int] = {}
    table = schema.crystals
    rows = connection.execute(select(table).order_by(table.c.id)).all()
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        try:
            crystals = from_blobs([raw(row.content) for row in part])
        except MaterialabsError as error:
            yield f"crystals from {part[0].id}", str(error)
            continue
        derived = structure_rows(crystals)
        sets = system_rows(crystals.compositions)
        for row, expected, elements in zip(part, derived, sets, strict=True):
            name = crystal_name(raw(row.hash))
            found = stored.pop(row.id, None)
            if found is None:
                yield f"crystal {name}", f"The wide row of crystal {name} is missing."
                continue
            expected |= _expected_wide(row.id, name, facts)
            wrong = [key for key, value in expected.items() if not _same(key, found[key], value)]
            system = systems.get(found["system_id"])
            if system is None or any(system[key] != value for key, value in elements.items()):
                wrong.append("system_id")
            counts[found["system_id"]] = counts.get(found["system_id"], 0) + 1
            if wrong:
                place = f"crystal {name}, column {wrong[0]}"
                yield place, f"The column {wrong[0]} of crystal {name} was changed."
        for row in part:
            if raw(row.hash).hex() not in facts.cited:
                name = raw(row.hash).hex()
                yield f"crystal {name}", f"No record speaks of the crystal {name}."
    for left in stored.values():
        yield f"crystal {left['name']}", f"A wide row has no crystal: {left['name']}."
    for number, system in systems.items():
        if not system["count"] or system["count"] != counts.get(number, 0):
            yield f"system {system['system']}", f"The count of {system['system']} was changed."


def _expected_wide(number: int, name: str, facts: _Facts) -> dict[str, Any]:
    return {
        "name": name,
        "prototype": None,
        "source": facts.sources.get(number),
        "modified": facts.modified.get(number, 0),
        **wide_values(facts.wide.get(number, {})),
    }


def _mention_problems(connection: Connection, facts: _Facts) -> Found:
    """What records speak of is listed, and the blobs are those that records speak of."""
    rows = connection.execute(select(schema.mentions))
    stored = {(int(row.record_id), str(row.role), raw(row.hash)) for row in rows}
    for number, role, digest in sorted(stored ^ facts.mentions):
        place = f"{role} {digest.hex()} of record number {number}"
        yield place, f"The list of what records speak of was changed at {place}."
    cited = {digest for _, role, digest in facts.mentions if role == "blob"}
    there = {raw(row.hash) for row in connection.execute(select(schema.blobs.c.hash))}
    for digest in sorted(cited ^ there):
        what = "is missing" if digest in cited else "belongs to no record"
        yield f"blob {digest.hex()}", f"The blob {digest.hex()} {what}."


def _name_problems(connection: Connection, facts: _Facts) -> Found:
    """Names of properties with their units, and levels."""
    listed = {row.name for row in connection.execute(select(schema.property_names.c.name))}
    for name in sorted(facts.units.keys() - listed):
        yield f"property {name}", f"The name of the property {name} is missing."
    for row in connection.execute(select(schema.property_names)):
        if facts.units.get(row.name) != row.unit:
            yield f"property {row.name}", f"The unit of {row.name} was changed to {row.unit!r}."
    stored = {row.doi for row in connection.execute(select(schema.literature))}
    for doi in sorted(stored ^ facts.dois):
        yield f"reference {doi}", f"The list of publications was changed at {doi}."
    for row in connection.execute(select(schema.levels)):
        level = facts.levels.get(row.document)
        right = level is not None and (row.functional, row.label) == (
            level.functional.lower(),
            str(level),
        )
        if not right:
            yield f"level {row.id}", f"The level {row.label} is not one that a record speaks of."


def _by_id(connection: Connection, table: Table) -> dict[int, dict[str, Any]]:
    rows = connection.execute(select(table)).mappings()
    return {int(row["id"]): dict(row) for row in rows}


def _same(column: str, stored: Any, expected: Any) -> bool:
    if column in COMPUTED and isinstance(stored, float):
        return math.isclose(stored, expected, rel_tol=FLOAT_TOLERANCE)
    return bool(stored == expected)

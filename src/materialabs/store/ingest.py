"""From files to records: crystals with what was calculated for them, and tables of values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import ReadReport, stream
from materialabs.errors import FormulaError, InputError
from materialabs.levels import Level
from materialabs.store.mapping import ColumnMeaning
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.tables import Table
from materialabs.store.units import BASE_UNITS
from materialabs.store.writer import Written

CRYSTAL_PROPERTIES: Final = (
    "energy",
    "formation_energy",
    "band_gap",
    "bulk_modulus",
    "shear_modulus",
    "magnetization",
)
"""Columns of crystals that become properties, in the unit that the column registry states."""

NEEDS_LEVEL: Final = frozenset({"energy", "formation_energy"})
"""Properties that mean nothing without their level of theory, unless they were measured."""

ROWS_AT_ONCE: Final = 1000
"""Rows of a table in one transaction."""


@dataclass
class Ingested:
    """What an ingest did.

    Parameters
    ----------
    written
        Sums over all transactions.
    refused
        (place, reason) of every row or entry that was not stored.
    """

    written: Written = field(default_factory=lambda: Written(0, 0, 0, 0))
    refused: list[tuple[str, str]] = field(default_factory=list)

    def count(self, done: Written) -> None:
        """Add what one transaction did."""
        self.written = Written(
            self.written.crystals + done.crystals,
            self.written.records + done.records,
            self.written.known + done.known,
            done.size,
        )


def ingest_crystals(
    store: Store,
    paths: Sequence[str | Path],
    *,
    method: Method | None = None,
    crystals_only: bool = False,
    doi: str = "",
    progress: bool | None = None,
) -> Ingested:
    """Store the crystals in files, and the properties that come with them.

    Parameters
    ----------
    store
        Where to.
    paths
        Files, folders and patterns of any kind that is read.
    method
        How the properties were obtained, where the files do not say it. Files with properties are
        refused without it, so that no value enters the store without its origin.
    crystals_only
        Leave the properties out.
    doi
        Where they were published.
    progress
        Show a bar; by default on a terminal.
    """
    done = Ingested()
    report = ReadReport()
    for batch in stream(paths, report=report, progress=progress):
        bare: list[tuple[Property, ...]] = [()] * len(batch)
        properties = bare if crystals_only else crystal_properties(batch, method)
        done.count(store.add(batch, properties, doi=doi))
    done.refused += [(f"{one.path} {one.place}".strip(), one.reason) for one in report.entries]
    return done


def crystal_properties(crystals: Crystals, method: Method | None) -> list[tuple[Property, ...]]:
    """The properties that the columns of a batch hold, for each crystal."""
    names = [name for name in CRYSTAL_PROPERTIES if name in crystals.columns]
    if names and method is None:
        raise InputError(
            f"The files hold {', '.join(names)}: say how they were obtained, for example "
            "--method dft --level MP2020, or --crystals-only."
        )
    if method is not None:
        _require_level(names, method)
    listed: list[list[Property]] = [[] for _ in range(len(crystals))]
    for name in names:
        column = np.asarray(crystals.columns[name], dtype=float)
        present = ~is_missing(crystals.columns[name])
        for place in np.flatnonzero(present):
            assert method is not None
            value = Property(name, float(column[place]), BASE_UNITS[name], method)
            listed[place].append(value)
    return [tuple(values) for values in listed]


def _require_level(names: Sequence[str], method: Method) -> None:
    needy = [name for name in names if name in NEEDS_LEVEL]
    if needy and method.level is None and method.kind != "experiment":
        raise InputError(
            f"{needy[0]} means nothing without its level of theory: add --level, such as MP2020."
        )


def ingest_table(
    store: Store,
    table: Table,
    meanings: Sequence[ColumnMeaning],
    *,
    method: Method,
    doi: str = "",
) -> Ingested:
    """Store a table of values for compositions.

    Parameters
    ----------
    store
        Where to.
    table
        CSV, XLSX or JSON lines.
    meanings
        What its columns are (:mod:`materialabs.store.mapping`).
    method
        How the values were obtained.
    doi
        Where they were published; a column of DOIs goes before it.
    """
    names = [one.name for one in meanings if one.role == "value"]
    if not names:
        raise InputError("No column of values: name one with --column HEADER=PROPERTY:UNIT.")
    _require_level(names, method)
    done = Ingested()
    for part in _chunks(_records(table, meanings, method, doi, done.refused)):
        done.count(store.add_records(part))
    return done


def _records(
    table: Table,
    meanings: Sequence[ColumnMeaning],
    method: Method,
    doi: str,
    refused: list[tuple[str, str]],
) -> Iterator[Record]:
    formula = next(one.header for one in meanings if one.role == "formula")
    for number, row in table.rows():
        place = f"{table.path}, row {number}"
        try:
            composition = Compositions.parse([str(row.get(formula) or "")])
            properties = _row_properties(row, meanings, method)
        except (FormulaError, InputError) as error:
            refused.append((place, str(error)))
            continue
        if not properties:
            refused.append((place, "The row has no value."))
            continue
        yield Record(
            properties=properties,
            composition=composition.reduced_formulas()[0],
            doi=_role_text(row, meanings, "doi") or doi,
            source=_role_text(row, meanings, "id"),
        )


def _row_properties(
    row: dict[str, Any], meanings: Sequence[ColumnMeaning], method: Method
) -> tuple[Property, ...]:
    conditions = {}
    for one in meanings:
        if one.role == "condition":
            value = _number(row.get(one.header), one.header)
            if value is not None:
                conditions[one.name] = (value, one.unit)
    found = []
    for one in meanings:
        if one.role == "value":
            value = _number(row.get(one.header), one.header)
            if value is not None:
                found.append(Property(one.name, value, one.unit, method, conditions=conditions))
    return tuple(found)


def _number(value: Any, header: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{header} holds {str(value)[:40]!r}, which is not a number.") from error
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise InputError(f"{header} is infinite.")
    return number


def _role_text(row: dict[str, Any], meanings: Sequence[ColumnMeaning], role: str) -> str:
    for one in meanings:
        if one.role == role and row.get(one.header):
            return str(row[one.header]).strip()
    return ""


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    part: list[Record] = []
    for record in records:
        part.append(record)
        if len(part) == ROWS_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def method_of(kind: str, name: str = "", version: str = "", level: str = "") -> Method:
    """The method that a command line names."""
    return Method(kind, name, version, level=Level.parse(level) if level else None)  # type: ignore[arg-type]

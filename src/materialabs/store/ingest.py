"""From files to records: crystals with what was calculated for them, and tables of values.

Each transaction holds at most 2000 crystals or 1000 rows. What is stored already is left as it is,
so that the same command, run again after an interruption, completes the work without a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import ReadReport, stream
from materialabs.errors import FormulaError, InputError
from materialabs.levels import Level
from materialabs.progress import track
from materialabs.store.adding import add_observed
from materialabs.store.cells import is_missing, number_in, truth_in
from materialabs.store.crystal_values import Observed, observed_values, require_level
from materialabs.store.dimensions import converted
from materialabs.store.headers import CONDITION_UNITS
from materialabs.store.mapping import ColumnMeaning
from materialabs.store.observations import records_of
from materialabs.store.record_lines import ingest_record_lines, is_record_lines
from materialabs.store.records import Method, Property, Record, Value
from materialabs.store.store import Store
from materialabs.store.table_formulas import read_composition
from materialabs.store.tables import Table
from materialabs.store.writer import Written

ROWS_AT_ONCE: Final = 1000
"""Rows of a table in one transaction."""

Item = TypeVar("Item")


@dataclass
class Ingested:
    """What an ingest did.

    Parameters
    ----------
    written
        Sums over all transactions.
    refused
        (place, reason) of every row or entry that was not stored.
    left_out
        Columns of numbers that were not stored, and why.
    """

    written: Written = field(default_factory=lambda: Written(0, 0, 0, 0))
    refused: list[tuple[str, str]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

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
    columns: Sequence[str] = (),
    crystals_only: bool = False,
    doi: str = "",
    licence: str = "",
    progress: bool | None = None,
) -> Ingested:
    """Store the crystals in files, and the properties that come with them.

    Parameters
    ----------
    store
        Where to.
    paths
        Files, folders and patterns of any kind that is read; records that were exported as JSON
        lines keep their ids.
    method
        How the properties were obtained, where the files do not say it. Files with properties are
        refused without it, so that no value enters the store without its origin.
    columns
        ``HEADER=PROPERTY:UNIT`` for columns of the files that are not well known.
    crystals_only
        Leave the properties out.
    doi
        Where they were published.
    licence
        Under which they are given, such as CC-BY-4.0; exported records keep the one they have.
    progress
        Show a bar; by default on a terminal.
    """
    done = Ingested()
    lines = [path for path in paths if is_record_lines(path)]
    for path in lines:
        refused = ingest_record_lines(store, path, done.count, licence=licence, progress=progress)
        done.refused += refused
    rest = [path for path in paths if path not in lines]
    if not rest:
        return done
    report = ReadReport()
    for batch in stream(rest, report=report, progress=progress):
        _ingest_batch(store, batch, done, method, () if crystals_only else columns,
                      crystals_only, doi, licence)  # fmt: skip
    done.refused += [(f"{one.path} {one.place}".strip(), one.reason) for one in report.entries]
    return done


def _ingest_batch(
    store: Store,
    batch: Crystals,
    done: Ingested,
    method: Method | None,
    columns: Sequence[str],
    crystals_only: bool,
    doi: str,
    licence: str,
) -> None:
    seen = Observed([()] * len(batch))
    if not crystals_only:
        seen = observed_values(batch, method, columns)
    done.left_out |= seen.left_out
    done.refused += seen.refused
    records = records_of(batch, seen.properties, doi=doi)
    done.count(add_observed(store, batch, records, seen.blobs, licence=licence))


def crystal_properties(crystals: Crystals, method: Method | None) -> list[tuple[Property, ...]]:
    """The properties that the columns of a batch hold, for each crystal."""
    return observed_values(crystals, method).properties


def ingest_table(
    store: Store,
    table: Table,
    meanings: Sequence[ColumnMeaning],
    *,
    method: Method,
    doi: str = "",
    licence: str = "",
    progress: bool | None = False,
) -> Ingested:
    """Store a table of values for compositions.

    Parameters
    ----------
    store
        Where to.
    table
        CSV, XLSX, JSON or JSON lines.
    meanings
        What its columns are (:mod:`materialabs.store.mapping`).
    method
        How the values were obtained.
    doi
        Where they were published; a column of DOIs goes before it.
    licence
        Under which they are given.
    progress
        Show a bar; by default not.
    """
    names = [one.name for one in meanings if one.role in ("value", "text")]
    if not names:
        raise InputError("No column of values: name one with --column HEADER=PROPERTY:UNIT.")
    require_level(names, method)
    done = Ingested()
    done.left_out |= {one.header: one.reason for one in meanings if one.reason}
    rows = track(table.rows(), label=f"ingesting {table.path.name}", show=progress)
    for part in in_parts(_records(rows, table, meanings, method, doi, done.refused), ROWS_AT_ONCE):
        done.count(store.add_records(part, licence=licence))
    return done


def _records(
    rows: Iterable[tuple[int, dict[str, Any]]],
    table: Table,
    meanings: Sequence[ColumnMeaning],
    method: Method,
    doi: str,
    refused: list[tuple[str, str]],
) -> Iterator[Record]:
    for number, row in rows:
        place = f"{table.path}, row {number}"
        try:
            composition = _composition(row, meanings)
            properties = _row_properties(row, meanings, method)
            if not properties:
                raise InputError("The row has no value.")
        except (FormulaError, InputError) as error:
            refused.append((place, str(error)))
            continue
        yield Record(
            properties=properties,
            composition=composition,
            doi=_doi(_role_text(row, meanings, "doi")) or doi,
            source=_role_text(row, meanings, "id"),
        )


def _composition(row: dict[str, Any], meanings: Sequence[ColumnMeaning]) -> str:
    """The reduced formula of a row, from its formula or its columns of amounts."""
    header = next((one.header for one in meanings if one.role == "formula"), None)
    if header is not None:
        value = row.get(header)
        return read_composition("" if value is None else value).reduced_formulas()[0]
    amounts = {one.name: row.get(one.header) for one in meanings if one.role == "amount"}
    present = {name: value for name, value in amounts.items() if not is_missing(value)}
    return read_composition(present).reduced_formulas()[0]


def _row_properties(
    row: dict[str, Any], meanings: Sequence[ColumnMeaning], method: Method
) -> tuple[Property, ...]:
    conditions = _row_conditions(row, meanings)
    uncertainties = {
        one.name: one for one in meanings if one.role == "uncertainty" and _has(row, one)
    }
    found = []
    for one in meanings:
        if one.role not in ("value", "text") or not _has(row, one):
            continue
        value, uncertainty = _value(row[one.header], one)
        beside = uncertainties.get(one.name)
        if beside is not None:
            number = abs(number_in(row[beside.header], beside.header)[0])
            uncertainty = _in_unit(number, beside, one)
        own = {name: (number, unit) for name, number, unit in one.conditions}
        found.append(Property(one.name, value, one.unit, method, uncertainty, conditions | own))
    return tuple(found)


def _in_unit(number: float, uncertainty: ColumnMeaning, value: ColumnMeaning) -> float:
    return (
        converted(number, uncertainty.unit, value.unit)
        if uncertainty.unit != value.unit
        else number
    )


def _has(row: dict[str, Any], one: ColumnMeaning) -> bool:
    return not is_missing(row.get(one.header))


def _row_conditions(
    row: dict[str, Any], meanings: Sequence[ColumnMeaning]
) -> dict[str, tuple[float, str]]:
    """Conditions of a row, degrees Celsius turned to kelvin."""
    conditions = {}
    for one in meanings:
        if one.role == "condition" and _has(row, one):
            value, unit = number_in(row[one.header], one.header)[0], one.unit
            if unit == "degC":
                value, unit = round(converted(value, unit, "K"), 9), CONDITION_UNITS["temperature"]
            conditions[one.name] = (value, unit)
    return conditions


def _value(cell: Any, meaning: ColumnMeaning) -> tuple[Value, float | None]:
    if meaning.role == "text":
        return " ".join(str(cell).split()), None
    truth = truth_in(cell) if isinstance(cell, (bool, str)) else None
    return number_in(cell, meaning.header) if truth is None else (truth, None)


def _role_text(row: dict[str, Any], meanings: Sequence[ColumnMeaning], role: str) -> str:
    for one in meanings:
        if one.role == role and _has(row, one):
            value = row[one.header]
            return f"{value:g}" if isinstance(value, float) else str(value).strip()
    return ""


def _doi(text: str) -> str:
    """The DOI in a cell, which may be a link to it or stand among words."""
    start = text.find("10.")
    return text[start:].split()[0].rstrip(".,;") if start >= 0 else ""


def in_parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in lists of at most ``size``."""
    part: list[Item] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def method_of(kind: str, name: str = "", version: str = "", level: str = "") -> Method:
    """The method that a command line names."""
    return Method(kind, name, version, level=Level.parse(level) if level else None)  # type: ignore[arg-type]

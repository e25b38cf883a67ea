"""Tables of computed entries from files: pymatgen computed entries, Alexandria rows, CSV."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_formula, parse_system
from materialabs.elements import atomic_number
from materialabs.errors import FileError, FormulaError, InputError, NotFound, ResourceError
from materialabs.levels import ALEXANDRIA_PBE, MP2020, Energies, Kind, Level, require_kind

LARGEST_TABLE = 2 * 1024**3
"""Bytes of a table, unpacked; larger ones are refused unread."""

SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
"""Endings of the files that can hold entries."""

FORMULA_COLUMNS = ("formula", "composition", "reduced_formula")
"""Names of a CSV column of formulas, the first that is there."""

PER_ATOM_COLUMNS = ("energy_per_atom", "e_form_per_atom", "formation_energy_per_atom")
"""Names of a column of energies in eV/atom, the first that is there."""

CELL_COLUMN = "energy"
"""Name of a column of energies in eV for the formula as it is written."""

ID_COLUMNS = ("entry_id", "id", "material_id", "mp_id")
"""Names of a column of entry names, the first that is there."""


@dataclass(frozen=True, eq=False)
class EntryTable:
    """Entries ready for a hull.

    Parameters
    ----------
    compositions
        Compositions of the cells [n].
    energies
        eV/atom, with kind and level.
    ids
        Names [n].
    """

    compositions: Compositions
    energies: Energies
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def within(self, system: str) -> EntryTable:
        """The entries of a chemical system and its sub-systems."""
        wanted = parse_system(system)
        inside = np.isin(self.compositions.elements, wanted)
        rows = np.flatnonzero(
            [inside[start:stop].all() for start, stop in pairwise(self.compositions.offsets)]
        )
        if not len(rows):
            raise NotFound(f"No entry lies in the system {system}.")
        return EntryTable(
            self.compositions[rows], self.energies[rows], [self.ids[row] for row in rows]
        )


@dataclass(frozen=True)
class Row:
    """One entry as its file tells it: cell composition, eV/atom, name, and what the energy is."""

    composition: dict[int, float]
    energy: float
    name: str
    kind: Kind | None
    level: Level | None


def entries_for(
    source: str | Path,
    *,
    entries: str | Path | None = None,
    system: str | None = None,
    level: Level | None = None,
    kind: str | None = None,
) -> EntryTable:
    """The entries of a file, or those of a chemical system out of a file or a folder of files."""
    path = Path(source)
    if path.is_file():
        table = read_entries(path, level=level, kind=kind)
        return table if system is None else table.within(system)
    try:
        parse_system(str(source))
    except FormulaError as error:
        if _looks_like_file(str(source)):
            raise NotFound(f"There is no file {source}.") from error
        raise
    if entries is None:
        raise InputError(
            f"{source} is a chemical system: say where its entries are, with a file or a folder of "
            "computed entries."
        )
    place = Path(entries)
    file = _file_for(place, str(source)) if place.is_dir() else place
    return read_entries(file, level=level, kind=kind).within(str(source))


def _looks_like_file(text: str) -> bool:
    return "/" in text or "." in text


def _file_for(folder: Path, system: str) -> Path:
    """The file of a folder whose name holds the system, the smallest such system first."""
    wanted = set(parse_system(system))
    found: list[tuple[int, str, Path]] = []
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(SUFFIXES):
            elements = _elements_in(path.name.split(".")[0].replace("-", "_").split("_"))
            if wanted <= elements:
                found.append((len(elements), path.name, path))
    if not found:
        raise NotFound(
            f"No file in {folder} is named after a system that contains {system}: "
            "name the file itself."
        )
    return min(found)[2]


def _elements_in(parts: Iterable[str]) -> set[int]:
    elements = set()
    for part in parts:
        try:
            elements.add(atomic_number(part))
        except FormulaError:
            continue
    return elements


def read_entries(
    path: str | Path, *, level: Level | None = None, kind: str | None = None
) -> EntryTable:
    """Read a table of entries.

    Parameters
    ----------
    path
        JSON (a list, or one object a line; gzipped or not) of pymatgen computed entries, whose
        energy is ``energy + correction``, or of Alexandria rows, whose ``energy`` is the total
        formation energy of the cell; or CSV with a column of formulas and one of energies.
    level, kind
        What the energies are. A CSV file never says it; computed entries say it when they carry
        MP2020 corrections.
    """
    stated = None if kind is None else require_kind(kind)
    file = Path(path)
    text = _bounded_text(file)
    name = file.name.lower().removesuffix(".gz")
    documents = _csv_rows(file, text) if name.endswith(".csv") else _json_rows(file, text)
    if not documents:
        raise FileError(f"{file} holds no entries.")
    rows = []
    for number, document in enumerate(documents):
        try:
            rows.append(_row(document, number))
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            detail = f"has no {error}" if isinstance(error, KeyError) else str(error)
            raise FileError(f"Entry {number} of {file} cannot be read: {detail}") from error
    return _table(file, rows, level, stated)


def _bounded_text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            reader: Any = gzip.GzipFile(fileobj=stream) if packed else stream
            data = reader.read(LARGEST_TABLE + 1)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {file}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"{file} is cut off or damaged: fetch it again.") from error
    except OSError as error:
        raise ResourceError(f"{file} cannot be read: {error.strerror or error}.") from error
    if len(data) > LARGEST_TABLE:
        raise FileError(f"{file} is larger than {LARGEST_TABLE} bytes: split it.")
    try:
        return str(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FileError(f"{file} is not a text file.") from error


def _json_rows(file: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = _json_lines(file, text)
    if isinstance(document, dict):
        document = document.get("entries", [document])
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise FileError(f"{file} is not a list of entries.")
    return document


def _json_lines(file: Path, text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise FileError(f"Line {number} of {file} is not JSON.") from error
    return rows


def _csv_rows(file: Path, text: str) -> list[Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
    except csv.Error as error:
        raise FileError(f"{file} is not a CSV file: {error}.") from error
    reader.fieldnames = names
    if not any(name in names for name in FORMULA_COLUMNS):
        raise FileError(f"{file} has no column named {' or '.join(FORMULA_COLUMNS)}.")
    if not any(name in names for name in (*PER_ATOM_COLUMNS, CELL_COLUMN)):
        raise FileError(
            f"{file} has no column named {' or '.join(PER_ATOM_COLUMNS)} (eV/atom) or "
            f"{CELL_COLUMN} (eV for the formula)."
        )
    try:
        return list(reader)
    except csv.Error as error:
        raise FileError(f"{file} is not a CSV file: {error}.") from error


def _row(document: Mapping[str, Any], number: int) -> Row:
    composition = _composition(document)
    atoms = sum(composition.values())
    reader = _reader_of(document)
    energy, kind, level = reader(document, atoms)
    if not math.isfinite(energy):
        raise InputError("its energy is not a number.")
    name = next((document[key] for key in ID_COLUMNS if document.get(key)), number)
    return Row(composition, energy, str(name), kind, level)


Reader = Callable[[Mapping[str, Any], float], tuple[float, Kind | None, Level | None]]


def _reader_of(document: Mapping[str, Any]) -> Reader:
    """How to read the energy of an entry, from the names that it bears."""
    if "e_above_hull" in document and isinstance(document.get("composition"), dict):
        return _alexandria_energy
    if "@class" in document or "correction" in document or "energy_adjustments" in document:
        return _computed_energy
    return _plain_energy


def _composition(document: Mapping[str, Any]) -> dict[int, float]:
    found = next((document[key] for key in FORMULA_COLUMNS if document.get(key)), None)
    if found is None:
        raise InputError("it has no formula or composition.")
    if isinstance(found, str):
        return parse_formula(found)
    amounts = {atomic_number(symbol): float(amount) for symbol, amount in found.items()}
    if not all(amount > 0 and math.isfinite(amount) for amount in amounts.values()):
        raise InputError("its composition has an amount that is not above zero.")
    return amounts


def _alexandria_energy(
    document: Mapping[str, Any], atoms: float
) -> tuple[float, Kind | None, Level | None]:
    return float(document["energy"]) / atoms, "formation", ALEXANDRIA_PBE


def _computed_energy(
    document: Mapping[str, Any], atoms: float
) -> tuple[float, Kind | None, Level | None]:
    adjustments = document.get("energy_adjustments") or []
    correction = document.get("correction")
    if correction is None:
        correction = sum(_adjustment(item) for item in adjustments)
    corrected = any(str(item.get("name", "")).startswith("MP2020") for item in adjustments)
    total = float(document["energy"]) + float(correction)
    return total / atoms, "total", MP2020 if corrected else None


def _adjustment(document: Mapping[str, Any]) -> float:
    """Energy in eV that an adjustment of a computed entry adds to its cell."""
    if document.get("value") is not None:
        return float(document["value"])
    per_atom, count = document.get("adj_per_atom"), document.get("n_atoms")
    if per_atom is None or count is None:
        raise InputError("it has an energy adjustment without a value.")
    return float(per_atom) * float(count)


def _plain_energy(
    document: Mapping[str, Any], atoms: float
) -> tuple[float, Kind | None, Level | None]:
    for name in PER_ATOM_COLUMNS:
        if document.get(name) not in (None, ""):
            return float(document[name]), None, None
    if document.get(CELL_COLUMN) in (None, ""):
        raise InputError("it has no energy.")
    return float(document[CELL_COLUMN]) / atoms, None, None


def _table(file: Path, rows: Sequence[Row], level: Level | None, kind: Kind | None) -> EntryTable:
    kinds = {row.kind for row in rows if row.kind}
    levels = {row.level for row in rows if row.level}
    if len(kinds) > 1 or len(levels) > 1:
        raise FileError(f"{file} mixes kinds of entries: split it.")
    stated_kind = kinds.pop() if kinds else kind
    stated_level = level or (levels.pop() if levels else None)
    if stated_kind is None or stated_level is None:
        raise InputError(
            f"{file} does not say what its energies are: give their kind (total or formation) and "
            "their level of theory (such as PBE).",
            code="hull.level_unknown",
        )
    if kind is not None and kind != stated_kind:
        raise InputError(f"{file} holds {stated_kind} energies, not {kind} ones.")
    return EntryTable(
        Compositions.from_dicts([row.composition for row in rows]),
        Energies([row.energy for row in rows], stated_kind, stated_level),
        [row.name for row in rows],
    )

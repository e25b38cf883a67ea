"""What the columns of a batch of crystals become: properties with a method and a level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import CRYSTAL_COLUMNS, is_missing
from materialabs.crystals.files import names
from materialabs.errors import InputError
from materialabs.store import cells
from materialabs.store.levels_of_files import correction_scheme, stated_method
from materialabs.store.mapping import ColumnMeaning, column_stated, guess_column
from materialabs.store.records import Method, Property, Value
from materialabs.store.spectra import list_property
from materialabs.store.units import BASE_UNITS

NUMBERS: Final = ("energy", "formation_energy", "band_gap", "magnetization")
"""Registered columns of one number each that become properties, in the registry's unit."""

NEEDS_LEVEL: Final = frozenset({"energy", "formation_energy", "hull_distance"})
"""Properties that mean nothing without their level of theory, unless they were measured."""

DESCRIBING: Final = frozenset(
    {"functional", "hubbard", "pseudopotentials", "code", "code_version", "cutoff_energy_ev",
     "converged_electronic", "converged_ionic", "parameters", "correction", "source", "id",
     "id_in_file"}
)  # fmt: skip
"""Columns that say how a value was obtained or where it stood."""


@dataclass
class Observed:
    """The properties of a batch.

    Parameters
    ----------
    properties
        For each crystal.
    blobs
        Large values by their SHA-256.
    left_out
        Columns of numbers that were not stored, and why.
    refused
        (place, reason) of cells that are not what their column holds.
    """

    properties: list[tuple[Property, ...]]
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)


def crystal_meanings(crystals: Crystals, columns: Sequence[str]) -> list[ColumnMeaning]:
    """What the columns of a batch that are not registered mean: as stated, else as guessed.

    Parameters
    ----------
    columns
        ``HEADER=PROPERTY:UNIT``, the header as the file writes it.
    """
    stated = {}
    for text in columns:
        header, equals, meaning = text.rpartition("=")
        if "@" in text:
            header, equals, meaning = text.partition("=")
        if not equals:
            raise InputError(f"The column {text!r} must read HEADER=PROPERTY:UNIT.")
        for name in (header, names.KNOWN.get(header, ""), header + names.SUFFIX):
            if name in crystals.columns:
                stated[name] = column_stated(name, meaning)
    found = []
    for name, column in crystals.columns.items():
        if name in stated:
            found.append(stated[name])
        elif name not in CRYSTAL_COLUMNS and name not in DESCRIBING:
            present = [value for value in column.tolist() if not cells.is_missing(value)]
            found.append(guess_column(name, present))
    return found


def observed_values(
    crystals: Crystals, method: Method | None = None, columns: Sequence[str] = ()
) -> Observed:
    """The properties that the columns of a batch hold, for each crystal.

    Parameters
    ----------
    crystals
        With their columns.
    method
        How the values were obtained, where the file does not say it.
    columns
        ``HEADER=PROPERTY:UNIT`` for columns that are not well known.
    """
    meanings = crystal_meanings(crystals, columns)
    stated = {one.header for one in meanings if one.role in ("value", "text")}
    registered = [name for name in NUMBERS if name in crystals.columns and name not in stated]
    methods = methods_of(crystals, method)
    _require_methods(crystals, methods, [*registered, *(_value_names(meanings))])
    gathered = _Gathered(crystals, methods)
    for name in registered:
        gathered.numbers(name)
    for one in meanings:
        gathered.column(one)
    gathered.tensors()
    left = {one.header: one.reason for one in meanings if one.role == "ignored" and one.reason}
    listed = [tuple(values) for values in gathered.listed]
    return Observed(listed, gathered.blobs, left, gathered.refused)


def methods_of(crystals: Crystals, method: Method | None) -> list[Method | None]:
    """The method of each crystal's values: what its file states, else the one given."""
    if "functional" not in crystals.columns:
        return [method] * len(crystals)
    wanted = [name for name in DESCRIBING if name in crystals.columns]
    parts = {name: crystals.columns[name] for name in wanted}
    gone = {name: is_missing(column) for name, column in parts.items()}
    known: dict[Any, Method | None] = {}
    methods = []
    for index in range(len(crystals)):
        row = {name: parts[name][index] for name in wanted if not gone[name][index]}
        scheme = ""
        if "correction" in row:
            scheme = correction_scheme(str(row.get("source", "")).partition("#")[0])
        row.pop("correction", None)
        key = (scheme, *(str(row.get(name)) for name in wanted if name not in _OWN))
        if key not in known:
            known[key] = stated_method(row, scheme)
        methods.append(known[key] or method)
    return methods


_OWN: Final = frozenset({"id", "source", "id_in_file", "parameters", "correction"})


def _value_names(meanings: Sequence[ColumnMeaning]) -> list[str]:
    return [one.name for one in meanings if one.role in ("value", "text")]


def _require_methods(
    crystals: Crystals, methods: Sequence[Method | None], wanted: Sequence[str]
) -> None:
    if wanted and any(method is None for method in methods):
        raise InputError(
            f"The files hold {', '.join(sorted(set(wanted)))}: say how they were obtained, for "
            "example --method dft --level MP2020, or --crystals-only."
        )
    for method in {id(one): one for one in methods if one is not None}.values():
        require_level(wanted, method)


def require_level(wanted: Sequence[str], method: Method) -> None:
    """Refuse energies of a calculation whose level of theory nobody has stated."""
    needy = [name for name in wanted if name in NEEDS_LEVEL]
    if needy and method.level is None and method.kind != "experiment":
        raise InputError(
            f"{needy[0]} means nothing without its level of theory: add --level, such as MP2020."
        )


class _Gathered:
    """Properties of a batch under way."""

    def __init__(self, crystals: Crystals, methods: Sequence[Method | None]) -> None:
        self.crystals = crystals
        self.methods = methods
        self.listed: list[list[Property]] = [[] for _ in range(len(crystals))]
        self.blobs: dict[bytes, bytes] = {}
        self.refused: list[tuple[str, str]] = []

    def numbers(self, name: str) -> None:
        """A registered column; energies take the corrections that their level includes."""
        column = np.asarray(self.crystals.columns[name], dtype=float)
        present = np.flatnonzero(~is_missing(self.crystals.columns[name]))
        corrections = self._corrections() if name == "energy" else None
        for place in present.tolist():
            method = self.methods[place]
            assert method is not None
            value = float(column[place])
            if corrections is not None and corrections[place] != 0.0:
                self._correct(place, value, float(corrections[place]), method)
            else:
                self.listed[place].append(Property(name, value, BASE_UNITS[name], method))

    def _corrections(self) -> Any:
        if "correction" not in self.crystals.columns:
            return None
        return np.nan_to_num(np.asarray(self.crystals.columns["correction"], dtype=float))

    def _correct(self, place: int, value: float, correction: float, method: Method) -> None:
        """Keep the corrected energy at a level with corrections, the plain one at one without."""
        level = method.level
        if level is not None and level.correction:
            value += correction
        unit = BASE_UNITS["energy"]
        self.listed[place].append(Property("energy", value, unit, method))
        self.listed[place].append(Property("energy_correction", correction, unit, method))

    def column(self, meaning: ColumnMeaning) -> None:
        """A column that was stated or guessed."""
        if meaning.role not in ("value", "text"):
            return
        column = self.crystals.columns[meaning.header]
        for place in np.flatnonzero(~is_missing(column)).tolist():
            method, cell = self.methods[place], column[place]
            if method is None or cells.is_missing(cell):
                continue
            try:
                self.listed[place].append(self._value(cell, meaning, method))
            except InputError as error:
                self.refused.append((self._name(place), str(error)))

    def _value(self, cell: Any, meaning: ColumnMeaning, method: Method) -> Property:
        if isinstance(cell, (list, tuple, np.ndarray)):
            one, blob = list_property(meaning.name, cell, meaning.unit, method)
            self.blobs |= blob
            return one
        conditions = {name: (value, unit) for name, value, unit in meaning.conditions}
        value = _cell_value(cell, meaning)
        return Property(meaning.name, value, meaning.unit, method, conditions=conditions)

    def _name(self, place: int) -> str:
        column = self.crystals.columns.get("source")
        return str(column[place]) if column is not None else self.crystals.ids()[place]

    def tensors(self) -> None:
        """Stress of each crystal and forces on its atoms, where a calculation gave them."""
        if "stress" in self.crystals.columns:
            column = self.crystals.columns["stress"]
            if column.ndim == 3:
                for place in np.flatnonzero(~is_missing(column)).tolist():
                    self._list(place, "stress", column[place])
        forces = self.crystals.site_columns.get("force")
        if forces is None:
            return
        bounds = self.crystals.offsets
        for place in range(len(self.crystals)):
            part = forces[bounds[place] : bounds[place + 1]]
            if len(part) and np.isfinite(part).all():
                self._list(place, "forces", part)

    def _list(self, place: int, name: str, values: Any) -> None:
        method = self.methods[place]
        if method is not None:
            one, blob = list_property(name, values, BASE_UNITS[name], method)
            self.listed[place].append(one)
            self.blobs |= blob


def _cell_value(cell: Any, meaning: ColumnMeaning) -> Value:
    if meaning.role == "text":
        return str(cell)
    truth = cells.truth_in(cell) if isinstance(cell, (bool, np.bool_, str)) else None
    return cells.number_in(cell, meaning.header)[0] if truth is None else truth

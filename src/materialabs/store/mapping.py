"""What the columns of a table mean: guessed from their headers, shown, or given.

A unit is never guessed from numbers: it stands in the header (``gap (eV)``, ``gap_ev``), belongs to
a well-known property name, or is given. A column whose unit is not known is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from materialabs.errors import InputError
from materialabs.store.cells import is_missing, number_in
from materialabs.store.dimensions import read_unit
from materialabs.store.headers import CONDITION_UNITS, condition_name, plain_name, split_header
from materialabs.store.table_formulas import (
    are_numbers,
    element_columns,
    find_formula,
    present_values,
    quoted,
)

Role = Literal[
    "formula", "amount", "id", "doi", "value", "text", "uncertainty", "condition", "ignored"
]


ID_HEADERS: Final = (
    "id", "material_id", "mp_id", "entry_id", "identifier", "uid", "jid", "mbid", "oqmd_id",
    "icsd_id", "sample_id",
)  # fmt: skip
DOI_HEADERS: Final = frozenset({"doi", "reference", "references", "ref", "source", "paper"})

KNOWN: Final = {
    "band_gap": ("band_gap", "eV"),
    "gap": ("band_gap", "eV"),
    "bandgap": ("band_gap", "eV"),
    "band_gap_ind": ("band_gap", "eV"),
    "formation_energy": ("formation_energy", "eV/atom"),
    "formation_energy_per_atom": ("formation_energy", "eV/atom"),
    "e_form_per_atom": ("formation_energy", "eV/atom"),
    "e_form": ("formation_energy", "eV/atom"),
    "energy_per_atom": ("energy", "eV/atom"),
    "e_above_hull": ("hull_distance", "eV/atom"),
    "energy_above_hull": ("hull_distance", "eV/atom"),
    "hull_distance": ("hull_distance", "eV/atom"),
    "bulk_modulus": ("bulk_modulus", "GPa"),
    "bulk_modulus_vrh": ("bulk_modulus", "GPa"),
    "k_vrh": ("bulk_modulus", "GPa"),
    "shear_modulus": ("shear_modulus", "GPa"),
    "shear_modulus_vrh": ("shear_modulus", "GPa"),
    "g_vrh": ("shear_modulus", "GPa"),
    "zt": ("figure_of_merit", ""),
}
"""Headers of well-known properties, the name they are kept under, and the unit when none is given.

Only names with one unit in common use stand here; the guess is shown before anything is stored.
"""

_ORIGIN: Final = re.compile(r"_(expt|exp|experimental|measured)$")
"""Ends of headers that say that a value was measured."""

_UNCERTAIN: Final = re.compile(r"(.+)_(?:err|error|std|stdev|sd|sigma|uncertainty|unc)")

NO_UNIT: Final = "no unit is stated"


@dataclass(frozen=True)
class ColumnMeaning:
    """What one column of a table is.

    Parameters
    ----------
    header
        As the table writes it.
    role
        What it is for.
    name, unit
        Of a value, a condition or an uncertainty; the symbol of an element's amount.
    reason
        Why a column is ignored.
    conditions
        Conditions of all values of the column: name, value, unit.
    """

    header: str
    role: Role
    name: str = ""
    unit: str = ""
    reason: str = ""
    conditions: tuple[tuple[str, float, str], ...] = ()

    def __str__(self) -> str:
        where = "".join(f" at {n} {v:g} {u}" for n, v, u in self.conditions)
        if self.role in ("value", "text"):
            unit = "text" if self.role == "text" else self.unit or "no unit"
            return f"{self.header} -> {self.name} in {unit}{where}"
        if self.role in ("condition", "uncertainty"):
            return f"{self.header} -> {self.role} {self.name} in {self.unit or 'no unit'}"
        if self.role == "ignored" and self.reason:
            return f"{self.header} -> ignored: {self.reason}"
        return f"{self.header} -> {self.role}"


def guess(headers: Sequence[str], first_rows: Sequence[Mapping[str, Any]]) -> list[ColumnMeaning]:
    """The meaning of each column, as far as its header tells.

    Parameters
    ----------
    headers
        Of the table.
    first_rows
        A few rows, to tell a column of formulas from one of names.
    """
    formula = find_formula(headers, first_rows)
    amounts = {} if formula else element_columns(headers, first_rows)
    if formula is None and not amounts:
        raise InputError(f"No column of formulas among {quoted(headers)}: name it with --formula "
                         "COLUMN.")  # fmt: skip
    return _guessed(headers, first_rows, formula, amounts)


def _guessed(
    headers: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    formula: str | None,
    amounts: Mapping[str, str],
) -> list[ColumnMeaning]:
    identifier = _find_id(headers, rows)
    meanings = []
    for header in headers:
        if header == formula:
            meanings.append(ColumnMeaning(header, "formula"))
        elif header in amounts:
            meanings.append(ColumnMeaning(header, "amount", amounts[header]))
        elif header == identifier:
            meanings.append(ColumnMeaning(header, "id"))
        else:
            meanings.append(guess_column(header, [row.get(header) for row in rows]))
    return _with_uncertainties(_each_name_once(meanings))


def guess_column(header: str, values: Sequence[Any]) -> ColumnMeaning:
    """The meaning of a column that is neither formula nor identifier."""
    plain, unit = split_header(header)
    present = [value for value in values if not is_missing(value)]
    if plain in DOI_HEADERS and any(_is_doi(value) for value in present):
        return ColumnMeaning(header, "doi")
    if present and all(_is_truth(value) for value in present):
        return _named(ColumnMeaning(header, "value"), plain, "")
    if not are_numbers(present):
        return ColumnMeaning(header, "ignored", reason="" if present else "it is empty")
    condition = "temperature" if plain == "t" and unit in ("K", "degC") else condition_name(plain)
    if condition:
        return _condition(header, condition, unit)
    known = KNOWN.get(plain) or KNOWN.get(_ORIGIN.sub("", plain))
    if known:
        return ColumnMeaning(header, "value", known[0], known[1] if unit is None else unit)
    if unit:
        return _named(ColumnMeaning(header, "value"), plain, unit)
    return ColumnMeaning(header, "ignored", reason=NO_UNIT)


def _condition(header: str, name: str, unit: str | None) -> ColumnMeaning:
    kept = CONDITION_UNITS[name]
    if not unit and plain_name(header) != "temperature":
        return ColumnMeaning(header, "ignored", reason=NO_UNIT)
    given, base = read_unit(unit or kept), read_unit(kept)
    if given is None or base is None or given.dimensions != base.dimensions:
        return ColumnMeaning(header, "ignored", reason=f"{unit} is not a unit of {name}")
    return ColumnMeaning(header, "condition", name, given.name)


def _named(meaning: ColumnMeaning, plain: str, unit: str) -> ColumnMeaning:
    """Give a value its name, which must begin with a letter."""
    name = re.sub(r"^[^a-z]+", "", plain)[:64]
    if not name:
        return replace(meaning, role="ignored", reason="its header gives no name")
    return replace(meaning, name=name, unit=unit)


def _find_id(headers: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The first known kind of identifier that is there, mostly filled in and not repeated."""
    plain = {header: plain_name(header) for header in headers}
    for name in ID_HEADERS:
        for header in headers:
            values = [str(value) for value in present_values(header, rows)]
            if plain[header] == name and (not rows or len(values) > 0.5 * len(rows)):
                return header
    return None


def _each_name_once(meanings: Sequence[ColumnMeaning]) -> list[ColumnMeaning]:
    """Of several columns for one property the first counts; the others are left to the user."""
    taken: dict[str, str] = {}
    kept = []
    for one in meanings:
        if one.role in ("value", "condition"):
            first = taken.setdefault(one.name, one.header)
            if first != one.header:
                one = ColumnMeaning(one.header, "ignored", reason=f"{first} is {one.name} already")
        kept.append(one)
    return kept


def _with_uncertainties(meanings: Sequence[ColumnMeaning]) -> list[ColumnMeaning]:
    """Columns such as ``gap_std`` belong to the value that their header names."""
    values = {plain_name(one.header): one for one in meanings if one.role == "value"}
    kept = []
    for one in meanings:
        plain, unit = split_header(one.header)
        match = _UNCERTAIN.fullmatch(plain)
        base = values.get(match.group(1)) if match else None
        if base is None and match:
            base = next((v for h, v in values.items() if split_header(v.header)[0]
                         == match.group(1)), None)  # fmt: skip
        if base is not None and one.role in ("value", "ignored"):
            one = ColumnMeaning(one.header, "uncertainty", base.name, unit or base.unit)
        kept.append(one)
    return kept


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or str(value).strip().lower() in ("true", "false")


def _is_doi(value: Any) -> bool:
    return re.search(r"\b10\.\d{4,9}/\S", str(value)) is not None


# -- what the user states -------------------------------------------------------------------------

_GIVEN: Final = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*(?:\.uncertainty)?):(?P<unit>[^@]+)(?P<at>@.+)?"
)


def given(
    headers: Sequence[str],
    formula: str,
    values: Sequence[str],
    first_rows: Sequence[Mapping[str, Any]] = (),
) -> list[ColumnMeaning]:
    """The mapping that a user states; identifiers, DOIs and conditions are still guessed.

    Parameters
    ----------
    headers
        Of the table.
    formula
        Header of the column of formulas; empty to guess it.
    values
        ``HEADER=PROPERTY:UNIT`` for each column to be stored. The unit is ``1`` for a plain number
        and ``text`` for words; ``PROPERTY.uncertainty`` is the uncertainty of another column;
        ``@temperature=300 K`` behind the unit states a condition; ``HEADER=ignore`` leaves out.
    first_rows
        A few rows, for what is guessed.
    """
    stated = dict(_stated(text, headers) for text in values)
    if formula:
        _require_header(formula, headers)
    chosen = formula or find_formula(headers, first_rows)
    amounts = {} if chosen else element_columns(headers, first_rows)
    if not chosen and not amounts:
        raise InputError(f"No column of formulas among {quoted(headers)}: name it with --formula "
                         "COLUMN.")  # fmt: skip
    meanings = []
    for one in _guessed(headers, first_rows, chosen, amounts):
        if one.header in stated and one.role != "formula":
            meanings.append(stated[one.header])
        elif one.role in ("value", "uncertainty"):
            meanings.append(ColumnMeaning(one.header, "ignored"))
        else:
            meanings.append(one)
    return meanings


def meanings_of(
    headers: Sequence[str],
    first_rows: Sequence[Mapping[str, Any]],
    *,
    formula: str = "",
    columns: Sequence[str] = (),
) -> list[ColumnMeaning]:
    """The mapping of a table: as stated, or guessed where nothing is stated."""
    if columns:
        return given(headers, formula, columns, first_rows)
    if formula:
        _require_header(formula, headers)
        return _guessed(headers, first_rows, formula, {})
    return guess(headers, first_rows)


def _stated(text: str, headers: Sequence[str]) -> tuple[str, ColumnMeaning]:
    header = next((h for h in sorted(headers, key=len, reverse=True) if h and text.startswith(
        f"{h}=")), None)  # fmt: skip
    if header is None:
        _require_header(text.partition("=")[0], headers)
        raise InputError(f"The column {text!r} must read HEADER=PROPERTY:UNIT.")
    return header, column_stated(header, text[len(header) + 1 :])


def column_stated(header: str, text: str) -> ColumnMeaning:
    """The meaning that ``PROPERTY:UNIT`` gives a column."""
    if text == "ignore":
        return ColumnMeaning(header, "ignored")
    match = _GIVEN.fullmatch(text)
    if match is None:
        raise InputError(
            f"The column {header}={text} must read HEADER=PROPERTY:UNIT, such as gap=band_gap:eV; "
            "a number without a unit has the unit 1, words have the unit text."
        )
    name, unit = match["name"], match["unit"].strip()
    if unit == "text":
        return ColumnMeaning(header, "text", name)
    read = read_unit(unit)
    unit = unit if read is None else read.name
    if name.endswith(".uncertainty"):
        return ColumnMeaning(header, "uncertainty", name.removesuffix(".uncertainty"), unit)
    if name in CONDITION_UNITS:
        return _condition(header, name, unit)
    return ColumnMeaning(header, "value", name, unit, conditions=_conditions(match["at"] or ""))


def _conditions(text: str) -> tuple[tuple[str, float, str], ...]:
    """Read ``@temperature=300 K@pressure=1 GPa``."""
    found = []
    for part in filter(None, text.split("@")):
        match = re.fullmatch(r"\s*([a-z][a-z0-9_]*)\s*=\s*(\S+)\s+(\S.*?)\s*", part)
        if match is None:
            raise InputError(f"The condition {part!r} must read NAME=VALUE UNIT.")
        number, _ = number_in(match.group(2), match.group(1))
        found.append((match.group(1), number, match.group(3)))
    return tuple(found)


def _require_header(header: str, headers: Sequence[str]) -> None:
    if header not in headers:
        raise InputError(f"The table has no column {header!r}; it has {quoted(headers)}.")

"""What the columns of a table mean: guessed from their headers, shown, or given.

A unit is never guessed from numbers: it stands in the header (``gap (eV)``, ``gap_ev``), belongs to
a well-known property name, or is given. A column whose unit is not known is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from materialabs.crystals.compositions import parse_formula
from materialabs.errors import FormulaError, InputError

Role = Literal["formula", "id", "doi", "value", "uncertainty", "condition", "ignored"]

FORMULA_HEADERS: Final = frozenset(
    {"formula", "composition", "chemical_formula", "reduced_formula", "compound", "material",
     "alloy", "name", "pretty_formula", "true_composition"}
)  # fmt: skip
ID_HEADERS: Final = frozenset({"id", "material_id", "mp_id", "entry_id", "identifier", "uid"})
DOI_HEADERS: Final = frozenset({"doi", "reference", "ref", "source"})
CONDITIONS: Final = {"temperature": "K", "pressure": "GPa", "field": "T"}
"""Columns that say under what a value was observed, and the unit that they are kept in."""

UNITS: Final = {
    "ev/atom": "eV/atom", "mev/atom": "meV/atom", "ev": "eV", "mev": "meV", "kj/mol": "kJ/mol",
    "gpa": "GPa", "mpa": "MPa", "kbar": "kbar", "k": "K", "1/cm": "1/cm", "cm-1": "1/cm",
    "w/mk": "W/(m K)", "w/m/k": "W/(m K)", "uv/k": "uV/K", "s/cm": "S/cm", "s/m": "S/m",
    "mm": "mm", "%": "%", "hv": "HV", "g/cm3": "g/cm^3", "g/cm^3": "g/cm^3", "mah/g": "mAh/g",
    "v": "V", "a^3": "angstrom^3", "t": "T",
}  # fmt: skip
"""Units as headers write them, without spaces and in lower case."""

KNOWN: Final = {
    "band_gap": ("band_gap", "eV"),
    "gap": ("band_gap", "eV"),
    "bandgap": ("band_gap", "eV"),
    "formation_energy": ("formation_energy", "eV/atom"),
    "bulk_modulus": ("bulk_modulus", "GPa"),
    "shear_modulus": ("shear_modulus", "GPa"),
    "zt": ("figure_of_merit", ""),
}
"""Headers of well-known properties, the name they are kept under, and the unit when none is given.

Only names with one unit in common use stand here; the guess is shown before anything is stored.
"""


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
        Of a value or a condition.
    """

    header: str
    role: Role
    name: str = ""
    unit: str = ""

    def __str__(self) -> str:
        if self.role == "value":
            return f"{self.header} -> {self.name} in {self.unit or 'no unit'}"
        if self.role == "condition":
            return f"{self.header} -> condition {self.name} in {self.unit}"
        return f"{self.header} -> {self.role}"


def guess(headers: Sequence[str], first_rows: Sequence[dict[str, str]]) -> list[ColumnMeaning]:
    """The meaning of each column, as far as its header tells.

    Parameters
    ----------
    headers
        Of the table.
    first_rows
        A few rows, to tell a column of formulas from one of names.
    """
    meanings = [_guess_one(header, first_rows) for header in headers]
    formulas = [meaning for meaning in meanings if meaning.role == "formula"]
    if not formulas:
        raise InputError(
            f"No column of formulas among {', '.join(headers)}: name it with --formula COLUMN."
        )
    keep = formulas[0].header
    return [
        ColumnMeaning(one.header, "ignored")
        if one.role == "formula" and one.header != keep
        else one
        for one in meanings
    ]


def _guess_one(header: str, rows: Sequence[dict[str, str]]) -> ColumnMeaning:
    plain, unit = split_header(header)
    if plain in FORMULA_HEADERS and _are_formulas(header, rows):
        return ColumnMeaning(header, "formula")
    if plain in ID_HEADERS:
        return ColumnMeaning(header, "id")
    if plain in DOI_HEADERS and any(str(row.get(header, "")).startswith("10.") for row in rows):
        return ColumnMeaning(header, "doi")
    if plain in CONDITIONS:
        return ColumnMeaning(header, "condition", plain, unit or CONDITIONS[plain])
    if not _are_numbers(header, rows):
        return ColumnMeaning(header, "ignored")
    if plain in KNOWN:
        name, own = KNOWN[plain]
        return ColumnMeaning(header, "value", name, unit or own)
    if unit:
        return ColumnMeaning(header, "value", plain, unit)
    return ColumnMeaning(header, "ignored")


def split_header(header: str) -> tuple[str, str]:
    """A header as a plain name and a unit, where it names one: ``gap (eV)``, ``gap_ev``."""
    text = header.strip()
    match = re.fullmatch(r"(.*?)\s*[(\[]\s*([^)\]]*)\s*[)\]]", text)
    if match:
        unit = UNITS.get(re.sub(r"\s|\*|·", "", match.group(2)).lower(), "")
        return _plain(match.group(1)), unit
    lowered = _plain(text)
    for ending, unit in (("_ev_per_atom", "eV/atom"), ("_ev_atom", "eV/atom"), ("_ev", "eV"),
                         ("_gpa", "GPa"), ("_mpa", "MPa"), ("_k", "K"), ("_mm", "mm")):  # fmt: skip
        if lowered.endswith(ending):
            return lowered.removesuffix(ending), unit
    return lowered, ""


def _plain(text: str) -> str:
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]+", "_", text.strip().lower())).strip("_")


def _are_formulas(header: str, rows: Sequence[dict[str, str]]) -> bool:
    good = 0
    for row in rows:
        try:
            parse_formula(str(row.get(header, "")))
            good += 1
        except FormulaError:
            continue
    return good * 2 > len(rows)


def _are_numbers(header: str, rows: Sequence[dict[str, str]]) -> bool:
    values = [str(row.get(header, "") or "") for row in rows]
    present = [value for value in values if value]
    return bool(present) and all(_is_number(value) for value in present)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def given(headers: Sequence[str], formula: str, values: Sequence[str]) -> list[ColumnMeaning]:
    """The mapping that a user states.

    Parameters
    ----------
    headers
        Of the table.
    formula
        Header of the column of formulas.
    values
        ``HEADER=PROPERTY:UNIT`` for each column to be stored; an empty unit is written ``1``.
    """
    meanings = {header: ColumnMeaning(header, "ignored") for header in headers}
    _require_header(formula, headers)
    meanings[formula] = ColumnMeaning(formula, "formula")
    for text in values:
        match = re.fullmatch(r"(.+?)=([a-z][a-z0-9_]*):(.+)", text)
        if match is None:
            raise InputError(
                f"The column {text!r} must read HEADER=PROPERTY:UNIT, such as gap=band_gap:eV; "
                "a number without a unit has the unit 1."
            )
        header, name, unit = match.groups()
        _require_header(header, headers)
        unit = "" if unit == "1" else unit
        role: Role = "condition" if name in CONDITIONS else "value"
        meanings[header] = ColumnMeaning(header, role, name, unit)
    return list(meanings.values())


def _require_header(header: str, headers: Sequence[str]) -> None:
    if header not in headers:
        raise InputError(f"The table has no column {header!r}; it has {', '.join(headers)}.")

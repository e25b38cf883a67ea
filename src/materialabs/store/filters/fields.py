"""The properties that a filter may name, their types, and where they stand."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from materialabs.store.filters.syntax import FilterError
from materialabs.store.records import METHOD_KINDS
from materialabs.store.schema import WIDE_PROPERTIES

PREFIX: Final = "_materialabs_"
"""Stands before our own properties over HTTP; elsewhere it is added."""

VALUES: Final = f"{PREFIX}values"
"""Property that lists all values of a structure, each with its unit, method and level."""

Kind = Literal["string", "integer", "float", "timestamp", "boolean", "strings", "integers", "none"]


NOT_KEPT: Final = (
    "immutable_id",
    "chemical_formula_hill",
    "space_group_symbol_hall",
    "space_group_symbol_hermann_mauguin",
    "space_group_symbol_hermann_mauguin_extended",
    "space_group_symmetry_operations_xyz",
    "site_coordinate_span_description",
    "optimization_type",
    "wyckoff_positions",
)
"""OPTIMADE properties that are never known here."""


NEWER: Final = frozenset(
    {"fractional_site_positions", "site_coordinate_span", "site_coordinate_span_description",
     "optimization_type", "wyckoff_positions"}
)  # fmt: skip
"""OPTIMADE properties of version 1.3. They are given where they are asked for by name; answers
follow 1.2, whose validator takes other names than those of 1.2 for mistakes."""


@dataclass(frozen=True)
class Field:
    """One property of a structure.

    Parameters
    ----------
    name
        As OPTIMADE writes it.
    kind
        Its type; ``none`` for a property that is never known here.
    column
        Its column in the wide row, where it has one.
    meaning, unit
        For the reader.
    sortable
        Whether results may be sorted by it.
    queryable
        Whether filters may name it.
    method, level
        For a value of the narrow table: restricts the method or the functional.
    """

    name: str
    kind: Kind
    column: str = ""
    meaning: str = ""
    unit: str = ""
    sortable: bool = False
    queryable: bool = True
    method: int | None = None
    functional: str = ""

    @property
    def own(self) -> bool:
        """Whether it is ours rather than OPTIMADE's."""
        return self.name.startswith(PREFIX)


def _standard() -> list[Field]:
    text = ("string", "integer", "float")
    columns: list[tuple[str, Kind, str, str]] = [
        ("id", "string", "name", "name of the crystal, from its hash"),
        ("last_modified", "timestamp", "modified", "when the crystal was stored"),
        ("nelements", "integer", "nelements", "number of elements"),
        ("chemical_formula_reduced", "string", "formula_alphabetical", "reduced formula, A to Z"),
        ("chemical_formula_anonymous", "string", "formula_anonymous", "anonymous formula"),
        ("chemical_formula_descriptive", "string", "formula_descriptive", "formula of the cell"),
        ("nperiodic_dimensions", "integer", "dimensions", "periodic directions"),
        ("nsites", "integer", "nsites", "number of sites"),
        ("space_group_it_number", "integer", "space_group", "space-group number"),
    ]
    fields = [
        Field(name, kind, column, meaning, sortable=kind in (*text, "timestamp"))
        for name, kind, column, meaning in columns
    ]
    fields += [
        Field("type", "string", meaning="always structures"),
        Field("elements", "strings", meaning="symbols, alphabetical"),
        Field("structure_features", "strings", meaning="disorder, where there is"),
        Field("dimension_types", "integers", meaning="1 along periodic directions"),
    ]
    fields += [Field(name, "none", meaning="not kept") for name in NOT_KEPT]
    for name in ("elements_ratios", "lattice_vectors", "cartesian_site_positions", "species",
                 "species_at_sites", "assemblies", "fractional_site_positions",
                 "site_coordinate_span"):  # fmt: skip
        fields.append(Field(name, "none", queryable=False))
    return fields


def _own() -> list[Field]:
    columns: list[tuple[str, Kind, str, str]] = [
        ("formula", "string", "conventional reduced formula", ""),
        ("space_group", "integer", "space-group number", ""),
        ("crystal_system", "string", "triclinic to cubic", ""),
        ("prototype", "string", "prototype label", ""),
        ("source", "string", "the source's identifier", ""),
        ("volume", "float", "volume of the cell", "angstrom^3"),
        ("density", "float", "mass density", "g/cm^3"),
    ]
    fields = [
        Field(PREFIX + name, kind, name, meaning, unit, sortable=True)
        for name, kind, meaning, unit in columns
    ]
    units = {"band_gap": "eV", "bulk_modulus": "GPa", "shear_modulus": "GPa"}
    for name in WIDE_PROPERTIES:
        meaning = f"preferred value of {name.replace('_', ' ')}, without models"
        unit = units.get(name, "eV/atom")
        fields.append(Field(PREFIX + name, "float", name, meaning, unit, sortable=True))
    told = "all values, the preferred of each property first, each with unit, method, level, record"
    return [*fields, Field(VALUES, "none", meaning=told, queryable=False)]


FIELDS: Final[dict[str, Field]] = {field.name: field for field in (*_standard(), *_own())}
"""Every property with a place of its own, by its OPTIMADE name."""

UNKNOWN: Final = Field("", "none")
"""Another provider's property: never known here."""


def find_field(name: str, narrow: Mapping[str, Kind], *, bare: bool, warnings: list[str]) -> Field:
    """The property behind a name in a filter.

    Parameters
    ----------
    name
        As the filter writes it.
    narrow
        Kind of each property of the narrow table, by its bare name.
    bare
        Whether our own properties may be named without the prefix.
    warnings
        Takes a sentence for another provider's property.
    """
    if name in FIELDS:
        return FIELDS[name]
    if bare and PREFIX + name in FIELDS:
        return FIELDS[PREFIX + name]
    if name.startswith("_") and not name.startswith(PREFIX):
        warnings.append(f"{name} belongs to another provider and is not known here.")
        return UNKNOWN
    if bare or name.startswith(PREFIX):
        found = _narrow_field(name.removeprefix(PREFIX), narrow)
        if found is not None:
            return found
    raise FilterError(
        f"There is no property {name!r}{_nearest(name, narrow)}.", code="filter.unknown_property"
    )


def _narrow_field(name: str, narrow: Mapping[str, Kind]) -> Field | None:
    """A value of the narrow table, perhaps of one method or functional: ``band_gap.pbe``."""
    base, _, selection = name.partition(".")
    kind = narrow.get(base) or ("float" if base in WIDE_PROPERTIES else None)
    if kind is None:
        return None
    method, functional = None, ""
    if selection:
        kinds = [one.replace("-", "_") for one in METHOD_KINDS]
        if selection in kinds:
            method = kinds.index(selection)
        else:
            functional = selection
    return Field(PREFIX + base, kind, method=method, functional=functional)


def _nearest(name: str, narrow: Mapping[str, Kind]) -> str:
    own = [known.removeprefix(PREFIX) for known in FIELDS]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), [*own, *narrow], n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""

"""What the properties of each kind of entry mean, for ``/info``."""

from __future__ import annotations

from typing import Any, Final

from materialabs.store.filters.fields import FIELDS, NEWER, VALUES

_TYPES: Final = {
    "strings": "list",
    "integers": "list",
    "none": "string",
}

_NESTED: Final = {
    "elements_ratios": ("list", "share of each element, in the order of elements"),
    "lattice_vectors": ("list", "cell vectors"),
    "cartesian_site_positions": ("list", "positions of the sites"),
    "fractional_site_positions": ("list", "positions in fractions of the cell vectors"),
    "site_coordinate_span": ("string", "unit_cell, where the sites repeat"),
    "species": ("list", "what sits on the sites"),
    "species_at_sites": ("list", "name of the species on each site"),
    "assemblies": ("list", "not kept"),
    VALUES: ("list", FIELDS[VALUES].meaning),
}

_UNITS: Final = {
    "lattice_vectors": "angstrom",
    "cartesian_site_positions": "angstrom",
}


BIBLIOGRAPHY: Final = (
    "immutable_id", "address", "annote", "authors", "bib_type", "booktitle", "chapter", "crossref",
    "edition", "editors", "howpublished", "institution", "journal", "key", "month", "note",
    "number", "organization", "pages", "publisher", "school", "series", "title", "url", "volume",
    "year",
)  # fmt: skip
"""OPTIMADE's properties of references that are not kept: a DOI leads to all of them."""


def _property(description: str, kind: str, unit: str | None, sortable: bool) -> dict[str, Any]:
    return {
        "description": description or "see the OPTIMADE specification",
        "unit": unit or None,
        "sortable": sortable,
        "type": kind,
    }


def _structures() -> dict[str, dict[str, Any]]:
    found = {}
    for name, field in FIELDS.items():
        if name in _NESTED:
            kind, meaning = _NESTED[name]
            found[name] = _property(meaning, kind, _UNITS.get(name), False)
        else:
            kind = _TYPES.get(field.kind, field.kind)
            found[name] = _property(field.meaning, kind, field.unit, field.sortable)
    return found


STRUCTURES: Final = _structures()
"""Properties of structures."""

REFERENCES: Final = {
    "id": _property("the DOI", "string", None, False),
    "type": _property("always references", "string", None, False),
    "doi": _property("digital object identifier", "string", None, False),
    "last_modified": _property("not kept", "timestamp", None, False),
} | {name: _property("not kept", "string", None, False) for name in BIBLIOGRAPHY}
"""Properties of references."""


def described(entry: str, properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The data of ``/info/structures`` or ``/info/references``, as version 1.2 knows them."""
    listed = {name: one for name, one in properties.items() if name not in NEWER}
    return {
        "id": entry,
        "type": "info",
        "formats": ["json"],
        "description": f"{entry.capitalize()} of this store.",
        "properties": listed,
        "output_fields_by_format": {"json": list(listed)},
    }

"""Names of properties in files, and the names and units of the registry they mean.

A name that says its unit is translated. A name that could mean more than one thing, a bare
``energy`` in a table for example, is kept under another name and noted: no unit is guessed.
"""

from __future__ import annotations

from typing import Any, Final

ID_FIELDS: Final = (
    "mp_id",
    "entry_id",
    "material_id",
    "id",
    "jid",
    "mat_id",
    "task_id",
    "identifier",
    "database_id",
)
"""Fields that identify an entry, the first present one counts."""

KNOWN: Final = {
    "energy_per_atom": "energy",
    "formation_energy_per_atom": "formation_energy",
    "e_form_per_atom": "formation_energy",
    "formation_energy_peratom": "formation_energy",
    "correction_per_atom": "correction",
    "stress_ev_per_cubic_angstrom": "stress",
    "spacegroup": "space_group",
    "spacegroup_number": "space_group",
    "space_group_number": "space_group",
    "space_group_it_number": "space_group",
    "total_magnetization": "magnetization",
    "total_charge": "charge",
}
"""Names whose unit is plain, and the registered column that they are."""

UNSTATED: Final = ("energy", "formation_energy", "correction", "stress")
"""Registered names that other sources use with several units (cell or atom, kbar or GPa)."""

SUFFIX: Final = "_unstated"

WRITTEN: Final = {
    "energy": "energy_per_atom",
    "formation_energy": "formation_energy_per_atom",
    "correction": "correction_per_atom",
    "stress": "stress_ev_per_cubic_angstrom",
}
"""Registered columns whose name in a file says the unit."""

HIGHEST_SPACE_GROUP: Final = 230


def columns_from(fields: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Translate the fields of an entry to columns.

    Parameters
    ----------
    fields
        Names and values as the file has them.
    notes
        Gets a sentence for each name whose unit the file does not state.
    """
    columns: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None:
            continue
        ours = KNOWN.get(name, name)
        if ours == "space_group" and not _is_space_group(value):
            ours = name if name != "space_group" else name + SUFFIX
        if name in UNSTATED:
            ours = name + SUFFIX
            notes.append(f"{name!r} has no stated unit and is kept as {ours!r}")
        if ours in columns and ours != name:
            ours = name
        columns[ours] = value
    _name_entry(columns)
    return columns


def _is_space_group(value: Any) -> bool:
    return (
        isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= HIGHEST_SPACE_GROUP
    )


def _name_entry(columns: dict[str, Any]) -> None:
    """Move the first identifying field to ``id``."""
    for name in ID_FIELDS:
        value = columns.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value):
            other = columns.get("id")
            if name != "id" and other is not None:
                columns["id_in_file"] = other
            columns.pop(name)
            columns["id"] = str(value)
            return


def fields_from(columns: dict[str, Any]) -> dict[str, Any]:
    """Names under which columns are written where the file kind does not fix the unit."""
    return {WRITTEN.get(name, name): value for name, value in columns.items()}
